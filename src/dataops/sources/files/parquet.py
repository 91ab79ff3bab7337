"""Parquet as a request wants it: columns by name, values of other types looked at one by one."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dataops.declared.errors import DataRejected
from dataops.sources.arriving import arriving
from dataops.sources.arrow import Array, positions
from dataops.sources.install_script import FileColumn
from dataops.sources.port import ANY_NUMBER, Request
from dataops.sources.selection import needed_columns
from dataops.sources.values import SPELT, Read, read_values

_ROWS = 65_536  # of a batch
_MOMENT: pa.DataType = pa.timestamp("us")
_SAME: dict[pa.DataType, pa.DataType] = {
    pa.int8(): pa.int16(), pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(),
    pa.uint64(): ANY_NUMBER, pa.float16(): ANY_NUMBER, pa.float32(): ANY_NUMBER, pa.float64(): ANY_NUMBER,
    pa.date64(): pa.date32(), pa.large_string(): pa.string(),
}  # fmt: skip
"""Types that contracts have no word for, and the one in which all of their values are kept."""


def columns(stream: BinaryIO, file: str) -> dict[str, pa.DataType]:
    """Names and types of the file's columns, the latter as contracts can say them. Raises DataRejected."""
    return {field.name: _kept(field.type) for field in _opened(stream, file).schema_arrow}


def batches(
    stream: BinaryIO, file: str, names: dict[str, str], request: Request, keys: pa.Table | None
) -> Iterator[pa.RecordBatch]:
    """The request's columns in order, then `_problems`. `names` says what the file calls each column."""
    needed, row = needed_columns(request), 1
    wanted = {name: request.schema.field(name).type for name in request.schema.names}
    opened = _opened(stream, file)
    kinds = {field.name: _kept(field.type) for field in opened.schema_arrow}
    for batch in opened.iter_batches(_ROWS, columns=[names[name] for name in needed]):
        reads = [_read(batch.column(names[n]), n, wanted.get(n, kinds[names[n]])) for n in needed]
        yield from arriving(file, positions(row, row + batch.num_rows), needed, reads, request, keys)
        row += batch.num_rows


def _opened(stream: BinaryIO, file: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except pa.ArrowException as error:
        raise DataRejected(
            f"{file} is no whole Parquet file: {str(error).splitlines()[0]}; deliver it again"
        ) from error


def _kept(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _kept(kind.value_type)
    return _MOMENT if pa.types.is_timestamp(kind) else _SAME.get(kind, kind)


def _read(came: Array, name: str, wanted: pa.DataType) -> Read:
    """As it is where it fits; a fraction by its shortest text, or a decimal would round it without a word."""
    if pa.types.is_dictionary(came.type):
        came = came.cast(came.type.value_type)
    if not pa.types.is_floating(came.type) and not pa.types.is_string(came.type):
        try:
            return Read(_in_utc(came).cast(wanted))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    text: Any = came.cast(pa.string())
    return read_values(text, FileColumn(name, SPELT.get(str(wanted), ""), wanted), wanted, damaged=False)


def _in_utc(came: Array) -> Array:
    """Moments with a zone are kept as UTC; what lies below a microsecond is left out."""
    if not pa.types.is_timestamp(came.type):
        return came
    return came.cast(pa.timestamp("us", tz=came.type.tz), safe=False).cast(pa.timestamp("us"))
