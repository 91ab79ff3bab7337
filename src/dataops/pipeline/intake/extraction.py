"""Lands what a source has as a batch that no consumer can see, and seals it.

A batch that is not sealed cannot be judged; what a crashed load left behind is removed by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, PlatformError
from dataops.declared.failpoint import failpoint
from dataops.gate import gate
from dataops.ledger import batches, clock, entries, incidents, publications, readings
from dataops.ledger.batches import Batch
from dataops.ledger.enums import IncidentKind
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import leftovers
from dataops.pipeline.intake import landing, live
from dataops.pipeline.intake.drift import Drift, DriftRejectedError
from dataops.pipeline.intake.landing import Tell
from dataops.sources.port import Source, Watchful, Window
from dataops.warehouse import tables

MIN_FREE_BYTES = 64 * 2**20
MORE_READINGS, QUICK = 2, 120.0  # of a source that moved meanwhile; seconds that a reading took to be worth another
CLOCK_STEP = timedelta(hours=1)  # more than time servers correct


def extract(
    work: Workspace, group: Group, source: Source, window: Window | None, *, renewed: bool = False,
    tell: Tell | None = None,
) -> str:  # fmt: skip
    """Lands a new batch of `group` and returns its id. The caller holds the group's lock.

    `tell` is told of rows as they come. `renewed`: the source may be another database than before, or have gone back;
    whoever says so compares everything. What changed while it was read is read again, if that did not take long.

    Raises DataRejected for what the source got wrong, PlatformError when source or warehouse break off; in both
    cases nothing of the batch can be judged or published.
    """
    repeated = partial(_extract, work, group, source, window, renewed=renewed, tell=tell)
    for _ in range(MORE_READINGS):
        if batch_id := repeated(within=QUICK):
            return batch_id
    return str(repeated(within=0.0))


def _extract(
    work: Workspace, group: Group, source: Source, window: Window | None, *, renewed: bool, tell: Tell | None,
    within: float,
) -> str | None:  # fmt: skip
    """One reading; None where the source changed in the middle of it and it took less than `within` seconds."""
    began = time.monotonic()
    _require_room(work)
    with writing(work.warehouse, work.catalog.datasets.values()) as connection:
        _require_clock(connection)
        leftovers.remove_unfinished(connection, group, batches.of_window(window))
        failpoint("leftovers_removed")
        selection = landing.Selection(window, entries.asked_again(connection, group) if window else {})
        known = live.before(connection, group)
        batch = batches.begin(connection, group.name, _stem(group.name, window), source.name, window)
    failpoint("batch_opened")
    with source.snapshot([str(d.contract.platform.source) for d in group.datasets]):
        position = source.position()
        if not renewed:
            live.refuse_going_back(source, group, known.last, position)
            live.require_record(source, group, known, position)
        before = _agreed(work, group, source, batch.seq)
        selection = live.with_changes(selection, group, known, position)
        selection = replace(selection, now=position.now if position else None, tell=tell)
        selection, gone = live.gone(work, source, group, selection, known, compare=renewed)
        arrivals = [landing.land(work, source, group, before[d.table], selection, batch.seq) for d in group.datasets]
        for dataset in group.datasets:
            landing.refuse_change(dataset, before[dataset.table].found, landing.columns_of(source, dataset))
        caveat = position.caveat if position and _has_moved(source) else ""
    if caveat and time.monotonic() - began < within:
        return None
    for arrival in arrivals:
        arrival.notes += [caveat] if caveat else []
    failpoint("batch_landed")
    with work.warehouse.transaction() as connection:
        _seal(connection, batch.seq, arrivals, window)
        _note_gone(work, connection, group, gone, batch.seq)
        if position:
            readings.note(connection, batch.seq, position, live.settled(known.last, position))
        incidents.resolve_drift(connection, group.name, batch.batch_id)
        for dataset in group.datasets:
            work.warehouse.analyze(connection, f"raw.{dataset.table}")
        failpoint("batch_sealing")
    failpoint("batch_sealed")
    gate.show(work, batch.batch_id)
    return batch.batch_id


def _has_moved(source: Source) -> bool:
    """Whether what was read may not be of one moment; of a source that cannot tell, it may."""
    return source.has_moved() if isinstance(source, Watchful) else True


def _agreed(work: Workspace, group: Group, source: Source, seq: int) -> dict[str, Drift]:
    """How the source's columns stand to the contracts, by table.

    Raises DataRejected when that stops the load, after an incident per dataset was opened; the batch stays, empty.
    """
    try:
        return landing.agreed(source, group)
    except DriftRejectedError as refused:
        with work.warehouse.transaction() as connection:
            batches.refuse(connection, seq, "; ".join(d.sentence for d in refused.found))
            opened = [
                incidents.open_for(
                    connection, group.name, seq, d.sentence, d.detail(), kind=IncidentKind.DRIFT, cause=d.dataset.table
                )
                for d in refused.found
            ]
        raise DataRejected(f"{refused}\nSee: dataops incidents show {opened[0]}") from refused


def _require_room(work: Workspace) -> None:
    free = work.warehouse.free_bytes()
    if free is not None and free < MIN_FREE_BYTES:
        raise PlatformError(
            f"only {free / 2**20:.0f} MiB are free where {work.warehouse.name} lies; a load needs at least"
            f" {MIN_FREE_BYTES / 2**20:.0f} MiB. Nothing was started; free some space, then run this again."
        )


def _require_clock(connection: Connection) -> None:
    """Raises PlatformError when the clock stands before what the ledger has seen: nothing could be called fresh."""
    last, moment = batches.last_began(connection), clock.now()
    if last is not None and moment < last - CLOCK_STEP:
        raise PlatformError(
            f"the clock says {moment:%Y-%m-%d %H:%M} UTC, but the newest batch began at"
            f" {last:%Y-%m-%d %H:%M} UTC: it went back by more than an hour.\n"
            "Nothing was started. Set the clock, then run this again."
        )


def _stem(group: str, window: Window | None) -> str:
    """sales-20260501 for a day, sales-20110531-20260501 for longer, sales-whole without a window."""
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


def _seal(connection: Connection, seq: int, arrivals: list[landing.Arrival], window: Window | None) -> None:
    for arrival in arrivals:
        dataset = arrival.dataset
        totals = {name: str(total) for name, total in arrival.controls.items()}
        batches.bring(connection, seq, dataset.table, _scope(dataset, window), arrival.rows, totals, arrival.notes)
    batches.seal(connection, seq)


def _note_gone(
    work: Workspace, connection: Connection, group: Group, gone: Mapping[str, pa.Table], seq: int
) -> None:  # fmt: skip
    for dataset in group.datasets:
        keys, table = gone.get(dataset.table), tables.gone(dataset)
        if keys is not None and table is not None and keys.num_rows:
            numbered = keys.append_column("_batch", pa.repeat(pa.scalar(seq, pa.int64()), keys.num_rows))
            work.warehouse.stage(connection, table, numbered)


def require_newest(connection: Connection, group: Group, batch: Batch) -> None:
    """Raises DataRejected when rows that were read later from the source were published.

    What was read later is newer, whatever order batches come to publish in: a back-fill never undoes the daily run.
    """
    if batch.is_replay:
        entries.require_open(connection, group, batch)
        return
    newer = batches.read_later(connection, batch)
    if newer is None:
        return
    overlapping = batches.read_later(connection, batch, overlapping=True)
    if overlapping or any(publications.stands_later(connection, d, batch.seq) for d in group.datasets):
        raise DataRejected(
            f"batch {batch.batch_id} was read from the source before {(overlapping or newer).batch_id}, which"
            f" brought rows of the same window and stands already.\nNothing was published, so nothing newer was"
            f" overwritten. Load the window again: dataops load {batch.group}{window_option(batch)}"
        )


def window_option(batch: Batch) -> str:
    """How the command line names a batch's window: empty for a whole load."""
    return "" if batch.window is None else f" --window {batch.window}"


def _scope(dataset: Dataset, window: Window | None) -> str:
    """whole: the batch speaks for every published row; keys: for the children of its parents; window: for its rows."""
    platform = dataset.contract.platform
    if window is None or not (platform.cursor or platform.follows):
        return "whole"
    return "keys" if platform.follows else "window"
