"""Set-level corruptions: every row may look right, the whole is wrong. Derived from contracts and references."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.declared.catalog import Dataset, Group
from dataops.lab.corruptions.catalogue import Corruption

CATEGORY_SHARE = 0.2  # the category that is struck: neither a handful of rows nor nearly all of them


def derived(group: Group, dataset: Dataset) -> Iterator[Corruption]:
    """Every set-level corruption that applies to the dataset."""
    table, platform = dataset.table, dataset.contract.platform
    if not platform.may_be_empty:
        yield Corruption("empty", table, "", "set", "remove")
    # What a daily window lacks nobody misses but history; a whole delivery is compared with what is published.
    by_day = bool(group.checkpoint.family) and bool(platform.cursor or platform.follows)
    yield Corruption("half missing", table, "", "set", "remove", where="c._row % 2 = 0", history=by_day)
    yield Corruption("sent twice", table, "all rows", "set", "repeat")
    if category := _category(dataset):
        chosen = _chosen(table, category)
        yield Corruption("category gone", table, category, "set", "remove", where=chosen, history=True)
        yield Corruption("category doubled", table, category, "set", "repeat", where=chosen)
    yield from _retyped(dataset)
    yield from _drifted(dataset)
    yield from _late(dataset)
    yield from _lines_lost(group, dataset)


def _category(dataset: Dataset) -> str | None:
    """The column that sorts rows into kinds: one with a set of values, else the first reference."""
    sets = [r.columns[0] for r in dataset.rules if r.type == "expect_column_values_to_be_in_set"]
    references = [link.columns[0] for link in dataset.links if len(link.columns) == 1]
    flags = [column.name for column in dataset.columns if column.data_type == "boolean"]
    return next((name for name in (*sets, *references, *flags) if (name,) != dataset.key), None)


def _chosen(table: str, column: str) -> str:
    return (
        f'c."{column}" = (SELECT k."{column}" FROM clean.{table} AS k WHERE k."{column}" IS NOT NULL'
        f' GROUP BY k."{column}" ORDER BY ABS(COUNT(*) - {CATEGORY_SHARE} * (SELECT COUNT(*) FROM clean.{table})),'
        f' k."{column}" LIMIT 1)'
    )


def _retyped(dataset: Dataset) -> Iterator[Corruption]:
    """A column arrives as text, or text as numbers."""
    ids = {*dataset.key, *dataset.control, *(name for link in dataset.links for name in link.columns)}
    free = [c for c in dataset.columns if c.name not in ids]
    if free:
        chosen = max(free, key=lambda c: c.data_type != "varchar")
        kind = "INTEGER" if chosen.data_type == "varchar" else "VARCHAR"
        yield Corruption("re-typed", dataset.table, chosen.name, "set", "retype", ((chosen.name, kind),))


def _drifted(dataset: Dataset) -> Iterator[Corruption]:
    """The mean of a control total moves: another currency, another unit, nothing out of any range."""
    for name in dataset.control:
        values = ((name, f'c."{name}" * 1.3'),)
        yield Corruption("drifted", dataset.table, name, "set", values=values, history=True)


def _late(dataset: Dataset) -> Iterator[Corruption]:
    """Yesterday's delivery once more, where a contract says how fresh it must be."""
    for item in dataset.contract.checks:
        if item.freshness:
            name = item.freshness.column
            values = ((name, f"c.\"{name}\" - INTERVAL '10 years'"),)
            yield Corruption("late", dataset.table, name, "set", values=values)


def _lines_lost(group: Group, dataset: Dataset) -> Iterator[Corruption]:
    """Of every family one row is lost, so that totals do not add up; or all parents of some rows are lost."""
    follows = dataset.contract.platform.follows
    if follows and dataset.control:
        columns = next(link.columns for link in dataset.links if link.to == follows)
        same = " AND ".join(f'k."{name}" = c."{name}"' for name in columns)
        first = f"c._row = (SELECT MIN(k._row) FROM clean.{dataset.table} AS k WHERE {same})"
        yield Corruption("a line of each lost", dataset.table, "", "set", "remove", where=first)
    if any(d.contract.platform.follows == dataset.table for d in group.datasets):
        yield Corruption("parents gone", dataset.table, "", "set", "remove", where="c._row % 10 = 0")
