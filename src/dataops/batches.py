"""Lands what a source has as a batch that no consumer can see, and seals it.

A batch that is not sealed cannot be judged; what a crashed load left behind is removed by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops import ledger, tables
from dataops.catalog import Dataset, Group
from dataops.declarations import Column
from dataops.errors import DataRejected, PlatformError
from dataops.failpoint import failpoint
from dataops.sources.arrow import Array, pc, positions
from dataops.sources.port import Follow, Request, Source, Window
from dataops.workspace import Workspace

MIN_FREE_BYTES = 64 * 2**20
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


def extract(work: Workspace, group: Group, source: Source, window: Window | None) -> str:
    """Lands a new batch of `group` and returns its id. The caller holds the group's lock.

    Raises DataRejected for what the source got wrong, PlatformError when source or warehouse break off; in both
    cases nothing of the batch can be judged or published.
    """
    _require_room(work)
    with work.warehouse.transaction() as connection:
        ledger.ensure(connection)
        tables.ensure(work.warehouse, connection, work.catalog.datasets.values())
        remove_unfinished(connection, group, _same_window(window))
        failpoint("leftovers_removed")
        seq, batch_id = _open(connection, group, source, window)
    failpoint("batch_opened")
    before = {d.table: _agreed_schema(source, d) for d in group.datasets}
    arrivals = [_land(work, source, group, d, window, seq) for d in group.datasets]
    for dataset in group.datasets:
        _refuse_change(dataset, before[dataset.table][0], _agreed_schema(source, dataset)[0])
    for arrival in arrivals:
        arrival.notes += before[arrival.dataset.table][1]
    failpoint("batch_landed")
    with work.warehouse.transaction() as connection:
        _seal(connection, seq, arrivals, window)
        for dataset in group.datasets:
            work.warehouse.analyze(connection, f"raw.{dataset.table}")
        failpoint("batch_sealing")
    failpoint("batch_sealed")
    return batch_id


def _require_room(work: Workspace) -> None:
    free = work.warehouse.free_bytes()
    if free is not None and free < MIN_FREE_BYTES:
        raise PlatformError(
            f"only {free / 2**20:.0f} MiB are free where {work.warehouse.name} lies; a load needs at least"
            f" {MIN_FREE_BYTES / 2**20:.0f} MiB. Nothing was started; free some space, then run this again."
        )


def _same_window(window: Window | None) -> sa.ColumnElement[bool]:
    """Condition on batches: those that a delivery of this window repeats."""
    table = ledger.batches.c
    start, end = (window.start, window.end) if window else (None, None)
    return table.window_start.is_not_distinct_from(start) & table.window_end.is_not_distinct_from(end)


def remove_unfinished(connection: Connection, group: Group, repeated: sa.ColumnElement[bool]) -> None:
    """Removes what runs that broke off left: batches never sealed, and those that are repeated now, unpublished.

    A batch that anybody was told of (held, or with an incident) stays.
    """
    table = ledger.batches.c
    told = sa.select(ledger.incidents.c.batch)
    unpublished = table.state.in_(["sealed", "passed"]) & repeated & table.seq.not_in(told)
    where = (table.group_name == group.name) & ((table.state == "open") | unpublished)
    for seq in connection.execute(sa.select(table.seq).where(where)).scalars().all():
        if group.layer == "raw":
            discard_rows(connection, group, seq)
        for dataset in group.datasets:
            connection.exec_driver_sql(f"DELETE FROM quarantine.{dataset.table} WHERE _batch = {int(seq)}")
        for child in (ledger.batch_datasets, ledger.check_results):
            connection.execute(child.delete().where(child.c.batch == seq))
        connection.execute(ledger.batches.delete().where(table.seq == seq))


def discard_rows(connection: Connection, group: Group, seq: int) -> None:
    """Removes a batch's landed rows."""
    for dataset in group.datasets:
        connection.exec_driver_sql(f"DELETE FROM raw.{dataset.table} WHERE _batch = {int(seq)}")


def _open(connection: Connection, group: Group, source: Source, window: Window | None) -> tuple[int, str]:
    seq = ledger.next_seq(connection, ledger.batches)
    batch_id = next_id(connection, _stem(group.name, window))
    connection.execute(
        ledger.batches.insert().values(
            seq=seq,
            batch_id=batch_id,
            group_name=group.name,
            source=source.name,
            state="open",
            window_start=window.start if window else None,
            window_end=window.end if window else None,
            created_at=ledger.now(),
        )
    )
    return seq, batch_id


def _stem(group: str, window: Window | None) -> str:
    """sales-20140501 for a day, sales-20110531-20140501 for longer, sales-whole without a window."""
    if window is None:
        return f"{group}-whole"
    start, end = _stamp(window.start), _stamp(window.end)
    return f"{group}-{start}" if window.end - window.start == timedelta(days=1) else f"{group}-{start}-{end}"


