"""Batches: what one load or build brought, how far it has come, and what the gate said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import BeforeValidator, Field
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import clock, lineage, numbering, publications
from dataops.ledger import tables as t
from dataops.ledger.enums import SETTLED, STANDS, BatchState, VerdictName
from dataops.ledger.reading import Record, every, one
from dataops.ledger.workspace import Workspace
from dataops.sources.port import Window, merged

REPLAYED = "quarantine"
"""The source of a batch that brings waiting rows back."""
BUILT = "published layers"
"""The source of a batch that models made."""
Condition = sa.ColumnElement[bool]
"""Which batches, for `unfinished`; made by `of_window`, `ANY` and `REPLAYS`."""
ANY: Condition = sa.true()
REPLAYS: Condition = t.batches.c.source == REPLAYED


class Batch(Record):
    """A batch; times are UTC without a zone."""

    seq: int
    batch_id: str
    group: str = Field(alias="group_name")
    source: str
    window_start: datetime | None = None
    window_end: datetime | None = None
    state: BatchState
    verdict: VerdictName | None = None
    reason: str | None = None
    rules_hash: str | None = None
    waivers: Annotated[tuple[str, ...], BeforeValidator(lambda value: value or ())] = ()  # that the verdict rests on
    horizon: int | None = None  # newest publication when it was read or built
    created_at: datetime
    sealed_at: datetime | None = None
    judged_at: datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in SETTLED

    @property
    def is_replay(self) -> bool:
        return self.source == REPLAYED

    @property
    def window(self) -> Window | None:
        """What it speaks for; None for a whole delivery, and for builds."""
        if self.window_start is None or self.window_end is None:
            return None
        return Window(self.window_start, self.window_end)


class BatchDataset(Record):
    """What a batch brought of one dataset."""

    batch: int
    table: str = Field(alias="table_name")
    scope: str  # whole, window, keys, rows: which published rows the batch speaks for
    received: int
    controls: dict[str, str]  # control totals, exact, as text
    notes: tuple[str, ...]


def begin(connection: Connection, group: str, stem: str, source: str, window: Window | None = None) -> Batch:
    """Records a new, open batch under an id made from `stem`."""
    return _begin(connection, group, stem, source, *((window.start, window.end) if window else (None, None)))


def begin_build(connection: Connection, group: str) -> Batch:
    """Records a new, open batch of models; as of the newest window among all publications."""
    return _begin(connection, group, f"{group}-build", BUILT, None, publications.newest_window_end(connection))


def _begin(
    connection: Connection, group: str, stem: str, source: str, start: datetime | None, end: datetime | None
) -> Batch:
    row = {
        "seq": numbering.next_seq(connection, t.batches),
        "batch_id": numbering.next_batch_id(connection, stem),
        "group_name": group,
        "source": source,
        "state": BatchState.OPEN,
        "window_start": start,
        "window_end": end,
        "horizon": publications.horizon(connection),
        "created_at": clock.now(),
    }
    connection.execute(t.batches.insert().values(row))
    return Batch.of(row)


def bring(
    connection: Connection, batch: int, table: str, scope: str, received: int, controls: Mapping[str, str],
    notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Records what a batch brings of one dataset."""
    connection.execute(
        t.batch_datasets.insert().values(
            batch=batch, table_name=table, scope=scope, received=received, controls=dict(controls), notes=list(notes)
        )
    )


def seal(connection: Connection, batch: int) -> None:
    """From here on it can be judged."""
    _set(connection, batch, state=BatchState.SEALED, verdict=None, sealed_at=clock.now())


def refuse(connection: Connection, batch: int, reason: str) -> None:
    """It was not landed: the source has another shape than was agreed."""
    _set(connection, batch, state=BatchState.JUDGED, verdict=VerdictName.FAILED, reason=reason)


def record_verdict(
    connection: Connection, batch: int, verdict: VerdictName, reasons: Sequence[str], rules_hash: str,
    waivers: Sequence[str],
) -> None:  # fmt: skip
    """Records what the gate said, under which rules and waivers."""
    now = clock.now()
    lineage.note(connection, f"judged {batch} {now.isoformat()}")
    _set(
        connection,
        batch,
        state=BatchState.JUDGED,
        verdict=verdict,
        reason="; ".join(reasons) or None,
        rules_hash=rules_hash,
        judged_at=now,
        waivers=list(waivers),
    )


