"""SQL Server as a source: by Microsoft's driver, read only, streamed as Arrow, of one moment where the database allows.

The driver tells no error numbers, only texts; what they mean is looked up by the words of the server's own messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
from sqlalchemy.engine import URL

from dataops.declared.errors import PlatformError
from dataops.sources.databases import sqlserver_types
from dataops.sources.databases.database import APART, Database, patiently
from dataops.sources.databases.statements import Keys, Statement
from dataops.sources.databases.tables import Column, Table, called
from dataops.sources.port import Position, Remark, Request

ROWS = 16_384  # of a batch
TRANSIENT = {
    "is not currently available": 40613, "has reached its limit": 10928, "The service is currently busy": 40501,
    "was deadlocked": 1205, "Error code 0x2749": 10061, "Login timeout expired": 258, "TCP Provider": 10053,
    "Communication link failure": 10054, "is being recovered": 922, "Lock request time out": 1222,
}  # fmt: skip
"""Words of errors that may be gone a moment later, and their numbers."""
NO_SNAPSHOT = ("Snapshot isolation transaction failed", "version store")
"""Words of 3952 (not allowed), 3958 (the row's version is gone) and 3967 (the version store is full)."""

_TABLES = """SELECT s.name, o.name FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V')"""
_COLUMNS = """SELECT c.name, COALESCE(b.name, t.name), CAST(c.max_length AS int), CAST(c.precision AS int),
  CAST(c.scale AS int), CAST(o.object_id AS bigint), CONVERT(varchar(30), o.modify_date, 126)
FROM sys.columns AS c JOIN sys.objects AS o ON o.object_id = c.object_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
JOIN sys.types AS t ON t.user_type_id = c.user_type_id
LEFT JOIN sys.types AS b ON b.user_type_id = t.system_type_id AND t.is_user_defined = 1 AND t.is_assembly_type = 0
WHERE s.name = ? AND o.name = ? ORDER BY c.column_id"""
_DATABASE = """SELECT CAST(d.snapshot_isolation_state AS int), CAST(d.is_read_committed_snapshot_on AS int),
  CONVERT(varchar(30), d.create_date, 126), CAST(d.database_id AS int), CONVERT(varchar(36), r.recovery_fork_guid)
FROM sys.databases AS d LEFT JOIN sys.database_recovery_status AS r ON r.database_id = d.database_id
WHERE d.name = DB_NAME()"""
_POSITION = """SELECT SYSDATETIME(), SYSUTCDATETIME(), CAST(MIN_ACTIVE_ROWVERSION() AS bigint), CAST(@@DBTS AS bigint),
  CHANGE_TRACKING_CURRENT_VERSION()"""
_ABOUT = """SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')), SYSUTCDATETIME(),
  CAST(IS_SRVROLEMEMBER('sysadmin') AS int), CAST(HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'UPDATE') AS int),
  CONVERT(nvarchar(10), CONNECTIONPROPERTY('net_transport'))"""
_STATE_OF = """SELECT COUNT_BIG(*), SUM(CAST(r.b AS bigint)), SUM(CAST(r.b AS bigint) * r.b % 2147483647)
FROM (SELECT BINARY_CHECKSUM(*) AS b FROM ({}) AS r) AS r"""
"""Of a query's rows; the squares see what the plain sum does not, such as two rows that exchange a value."""
_TRACKED_SINCE = """SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID(?))"""
_ROWS_OF = """SELECT SUM(p.rows) FROM sys.partitions AS p JOIN sys.objects AS o ON o.object_id = p.object_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE p.index_id IN (0, 1) AND s.name = ? AND o.name = ?"""


class _Dialect:
    """T-SQL's way to write things."""

    def quoted(self, name: str) -> str:
        return "[{}]".format(name.replace("]", "]]"))

    def moment(self, value: datetime, column: Column) -> str:
        kind = "datetimeoffset" if column.is_absolute else "datetime2(6)"
        return f"CAST('{value.isoformat()}{'+00:00' if column.is_absolute else ''}' AS {kind})"

    def keys(self, columns: Sequence[Column], keys: Keys, parameters: list[str]) -> str:
        """One parameter of JSON, however many keys there are: a server takes 2,100 of them."""
        parameters.append(json.dumps([[_plain(value) for value in key] for key in keys]))
        shape = ", ".join(
            f"k{at} {_KEYS.get(column.type, 'nvarchar(4000)')} '$[{at}]'" for at, column in enumerate(columns)
        )
        return f"(SELECT * FROM OPENJSON(?) WITH ({shape}))"

    def microseconds(self, value: str) -> str:
        return f"DATEDIFF_BIG(microsecond, CAST('1970-01-01' AS datetime2(6)), {value})"

    def problem(self, column: Column, value: str) -> str:
        """Every value of every type fits."""
        raise NotImplementedError(f"{column.name}: {value}")

    def joined(self, problems: Sequence[str]) -> str:
        return ", ".join(problems) or "CAST(NULL AS nvarchar(1))"


class SqlServerSource(Database):
    """A SQL Server database."""

    dialect = _Dialect()

    def __init__(self, url: URL, clock: str = "local", timeout: int = 3600) -> None:
        """`clock`: whether rows are stamped by the server's local time or by UTC; `timeout`: seconds per statement."""
        super().__init__(url, timeout)
        self._clock = clock
        self._own: Any = None
        self._reader: Any = None
        self._watched: list[tuple[Statement, Any]] | None = None  # where a reading is not of one moment

    @property
    def name(self) -> str:
        """`mssql host:port/database`."""
        return f"mssql {self._url.host or 'localhost'}:{self._url.port or 1433}/{self._url.database}"

    @contextmanager
    def snapshot(self, source_tables: Sequence[str]) -> Iterator[None]:
        """Of one moment where the database allows SNAPSHOT; else table by table, which the position says."""
        catalogue = self._catalogue()
        described = [self._described(*self._called(name)) for name in source_tables]
        before = [table for table in described if table]
        state, *_ = self._row(_DATABASE)
        self._reader = self._connect(autocommit=state != 1)
        try:
            if state == 1:
                self._run(self._reader, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
            caveat = "" if state == 1 else _NOT_ONE_MOMENT
            self._position = replace(self._stands(self._reader if state == 1 else catalogue), caveat=caveat)
            self._watched = [] if caveat else None
            yield
        finally:
            self._position = self._watched = None
            with suppress(Exception):  # it may have been cut off
                self._reader.close()
            self._reader = None
        self._refuse_change(before, [self._described(table.schema, table.name) for table in before])

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Rows in no order of their own; see `Source.read`. Where nothing holds them still, they are summed before."""
        if self._watched is not None:
            statement = self._writer.select(request)
            self._watched.append((statement, self._state_of(statement)))
        return super().read(request)

    def has_moved(self) -> bool:
        """Whether what was read is another now. Where nothing is, all of it is as of this moment."""
        return any(self._state_of(statement) != was for statement, was in self._watched or ())

    def position(self) -> Position:
        """Where the clock and row versions stand."""
        return self._position or self._stands(self._catalogue())

    def deleted(self, source_table: str, key: pa.Schema, since: int) -> pa.Table | None:
        """By Change Tracking, where it is on for the table and keeps so long; its key must be the table's own."""
        table = self._find(source_table)
        place = self._writer.place(table)
        oldest = self._row(_TRACKED_SINCE, place)[0]
        if oldest is None or int(oldest) > since:
            return None
        columns = [table.column(name, self.name) for name in key.names]
        own = ", ".join(f"{column.sql.format(f'd.[{column.name}]')} AS k{n}" for n, column in enumerate(columns))
        sql = f"SELECT {own} FROM CHANGETABLE(CHANGES {place}, {since:d}) AS d WHERE d.SYS_CHANGE_OPERATION = 'D'"
        return self._fetched(Statement(sql), source_table, key)

    def remarks(self) -> list[Remark]:
        """What `source test` tells of the server."""
        began = time.monotonic()
        self._catalogue()
        took = time.monotonic() - began
        version, clock, administrator, writes, transport = self._row(_ABOUT)
        state, committed, *_ = self._row(_DATABASE)
        apart = (clock - datetime.utcnow()).total_seconds()  # noqa: DTZ003  the server's is without a zone
        level: Literal["ok", "warn"] = "warn" if abs(apart) > APART else "ok"
        mode = "READ COMMITTED by row versions" if committed else "READ COMMITTED"
        return [
            Remark("ok", "connection", f"SQL Server {version} by {transport}, {1000 * took:.0f} ms to connect"),
            Remark(
                "warn" if administrator or writes else "ok", "rights",
                "the login is an administrator" if administrator
                else "the login may write" if writes else "the login may only read",
                "give it one that may only read: docs/how-to/connect-a-source.md" if administrator or writes else "",
            ),
            Remark("ok", "isolation", "SNAPSHOT: all tables of a group as of one moment") if state == 1
            else Remark(
                "warn", "isolation", f"{mode}, table by table: a group is not of one moment, and each batch says so",
                f"ALTER DATABASE [{self._url.database}] SET ALLOW_SNAPSHOT_ISOLATION ON",
            ),
            Remark(
                level, "clock", f"the server's is {apart:+.1f} s from ours", "set the clocks" if level == "warn" else ""
            ),
        ]  # fmt: skip

    def estimated_rows(self, source_table: str) -> int | None:
        found = self._row(_ROWS_OF, *self._called(source_table))[0]
        return None if found is None else int(found)

    def close(self) -> None:
        if self._own is not None:
            with suppress(Exception):
                self._own.close()
            self._own = None

    def _batches(self, statement: Statement, source_table: str) -> Iterator[pa.RecordBatch]:
        """What a query gives, in the snapshot if there is one."""
        connection = self._reader or self._catalogue()
        doing = f"reading {source_table}: "
        with self._answering(doing):
            cursor = connection.cursor()
            cursor.execute(statement.sql, *statement.parameters)
            reader = cursor.arrow_reader(ROWS)
        try:
            while True:
                with self._answering(doing):
                    batch = next(reader, None)
                if batch is None:
                    return
                yield batch
        finally:
            reader.close()
            cursor.close()

    def _state_of(self, statement: Statement) -> Any:  # noqa: ANN401  the driver's
        """Number of rows and two sums of them."""
        return self._row(_STATE_OF.format(statement.sql), *statement.parameters)

    def _stands(self, connection: Any) -> Position:  # noqa: ANN401  the driver's
        _, _, created, number, fork = self._row(_DATABASE)
        local, utc, oldest, last, tracked = self._row(_POSITION, on=connection)
        now = local if self._clock == "local" else utc
        identity = f"{number} {created} {fork or ''}".strip()
        return Position(identity, int(last), now, int(oldest), int(last) + 1, deletions=tracked)

    def _table_now(self, source_table: str) -> Table | None:
        return self._described(*self._called(source_table))

    def _called(self, source_table: str) -> tuple[str, str]:
        return called(source_table, [tuple(row) for row in self._rows(_TABLES)], self.name)

    def _described(self, schema: str, name: str) -> Table | None:
        rows = self._rows(_COLUMNS, schema, name)
        columns = tuple(sqlserver_types.column(*row[:5]) for row in rows)
        return Table(schema, name, columns, f"{rows[0][5]} {rows[0][6]}") if rows else None

    def _row(self, sql: str, *parameters: object, on: Any = None) -> Any:  # noqa: ANN401  the driver's
        [row] = self._rows(sql, *parameters, on=on)
        return tuple(row)

    def _rows(self, sql: str, *parameters: object, on: Any = None) -> list[Any]:  # noqa: ANN401  the driver's
        with self._answering():
            cursor = (on or self._catalogue()).cursor()
            cursor.execute(sql, *parameters)
            rows = list(cursor.fetchall())
            cursor.close()
        return rows

    def _run(self, connection: Any, sql: str) -> None:  # noqa: ANN401  the driver's
        with self._answering():
            cursor = connection.cursor()
            cursor.execute(sql)
            cursor.close()

    def _catalogue(self) -> Any:  # noqa: ANN401  the driver's
        """The connection on which every statement sees what is so now."""
        if self._own is None:
            self._own = self._connect(autocommit=True)
        return self._own

    def _connect(self, *, autocommit: bool) -> Any:  # noqa: ANN401  the driver's
        import mssql_python

        address = self._address()
        with self._answering():
            made = patiently(
                lambda: mssql_python.connect(address, autocommit=autocommit, timeout=10),
                lambda error: any(words in str(error) for words in TRANSIENT),
            )
        made.timeout = self._timeout
        return made

    def _address(self) -> str:
        """For the driver: encrypted unless the address says else, read only by intent."""
        given = {
            "Server": f"tcp:{self._url.host or 'localhost'},{self._url.port or 1433}",
            "Database": self._url.database, "UID": self._url.username, "PWD": self._url.password,
            "Encrypt": "yes", "ApplicationIntent": "ReadOnly", "KeepAlive": "30",
        } | dict(self._url.query)  # fmt: skip
        return ";".join(f"{name}={_escaped(str(value))}" for name, value in given.items() if value is not None)

    @contextmanager
    def _answering(self, doing: str = "") -> Iterator[None]:
        """Errors of the server as ours."""
        import mssql_python

        try:
            yield
        except mssql_python.Error as error:
            self._raise(error, doing)

    def _raise(self, error: Exception, doing: str) -> None:
        """Raises what the error means to who can act on it."""
        text = " ".join(str(error).split())
        first = text.rpartition("[SQL Server]")[2].removeprefix("Driver Error: ")
        if any(words in text for words in NO_SNAPSHOT):
            raise PlatformError(
                f"{self.name} cannot be read as of one moment: {doing}{first}\nNothing was published. Run this again;"
                " if it stays so, its version store is too small, or SNAPSHOT was switched off meanwhile."
            ) from error
        if "Login failed" in text:
            raise PlatformError(
                f"{self.name} refused user {self._url.username}: check the source's address, DATAOPS_SOURCE_URL."
            ) from error
        if "permission was denied" in text:
            raise PlatformError(
                f"{self.name}: {doing}{first}\nNothing was loaded. Let an administrator grant it; the script is in"
                " docs/how-to/connect-a-source.md"
            ) from error
        if "Invalid column name" in text or "Invalid object name" in text:
            raise PlatformError(
                f"{self.name} changed while it was read: {doing}{first}\nNothing was published. Run this again."
            ) from error
        raise PlatformError(f"{self.name} cannot be read: {doing}{first}\nNothing was published.") from error


_NOT_ONE_MOMENT = (
    "read table by table, not as of one moment: rows changed meanwhile, and the database does not allow SNAPSHOT"
    " isolation"
)


def _escaped(text: str) -> str:
    """A value in a connection string."""
    return "{" + text.replace("}", "}}") + "}" if set(text) & set(";{}[]()?*=!@ ") else text


_KEYS: dict[pa.DataType, str] = {
    pa.int16(): "smallint", pa.int32(): "int", pa.int64(): "bigint", pa.date32(): "date", pa.bool_(): "bit",
    pa.timestamp("us"): "datetime2(6)",
}  # fmt: skip


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
