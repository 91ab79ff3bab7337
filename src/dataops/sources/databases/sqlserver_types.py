"""How each type of SQL Server is read as a value that the port knows.

Casts leave the driver only types of which there is one Arrow form; text forms are those of the install files.
"""

from __future__ import annotations

import pyarrow as pa

from dataops.sources.databases.tables import Column
from dataops.sources.install_script import MONEY, snake_case

_LONGEST = 4000  # characters of a text that is bound rather than streamed
_TEXT = pa.string()
_MICROSECONDS = pa.timestamp("us")
_HEX = "CONVERT(varchar(max), CAST({} AS varbinary(max)), 2)"
_NTEXT = "CAST({} AS nvarchar(max))"

_PLAIN: dict[str, tuple[pa.DataType, str]] = {
    "bit": (pa.bool_(), "{}"),
    "tinyint": (pa.int16(), "CAST({} AS smallint)"),
    "smallint": (pa.int16(), "{}"),
    "int": (pa.int32(), "{}"),
    "bigint": (pa.int64(), "{}"),
    "real": (pa.float64(), "CAST({} AS float)"),
    "float": (pa.float64(), "{}"),
    "money": (MONEY, "CAST({} AS decimal(19, 4))"),
    "smallmoney": (pa.decimal128(10, 4), "CAST({} AS decimal(10, 4))"),
    "date": (pa.date32(), "{}"),
    "datetime": (_MICROSECONDS, "CAST({} AS datetime2(3))"),  # its three digits, not the 3.33 ms that they stand for
    "smalldatetime": (_MICROSECONDS, "CAST({} AS datetime2(0))"),
    "datetime2": (_MICROSECONDS, "CAST({} AS datetime2(6))"),
    "datetimeoffset": (_MICROSECONDS, "CAST(SWITCHOFFSET({}, '+00:00') AS datetime2(6))"),
    "time": (_TEXT, "CAST(CAST({} AS time(7)) AS varchar(16))"),
    "uniqueidentifier": (_TEXT, "UPPER(CAST({} AS char(36)))"),
    "hierarchyid": (_TEXT, _HEX),
    "geography": (_TEXT, _HEX),
    "geometry": (_TEXT, _HEX),
    "binary": (_TEXT, _HEX),
    "varbinary": (_TEXT, _HEX),
    "image": (_TEXT, _HEX),
    "timestamp": (_TEXT, _HEX),
    "xml": (_TEXT, _NTEXT),
    "text": (_TEXT, _NTEXT),
    "ntext": (_TEXT, _NTEXT),
    "sysname": (_TEXT, "{}"),
    "sql_variant": (_TEXT, f"CAST({{}} AS nvarchar({_LONGEST}))"),
}


def column(name: str, base: str, length: int, precision: int, scale: int) -> Column:
    """A column of a base type; `length` in bytes, -1 where there is no limit. Others are read as their text."""
    label = snake_case(name)
    if base in {"decimal", "numeric"}:
        return Column(name, label, pa.decimal128(precision, scale))
    if base in {"char", "varchar", "nchar", "nvarchar"}:
        return Column(name, label, _TEXT, _text(base, length))
    kind, sql = _PLAIN.get(base, (_TEXT, _NTEXT))
    return Column(name, label, kind, sql, is_absolute=base == "datetimeoffset")


def _text(base: str, length: int) -> str:
    """As characters of Unicode, whatever code page the column is kept in."""
    if base in {"nchar", "nvarchar"} and length > 0:
        return "{}"
    return f"CAST({{}} AS {'nchar' if base == 'char' else 'nvarchar'}({length}))" if 0 < length <= _LONGEST else _NTEXT
