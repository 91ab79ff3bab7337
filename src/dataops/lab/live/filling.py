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
from dataops.sources.install_script import FileColumn, FileFormat, snake_case
from dataops.sources.port import Request

_TYPES = {
    "bit": "boolean", "tinyint": "smallint", "datetime": "timestamp", "money": "numeric(19,4)", "xml": "xml",
    "smallmoney": "numeric(10,4)", "uniqueidentifier": "uuid", "varbinary": "bytea", "geography": "bytea",
    "hierarchyid": "text", "nvarchar": "text", "varchar": "text", "nchar": "text",
}  # fmt: skip
"""SQL Server's types that PostgreSQL calls otherwise."""
Spelling = Callable[[str], str]


def fill(
    url: str,
    source: InstallCsv,
    tables: Iterable[str],
    keys: Mapping[str, Sequence[str]],
    spelling: Spelling = snake_case,
) -> int:
    """Makes each table and copies its rows; rows copied. Raises psycopg.Error where one exists already."""
    rows = 0
    with psycopg.connect(url) as connection:
        for name in tables:
            rows += _copied(connection, source, source.format_of(name), keys.get(name, ()), spelling)
    return rows


def place(source_table: str, spelling: Spelling = snake_case) -> sql.Identifier:
    """How a table is called there."""
    return sql.Identifier(*(spelling(part) for part in source_table.split(".")))


def _copied(
    connection: psycopg.Connection[Any], source: InstallCsv, form: FileFormat, key: Sequence[str], spelling: Spelling
) -> int:
    table = place(form.source_table, spelling)
    schema = sql.Identifier(spelling(form.source_table.partition(".")[0]))
    columns = [sql.SQL("{} {}").format(_named(c, spelling), sql.SQL(_type(c))) for c in form.columns]
    if key:
        names = sql.SQL(", ").join(_named(c, spelling) for k in key for c in form.columns if c.name == k)
        columns.append(sql.SQL("PRIMARY KEY ({})").format(names))
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)))
    rows = 0
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as copy:
        for batch in source.read(Request(form.source_table, form.schema)):
            rows += batch.num_rows
            copy.write(_as_csv(batch, form))
    return rows


def _half(digits: Array) -> Array:
    """What makes whole bytes of hexadecimal digits: Microsoft's files hold one document with an odd number of them."""
    odd = pc.equal(pc.bit_wise_and(pc.utf8_length(digits), 1), 1)
    return cast("Array", pc.if_else(odd, "0", ""))


def _named(column: FileColumn, spelling: Spelling) -> sql.Identifier:
    return sql.Identifier(spelling(column.name))


def _type(column: FileColumn) -> str:
    if pa.types.is_decimal(column.type):
        return f"numeric({column.type.precision},{column.type.scale})"
    return _TYPES.get(column.sql_type, column.sql_type)


def _as_csv(batch: pa.RecordBatch, form: FileFormat) -> bytes:
    values = []
    for column in form.columns:
        came = batch.column(column.name)
        if _TYPES.get(column.sql_type) == "bytea":
            came = pc.binary_join_element_wise("\\x", came, _half(came), "")
        values.append(came)
    content = io.BytesIO()
    table = pa.table(values, [column.name for column in form.columns])
    csv.write_csv(table, content, csv.WriteOptions(include_header=False))
    return content.getvalue()
