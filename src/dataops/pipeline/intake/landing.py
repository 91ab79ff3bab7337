"""Streams what a source has of one dataset into `raw`: agreed columns only, counted, summed and made storable.

Knows nothing of the ledger; a batch is opened and sealed in `batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from dataops.declared.arrow_types import arrow_type
from dataops.declared.catalog import Dataset, Group
from dataops.declared.declarations import Column
from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.ledger.exact import total
from dataops.ledger.workspace import Workspace
from dataops.pipeline.intake.drift import Drift, DriftRejectedError, compare
from dataops.sources.arrow import Array, nulls, pc, positions
from dataops.sources.port import ANY_NUMBER, Also, Between, Changed, Follow, Request, Source, Window, squeezed

CLOCKS_APART = timedelta(minutes=1)  # applications stamp rows by their own clocks
KEY_BYTES = 2_600  # a row of an index fits into a third of PostgreSQL's pages of 8 KiB
SUMMABLE_DIGITS = 28  # ten thousand million such numbers fit into the 38 digits of a decimal sum


Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class Selection:
    """Which rows a load asks for: those in the window (None: all), and by table those outside of it that it names.

    `also` are keys, of what waits in quarantine or moved; `changed` are rows that changed since they were read.
    """

    window: Window | None
    also: Mapping[str, Also] = field(default_factory=dict)
    changed: Mapping[str, Changed] = field(default_factory=dict)
    now: datetime | None = None
    """what the source's own clock says; None where it has none"""
    tell: Tell | None = None
    """is told of each batch of rows: the table, and how many have come of it"""


