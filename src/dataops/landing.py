"""Streams what a source has of one dataset into `raw`: agreed columns only, counted, summed and made storable.

Knows nothing of the ledger; a batch is opened and sealed in `batches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa

from dataops.catalog import Dataset, Group
from dataops.declarations import Column
from dataops.errors import DataRejected, PlatformError
from dataops.failpoint import failpoint
from dataops.sources.arrow import Array, pc, positions
from dataops.sources.port import Follow, Request, Source, Window
from dataops.workspace import Workspace

SUMMABLE_DIGITS = 28  # ten thousand million such numbers fit into the 38 digits of a decimal sum
ARROW: dict[str, pa.DataType] = {
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "varchar": pa.string(),
}


@dataclass
class Arrival:
    """What came in for one dataset, counted while it streamed by."""

    dataset: Dataset
    rows: int = 0
    controls: dict[str, Decimal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failure: Exception | None = None  # raised by the source while it streamed


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type that a source is asked for."""
    if column.data_type == "numeric":
        return pa.decimal128(column.numeric_precision or 38, column.numeric_scale or 0)
    return ARROW[column.data_type]


def agreed_schema(source: Source, dataset: Dataset) -> tuple[pa.Schema, list[str]]:
    """The source's schema now, and notes on columns nobody agreed on. Raises DataRejected naming a missing column."""
    table = str(dataset.contract.platform.source)
    found = source.schema(table)
    missing = [name for name in dataset.column_names if name not in found.names]
    extra = [name for name in found.names if name not in dataset.column_names]
    if missing:
        raise DataRejected(
            f"{table} at {source.name} lacks {len(missing)} agreed column(s): {', '.join(missing)}"
            + (f"; it has unknown ones: {', '.join(extra)} (renamed?)" if extra else "")
            + f".\nNothing was loaded. Compare with {dataset.contract_file}."
        )
    for column in dataset.columns:
        if found.field(column.name).type != arrow_type(column):
            raise DataRejected(
                f"{table} at {source.name}: column {column.name} is {found.field(column.name).type},"
                f" agreed is {arrow_type(column)}.\nNothing was loaded. Compare with {dataset.contract_file}."
            )
    return found, [f"column {name} of the source is not in the contract and was ignored" for name in extra]


def refuse_change(dataset: Dataset, before: pa.Schema, after: pa.Schema) -> None:
    """Raises PlatformError naming the columns that changed while the source was read."""
    if before.equals(after):
        return
    old, new = {f.name: f.type for f in before}, {f.name: f.type for f in after}
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    raise PlatformError(
        f"{dataset.contract.platform.source} changed while it was read: {', '.join(changed) or 'column order'}."
        " The batch mixes two shapes, so it cannot be judged; nothing was published. Run this again."
    )


def land(work: Workspace, source: Source, group: Group, dataset: Dataset, window: Window | None, seq: int) -> Arrival:
    """Streams one dataset of batch `seq` into raw. Raises what source or warehouse raised while it streamed."""
    schema = pa.schema([(column.name, arrow_type(column)) for column in dataset.columns])
    reader = source.read(_request(dataset, group, schema, window))
    arrival = Arrival(dataset, controls=dict.fromkeys(dataset.control, Decimal(0)))
    landed = pa.schema([*schema, ("_batch", pa.int64()), ("_row", pa.int64()), ("_problems", pa.string())])
    stream = pa.RecordBatchReader.from_batches(landed, _watched(_stamped(reader, arrival, landed, seq), arrival))
    try:
        work.warehouse.land(dataset.table, stream)
    except Exception as error:
        # The warehouse reads the stream through C, which loses the class of what the source raised.
        raise (arrival.failure or error) from error
    failpoint("table_landed")
    return arrival


def _watched(stream: Iterator[pa.RecordBatch], arrival: Arrival) -> Iterator[pa.RecordBatch]:
    """Remembers what the source raised."""
    try:
        yield from stream
    except Exception as error:
        arrival.failure = error
        raise


def _request(dataset: Dataset, group: Group, schema: pa.Schema, window: Window | None) -> Request:
    platform = dataset.contract.platform
    follow = None
    if window and platform.follows:
        parent = group.dataset(platform.follows)
        columns = next(link.columns for link in dataset.links if link.to == parent.table)
        parent_platform = parent.contract.platform
        follow = Follow(columns, str(parent_platform.source), parent.key, str(parent_platform.cursor))
    windowed = window if platform.cursor or follow else None
    return Request(str(platform.source), schema, windowed, platform.cursor if windowed else None, follow)


def _stamped(reader: pa.RecordBatchReader, arrival: Arrival, schema: pa.Schema, seq: int) -> Iterator[pa.RecordBatch]:
    """Adds batch and row numbers, counts, sums the control columns and makes text storable."""
    for received in reader:
        columns, problems = _storable(received, arrival.dataset)
        count = received.num_rows
        numbers = positions(arrival.rows, arrival.rows + count)
        arrival.rows += count
        for name in arrival.controls:
            at = arrival.dataset.column_names.index(name)
            arrival.controls[name] += Decimal(str(pc.sum(columns[at]).as_py() or 0))
        batch = pa.repeat(pa.scalar(seq, pa.int64()), count)
        yield pa.RecordBatch.from_arrays([*columns, batch, numbers, problems], schema=schema)


def _storable(received: pa.RecordBatch, dataset: Dataset) -> tuple[list[Array], Array]:
    """What no warehouse stores (text with NUL) or can sum (huge numbers) becomes NULL and is named in `_problems`."""
    problems = received.column("_problems")
    columns: list[Array] = []
    for column in dataset.columns:
        values = received.column(column.name)
        bad, why = _unstorable(values, column)
        if bad is not None and pc.any(bad).as_py():
            note = f"{column.name}: {why}"
            noted = pc.binary_join_element_wise(pc.fill_null(problems, "unreadable"), note, "; ")
            problems = pc.if_else(bad, pc.if_else(pc.is_null(problems), note, noted), problems)
            values = pc.if_else(bad, pa.scalar(None, values.type), values)
        columns.append(values)
    return columns, problems


def _unstorable(values: Array, column: Column) -> tuple[Array | None, str]:
    """Mask of values that cannot be kept, and why; None where the type leaves no room for them."""
    if column.data_type == "varchar":
        return pc.fill_null(pc.match_substring(values, "\0"), False), "contains a NUL character"
    if column.data_type == "numeric" and (column.numeric_precision or 0) > SUMMABLE_DIGITS:
        limit = pa.scalar(Decimal(10) ** (SUMMABLE_DIGITS - (column.numeric_scale or 0)), values.type)
        too_large = pc.fill_null(pc.greater_equal(pc.abs(values), limit), False)
        return too_large, f"has more than {SUMMABLE_DIGITS} digits, so it cannot be summed"
    return None, ""
