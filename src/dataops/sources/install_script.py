"""Microsoft's `instawdb.sql` read for what it says about the files: column order, types, encodings, terminators.

A description of files only; it opens none. The script is the single place where the two editions differ in format.
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from dataops.declared.errors import DataRejected

_TABLE = re.compile(r"^CREATE TABLE \[(\w+)\]\.\[(\w+)\]\s*\((.*?)^\s*\)[^\n]*;", re.DOTALL | re.MULTILINE)
_COLUMN = re.compile(
    r"^\s*\[(?P<name>[^\]]+)\]\s+(?:(?P<computed>AS\s)|\[?(?P<type>\w+)\]?\s*(?:\((?P<size>[^)\[]*)\))?)", re.IGNORECASE
)
_ALIAS = re.compile(r"^CREATE TYPE \[(\w+)\] FROM (\w+)", re.MULTILINE)
_BULK = re.compile(r"^BULK INSERT \[(\w+)\]\.\[(\w+)\] FROM '([^']+)'\s*WITH\s*\((.*?)\)\s*;", re.DOTALL | re.MULTILINE)
_OPTION = re.compile(r"(\w+)\s*=\s*'([^']*)'")
_ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r": "\r", "0x0a": "\n", "0x0A": "\n"}
_CODE_PAGES = {"ACP": "cp1252", "1252": "cp1252", "65001": "utf-8", "RAW": "cp1252"}

MONEY = pa.decimal128(19, 4)
_TYPES: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "money": MONEY,
    "smallmoney": pa.decimal128(10, 4),
}
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
    """How one table's file is to be read. `wide` files are UTF-16LE with a byte order mark."""

    source_table: str
    file: str
    columns: tuple[FileColumn, ...]
    encoding: str
    wide: bool
    field_terminator: str
    row_terminator: str

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, columns in file order."""
        return pa.schema([(column.name, column.type) for column in self.columns])


def snake_case(name: str) -> str:
    """`SalesOrderID` -> `sales_order_id`, `SalesYTD` -> `sales_ytd`, `Database Version` -> `database_version`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name.replace(" ", ""))
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def parse_script(text: str) -> dict[str, FileFormat]:
    """Formats by table (`Sales.SalesOrderHeader`) of every file the script bulk-loads; raises DataRejected."""
    text = text.replace("\r\n", "\n")
    aliases = {name: base.lower() for name, base in _ALIAS.findall(text)}
    tables = {f"{schema}.{table}": body for schema, table, body in _TABLE.findall(text)}
    formats = {}
    for schema, table, path, options in _BULK.findall(text):
        source_table = f"{schema}.{table}"
        if source_table not in tables:
            raise DataRejected(f"instawdb.sql loads {source_table} but has no CREATE TABLE for it; is it cut short?")
        columns = _columns(source_table, tables[source_table], aliases)
        formats[source_table] = _format(source_table, columns, path, dict(_OPTION.findall(options)))
    if not formats:
        raise DataRejected("instawdb.sql holds no BULK INSERT statement; it is not AdventureWorks' install script")
    return formats


def _columns(source_table: str, body: str, aliases: dict[str, str]) -> tuple[FileColumn, ...]:
    found = [match for line in body.split("\n") if (match := _COLUMN.match(line))]
    return tuple(_column(source_table, match, aliases) for match in found)


def _column(source_table: str, match: re.Match[str], aliases: dict[str, str]) -> FileColumn:
    name = match["name"]
    if match["computed"]:
        sql_type, arrow = _COMPUTED.get(f"{source_table}.{name}", ("nvarchar", pa.string()))
        return FileColumn(snake_case(name), sql_type, arrow)
    sql_type = aliases.get(match["type"], match["type"]).lower()
    if sql_type in {"decimal", "numeric"}:
        precision, scale = (int(part) for part in match["size"].split(","))
        return FileColumn(snake_case(name), sql_type, pa.decimal128(precision, scale))
    return FileColumn(snake_case(name), sql_type, _TYPES.get(sql_type, pa.string()))


def _format(source_table: str, columns: tuple[FileColumn, ...], path: str, options: dict[str, str]) -> FileFormat:
    wide = options.get("DATAFILETYPE", "char").lower() == "widechar"
    code_page = options.get("CODEPAGE", "ACP")
    if code_page not in _CODE_PAGES:
        raise DataRejected(f"instawdb.sql: {source_table}: code page '{code_page}' is not known; expected ACP or 65001")
    return FileFormat(
        source_table=source_table,
        file=path.rpartition(")")[2].rpartition("\\")[2],
        columns=columns,
        encoding="utf-16-le" if wide else _CODE_PAGES[code_page],
        wide=wide,
        field_terminator=_unescaped(options.get("FIELDTERMINATOR", r"\t")),
        row_terminator=_unescaped(options.get("ROWTERMINATOR", r"\n")),
    )


def _unescaped(text: str) -> str:
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text
