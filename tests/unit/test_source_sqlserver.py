"""SQL Server by its double: what is asked is T-SQL that a server of 2019 has, and errors mean what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
import sqlglot
from tests.support.oltp import FILES
from tests.support.sqlserver_double import SqlServerDouble, error

from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.sources import open_source
from dataops.sources.databases import database, sqlserver_types
from dataops.sources.port import Also, Changed, Follow, Position, Recorder, Request, Source, Touched, Watchful, Window

pytestmark = pytest.mark.unit
URL = "mssql://reader:s3cr;et}@sql.example:1433/AdventureWorks"
ORDERS, LINES = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail"
DAY = Window.parse("2014-05-01..2014-05-02")
KEY = ("sales_order_id",)

SINCE_2019 = {
    "CAST", "CONVERT", "COALESCE", "COUNT", "SUM", "UPPER", "SWITCHOFFSET", "DATEDIFF_BIG", "OPENJSON", "EXISTS",
    "SYSDATETIME", "SYSUTCDATETIME", "MIN_ACTIVE_ROWVERSION", "SERVERPROPERTY", "CONNECTIONPROPERTY", "DB_NAME",
    "IS_SRVROLEMEMBER", "HAS_PERMS_BY_NAME", "CHANGE_TRACKING_CURRENT_VERSION", "CHANGE_TRACKING_MIN_VALID_VERSION",
    "OBJECT_ID", "CHANGETABLE", "COUNT_BIG", "BINARY_CHECKSUM",
}  # fmt: skip
"""Functions of SQL Server 2019, of those that are used; each is in Microsoft's reference of Transact-SQL."""
SYNTAX = {"FROM", "IN", "AND", "OR", "WITH", "WHERE", "AS", "NOT", "ON", "JOIN", "THEN", "SELECT", "BY", "WHEN"}
TYPES = {"VARCHAR", "NVARCHAR", "CHAR", "NCHAR", "DECIMAL", "DATETIME2", "TIME", "VARBINARY"}
"""What stands before a parenthesis and calls nothing."""


@pytest.fixture(scope="module")
def double() -> SqlServerDouble:
    made = SqlServerDouble()
    made.fill(FILES, [ORDERS, LINES])
    return made


