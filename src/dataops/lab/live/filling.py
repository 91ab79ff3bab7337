"""Fills a PostgreSQL database with what install files hold: typed tables with keys, as an application has them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from dataops.sources.arrow import Array, pc
from dataops.sources.install_csv import InstallCsv
from dataops.sources.install_script import snake_case
from dataops.sources.port import Request, Source

_TYPES = {
    "bit": "boolean", "tinyint": "smallint", "datetime": "timestamp", "money": "numeric(19,4)", "xml": "xml",
    "smallmoney": "numeric(10,4)", "uniqueidentifier": "uuid", "varbinary": "bytea", "geography": "bytea",
    "hierarchyid": "text", "nvarchar": "text", "varchar": "text", "nchar": "text",
}  # fmt: skip
"""SQL Server's types that PostgreSQL calls otherwise."""
_ARROW = {
    pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint", pa.bool_(): "boolean", pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
}  # fmt: skip
Spelling = Callable[[str], str]


def fill(
    url: str, source: Source, tables: Iterable[str], keys: Mapping[str, Sequence[str]], spelling: Spelling = snake_case
) -> int:
    """Makes each table and copies its rows; rows copied. Raises psycopg.Error where one exists already."""
    with psycopg.connect(url) as connection:
        return sum(_copied(connection, source, name, keys.get(name, ()), spelling) for name in tables)


def _copied(
    connection: psycopg.Connection[Any], source: Source, name: str, key: Sequence[str], spelling: Spelling
) -> int:
    types = _types(source, name)
    table = sql.Identifier(*(spelling(part) for part in name.split(".")))
    columns = [sql.SQL("{} {}").format(sql.Identifier(spelling(c)), sql.SQL(t)) for c, t in types.items()]
    if key:
        names = sql.SQL(", ").join(sql.Identifier(spelling(column)) for column in key)
        columns.append(sql.SQL("PRIMARY KEY ({})").format(names))
    schema = sql.Identifier(spelling(name.partition(".")[0]))
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
    rows = 0
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as copy:
        for batch in source.read(Request(name, source.schema(name))):
            rows += batch.num_rows
            copy.write(_as_csv(batch, types))
    return rows


def _types(source: Source, name: str) -> dict[str, str]:
    """PostgreSQL's types by column: as the files' script has them, else as the rows come."""
    if isinstance(source, InstallCsv):
        return {c.name: _TYPES.get(c.sql_type, _in_words(c.type, c.sql_type)) for c in source.format_of(name).columns}
    return {field.name: _in_words(field.type, "text") for field in source.schema(name)}


def _in_words(kind: pa.DataType, otherwise: str) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return _ARROW.get(kind, otherwise)


def _as_csv(batch: pa.RecordBatch, types: Mapping[str, str]) -> bytes:
    values = []
    for name, kind in types.items():
        came = batch.column(name)
        values.append(pc.binary_join_element_wise("\\x", came, _half(came), "") if kind == "bytea" else came)
    content = io.BytesIO()
    csv.write_csv(pa.table(values, list(types)), content, csv.WriteOptions(include_header=False))
    return content.getvalue()


def _half(digits: Array) -> Array:
    """What makes whole bytes of hexadecimal digits: Microsoft's files hold one document with an odd number of them."""
    odd = pc.equal(pc.bit_wise_and(pc.utf8_length(digits), 1), 1)
    return cast("Array", pc.if_else(odd, "0", ""))
