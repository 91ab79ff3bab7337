"""Lands what a source has as a batch that no consumer can see, and seals it.

A batch that is not sealed cannot be judged; what a crashed load left behind is removed by the next one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, PlatformError
from dataops.declared.failpoint import failpoint
from dataops.gate import candidates
from dataops.ledger import entries, incidents, numbering
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace
from dataops.pipeline import leftovers
from dataops.pipeline.intake import landing
from dataops.pipeline.intake.drift import Drift, DriftRejectedError
from dataops.sources.port import Source, Window
from dataops.warehouse import tables

MIN_FREE_BYTES = 64 * 2**20
CLOCK_STEP = timedelta(hours=1)  # more than time servers correct


def extract(work: Workspace, group: Group, source: Source, window: Window | None) -> str:
    """Lands a new batch of `group` and returns its id. The caller holds the group's lock.

    Raises DataRejected for what the source got wrong, PlatformError when source or warehouse break off; in both
    cases nothing of the batch can be judged or published.
    """
    _require_room(work)
    with ledger.writing(work.warehouse) as connection:
        _require_clock(connection)
        tables.ensure(work.warehouse, connection, work.catalog.datasets.values())
        leftovers.remove_unfinished(connection, group, leftovers.same_window(window))
        failpoint("leftovers_removed")
        wanted = landing.Wanted(window, entries.asked_again(connection, group) if window else {})
        span = (window.start, window.end) if window else (None, None)
        seq, batch_id = begin(connection, group, _stem(group.name, window), source.name, *span)
    failpoint("batch_opened")
    before = _agreed(work, group, source, seq)
    arrivals = [landing.land(work, source, group, before[d.table], wanted, seq) for d in group.datasets]
    for dataset in group.datasets:
        after = source.schema(str(dataset.contract.platform.source))
        landing.refuse_change(dataset, before[dataset.table].found, after)
    failpoint("batch_landed")
    with work.warehouse.transaction() as connection:
        _seal(connection, seq, arrivals, window)
        incidents.resolve_drift(connection, group.name, batch_id)
        for dataset in group.datasets:
            work.warehouse.analyze(connection, f"raw.{dataset.table}")
        failpoint("batch_sealing")
    failpoint("batch_sealed")
    return batch_id


def _agreed(work: Workspace, group: Group, source: Source, seq: int) -> dict[str, Drift]:
    """How the source's columns stand to the contracts, by table.

    Raises DataRejected when that stops the load, after an incident per dataset was opened; the batch stays, empty.
    """
    try:
        return landing.agreed(source, group)
    except DriftRejectedError as refused:
        with work.warehouse.transaction() as connection:
            ledger.set_state(connection, seq, "failed", reason="; ".join(d.sentence for d in refused.found))
            opened = [
                incidents.open_for(
                    connection, group.name, seq, d.sentence, d.detail(), kind="drift", cause=d.dataset.table
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
    last = connection.execute(sa.select(sa.func.max(ledger.batches.c.created_at))).scalar()
    if last is not None and ledger.now() < last - CLOCK_STEP:
        raise PlatformError(
            f"the clock says {ledger.now():%Y-%m-%d %H:%M} UTC, but the newest batch began at"
            f" {last:%Y-%m-%d %H:%M} UTC: it went back by more than an hour.\n"
            "Nothing was started. Set the clock, then run this again."
        )


def begin(
    connection: Connection,
    group: Group,
    stem: str,
    source: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[int, str]:
    """Records a new, open batch under an id made from `stem`; its number and its id."""
    seq = numbering.next_seq(connection, ledger.batches)
    batch_id = numbering.next_batch_id(connection, stem)
    connection.execute(
        ledger.batches.insert().values(
            seq=seq,
            batch_id=batch_id,
            group_name=group.name,
            source=source,
            state="open",
            window_start=start,
            window_end=end,
            horizon=ledger.horizon(connection),
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


def _seal(connection: Connection, seq: int, arrivals: list[landing.Arrival], window: Window | None) -> None:
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
        candidates.show(connection, dataset, seq)
    ledger.set_state(connection, seq, "sealed", sealed_at=ledger.now())


def require_newest(connection: Connection, group: Group, batch: dict[str, Any]) -> None:
    """Raises DataRejected when rows that were read later from the source were published.

    What was read later is newer, whatever order batches come to publish in: a back-fill never undoes the daily run.
    """
    if batch["source"] == entries.REPLAYED:
        entries.require_open(connection, group, batch)
        return
    table = ledger.batches.c
    later = sa.select(ledger.batches).where(
        table.group_name == batch["group_name"],
        table.seq > batch["seq"],
        table.state.in_(["published", "unchanged"]),
        table.source != entries.REPLAYED,
    )
    newest = later.order_by(table.seq.desc()).limit(1)
    if (newer := ledger.one(connection, newest)) is None:
        return
    overlapping = ledger.one(connection, newest.where(*_overlapping(batch["window_start"], batch["window_end"])))
    if overlapping or any(_brings_older(connection, d, batch["seq"]) for d in group.datasets):
        raise DataRejected(
            f"batch {batch['batch_id']} was read from the source before {(overlapping or newer)['batch_id']}, which"
            f" brought rows of the same window and stands already.\nNothing was published, so nothing newer was"
            f" overwritten. Load the window again: dataops load {batch['group_name']}{window_option(batch)}"
        )


def _brings_older(connection: Connection, dataset: Dataset, seq: int) -> bool:
    """Whether a row of the batch stands already in a version that a later batch brought."""
    place = f"{dataset.published_layer}.{dataset.table}"
    query = (
        f"SELECT 1 FROM {place} AS v JOIN ops.publications AS p ON p.seq = v._publication AND p.batch > {int(seq)}"
        f" JOIN candidate.{dataset.table} AS c ON {tables.equal('c', 'v', dataset.key)} LIMIT 1"
    )
    return connection.exec_driver_sql(query).first() is not None


def _overlapping(start: datetime | None, end: datetime | None) -> list[sa.ColumnElement[bool]]:
    """Conditions on batches; a load without a window brings everything."""
    table = ledger.batches.c
    if start is None:
        return []
    return [table.window_start.is_(None) | ((table.window_start < end) & (table.window_end > start))]


def window_option(batch: dict[str, Any]) -> str:
    """How the command line names a batch's window: empty for a whole load."""
    if batch["window_start"] is None:
        return ""
    bounds = (batch["window_start"], batch["window_end"])
    return " --window " + "..".join(b.isoformat().removesuffix("T00:00:00") for b in bounds)


def _scope(dataset: Dataset, window: Window | None) -> str:
    """whole: the batch speaks for every published row; keys: for the children of its parents; window: for its rows."""
    platform = dataset.contract.platform
    if window is None or not (platform.cursor or platform.follows):
        return "whole"
    return "keys" if platform.follows else "window"