@pytest.fixture
def source(double: SqlServerDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    monkeypatch.setattr(database, "PAUSE", 0.0)
    double.allows_snapshot, double.fails, double.active = True, lambda _: None, None
    double.statements.clear()
    double.addresses.clear()
    double.autocommits.clear()
    with double.connected():
        opened = open_source(URL)
        yield opened
        opened.close()


def everything(source: Source) -> Request:
    """A request with all that one may have."""
    also, touched = Also(KEY, ((43659,), (43660,))), Touched(LINES, KEY, "modified_date")
    changed = Changed(DAY.start, (DAY,), "modified_date", KEY, (touched,))
    follow = Follow(KEY, ORDERS, KEY, "order_date", also, changed)
    return Request(LINES, source.schema(LINES), DAY, follow=follow)


def fails_with(number: int, text: str, when: Callable[[str], bool], times: int = 100) -> Callable[[str], None]:
    left = [times]

    def fails(sql: str) -> None:
        if when(sql) and left[0]:
            left[0] -= 1
            raise error(text, number)

    return fails


def functions(sql: str) -> set[str]:
    """Names of the functions that a statement calls. Raises ParseError for what is no T-SQL."""
    changes = r"CHANGETABLE\(CHANGES [^,]+, \d+\)"  # whose own syntax sqlglot does not know
    sqlglot.parse_one(re.sub(changes, "CHANGETABLE('changes', 1)", sql), read="tsql")
    bare = re.sub(r"'[^']*'|\[[^\]]*\]", "", sql)
    return {name.upper() for name in re.findall(r"(\w+)\s*\(", bare)} - SYNTAX - TYPES


def test_every_statement_is_t_sql_of_functions_that_a_server_of_2019_has(
    source: Source, double: SqlServerDouble
) -> None:
    with source.snapshot([ORDERS, LINES]):
        source.position()
        source.read(everything(source)).read_all()
        stamped = pa.schema([("sales_order_id", pa.int32()), ("modified_date", pa.timestamp("us"))])
        assert source.sums(Request(ORDERS, stamped, DAY, "order_date"), 0, 1024) is not None
    double.tracked_since = 0
    assert isinstance(source, Recorder)
    source.deleted(ORDERS, pa.schema([("sales_order_id", pa.int32())]), 5)
    source.remarks()  # type: ignore[attr-defined]
    source.estimated_rows(ORDERS)  # type: ignore[attr-defined]
    asked = {sql for sql in double.statements if sql.startswith("SELECT")}
    assert len(asked) >= 7
    double.allows_snapshot = False
    with source.snapshot([ORDERS, LINES]):
        source.read(everything(source)).read_all()
    asked |= {sql for sql in double.statements if sql.startswith("SELECT")}
    assert any("BINARY_CHECKSUM" in sql for sql in asked)
    kinds = [
        sqlserver_types.column("c", base, 8, 18, 2).sql
        for base in [*sqlserver_types._PLAIN, "varchar", "char", "nvarchar"]
    ]
    asked |= {f"SELECT {sql.format('r.[c]')} FROM [s].[t] AS r" for sql in kinds}
    assert set().union(*map(functions, asked)) <= SINCE_2019


def test_a_group_is_read_in_one_transaction_of_isolation_snapshot(source: Source, double: SqlServerDouble) -> None:
    with source.snapshot([ORDERS]):
        position = source.position()
    assert "SET TRANSACTION ISOLATION LEVEL SNAPSHOT" in double.statements
    assert double.autocommits == [True, False]  # the catalogue's connection, and that of the snapshot
    assert position is not None
    assert position.caveat == ""


def test_a_database_that_does_not_allow_it_is_read_table_by_table_and_says_so(
    source: Source, double: SqlServerDouble
) -> None:
    """F20, error 3952: the batch says so in its notes."""
    double.allows_snapshot = False
    with source.snapshot([ORDERS]):
        position = source.position()
        assert source.read(Request(ORDERS, source.schema(ORDERS), DAY, "order_date")).read_all().num_rows
        assert isinstance(source, Watchful)
        assert not source.has_moved()
    assert position is not None
    assert "not as of one moment" in position.caveat


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM Sales.SalesOrderHeader WHERE sales_order_id = 43659",
        "UPDATE Sales.SalesOrderHeader SET comment = 'x' WHERE sales_order_id % 1000 = 1",
        """UPDATE Sales.SalesOrderHeader AS o SET sub_total = other.sub_total FROM Sales.SalesOrderHeader AS other
        WHERE o.sales_order_id IN (43659, 43661) AND other.sales_order_id = 43659 + 43661 - o.sales_order_id""",
    ],
    ids=["deleted", "changed", "exchanged"],
)
def test_it_knows_whether_what_it_read_table_by_table_is_of_one_moment(
    source: Source, double: SqlServerDouble, change: str
) -> None:
    """F20: two rows that exchange a value are a change as well."""
    double.allows_snapshot = False
    assert isinstance(source, Watchful)
    with source.snapshot([ORDERS, LINES]):
        names = ("sales_order_id", "comment", "sub_total")
        source.read(Request(ORDERS, pa.schema([source.schema(ORDERS).field(name) for name in names]))).read_all()
        source.read(Request(LINES, source.schema(LINES), DAY, follow=Follow(KEY, ORDERS, KEY, "order_date"))).read_all()
        assert not source.has_moved()
        double.database.execute("CREATE OR REPLACE TEMP TABLE saved AS FROM Sales.SalesOrderHeader")
        double.database.execute(change)
        assert source.has_moved()
    double.database.execute("DELETE FROM Sales.SalesOrderHeader")
    double.database.execute("INSERT INTO Sales.SalesOrderHeader FROM saved")
    double.database.execute("DROP TABLE saved")
    with source.snapshot([ORDERS]):
        assert not source.has_moved()


@pytest.mark.parametrize(
    ("number", "text"),
    [(3958, "Snapshot isolation transaction aborted: the version store is full"),
     (3952, "Snapshot isolation transaction failed accessing database 'x'")],
)  # fmt: skip
def test_a_snapshot_that_breaks_off_is_worth_another_try(
    source: Source, double: SqlServerDouble, number: int, text: str
) -> None:
    double.fails = fails_with(number, text, lambda sql: "FROM [Sales]" in sql)
    with pytest.raises(PlatformError, match=r"Nothing was published\. Run this again"):
        source.read(Request(ORDERS, source.schema(ORDERS))).read_all()


@pytest.mark.parametrize(("times", "works"), [(3, True), (4, False)])
def test_a_server_that_is_busy_is_asked_again_a_few_times(
    source: Source, double: SqlServerDouble, times: int, works: bool
) -> None:
    double.fails = fails_with(40613, "Database 'x' is not currently available", lambda sql: sql == "connect", times)
    if works:
        source.schema(ORDERS)
    else:
        with pytest.raises(PlatformError, match="not currently available"):
            source.schema(ORDERS)
    assert len(double.addresses) == 4