@dataclass
class Arrival:
    """What came in for one dataset, counted while it streamed by."""

    dataset: Dataset
    rows: int = 0
    controls: dict[str, Decimal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ahead: int = 0
    """rows that say they changed after the source's own clock"""
    newest: datetime | None = None
    """the latest of these stamps"""
    failure: Exception | None = None  # raised by the source while it streamed


def agreed(source: Source, group: Group) -> dict[str, Drift]:
    """How the source's columns stand to the contracts now, by table.

    Raises DriftRejectedError naming every difference of every dataset when any of them stops the load.
    """
    found = {d.table: compare(d, columns_of(source, d)) for d in group.datasets}
    if stopping := [drift for drift in found.values() if drift.blocking]:
        raise DriftRejectedError(source.name, stopping)
    return found


def columns_of(source: Source, dataset: Dataset) -> pa.Schema:
    """The source's columns by the contract's names where only their spelling differs.

    A number of which the source keeps no precision is of the contract's: each value is looked at when it is read.
    """
    agreed = {squeezed(column.name): column for column in dataset.columns}
    fields = []
    for found in source.schema(str(dataset.contract.platform.source)):
        column = agreed.get(squeezed(found.name))
        kind = arrow_type(column) if column and found.type == ANY_NUMBER else found.type
        fields.append((column.name if column else found.name, kind))
    return pa.schema(fields)


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


def read(source: Source, group: Group, drift: Drift, selection: Selection) -> Iterator[pa.RecordBatch]:
    """One dataset's rows as they would be landed, with `_problems`; lands nothing."""
    dataset = drift.dataset
    schema = pa.schema([*((column.name, arrow_type(column)) for column in dataset.columns), ("_problems", pa.string())])
    for received in source.read(request(dataset, group, drift.readable, selection)):
        columns, problems = _storable(received, dataset)
        yield pa.RecordBatch.from_arrays([*columns, problems], schema=schema)


def land(work: Workspace, source: Source, group: Group, drift: Drift, selection: Selection, seq: int) -> Arrival:
    """Streams one dataset of batch `seq` into raw. Raises what source or warehouse raised while it streamed."""
    dataset = drift.dataset
    schema = pa.schema([(column.name, arrow_type(column)) for column in dataset.columns])
    reader = source.read(request(dataset, group, drift.readable, selection))
    arrival = Arrival(dataset, controls=dict.fromkeys(dataset.control, Decimal(0)), notes=drift.notes())
    landed = pa.schema([*schema, ("_batch", pa.int64()), ("_row", pa.int64()), ("_problems", pa.string())])
    rows = _told(_stamped(reader, arrival, landed, seq, selection.now), arrival, selection.tell)
    stream = pa.RecordBatchReader.from_batches(landed, _watched(rows, arrival))
    try:
        work.warehouse.land(dataset.table, stream)
    except Exception as error:
        # The warehouse reads the stream through C, which loses the class of what the source raised.
        raise (arrival.failure or error) from error
    if arrival.ahead:
        arrival.notes.append(f"rows that say they changed later than it is: {arrival.ahead}, up to {arrival.newest}")
    failpoint("table_landed")
    return arrival


def _told(stream: Iterator[pa.RecordBatch], arrival: Arrival, tell: Tell | None) -> Iterator[pa.RecordBatch]:
    for batch in stream:
        if tell:
            tell(arrival.dataset.table, arrival.rows)
        yield batch


def _watched(stream: Iterator[pa.RecordBatch], arrival: Arrival) -> Iterator[pa.RecordBatch]:
    """Remembers what the source raised."""
    try:
        yield from stream
    except Exception as error:
        arrival.failure = error
        raise


def request(
    dataset: Dataset, group: Group, schema: pa.Schema, selection: Selection, between: Between | None = None
) -> Request:
    """What is asked of the source for these columns of a dataset."""
    platform, window = dataset.contract.platform, selection.window
    follow = None
    if window and platform.follows:
        parent = group.dataset(platform.follows)
        columns = next(link.columns for link in dataset.links if link.to == parent.table)
        source, cursor = str(parent.contract.platform.source), str(parent.contract.platform.cursor)
        follow = Follow(
            columns, source, parent.key, cursor, selection.also.get(parent.table), selection.changed.get(parent.table)
        )
    if not window or not (platform.cursor or follow):
        return Request(str(platform.source), schema, between=between)
    own = selection.also.get(dataset.table), selection.changed.get(dataset.table)
    return Request(str(platform.source), schema, window, platform.cursor, follow, *own, between)


def _note_future(arrival: Arrival, columns: list[Array], now: datetime | None) -> None:
    """Counts rows whose stamp of change lies in the future; they are taken as they are."""
    changes = arrival.dataset.contract.platform.changes
    if changes is None or now is None:
        return
    stamps = columns[arrival.dataset.column_names.index(changes.by)]
    late = stamps.filter(pc.greater(stamps, now + CLOCKS_APART))
    if len(late):
        arrival.ahead += len(late)
        newest = pc.max(late).as_py()
        arrival.newest = max(newest, arrival.newest or newest)


def _stamped(
    reader: pa.RecordBatchReader, arrival: Arrival, schema: pa.Schema, seq: int, now: datetime | None
) -> Iterator[pa.RecordBatch]:
    """Adds batch and row numbers, counts, sums the control columns and makes text storable."""
    for received in reader:
        columns, problems = _storable(received, arrival.dataset)
        count = received.num_rows
        numbers = positions(arrival.rows, arrival.rows + count)
        arrival.rows += count
        _note_future(arrival, columns, now)
        for name in arrival.controls:
            at = arrival.dataset.column_names.index(name)
            arrival.controls[name] = total((arrival.controls[name], str(pc.sum(columns[at]).as_py() or 0)))
        batch = pa.repeat(pa.scalar(seq, pa.int64()), count)
        yield pa.RecordBatch.from_arrays([*columns, batch, numbers, problems], schema=schema)


def _storable(received: pa.RecordBatch, dataset: Dataset) -> tuple[list[Array], Array]:
    """What no warehouse stores (text with NUL), finds by an index (long keys) or can sum (huge numbers) becomes NULL.

    It is named in `_problems`.
    """
    problems = received.column("_problems")
    texts = sum(column.data_type == "varchar" for column in dataset.columns if column.name in dataset.key)
    room = KEY_BYTES // max(texts, 1)
    columns: list[Array] = []
    for column in dataset.columns:
        values, unfit = _as_agreed(received, column)
        problems = _noted(problems, unfit, f"{column.name}: is not {column.data_type}")
        bad, why = _unstorable(values, column, room if column.name in dataset.key else None)
        if bad is not None and pc.any(bad).as_py():
            problems = _noted(problems, bad, f"{column.name}: {why}")
            values = pc.if_else(bad, pa.scalar(None, values.type), values)
        columns.append(values)
    return columns, problems


def _noted(problems: Array, bad: Array | None, note: str) -> Array:
    """Adds `note` to the problems of the rows of the mask `bad`."""
    if bad is None:
        return problems
    noted = pc.binary_join_element_wise(pc.fill_null(problems, "unreadable"), note, "; ")
    found: Array = pc.if_else(bad, pc.if_else(pc.is_null(problems), note, noted), problems)
    return found


def _as_agreed(received: pa.RecordBatch, column: Column) -> tuple[Array, Array | None]:
    """The column's values as the contract types them, and a mask of those that lose something by it, which are NULL.

    A column that the source lacks is NULL. Both happen only where the contract lets it: `drift: {…: evolve}`.
    """
    kind = arrow_type(column)
    if column.name not in received.schema.names:
        return nulls(received.num_rows, kind), None
    values = received.column(column.name)
    if values.type == kind:
        return values, None
    try:
        return pc.cast(values, kind), None
    except pa.ArrowException:  # one value is enough; the slow way finds which
        cast = [_cast(value, kind) for value in values]
    fitting = pa.array([None if value is None else value.as_py() for value in cast], kind)
    return fitting, pc.and_(pc.is_null(fitting), pc.is_valid(values))


def _cast(value: pa.Scalar[Any], kind: pa.DataType) -> pa.Scalar[Any] | None:
    try:
        return value.cast(kind)
    except pa.ArrowException:
        return None


def _unstorable(values: Array, column: Column, room: int | None) -> tuple[Array | None, str]:
    """Mask of values that cannot be kept, and why; None where the type leaves no place for them.

    `room`: bytes that a column of the key has.
    """
    if column.data_type == "varchar":
        nul = pc.fill_null(pc.match_substring(values, "\0"), False)
        if room is None:
            return nul, "contains a NUL character"
        long = pc.fill_null(pc.greater(pc.binary_length(values), room), False)
        return pc.or_(nul, long), f"contains a NUL character, or is longer than the {room:,} bytes of a key"
    if column.data_type == "numeric" and (column.numeric_precision or 0) > SUMMABLE_DIGITS:
        limit = pa.scalar(Decimal(10) ** (SUMMABLE_DIGITS - (column.numeric_scale or 0)), values.type)
        too_large = pc.fill_null(pc.greater_equal(pc.abs(values), limit), False)
        return too_large, f"has more than {SUMMABLE_DIGITS} digits, so it cannot be summed"
    return None, ""
