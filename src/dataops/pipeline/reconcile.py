"""What was loaded against what the source has now, by keys and stamps; and the loads that bring what differs.

Days are loaded, not rows: a load of a day is what the gate knows how to judge, and what it compares it publishes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.arrow_types import arrow_type
from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import batches
from dataops.ledger.enums import FindingKind
from dataops.ledger.workspace import Workspace
from dataops.pipeline.audit import reconciliation
from dataops.pipeline.intake import blocks, known, landing
from dataops.pipeline.intake.blocks import Cost, Ranges
from dataops.sources.arrow import pc
from dataops.sources.checksums import grouped
from dataops.sources.port import SUMS, Also, Between, Position, Request, Source, Window, merged

NEAR = timedelta(days=3)  # days that lie so close are loaded together with those between them
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  source times carry no zone
SIDES = (FindingKind.AHEAD, FindingKind.BEHIND, FindingKind.DIFFERS)
WIDEST = 62  # bits of a key


@dataclass
class Difference:
    """What of one dataset is not the same, and what it took to know.

    `ahead`: rows that only the source has; `behind`: that only we have; `differs`: of another stamp.
    """

    dataset: Dataset
    ahead: int = 0
    behind: int = 0
    differs: int = 0
    days: set[date] = field(default_factory=set)
    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0

    @property
    def is_none(self) -> bool:
        return not (self.ahead or self.behind or self.differs)


@dataclass(frozen=True)
class Side:
    """One dataset as it is compared: keys, then the stamp if it has one."""

    work: Workspace
    source: Source
    group: Group
    dataset: Dataset
    loaded: Sequence[Window] | None

    @property
    def columns(self) -> list[str]:
        changes = self.dataset.contract.platform.changes
        return [*self.dataset.key, *([changes.by] if changes else [])]

    def schema(self, names: Sequence[str]) -> pa.Schema:
        types = {column.name: arrow_type(column) for column in self.dataset.columns}
        return pa.schema([(name, types[name]) for name in names])

    def requests(self, names: Sequence[str], between: Between | None) -> Iterator[Request]:
        """One per window that was loaded; of rows that are read whole, one."""
        windows: Sequence[Window | None] = self.loaded if self.loaded and known.is_windowed(self.dataset) else [None]
        for window in windows:
            yield landing.request(self.dataset, self.group, self.schema(names), landing.Selection(window), between)


def compare(work: Workspace, source: Source, group: Group) -> tuple[list[Difference], Position | None]:
    """Of every dataset of the group that windows choose from, and as of when; others are compared by each load.

    Raises DataRejected where nothing was loaded yet, and what the source raises.
    """
    with work.warehouse.reading() as connection:
        loaded = batches.loaded_windows(connection, group.name)
    if loaded == []:
        raise DataRejected(f"nothing of {group.name} was loaded yet; run: dataops load {group.name} --window A..B")
    sides = [Side(work, source, group, d, loaded) for d in group.datasets if known.is_windowed(d)]
    with source.snapshot([str(d.contract.platform.source) for d in group.datasets]):
        landing.agreed(source, group)
        return [_compared(side) for side in sides], source.position()


def compare_values(work: Workspace, source: Source, group: Group) -> tuple[list[Difference], Position | None]:
    """The same by reading everything: also what changed without a stamp, and sources that tell no sums."""
    found, position = [], source.position()
    for totals, findings in reconciliation.compare(work, source, group):
        rows = {finding.kind: finding.rows for finding in findings}
        ahead, behind, differs = (rows.get(kind) or 0 for kind in SIDES)
        lines = totals.source[0] + totals.published[0]
        if known.is_windowed(totals.dataset):
            found.append(Difference(totals.dataset, ahead, behind, differs, set(totals.days), Cost(2, int(lines))))
    return found, position


def windows(
    work: Workspace, source: Source, group: Group, differences: Iterable[Difference], loaded: Sequence[Window] | None
) -> list[Window]:
    """The days in which something differs, those near each other as one window; within what was loaded.

    A day whose rows are all gone is loaded with days around it: an empty delivery is held, and rightly.
    """
    days = {day for difference in differences for day in difference.days}
    made = [Window(day, day + DAY) for day in (datetime(d.year, d.month, d.day) for d in days)]  # noqa: DTZ001
    spans = [Window(datetime.min, datetime.max)] if loaded is None else loaded  # noqa: DTZ901
    cut = (
        (Window(max(w.start, s.start), min(w.end, s.end)), s)
        for w in made
        for s in spans
        if w.start < s.end and s.start < w.end
    )
    return merged((_with_rows(work, source, group, window, span) for window, span in cut), NEAR)


def _with_rows(work: Workspace, source: Source, group: Group, window: Window, within: Window) -> Window:
    """The window, wider if need be, so that something of each dataset lies in it."""
    needed = [d for d in group.datasets if known.is_windowed(d) and not d.contract.platform.may_be_empty]
    reach = DAY
    while window != within and not all(_has_rows(work, source, group, d, window) for d in needed):
        start = max(within.start, window.start - reach) if window.start - within.start > reach else within.start
        end = min(within.end, window.end + reach) if within.end - window.end > reach else within.end
        window, reach = Window(start, end), reach * 4
    return window


def _has_rows(work: Workspace, source: Source, group: Group, dataset: Dataset, window: Window) -> bool:
    side = Side(work, source, group, dataset, [window])
    return any(batch.num_rows for request in side.requests(dataset.key, None) for batch in source.read(request))


def _compared(side: Side) -> Difference:
    began, difference = time.monotonic(), Difference(side.dataset)
    ranges = doubtful(side, difference.cost)
    if ranges is None or ranges:
        read_both(side, ranges, difference)
    difference.seconds = time.monotonic() - began
    return difference


def doubtful(side: Side, cost: Cost) -> Ranges | None:
    """Ranges of the first key column in which something differs; None where only reading would tell."""
    first = side.dataset.key[0]
    kind = side.schema([first]).field(0).type
    if not pa.types.is_integer(kind) or len(side.columns) > len(SUMS.names):
        return None
    bits = min(kind.bit_width - 1, WIDEST)
    whole = (-(1 << bits), 1 << bits)
    with side.work.warehouse.reading() as connection:
        size = blocks.first_size(_extent(side, connection), whole)
        return blocks.differing(partial(_theirs, side), partial(_ours, side, connection), whole, size, cost)


def _theirs(side: Side, ranges: Ranges, low: int, size: int) -> pa.Table | None:
    between = Between(side.dataset.key[0], ranges)
    parts = [side.source.sums(request, low, size) for request in side.requests(side.columns, between)]
    return None if any(part is None for part in parts) else _added([part for part in parts if part is not None])


def _added(parts: Sequence[pa.Table]) -> pa.Table:
    """Sums of several windows as those of all."""
    if len(parts) == 1:
        return parts[0]
    names = SUMS.names[1:]
    together = pa.concat_tables(parts).group_by("block").aggregate([(name, "sum") for name in names])
    return together.rename_columns(SUMS.names).cast(SUMS)


def _extent(side: Side, connection: Connection) -> tuple[int, int] | None:
    """The least and the greatest of the first key column that we know; None without rows."""
    first = f'k."{side.dataset.key[0]}"'
    everything = known.rows(side.group, side.dataset, side.columns, side.loaded)
    low, high = connection.exec_driver_sql(f"SELECT MIN({first}), MAX({first}) FROM ({everything}) AS k").one()
    return None if low is None else (int(low), int(high))


def _ours(side: Side, connection: Connection, ranges: Ranges, low: int, size: int) -> pa.Table:
    names = [f"c{n}" for n in range(len(side.columns))]
    values = (
        f"COALESCE({_number(side, column)}, 0) AS {name}" for column, name in zip(side.columns, names, strict=True)
    )
    everything = known.rows(side.group, side.dataset, side.columns, side.loaded)
    chosen = _in_ranges(f'k."{side.dataset.key[0]}"', ranges)
    rows = f"SELECT {', '.join(values)} FROM ({everything}) AS k WHERE {chosen}"
    return side.work.warehouse.fetch(connection, grouped(rows, names, low, size), SUMS)


def _number(side: Side, column: str) -> str:
    """The column of a row `k` as a whole number: a moment as microseconds since 1970."""
    if not pa.types.is_timestamp(side.schema([column]).field(0).type):
        return f'k."{column}"'
    if side.work.warehouse.dialect == "duckdb":
        return f'EPOCH_US(k."{column}")'
    return f"CAST(ROUND(date_part('epoch', k.\"{column}\") * 1000000) AS BIGINT)"


def _in_ranges(at: str, ranges: Ranges) -> str:
    return " OR ".join(f"({at} >= {low:d} AND {at} < {high:d})" for low, high in ranges)


def read_both(side: Side, ranges: Ranges | None, difference: Difference) -> None:
    """Reads both sides in these ranges, or whole, and notes what differs."""
    platform = side.dataset.contract.platform
    extra = [platform.cursor] if platform.cursor and platform.cursor not in side.columns else []
    names = [*side.columns, *extra]
    schema = side.schema(names)
    between = Between(side.dataset.key[0], ranges) if ranges else None
    read = [side.source.read(request).read_all().select(names) for request in side.requests(names, between)]
    there = pa.concat_tables([*read, schema.empty_table()])
    everything = known.rows(side.group, side.dataset, names, side.loaded)
    first = f'k."{side.dataset.key[0]}"'
    chosen = f" WHERE {_in_ranges(first, ranges)}" if ranges else ""
    with side.work.warehouse.reading() as connection:
        here = side.work.warehouse.fetch(connection, f"SELECT * FROM ({everything}) AS k{chosen}", schema)
    difference.cost.questions += 2
    difference.cost.lines += there.num_rows + here.num_rows
    _note(side, there, here, difference)


def _note(side: Side, there: pa.Table, here: pa.Table, difference: Difference) -> None:
    key, compared = list(side.dataset.key), side.columns
    there, here = (_without_null(table, compared) for table in (there, here))
    more = there.join(here.select(compared), compared, join_type="left anti")
    less = here.join(there.select(compared), compared, join_type="left anti")
    difference.ahead = more.join(here.select(key), key, join_type="left anti").num_rows
    difference.behind = less.join(there.select(key), key, join_type="left anti").num_rows
    difference.differs = more.num_rows - difference.ahead
    for table in (more, less):
        difference.days |= set(_days(side, table))


def _without_null(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """A stamp that is not there is a value like others: joins find no NULL."""
    for name in names:
        at = table.schema.get_field_index(name)
        if pa.types.is_timestamp(table.schema.field(at).type):
            table = table.set_column(at, name, pc.fill_null(table.column(at), EPOCH))
    return table


def _days(side: Side, rows: pa.Table) -> Iterator[date]:
    """The days on which the rows, or the parents that they follow, lie at either side."""
    if not rows.num_rows:
        return
    platform = side.dataset.contract.platform
    if platform.cursor:
        moments = rows[platform.cursor]
    else:
        parent = side.group.dataset(str(platform.follows))
        columns = next(link.columns for link in side.dataset.links if link.to == parent.table)
        moments = _cursors_of(side, parent, rows.select(list(columns)).rename_columns(list(parent.key)))
    for moment in moments.unique().to_pylist():
        if moment is not None:
            yield date(moment.year, moment.month, moment.day)
        elif side.loaded:  # a row without a cursor comes with every window
            yield side.loaded[-1].start.date()


def _cursors_of(side: Side, parent: Dataset, keys: pa.Table) -> pa.ChunkedArray[Any]:
    """When the parents of these keys are, as either side says."""
    own = Side(side.work, side.source, side.group, parent, side.loaded)
    cursor = str(parent.contract.platform.cursor)
    schema = own.schema([*parent.key, cursor])
    keys = keys.group_by(list(parent.key)).aggregate([])
    named = Also(parent.key, tuple(zip(*(column.to_pylist() for column in keys.columns), strict=True)))
    nothing = Window(EPOCH, EPOCH)
    asked = Request(str(parent.contract.platform.source), schema, nothing, cursor, also=named)
    there = side.source.read(asked).read_all().select(schema.names)
    everything = known.rows(side.group, parent, schema.names, side.loaded)
    with side.work.warehouse.reading() as connection:
        here = side.work.warehouse.fetch(connection, everything, schema)
    both = pa.concat_tables([there, here]).join(keys, list(parent.key), join_type="left semi")
    return both[cursor]