def test_a_refused_login_is_not_tried_again_and_its_password_is_not_said(
    source: Source, double: SqlServerDouble
) -> None:
    double.fails = fails_with(18456, "Login failed for user 'reader'", lambda sql: sql == "connect")
    with pytest.raises(PlatformError, match="refused user reader") as refused:
        source.schema(ORDERS)
    assert "s3cr" not in str(refused.value)
    assert len(double.addresses) == 1


def test_a_right_that_is_missing_says_where_the_script_is(source: Source, double: SqlServerDouble) -> None:
    double.fails = fails_with(229, "The SELECT permission was denied on the object", lambda sql: "FROM [Sales]" in sql)
    with pytest.raises(PlatformError, match="connect-a-source"):
        source.read(Request(ORDERS, source.schema(ORDERS))).read_all()


def test_the_address_is_encrypted_read_only_and_escaped(source: Source, double: SqlServerDouble) -> None:
    source.schema(ORDERS)
    [address] = double.addresses
    assert "Encrypt=yes" in address
    assert "ApplicationIntent=ReadOnly" in address
    assert "PWD={s3cr;et}}}" in address
    assert "s3cr" not in source.name


def test_keys_are_one_parameter_however_many_there_are(source: Source, double: SqlServerDouble) -> None:
    also = Also(KEY, tuple((number,) for number in range(43659, 53659)))
    found = source.read(Request(ORDERS, source.schema(ORDERS), DAY, "order_date", also=also)).read_all()
    assert found.num_rows > 10_000 - 1
    assert double.statements[-1].count("?") == 1


def test_changes_are_held_back_while_somebody_is_at_work(source: Source, double: SqlServerDouble) -> None:
    """MIN_ACTIVE_ROWVERSION below the newest one: nothing is settled before its transaction has ended."""
    double.active = 1500
    first = source.position()
    assert isinstance(first, Position)
    assert (first.oldest, first.next) == (1500, 2001)
    double.rowversion = 2100
    second = source.position()
    assert second is not None
    assert second.settled(first, first.now) == first.now
    double.active = 2050
    third = source.position()
    assert third is not None
    assert third.settled(second, first.now) == first.now
    assert third.settled(first, None) == third.now


def test_a_table_that_is_altered_in_the_middle_is_no_batch(source: Source, double: SqlServerDouble) -> None:
    form = double.formats[ORDERS]
    shorter = replace(form, columns=tuple(column for column in form.columns if column.name != "comment"))
    with pytest.raises(PlatformError, match="SalesOrderHeader has other columns: comment"), source.snapshot([ORDERS]):
        double.formats[ORDERS] = shorter
    double.formats[ORDERS] = form


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mssql://reader:secret@host", "names no database"),
        ("mssql://reader:secret@host/db?clock=moon", "clock='moon' cannot be read"),
        ("mssql://reader:secret@host/db?encrpyt=no", "did you mean 'encrypt'"),
        ("postgresql://reader:secret@host/db?sslmod=no", "did you mean 'sslmode'"),
        ("postgresql://reader:secret@host/db?zone=Mars", "zone='Mars' cannot be read"),
        ("postgres://reader:secret@host/db", "did you mean 'postgresql'"),
    ],
)
def test_an_address_that_is_not_right_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        open_source(url)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_table_that_is_not_there_is_named(source: Source) -> None:
    with pytest.raises(DataRejected, match=r"Sales\.Nothing"):
        source.schema("Sales.Nothing")


@pytest.mark.parametrize(("since", "kept"), [(10, [43659, 43661]), (11, [43661]), (8, None)])
def test_deletions_come_from_change_tracking_while_it_keeps_them(
    source: Source, double: SqlServerDouble, since: int, kept: list[int] | None
) -> None:
    double.tracked, double.tracked_since, double.gone = 12, 9, [(10, 1), (11, 43659), (12, 43661)]
    position = source.position()
    assert position is not None
    assert position.deletions == 12
    assert isinstance(source, Recorder)
    found = source.deleted(ORDERS, pa.schema([("sales_order_id", pa.int32())]), since)
    assert (found["sales_order_id"].to_pylist() if found is not None else None) == kept


def test_a_table_that_is_not_tracked_tells_no_deletions(source: Source, double: SqlServerDouble) -> None:
    double.tracked, double.tracked_since = 12, None
    assert isinstance(source, Recorder)
    assert source.deleted(ORDERS, pa.schema([("sales_order_id", pa.int32())]), 10) is None
