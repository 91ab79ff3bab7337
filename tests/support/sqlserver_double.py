"""SQL Server as far as the source asks of it: T-SQL over DuckDB, by sqlglot; what it does not know it refuses.

A double, because no SQL Server runs here. It knows the catalogue's questions by their texts, and of T-SQL what sqlglot
parses; how the real server rounds, locks and orders it does not know. The same suite runs on a real one where
DATAOPS_TEST_MSSQL_URL is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import mssql_python
import pyarrow as pa
import sqlglot
from sqlglot import exp

from dataops.sources.databases import sqlserver
from dataops.sources.install_csv import InstallCsv
from dataops.sources.install_script import FileFormat
from dataops.sources.port import Request

LENGTHS = {"nvarchar": 1000, "nchar": 30, "varchar": 128}
ASKED = (" sys.", "@@DBTS", "SERVERPROPERTY", "CHANGE_TRACKING")
"""Words of questions about the database rather than its rows."""
_DUCKDB = {
    "bit": "BOOLEAN", "tinyint": "SMALLINT", "datetime": "TIMESTAMP", "money": "DECIMAL(19,4)", "xml": "VARCHAR",
    "smallmoney": "DECIMAL(10,4)", "uniqueidentifier": "UUID", "varbinary": "BLOB", "geography": "BLOB",
    "hierarchyid": "BLOB", "nvarchar": "VARCHAR", "varchar": "VARCHAR", "nchar": "VARCHAR", "time": "TIME",
    "int": "INTEGER",
}  # fmt: skip


def error(text: str, number: int) -> mssql_python.Error:
    """As the driver says it: without the number."""
    del number
    return mssql_python.OperationalError(
        "General error", f"[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}"
    )


@dataclass
class SqlServerDouble:
    """One database. `allows_snapshot` and `fails` (called with each statement) are set by tests."""

    allows_snapshot: bool = True
    rowversion: int = 2000
    active: int | None = None
    tracked: int | None = None
    """the number of Change Tracking, where it is on"""
    tracked_since: int | None = None
    gone: list[tuple[int, int]] = field(default_factory=list)
    """number and order of each deletion"""
    created: str = "2026-01-01T00:00:00"
    fails: Callable[[str], None] = lambda _: None
    formats: dict[str, FileFormat] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    autocommits: list[bool] = field(default_factory=list)
    database: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def fill(self, files: Path, tables: list[str]) -> None:
        """With what install files hold."""
        source = InstallCsv(files)
        for name in tables:
            form = self.formats[name] = source.format_of(name)
            schema, _, table = name.partition(".")
            columns = ", ".join(f'"{c.name}" {_type(c.sql_type, c.type)}' for c in form.columns)
            self.database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            self.database.execute(f'CREATE TABLE "{schema}"."{table}" ({columns})')
            arriving = source.read(Request(name, form.schema)).read_all()
            self.database.register("arriving", arriving)
            values = ", ".join(_value(c.name, c.sql_type) for c in form.columns)
            self.database.execute(f'INSERT INTO "{schema}"."{table}" SELECT {values} FROM arriving')
            self.database.unregister("arriving")
        source.close()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Instead of the driver."""
        own = mssql_python.connect
        mssql_python.connect = self._connect  # type: ignore[assignment]
        try:
            yield
        finally:
            mssql_python.connect = own

    def _connect(self, address: str, **options: Any) -> _Connection:
        self.addresses.append(address)
        self.autocommits.append(bool(options["autocommit"]))
        self.fails("connect")
        return _Connection(self, bool(options["autocommit"]))

    def answer(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """What the catalogue says."""
        now = datetime.now(tz=UTC).replace(tzinfo=None)
        active = self.active or self.rowversion + 1
        known: dict[str, list[tuple[Any, ...]]] = {
            sqlserver._TABLES: [tuple(name.split(".")) for name in self.formats],
            sqlserver._COLUMNS: list(self._columns(".".join(map(str, parameters)))),
            sqlserver._DATABASE: [(1 if self.allows_snapshot else 0, 1, self.created, 5, None)],
            sqlserver._POSITION: [(now + timedelta(hours=1), now, active, self.rowversion, self.tracked)],
            sqlserver._ABOUT: [("16.0.4165.4", now, 0, 0, "TCP")],
            sqlserver._ROWS_OF: [(1000,)],
            sqlserver._TRACKED_SINCE: [(self.tracked_since,)],
        }
        if sql in known:
            return known[sql]
        if sql == "SET TRANSACTION ISOLATION LEVEL SNAPSHOT":
            if not self.allows_snapshot:
                raise error("Snapshot isolation transaction failed accessing database 'AdventureWorks'", 3952)
            return []
        raise AssertionError(f"the double does not know: {sql}")

    def _columns(self, name: str) -> Iterator[tuple[Any, ...]]:
        for column in self.formats[name].columns if name in self.formats else ():
            kind = column.type
            precision, scale = (kind.precision, kind.scale) if pa.types.is_decimal(kind) else (0, 0)
            yield (column.name, column.sql_type, LENGTHS.get(column.sql_type, 8), precision, scale, 7, "0")


def _type(sql_type: str, kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _DUCKDB.get(sql_type, sql_type)


def _value(name: str, sql_type: str) -> str:
    if _DUCKDB.get(sql_type) == "BLOB":
        return f"""from_hex(CASE WHEN length("{name}") % 2 = 1 THEN "{name}" || '0' ELSE "{name}" END)"""
    return f'"{name}"'


@dataclass
class _Connection:
    server: SqlServerDouble
    autocommit: bool
    timeout: int = 0

    def cursor(self) -> _Cursor:
        return _Cursor(self.server)

    def close(self) -> None:
        """Nothing is held."""


class _Reader:
    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches

    def __next__(self) -> pa.RecordBatch:
        return next(self._batches)

    def close(self) -> None:
        """Nothing is held."""


class _Cursor:
    def __init__(self, server: SqlServerDouble) -> None:
        self.server = server
        self.rows: list[tuple[Any, ...]] = []
        self.own = server.database.cursor()

    def execute(self, sql: str, *parameters: Any) -> None:
        self.server.statements.append(sql)
        self.server.fails(sql)
        if sql.startswith("SELECT") and "CHANGETABLE" in sql:
            since = int(re.findall(r"\], (\d+)\)", sql)[0])
            keys = [order for number, order in self.server.gone if number > since]
            self.own.execute("SELECT UNNEST(?::INTEGER[]) AS k0", [keys])
        elif sql.startswith("SELECT") and not any(word in sql for word in ASKED):
            self.own.execute(translated(sql), list(parameters))
            self.rows = self.own.fetchall() if "BINARY_CHECKSUM" in sql else []
        else:
            self.rows = self.server.answer(sql, parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows

    def arrow_reader(self, size: int) -> _Reader:
        return _Reader(iter(self.own.to_arrow_reader(size)))

    def close(self) -> None:
        """Nothing is held."""


def translated(sql: str) -> str:
    """The statement in DuckDB's words."""
    tree = sqlglot.parse_one(sql, read="tsql")
    return tree.transform(_translated).sql("duckdb")


def _weak_sum(of: exp.Select | None) -> str:
    """As weak as BINARY_CHECKSUM: values are shifted by four bits and put over each other."""
    assert of is not None
    values = ", ".join(
        f"CASE WHEN CAST(r.{name} AS VARCHAR) SIMILAR TO '[0-9]+' THEN CAST(CAST(r.{name} AS VARCHAR) AS BIGINT)"
        f" ELSE CAST(HASH(r.{name}) % 16 AS BIGINT) END"
        for name in of.args["from_"].this.this.named_selects
    )
    return f"CAST(LIST_REDUCE([{values}], (x, y) -> XOR(x % 134217728 * 16, y)) % 2147483647 AS INTEGER)"


def _function(node: exp.Anonymous) -> exp.Expression:
    name = node.name.upper()
    if name == "SWITCHOFFSET":
        return node.expressions[0]
    return sqlglot.parse_one(_weak_sum(node.parent_select), read="duckdb") if name == "BINARY_CHECKSUM" else node


def _translated(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Convert) and node.args.get("style") is not None and node.args["style"].name == "2":
        return exp.Anonymous(this="HEX", expressions=[node.expression.this])
    if isinstance(node, exp.Anonymous):
        return _function(node)
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Cast) and node.this.to.this == exp.DType.TIME:
        inner = node.this.this.sql("duckdb")
        return sqlglot.parse_one(f"STRFTIME(DATE '2000-01-01' + {inner}, '%H:%M:%S.%f') || '0'", read="duckdb")
    if isinstance(node, exp.DataType) and any(part.name.upper() == "MAX" for part in node.expressions):
        return exp.DataType.build("VARCHAR")
    if isinstance(node, exp.OpenJSON):
        columns = ", ".join(
            f"CAST(j ->> '{c.args['path'].name}' AS {c.args['kind'].sql('duckdb')}) AS {c.this.name}"
            for c in node.expressions
        )
        return sqlglot.parse_one(
            f"(SELECT {columns} FROM (SELECT UNNEST(FROM_JSON(?, '[\"JSON\"]')) AS j))", read="duckdb"
        )
    return node
