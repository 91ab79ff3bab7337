"""Claims across datasets: references, what a row repeats of what it refers to, and what refers to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.declarations import Column
from dataops.lab.suggest.pairs import CENT
from dataops.lab.suggest.profile import MOMENTS, Profile
from dataops.lab.suggest.proposal import REFERENCE, Claim, Proposal, in_sql, words

BOOKKEEPING = ("rowguid", "modified_date")  # of a copy of a row, not of what it stands for
WHOLE = ("integer", "smallint", "bigint")
Pairs = tuple[tuple[str, str], ...]  # columns of one dataset with those of another


@dataclass(frozen=True)
class Way:
    """From a row `b` to the one row of another dataset that it refers to, known as `alias`."""

    start: tuple[str, ...]
    alias: str
    target: Dataset
    joins: str


def references(connection: Connection, catalog: Catalog, profile: Profile) -> Iterator[Proposal]:
    """Columns whose every value is found in the key of a dataset that their name names."""
    dataset = profile.dataset
    linked = {link.columns for link in dataset.links}
    for column in profile.of(*WHOLE, "varchar", ids=True):
        if (column.name,) in linked or (column.name,) == dataset.key:
            continue
        for target in _named_by(catalog, dataset, column.name):
            key = target.key[0]
            sql = (
                f'SELECT COUNT(*) FROM {dataset.published_name} AS b WHERE b."{column.name}" IS NOT NULL AND NOT EXISTS'
                f' (SELECT 1 FROM {target.published_name} AS t WHERE t."{key}" = b."{column.name}")'
            )
            if not connection.exec_driver_sql(sql).scalar_one():
                says = f"{words(column.name)} is one of {target.name}"
                yield Proposal(
                    "reference", dataset.table, (column.name,), says, REFERENCE, {"to": target.table}, column.filled
                )
                break


def _named_by(catalog: Catalog, dataset: Dataset, name: str) -> list[Dataset]:
    """Datasets with a key of one column of the same type, of which the column's name has the key's or their own."""
    kind = next(c.data_type for c in dataset.columns if c.name == name)
    found = []
    for other in catalog.datasets.values():
        if other.table == dataset.table or len(other.key) != 1 or other.is_loaded != dataset.is_loaded:
            continue
        if not dataset.is_loaded and other.group != dataset.group:
            continue
        by_key = name == other.key[0] or name.endswith(f"_{other.key[0]}")
        by_table = name.removesuffix("_id").endswith(other.table)
        if (by_key or by_table) and kind == next(c.data_type for c in other.columns if c.name == other.key[0]):
            found.append((not by_table, -len(other.table), other.table, other))
    return [other for *_, other in sorted(found, key=lambda f: f[:3])]


def ways(catalog: Catalog, dataset: Dataset, proposed: Sequence[Proposal]) -> list[Way]:
    """Along one reference, declared or proposed, and along a second one from there."""
    steps = [(link.columns, catalog.datasets[link.to]) for link in dataset.links]
    steps += [(p.columns, catalog.datasets[p.detail["to"]]) for p in proposed]
    found = []
    for own, target in steps:
        joins = _join(target, "p", "b", own)
        found.append(Way(own, "p", target, joins))
        for link in target.links:
            further = catalog.datasets[link.to]
            if further.table not in {dataset.table, target.table}:
                found.append(Way(own, "q", further, f"{joins}\n{_join(further, 'q', 'p', link.columns)}"))
    return found


def _join(target: Dataset, alias: str, source: str, columns: Sequence[str]) -> str:
    same = " AND ".join(f"{alias}.{k} = {source}.{c}" for k, c in zip(target.key, columns, strict=True))
    return f"JOIN {{{target.table}}} {alias} ON {same}"


def claims(catalog: Catalog, profile: Profile, found: Sequence[Way]) -> Iterator[Claim]:
    """What may be true between a row and what it refers to, or what refers to it."""
    for way in found:
        yield from _repeated(profile, way)
        yield from _dated(profile, way)
        if way.alias == "p":
            yield from _kind_of_other(profile, way)
    yield from _children(catalog, profile)


def _repeated(profile: Profile, way: Way) -> Iterator[Claim]:
    """The same column in both: a territory, a currency, a price."""
    theirs = {c.name: c.data_type for c in way.target.columns if c.name not in {*BOOKKEEPING, *way.target.key}}
    for column in profile.columns.values():
        if column.distinct > 1 and theirs.get(column.name) == column.type and column.name not in way.start:
            says = f"{words(column.name)} is that of its {words(*way.start)}"
            if way.alias == "q":
                says += f"'s {words(way.target.table)}"
            broken = f"b.{column.name} <> {way.alias}.{column.name}"
            there = f"{way.alias}.{column.name} IS NOT NULL AND b.{column.name} IS NOT NULL"
            columns = (column.name, *way.start)
            yield in_sql("reference", profile.dataset.table, columns, says, broken, there, way.joins)


def _dated(profile: Profile, way: Way) -> Iterator[Claim]:
    """On the same day, or not before."""
    theirs = [c.name for c in way.target.columns if c.data_type in MOMENTS and c.name not in BOOKKEEPING]
    for column in (c for c in profile.of(*MOMENTS) if c.name not in BOOKKEEPING):
        for name in theirs:
            mine, other, who = f"b.{column.name}", f"{way.alias}.{name}", words(way.target.table)
            columns, table = (column.name, *way.start), profile.dataset.table
            there = f"{mine} IS NOT NULL AND {other} IS NOT NULL"
            broken = f"CAST({mine} AS DATE) <> CAST({other} AS DATE)"
            says = f"{words(column.name)} is the {words(name)} of its {who}"
            yield in_sql("reference", table, columns, says, broken, there, way.joins)
            says = f"{words(column.name)} is not before the {words(name)} of its {who}"
            yield in_sql("reference", table, columns, says, f"{mine} < {other}", f"{mine} > {other}", way.joins)
            says = f"{words(column.name)} is not after the {words(name)} of its {who}"
            yield in_sql("reference", table, columns, says, f"{mine} > {other}", f"{mine} < {other}", way.joins)


def _kind_of_other(profile: Profile, way: Way) -> Iterator[Claim]:
    """A flag that says what kind of row is referred to: one in which a column is filled, or not."""
    required = {r.columns[0] for r in way.target.rules if r.type == "missing"}
    for flag in profile.of("boolean"):
        for column in (c for c in way.target.columns if c.name not in required):
            for relation, where in (("<>", "has"), ("=", "has no")):
                broken = f"b.{flag.name} {relation} ({way.alias}.{column.name} IS NOT NULL)"
                its = f"its {words(way.target.table)} {where} {words(column.name)}"
                says = f"{words(flag.name)} is set exactly where {its}"
                columns = (flag.name, *way.start)
                there = f"{way.alias}.{column.name} IS NOT NULL AND b.{flag.name} IS NOT NULL"
                yield in_sql("reference", profile.dataset.table, columns, says, broken, there, way.joins)


def _children(catalog: Catalog, profile: Profile) -> Iterator[Claim]:
    """Every row has some rows of another dataset of its group, and a number is their sum or their count."""
    dataset = profile.dataset
    for other in catalog.group(dataset.group).datasets:
        for link in (link for link in other.links if link.to == dataset.table and other.table != dataset.table):
            pairs = tuple(zip(link.columns, dataset.key, strict=True))
            yield _has_some(dataset, other, pairs)
            for column in profile.of("numeric"):
                for part in (c for c in other.columns if c.data_type == "numeric"):
                    yield _is_sum(dataset, other, pairs, column.name, part)


def _has_some(dataset: Dataset, other: Dataset, pairs: Pairs) -> Claim:
    same = " AND ".join(f"k.{theirs} = b.{mine}" for theirs, mine in pairs)
    broken = f"NOT EXISTS (SELECT 1 FROM {{{other.table}}} k WHERE {same})"
    says = f"it has rows in {words(other.table)}"
    return in_sql("reference", dataset.table, dataset.key, says, broken, "TRUE")


def _is_sum(dataset: Dataset, other: Dataset, pairs: Pairs, name: str, part: Column) -> Claim:
    grouped = ", ".join(f"k.{theirs}" for theirs, _ in pairs)
    inside = " AND ".join(f"h.{mine} = k.{theirs}" for theirs, mine in pairs)
    same = " AND ".join(f"s.{theirs} = b.{mine}" for theirs, mine in pairs)
    joins = (
        f"JOIN (\n  SELECT {grouped}, SUM(k.{part.name}) AS total\n  FROM {{{other.table}}} k\n"
        f"  WHERE EXISTS (SELECT 1 FROM {{batch}} h WHERE {inside})\n  GROUP BY {grouped}\n) s ON {same}"
    )
    says = f"{words(name)} is the sum of {words(part.name)} in {words(other.table)}"
    broken = f"ABS(b.{name} - s.total) > {CENT}"
    return in_sql("reference", dataset.table, (name, *dataset.key), says, broken, f"b.{name} <> 0", joins)
