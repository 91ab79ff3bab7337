"""What a driver hands over, as a request wants it: numbers that came as text become numbers, or a problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pyarrow as pa

from dataops.sources.arrow import Array, pc
from dataops.sources.databases.tables import Column
from dataops.sources.port import delivered
from dataops.sources.values import cast_or_null, what_is_wrong


def typed(received: pa.RecordBatch, columns: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the types of `schema`, with `_problems`; columns in the order of the schema."""
    problems = received.column(len(columns)).cast(pa.string())
    values: list[Array] = []
    for at, (column, field) in enumerate(zip(columns, schema, strict=True)):
        came = received.column(at)
        if pa.types.is_string(came.type) and not pa.types.is_string(field.type):
            came, problems = _read(cast("pa.StringArray", came), column, field, problems)
        values.append(came if came.type == field.type else came.cast(field.type))
    return pa.RecordBatch.from_arrays([*values, problems], schema=delivered(schema))


def _read(text: pa.StringArray, column: Column, field: pa.Field[pa.DataType], problems: Array) -> tuple[Array, Array]:
    made = cast_or_null(text, field.type)
    if made.null_count == text.null_count:
        return made, problems
    bad = pc.and_(pc.is_valid(text), pc.is_null(made))
    why = pc.if_else(bad, what_is_wrong(text, column.label, field.type), pa.scalar(None, pa.string()))
    both = pc.binary_join_element_wise(problems, why, "; ")
    return made, pc.coalesce(both, problems, why)
