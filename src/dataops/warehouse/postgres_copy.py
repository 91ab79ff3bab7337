"""Arrow to and from PostgreSQL inside a transaction, by COPY as CSV: no row passes through Python.

ADBC, which landing uses, would need a connection of its own, and could not see what this transaction has written.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import pyarrow as pa
from pyarrow import csv
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    import psycopg

NULL = r"\N"


def fetch(connection: Connection, sql: str, schema: pa.Schema) -> pa.Table:
    """Rows of a query as Arrow of this schema."""
    content = io.BytesIO()
    with (
        _own(connection).cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv, NULL '{NULL}')") as rows,
    ):
        for chunk in rows:
            content.write(chunk)
    if not content.tell():
        return schema.empty_table()
    content.seek(0)
    return csv.read_csv(
        content,
        csv.ReadOptions(column_names=schema.names),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=schema,
            null_values=[NULL],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def stage(connection: Connection, place: str, rows: pa.Table) -> None:
    """Appends Arrow to a table; columns by name. NULL is an empty field, an empty text is quoted."""
    if not rows.num_rows:
        return
    content = io.BytesIO()
    csv.write_csv(rows, content, csv.WriteOptions(include_header=False))
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    with _own(connection).cursor() as cursor, cursor.copy(f"COPY {place} ({names}) FROM STDIN (FORMAT csv)") as target:
        target.write(content.getvalue())


def _own(connection: Connection) -> psycopg.Connection:
    return cast("psycopg.Connection", connection.connection.dbapi_connection)
