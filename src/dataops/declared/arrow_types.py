"""Of which Arrow type the columns of a dataset are, wherever they are read from or written to."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from dataops.declared.declarations import Column

ARROW: dict[str, pa.DataType] = {
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "varchar": pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    if column.data_type == "numeric":
        return pa.decimal128(column.numeric_precision or 38, column.numeric_scale or 0)
    return ARROW[column.data_type]


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Names and Arrow types of columns, in their order."""
    return pa.schema([(column.name, arrow_type(column)) for column in columns])
