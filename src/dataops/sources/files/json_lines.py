"""JSON lines as a request wants them: one object per line, numbers exact, whatever is not there is missing."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import json

from dataops.declared.errors import DataRejected
from dataops.sources.arriving import arriving
from dataops.sources.arrow import pc, positions
from dataops.sources.install_script import FileColumn
from dataops.sources.port import ANY_NUMBER, Request
from dataops.sources.selection import needed_columns
from dataops.sources.values import SPELT, Read, read_values

_BLOCK = 1 << 22  # bytes that Arrow parses at once


def columns(stream: BinaryIO, file: str) -> list[str]:
    """Names that the first objects have. Raises DataRejected."""
    try:
        return list(_opened(stream, pa.schema([]), "infer").schema.names)
    except pa.ArrowInvalid as error:
        if str(error).startswith("Empty JSON"):
            return []
        raise _refused(file, error) from error


def batches(
    stream: BinaryIO, file: str, names: Mapping[str, str], kinds: Mapping[str, pa.DataType], request: Request,
    keys: pa.Table | None,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """The request's columns in order, then `_problems`. `names` says what the file calls each column."""
    needed, row = needed_columns(request), 1
    wanted = {name: request.schema.field(name).type for name in request.schema.names}
    schema = pa.schema([(names[name], _parsed(wanted.get(name, kinds[name]))) for name in needed])
    try:
        for batch in _opened(stream, schema, "ignore"):
            reads = [_read(batch.column(names[name]), name, wanted.get(name, kinds[name])) for name in needed]
            yield from arriving(file, positions(row, row + batch.num_rows), needed, reads, request, keys)
            row += batch.num_rows
    except pa.ArrowInvalid as error:
        if not str(error).startswith("Empty JSON"):
            raise _refused(file, error) from error


def _opened(stream: BinaryIO, schema: pa.Schema, unexpected: str) -> Any:  # noqa: ANN401  a reader that stubs lack
    options: Any = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)  # type: ignore[arg-type]
    return json.open_json(stream, json.ReadOptions(use_threads=False, block_size=_BLOCK), options)


def _refused(file: str, error: Exception) -> DataRejected:
    return DataRejected(f"{file} is not one JSON object per line: {str(error).splitlines()[0]}; deliver it again")


def _parsed(kind: pa.DataType) -> pa.DataType:
    """As what Arrow parses a value: numbers keep all their digits, moments and days are text in JSON."""
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        return ANY_NUMBER
    return kind if pa.types.is_boolean(kind) else pa.string()


def _read(came: Any, name: str, wanted: pa.DataType) -> Read:  # noqa: ANN401  any array
    if pa.types.is_decimal(came.type):
        try:
            return Read(came.cast(wanted))
        except pa.ArrowInvalid:
            came = pc.replace_substring_regex(came.cast(pa.string()), r"(\.[0-9]*?)0+$", r"\1")
            came = pc.replace_substring_regex(came, r"\.$", "")
    if pa.types.is_boolean(came.type):
        return Read(came)
    return read_values(came, FileColumn(name, SPELT.get(str(wanted), ""), wanted), wanted, damaged=False)