def settle(connection: Connection, batch: int, state: BatchState, reason: str | None = None) -> None:
    """Ends its life: published, unchanged or discarded."""
    if state is not BatchState.PUBLISHED:  # of which the publication tells
        lineage.note(connection, f"closed {batch}")
    _set(connection, batch, state=state, **({"reason": reason} if reason else {}))


def close_build_without_difference(connection: Connection, batch: int) -> None:
    """A build of which nothing can differ: there is nothing to judge."""
    _set(connection, batch, state=BatchState.UNCHANGED, sealed_at=clock.now())


def _set(connection: Connection, batch: int, **values: Any) -> None:  # noqa: ANN401  column values
    connection.execute(t.batches.update().where(t.batches.c.seq == batch).values(**values))


def find(connection: Connection, batch_id: str) -> Batch | None:
    """A batch by its id."""
    return one(connection, Batch, sa.select(t.batches).where(t.batches.c.batch_id == batch_id))


def numbered(connection: Connection, seq: int | None) -> Batch | None:
    """A batch by its number."""
    return one(connection, Batch, sa.select(t.batches).where(t.batches.c.seq == seq))


def required(connection: Connection, batch_id: str | None, group: str | None = None) -> Batch:
    """The batch, or the group's latest sealed one. Raises DataRejected when there is none."""
    if batch_id is not None:
        batch = find(connection, batch_id)
    else:
        where = (t.batches.c.group_name == group) & t.batches.c.sealed_at.is_not(None)
        batch = one(connection, Batch, _newest_first(where).limit(1))
    if batch is None:
        raise DataRejected(f"no batch {batch_id or 'of ' + str(group)} was landed; see: dataops batches list")
    if batch.sealed_at is None:
        raise DataRejected(f"batch {batch.batch_id} was not landed completely; load it again")
    return batch


def datasets(connection: Connection, batch: int) -> dict[str, BatchDataset]:
    """What a batch brought, by table."""
    table = t.batch_datasets
    query = sa.select(table).where(table.c.batch == batch).order_by(table.c.table_name)
    return {d.table: d for d in every(connection, BatchDataset, query)}


def group_of(connection: Connection, work: Workspace, batch: Batch) -> Group:
    """The batch's group, narrowed to the datasets that the batch brings."""
    return work.catalog.group(batch.group).narrowed(frozenset(datasets(connection, batch.seq)))


def ids(connection: Connection) -> list[str]:
    """All ids, oldest first."""
    return list(connection.execute(sa.select(t.batches.c.batch_id).order_by(t.batches.c.seq)).scalars())


def newest(connection: Connection, group: str | None, limit: int) -> list[Batch]:
    """The newest batches, of one group or of all, newest first."""
    where = sa.true() if group is None else t.batches.c.group_name == group
    return every(connection, Batch, _newest_first(where).limit(limit))


def newest_number(connection: Connection, group: str | None = None) -> int:
    """The number of the newest batch, of one group or of all; 0 before the first."""
    where = sa.true() if group is None else t.batches.c.group_name == group
    return int(connection.execute(sa.select(sa.func.max(t.batches.c.seq)).where(where)).scalar() or 0)


def newest_judged(connection: Connection, group: str) -> Batch | None:
    """The group's newest batch with a verdict."""
    where = (t.batches.c.group_name == group) & t.batches.c.judged_at.is_not(None)
    return one(connection, Batch, _newest_first(where).limit(1))


def judged(connection: Connection, limit: int, also: Collection[int]) -> list[Batch]:
    """The newest judged batches, newest first; then those of `also`, and of each group the newest and the newest
    published, where they are older.
    """  # noqa: D205
    b = t.batches
    has_verdict = b.c.judged_at.is_not(None)
    shown = every(connection, Batch, _newest_first(has_verdict).limit(limit))
    named = set(also)
    for aggregate in (sa.func.max(b.c.seq), sa.func.max(sa.case((b.c.state == BatchState.PUBLISHED, b.c.seq)))):
        named |= set(connection.execute(sa.select(aggregate).where(has_verdict).group_by(b.c.group_name)).scalars())
    missing = named - {batch.seq for batch in shown} - {None}
    if missing:
        shown += every(connection, Batch, _newest_first(has_verdict & b.c.seq.in_(missing)))
    return shown


def judged_between(connection: Connection, start: datetime, end: datetime) -> list[Batch]:
    """Batches that the gate judged in this time, oldest first."""
    b = t.batches
    during = (b.c.judged_at >= start) & (b.c.judged_at < end)
    return every(connection, Batch, sa.select(b).where(during).order_by(b.c.seq))


