"""An install script such as Microsoft's `instawdb.sql`, read for what it says about files: columns, types, options.

A description of files only; it opens none. The script is the single place where the two editions differ in format.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from dataops.declared.errors import DataRejected
from dataops.sources.bulk_insert import Written, written
from dataops.sources.port import ANY_NUMBER

_TABLE = re.compile(r"^CREATE TABLE \[(\w+)\]\.\[(\w+)\]\s*\((.*?)^\s*\)[^\n]*;", re.DOTALL | re.MULTILINE)
_COLUMN = re.compile(
    r"^\s*\[(?P<name>[^\]]+)\]\s+(?:(?P<computed>AS\s)|\[?(?P<type>\w+)\]?\s*(?:\((?P<size>[^)\[]*)\))?)", re.IGNORECASE
)
_ALIAS = re.compile(r"^CREATE TYPE \[(\w+)\] FROM (\w+)", re.MULTILINE)
_BULK = re.compile(
    r"^BULK\s+INSERT\s+\[?(\w+)\]?\.\[?(\w+)\]?\s+FROM\s+'([^']+)'\s*(?:WITH\s*\(((?:[^'()]|'[^']*'|\([^)]*\))*)\))?",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_BULK = re.compile(r"^BULK\s+INSERT\b.*", re.IGNORECASE | re.MULTILINE)

MONEY = pa.decimal128(19, 4)
_MOMENT, _TEXT = pa.timestamp("us"), pa.string()
_TYPES: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": ANY_NUMBER,
    "real": ANY_NUMBER,
    "date": pa.date32(),
    "datetime": _MOMENT,
    "datetime2": _MOMENT,
    "datetimeoffset": _MOMENT,
    "smalldatetime": _MOMENT,
    "money": MONEY,
    "smallmoney": pa.decimal128(10, 4),
}
_TYPES |= dict.fromkeys(
    ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "sysname", "xml", "time", "uniqueidentifier", "binary",
     "varbinary", "image", "hierarchyid", "geography", "geometry", "rowversion", "timestamp"), _TEXT,
)  # fmt: skip
# The script states an expression, not a type; these are the types SQL Server derives from the expressions.
_COMPUTED: dict[str, tuple[str, pa.DataType]] = {
    "Sales.SalesOrderDetail.LineTotal": ("numeric", pa.decimal128(38, 6)),
    "Sales.SalesOrderHeader.TotalDue": ("money", MONEY),
    "Purchasing.PurchaseOrderDetail.LineTotal": ("money", MONEY),
    "Purchasing.PurchaseOrderDetail.StockedQty": ("numeric", pa.decimal128(9, 2)),
    "Purchasing.PurchaseOrderHeader.TotalDue": ("money", MONEY),
    "Production.WorkOrder.StockedQty": ("int", pa.int32()),
    "Production.Document.DocumentLevel": ("smallint", pa.int16()),
    "HumanResources.Employee.OrganizationLevel": ("smallint", pa.int16()),
}


@dataclass(frozen=True)
class FileColumn:
    """One field of a row, in file order; `sql_type` is the base type in lower case."""

    name: str
    sql_type: str
    type: pa.DataType


@dataclass(frozen=True)
class FileFormat:
    """How one table's file is to be read."""

    source_table: str
    file: str
    columns: tuple[FileColumn, ...]
    written: Written
    said_by: str = "instawdb.sql"

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, columns in file order."""
        return pa.schema([(column.name, column.type) for column in self.columns])


def snake_case(name: str) -> str:
    """`SalesOrderID` -> `sales_order_id`, `SalesYTD` -> `sales_ytd`, `Database Version` -> `database_version`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name.replace(" ", ""))
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


class InstallScript:
    """A script's text; each table is looked at when it is asked for."""

    def __init__(self, text: str) -> None:
        """Raises DataRejected where no file is loaded, or a statement that loads one cannot be read."""
        self._text = text.replace("\r\n", "\n")
        self._loads = {
            f"{schema}.{table}": (path, options) for schema, table, path, options in _BULK.findall(self._text)
        }
        if not self._loads:
            raise DataRejected("instawdb.sql holds no BULK INSERT statement; it is not an install script")
        understood = {match.start() for match in _BULK.finditer(self._text)}
        for match in _ANY_BULK.finditer(self._text):
            if match.start() not in understood:
                line = self._text.count("\n", 0, match.start()) + 1
                raise DataRejected(f"instawdb.sql line {line}: this statement cannot be read: {match[0].strip()[:80]}")

    @property
    def tables(self) -> list[str]:
        """Every table that has a file, in the script's order."""
        return list(self._loads)

    def format_of(self, source_table: str) -> FileFormat:
        """How the file of one of the tables is written; raises DataRejected for what is not understood."""
        path, options = self._loads[source_table]
        if source_table not in self._bodies:
            raise DataRejected(f"instawdb.sql loads {source_table} but has no CREATE TABLE for it; is it cut short?")
        found = [match for line in self._bodies[source_table].split("\n") if (match := _COLUMN.match(line))]
        columns = tuple(self._column(source_table, match) for match in found)
        _require_different(source_table, [match["name"] for match in found])
        file = path.rpartition(")")[2].replace("\\", "/").rpartition("/")[2]
        return FileFormat(source_table, file, columns, written(options, f"instawdb.sql: {source_table}"))

    @cached_property
    def _bodies(self) -> dict[str, str]:
        return {f"{schema}.{table}": body for schema, table, body in _TABLE.findall(self._text)}

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return {name: base.lower() for name, base in _ALIAS.findall(self._text)}

    def _column(self, source_table: str, match: re.Match[str]) -> FileColumn:
        name = match["name"]
        if match["computed"]:
            sql_type, arrow = _COMPUTED.get(f"{source_table}.{name}", ("nvarchar", _TEXT))
            return FileColumn(snake_case(name), sql_type, arrow)
        sql_type = self._aliases.get(match["type"], match["type"]).lower()
        if sql_type in {"decimal", "numeric"}:
            precision, _, scale = (match["size"] or "18").partition(",")
            return FileColumn(snake_case(name), sql_type, pa.decimal128(int(precision), int(scale or 0)))
        if sql_type not in _TYPES:
            raise DataRejected(
                f"instawdb.sql: {source_table}.{name} is of type {match['type']}, which is not known; known are"
                f" decimal, numeric, {', '.join(sorted(_TYPES))}, and types made of them by CREATE TYPE"
            )
        return FileColumn(snake_case(name), sql_type, _TYPES[sql_type])


def _require_different(source_table: str, names: list[str]) -> None:
    """Names that differ in case or blanks only are one name here."""
    seen: dict[str, str] = {}
    for name in names:
        if other := seen.get(snake_case(name)):
            raise DataRejected(
                f"instawdb.sql: {source_table} has columns {other} and {name}, which are both {snake_case(name)} here;"
                " rename one of them in the script"
            )
        seen[snake_case(name)] = name
