"""What a load asks of a source that goes on by itself: whether it went back, what changed, what of a window is gone.

A load brings its window, what waits in quarantine, and every row of the windows loaded so far that changed since the
last reading that stands, whatever its window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import batches, readings
from dataops.ledger.readings import Reading
from dataops.ledger.workspace import Workspace
from dataops.pipeline.intake.landing import Selection
from dataops.sources.port import Also, Changed, Position, Recorder, Request, Source, Touched, Window, merged
from dataops.warehouse.tables import place, quoted


@dataclass(frozen=True)
class Before:
    """What the ledger knew when a load began."""

    last: Reading | None
    standing: Reading | None
    loaded: tuple[Window, ...]
    """windows that were loaded; none: everything was"""


def before(connection: Connection, group: Group) -> Before:
    """As the ledger says now."""
    loaded = batches.loaded_windows(connection, group.name)
    last, standing = (readings.last(connection, group.name, standing=only) for only in (False, True))
    return Before(last, standing, tuple(loaded or ()))


def refuse_going_back(source: Source, group: Group, known: Reading | None, now: Position | None) -> None:
    """Raises DataRejected when the source is another database than before, or stands before what was read of it."""
    if known is None or now is None:
        return
    goes_on = now.mark >= known.mark and now.next >= known.next
    if known.identity == now.identity and goes_on:
        return
    what = "is another database than" if known.identity != now.identity else "went back behind what was read"
    raise DataRejected(
        f"{source.name} {what} at {known.now:%Y-%m-%d %H:%M} by its own clock: it was restored or replaced, so what"
        f" changed since is not what its stamps say.\nNothing was loaded. To compare everything that was loaded with"
        f" it and to load what differs: dataops reconcile {group.name}"
    )


def settled(known: Reading | None, now: Position) -> datetime:
    """Until when nothing that changed can be missed by who has read at this position."""
    if known is None or known.identity != now.identity:
        return now.now
    return now.settled(known.position, known.settled)


def with_changes(selection: Selection, group: Group, known: Before, now: Position | None) -> Selection:
    """The selection, with what changed since the last reading that stands; as it is where nothing was read before."""
    window, standing = selection.window, known.standing
    if window is None or now is None or standing is None or standing.identity != now.identity:
        return selection
    until = min(standing.settled, now.now)
    within = tuple(merged([*known.loaded, window])) if known.loaded else ()
    changed = {
        root.table: found for root in group.datasets if (found := _changed(group, root, until, within)) is not None
    }
    return replace(selection, changed=changed)


def _changed(group: Group, root: Dataset, until: datetime, within: tuple[Window, ...]) -> Changed | None:
    own = root.contract.platform.changes
    followers = [(d, columns, d.contract.platform.changes) for d, columns in group.followers(root)]
    touched = [(Touched(str(d.contract.platform.source), columns, c.by), c) for d, columns, c in followers if c]
    declared = [*([own] if own else []), *(c for _, c in touched)]
    if root.contract.platform.cursor is None or not declared:
        return None
    since = until - timedelta(seconds=max(c.overlap for c in declared))
    return Changed(since, within, own.by if own else None, root.key, tuple(t for t, _ in touched))


def gone(
    work: Workspace, source: Source, group: Group, selection: Selection, known: Before, *, compare: bool = False
) -> tuple[Selection, Mapping[str, pa.Table]]:
    """Keys by table that the window should have brought, or the source says it deleted, and that it has no more.

    What it has elsewhere now is asked for as well, and parents of children that went: the selection names those.
    `compare`: windows are compared also where the contract trusts the source's record of deletions.
    """
    keys: dict[str, pa.Table] = {}
    for dataset in group.datasets:
        policy = dataset.contract.platform.deletes
        if selection.window is None or policy == "never":
            continue
        told, expected = _deleted(source, dataset, known), _key(dataset).empty_table()
        if policy == "compare" or compare:
            expected = _published(work, dataset, selection.window, expected.schema)
        selection, keys[dataset.table] = _gone(source, dataset, selection, expected, told)
        selection = _with_parents(source, group, dataset, selection, known)
    return selection, keys


def require_record(source: Source, group: Group, known: Before, now: Position | None) -> None:
    """Raises DataRejected where a contract says `deletes: from_source` and the source has no such record.

    Neither of the dataset nor of those that follow it may deletions since the last reading that stands be unknown.
    """
    for root in group.datasets:
        if root.contract.platform.deletes != "from_source":
            continue
        for dataset in (root, *(child for child, _ in group.followers(root))):
            if not _is_recorded(source, dataset, known, now):
                raise DataRejected(
                    f"{source.name} keeps no record of what was deleted from {dataset.contract.platform.source}, or"
                    f" none since the last load of {group.name}; the contract of {root.table} says deletes:"
                    f" from_source.\nNothing was loaded. Switch Change Tracking on for the table, or write deletes:"
                    f" compare; then, for what was missed meanwhile: dataops reconcile {group.name}"
                )


def _is_recorded(source: Source, dataset: Dataset, known: Before, now: Position | None) -> bool:
    before = known.standing.deletions if known.standing else None
    since = before if before is not None else now.deletions if now else None
    if since is None or not isinstance(source, Recorder):
        return False
    return source.deleted(str(dataset.contract.platform.source), _key(dataset), since) is not None


def _key(dataset: Dataset) -> pa.Schema:
    schema = arrow_schema(column for column in dataset.columns if column.name in dataset.key)
    return pa.schema([schema.field(name) for name in dataset.key])


def _deleted(source: Source, dataset: Dataset, known: Before) -> pa.Table:
    """What the source keeps of deletions since the last reading that stands; empty where it keeps nothing."""
    since = known.standing.deletions if known.standing else None
    schema, found = _key(dataset), None
    if isinstance(source, Recorder) and since is not None:
        found = source.deleted(str(dataset.contract.platform.source), schema, since)
    return schema.empty_table() if found is None else found


def _with_parents(source: Source, group: Group, root: Dataset, selection: Selection, known: Before) -> Selection:
    """The selection, with the parents of children that were deleted: they are judged whole."""
    parents: list[tuple[object, ...]] = []
    for child, columns in group.followers(root):
        if set(columns) <= set(child.key):
            parents += _as_keys(_deleted(source, child, known).select(list(columns)))
    return _named(selection, root, parents)


def _named(selection: Selection, root: Dataset, keys: Sequence[tuple[object, ...]]) -> Selection:
    """The selection, with more rows of a dataset that come whatever the window is."""
    before = selection.also.get(root.table)
    named = tuple(dict.fromkeys([*(before.keys if before else ()), *keys]))
    return replace(selection, also={**selection.also, root.table: Also(root.key, named)}) if named else selection


def _gone(
    source: Source, dataset: Dataset, selection: Selection, expected: pa.Table, told: pa.Table
) -> tuple[Selection, pa.Table]:
    platform = dataset.contract.platform
    asked = Request(str(platform.source), expected.schema, selection.window, str(platform.cursor))
    missing = _without(expected, source.read(asked).read_all()) if expected.num_rows else expected
    missing = pa.concat_tables([missing, told]).group_by(list(dataset.key)).aggregate([])
    if not missing.num_rows:
        return selection, missing
    there = source.read(replace(asked, also=Also(dataset.key, _as_keys(missing)))).read_all()
    lost = _without(missing, there)
    return _named(selection, dataset, _as_keys(_without(missing, lost))), lost


def _published(work: Workspace, dataset: Dataset, window: Window, schema: pa.Schema) -> pa.Table:
    cursor = quoted([str(dataset.contract.platform.cursor)])
    start, end = window.start.isoformat(" "), window.end.isoformat(" ")
    query = (
        f"SELECT {quoted(dataset.key)} FROM {place(dataset)}"
        f" WHERE {cursor} >= TIMESTAMP '{start}' AND {cursor} < TIMESTAMP '{end}'"
    )
    with work.warehouse.reading() as connection:
        return work.warehouse.fetch(connection, query, schema)


def _without(keys: pa.Table, others: pa.Table) -> pa.Table:
    """Keys that the others do not hold."""
    names = keys.column_names
    return keys.join(others.select(names).cast(keys.schema), names, join_type="left anti")


def _as_keys(table: pa.Table) -> tuple[tuple[object, ...], ...]:
    return tuple(zip(*(column.to_pylist() for column in table.columns), strict=True))