def last_began(connection: Connection) -> datetime | None:
    """When the newest batch began, as the clock then said."""
    return connection.execute(sa.select(sa.func.max(t.batches.c.created_at))).scalar()


def last_unchanged(connection: Connection, group: str) -> datetime | None:
    """When a delivery of the group last differed in nothing from what stood."""
    same = (t.batches.c.group_name == group) & (t.batches.c.state == BatchState.UNCHANGED)
    return connection.execute(sa.select(sa.func.max(t.batches.c.judged_at)).where(same)).scalar()


def loaded_windows(connection: Connection, group: str) -> list[Window] | None:
    """What was asked of the source for what stands: windows that neither overlap nor touch; None: all of it."""
    c = t.batches.c
    stands = (c.group_name == group) & c.state.in_(list(STANDS)) & ~c.source.in_([REPLAYED, BUILT])
    spans = connection.execute(sa.select(c.window_start, c.window_end).where(stands).order_by(c.window_start)).all()
    if any(start is None for start, _ in spans):
        return None
    return merged(Window(start, end) for start, end in spans)


def standing_windows(connection: Connection, group: str) -> set[Window]:
    """The windows of batches that stand, each as it was asked for."""
    c = t.batches.c
    stands = (c.group_name == group) & c.state.in_(list(STANDS)) & ~c.source.in_([REPLAYED, BUILT])
    spans = connection.execute(sa.select(c.window_start, c.window_end).where(stands & c.window_start.is_not(None)))
    return {Window(start, end) for start, end in spans}


def deliveries(connection: Connection, group: str) -> list[datetime]:
    """When the group was delivered well, with a difference or without, oldest first."""
    c = t.batches.c
    mine = (c.group_name == group) & c.state.in_(list(STANDS)) & (c.source != REPLAYED)
    return [m for m in connection.execute(sa.select(c.judged_at).where(mine).order_by(c.judged_at)).scalars() if m]


def rows_since(connection: Connection, dataset: Dataset, since: datetime) -> tuple[int, int]:
    """Rows of a dataset received in judged batches since then, and those of them that were held."""
    c, brought = t.batches.c, t.batch_datasets.c
    judged = c.judged_at.is_not(None) & (c.judged_at >= since) & (c.source != REPLAYED)
    joined = sa.join(t.batches, t.batch_datasets, (c.seq == brought.batch) & (brought.table_name == dataset.table))
    received = sa.select(sa.func.coalesce(sa.func.sum(brought.received), 0)).select_from(joined).where(judged)
    numbers = sa.select(c.seq).where(judged)
    if not dataset.is_loaded:
        return int(connection.execute(received).scalar_one()), 0
    held = sa.table(dataset.table, sa.column("_batch"), schema="quarantine")
    count = sa.select(sa.func.count()).select_from(held).where(held.c._batch.in_(numbers))  # noqa: SLF001  a column
    return int(connection.execute(received).scalar_one()), int(connection.execute(count).scalar_one())


def read_later(connection: Connection, batch: Batch, *, overlapping: bool = False) -> Batch | None:
    """The newest batch of the group that stands and was read from the source after this one.

    With `overlapping` only one whose window shares time with this one's; a batch without a window shares all.
    """
    b = t.batches.c
    where = (b.group_name == batch.group) & (b.seq > batch.seq) & b.state.in_(STANDS) & (b.source != REPLAYED)
    if overlapping and batch.window_start is not None:
        shares = (b.window_start < batch.window_end) & (b.window_end > batch.window_start)
        where &= b.window_start.is_(None) | shares
    return one(connection, Batch, _newest_first(where).limit(1))


def within(connection: Connection, batch: Batch, numbers: Sequence[int]) -> list[int]:
    """Those of the numbered batches whose window lies within this one's."""
    b = t.batches.c
    query = sa.select(b.seq).where(b.seq.in_(numbers))
    if batch.window_start is not None:
        query = query.where(b.window_start >= batch.window_start, b.window_end <= batch.window_end)
    return list(connection.execute(query).scalars())


def earlier_judged(connection: Connection, batch: Batch, limit: int) -> list[Batch]:
    """Judged batches of the group for windows before this one's, latest window first; no replays.

    Where the batch has no window, those without one that are older.
    """
    b = t.batches.c
    where = (b.group_name == batch.group) & b.judged_at.is_not(None) & (b.source != REPLAYED) & (b.seq != batch.seq)
    if batch.window is None:
        query = sa.select(t.batches).where(where & b.window_end.is_(None) & (b.seq < batch.seq)).order_by(b.seq.desc())
    else:
        before = where & (b.window_end <= batch.window_start)
        query = sa.select(t.batches).where(before).order_by(b.window_end.desc(), b.seq.desc())
    return every(connection, Batch, query.limit(limit))