def _stamp(moment: datetime) -> str:
    return (
        f"{moment:%Y%m%d}"
        if moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)
        else f"{moment:%Y%m%dT%H%M}"
    )


def next_id(connection: Connection, stem: str) -> str:
    """`stem`, then `stem.2`, `stem.3`, … for later deliveries of the same window."""
    like = sa.select(ledger.batches.c.batch_id).where(ledger.batches.c.batch_id.startswith(stem, autoescape=True))
    taken = {row[0] for row in connection.execute(like)}
    numbers = [int(m.group(1) or 1) for t in taken if (m := re.fullmatch(re.escape(stem) + r"(?:\.(\d+))?", t))]
    return f"{stem}.{max(numbers) + 1}" if numbers else stem


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type that a source is asked for."""
    if column.data_type == "numeric":
        return pa.decimal128(column.numeric_precision or 38, column.numeric_scale or 0)
    return ARROW[column.data_type]


def _agreed_schema(source: Source, dataset: Dataset) -> tuple[pa.Schema, list[str]]:
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


def _refuse_change(dataset: Dataset, before: pa.Schema, after: pa.Schema) -> None:
    if before.equals(after):
        return
    old, new = {f.name: f.type for f in before}, {f.name: f.type for f in after}
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    raise PlatformError(
        f"{dataset.contract.platform.source} changed while it was read: {', '.join(changed) or 'column order'}."
        " The batch mixes two shapes, so it cannot be judged; nothing was published. Run this again."
    )


def _land(work: Workspace, source: Source, group: Group, dataset: Dataset, window: Window | None, seq: int) -> Arrival:
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


def _seal(connection: Connection, seq: int, arrivals: list[Arrival], window: Window | None) -> None:
    for arrival in arrivals:
        dataset = arrival.dataset
        connection.execute(
            ledger.batch_datasets.insert().values(
                batch=seq,
                table_name=dataset.table,
                scope=_scope(dataset, window),
                received=arrival.rows,
                controls={name: str(total) for name, total in arrival.controls.items()},
                notes=arrival.notes,
            )
        )
        show_candidate(connection, dataset, seq)
    ledger.set_state(connection, seq, "sealed", sealed_at=ledger.now())


def group_of(connection: Connection, work: Workspace, batch: dict[str, Any]) -> Group:
    """The batch's group, narrowed to the datasets that the batch brings."""
    where = ledger.batch_datasets.c.batch == batch["seq"]
    tables_ = {r[0] for r in connection.execute(sa.select(ledger.batch_datasets.c.table_name).where(where))}
    return work.catalog.group(batch["group_name"]).narrowed(frozenset(tables_))


def point_at(connection: Connection, group: Group, batch: dict[str, Any]) -> None:
    """Lets `candidate` show this batch, whatever was landed or built since.

    Raises DataRejected for a build whose candidates a later build has replaced.
    """
    if group.layer == "raw":
        for dataset in group.datasets:
            show_candidate(connection, dataset, batch["seq"])
        return
    where = ledger.batches.c.group_name == group.name
    newest = connection.execute(sa.select(sa.func.max(ledger.batches.c.seq)).where(where)).scalar()
    if newest != batch["seq"]:
        raise DataRejected(f"build {batch['batch_id']} was replaced by a later one; run: dataops build")


def show_candidate(connection: Connection, dataset: Dataset, seq: int) -> None:
    """Points `candidate.<table>` at the batch's rows."""
    columns = tables.quoted([*dataset.column_names, "_row", "_problems"])
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{dataset.table}")
    connection.exec_driver_sql(
        f"CREATE VIEW candidate.{dataset.table} AS SELECT {columns} FROM raw.{dataset.table} WHERE _batch = {int(seq)}"
    )


def _scope(dataset: Dataset, window: Window | None) -> str:
    """whole: the batch speaks for every published row; keys: for the children of its parents; window: for its rows."""
    platform = dataset.contract.platform
    if window is None or not (platform.cursor or platform.follows):
        return "whole"
    return "keys" if platform.follows else "window"


def required(connection: Connection, batch_id: str | None, group: str | None = None) -> dict[str, Any]:
    """The batch, or the group's latest sealed one. Raises DataRejected when there is none."""
    if batch_id is not None:
        found = ledger.batch(connection, batch_id)
    else:
        where = (ledger.batches.c.group_name == group) & ledger.batches.c.sealed_at.is_not(None)
        found = ledger.one(
            connection, sa.select(ledger.batches).where(where).order_by(ledger.batches.c.seq.desc()).limit(1)
        )
    if found is None:
        raise DataRejected(f"no batch {batch_id or 'of ' + str(group)} was landed; see: dataops batches list")
    if found["sealed_at"] is None:
        raise DataRejected(f"batch {found['batch_id']} was not landed completely; load it again")
    return found


__all__ = [
    "Arrival",
    "arrow_type",
    "discard_rows",
    "extract",
    "group_of",
    "next_id",
    "point_at",
    "remove_unfinished",
    "required",
]