def published_without_publication(connection: Connection, known: Collection[int | None]) -> list[str]:
    """Ids of batches that say they were published, and are not among the numbers of `known`."""
    b = t.batches.c
    settled = sa.select(b.seq, b.batch_id).where(b.state == BatchState.PUBLISHED).order_by(b.seq)
    return [str(name) for seq, name in connection.execute(settled) if seq not in known]


def last_build(connection: Connection, table: str) -> tuple[int, tuple[str, ...]] | None:
    """Horizon and notes of a model's last build that stands."""
    b, d = t.batches, t.batch_datasets
    row = connection.execute(
        sa.select(b.c.horizon, d.c.notes)
        .join_from(b, d, d.c.batch == b.c.seq)
        .where((d.c.table_name == table) & b.c.state.in_(STANDS))
        .order_by(b.c.seq.desc())
        .limit(1)
    ).first()
    return None if row is None else (int(row[0]), tuple(row[1]))


def built_up_to(connection: Connection, group: str) -> int:
    """Horizon of the group's last build that stands; 0 before there is one."""
    b = t.batches.c
    stands = sa.select(sa.func.max(b.horizon)).where((b.group_name == group) & b.state.in_(STANDS))
    return int(connection.execute(stands).scalar() or 0)


def of_window(window: Window | None) -> Condition:
    """Batches that a delivery of this window repeats."""
    b = t.batches.c
    start, end = (window.start, window.end) if window else (None, None)
    return b.window_start.is_not_distinct_from(start) & b.window_end.is_not_distinct_from(end)


def unfinished(connection: Connection, group: str, repeated: Condition, before: int | None = None) -> list[int]:
    """Numbers of batches that runs left which broke off, and of those among `repeated` that were never published.

    One that anybody was told of (held, or with an incident) is not among them, nor are number `before` and later ones.
    """
    b = t.batches.c
    passing = (b.state == BatchState.SEALED) | ((b.state == BatchState.JUDGED) & (b.verdict == VerdictName.PASSED))
    unpublished = passing & repeated & b.seq.not_in(sa.select(t.incidents.c.batch))
    where = (b.group_name == group) & ((b.state == BatchState.OPEN) | unpublished)
    if before is not None:
        where &= b.seq < before
    return list(connection.execute(sa.select(b.seq).where(where)).scalars())


def repeated_without_change(connection: Connection, batch: Batch) -> list[Batch]:
    """Earlier deliveries of the batch's window that brought no change either; nobody was told of them, or will be."""
    b = t.batches.c
    where = (b.group_name == batch.group) & (b.state == BatchState.UNCHANGED) & (b.seq < batch.seq)
    untold = b.seq.not_in(sa.select(t.incidents.c.batch))
    found = every(connection, Batch, sa.select(t.batches).where(where & of_window(batch.window) & untold))
    return [earlier for earlier in found if not lineage.is_awaited(connection, earlier.seq)]


def forget(connection: Connection, batch: int) -> None:
    """Removes what the ledger says of a batch."""
    for child in (t.batch_datasets, t.check_results, t.metrics, t.readings):
        connection.execute(child.delete().where(child.c.batch == batch))
    lineage.withdraw(connection, batch)
    connection.execute(t.batches.delete().where(t.batches.c.seq == batch))


def _newest_first(where: Condition) -> sa.Select[Any]:
    return sa.select(t.batches).where(where).order_by(t.batches.c.seq.desc())


def copied(connection: Connection, batch: Batch, batch_id: str) -> Batch:
    """The same batch once more, under another id and sealed; what it brings is still to be recorded."""
    row = batch.model_dump(by_alias=True) | {
        "seq": numbering.next_seq(connection, t.batches),
        "batch_id": batch_id,
        "state": BatchState.SEALED,
        "verdict": None,
        "sealed_at": clock.now(),
    }
    connection.execute(t.batches.insert().values(row))
    return Batch.of(row)


def empty(connection: Connection, batch: int) -> None:
    """Forgets what a batch brought and how it was judged."""
    for child in (t.batch_datasets, t.check_results):
        connection.execute(child.delete().where(child.c.batch == batch))
