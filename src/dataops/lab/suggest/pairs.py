"""Claims about columns of one row: order, sums and products, what is present together or depends on a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

from sqlalchemy.engine import Connection

from dataops.lab.suggest.profile import MOMENTS, NUMBERS, ColumnProfile, Profile
from dataops.lab.suggest.proposal import LEAST, Claim, Proposal, in_sql, literal, words

ORDER = "expect_column_pair_values_a_to_be_greater_than_b"
AMOUNTS = 8  # columns of numbers among which sums are looked for
CENT = "0.01"  # what parts may differ by that were rounded before they were summed


def claims(connection: Connection, profile: Profile) -> Iterator[Claim]:
    """What may be true between the columns of a row."""
    for derive in (_ordered, _together, _by_flag, _computed):
        yield from derive(profile)
    for kind in (kind for kind in profile.kinds if kind.type != "boolean"):
        yield from _by_kind(connection, profile, kind)


def _ordered(profile: Profile) -> Iterator[Claim]:
    """One is never greater than the other, and their values overlap: else it says nothing about rows."""
    for types in (MOMENTS, *((number,) for number in NUMBERS)):
        for later, earlier in permutations(profile.of(*types), 2):
            if later.low < earlier.low or later.high < earlier.high or earlier.high < later.low:
                continue
            if any(r.type == ORDER and r.columns == (later.name, earlier.name) for r in profile.dataset.rules):
                continue
            detail = {
                "column_A": later.name,
                "column_B": earlier.name,
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            }
            relation = "before" if later.type in MOMENTS else "less than"
            says = f"{words(later.name)} is not {relation} {words(earlier.name)}"
            proposal = Proposal("pair", profile.dataset.table, (later.name, earlier.name), says, ORDER, detail)
            differs = f"b.{later.name} > b.{earlier.name}"
            yield Claim(proposal, f"b.{later.name} < b.{earlier.name}", differs)


def _sparse(profile: Profile) -> list[ColumnProfile]:
    """Columns that are filled in some rows and empty in others."""
    return [c for c in profile.columns.values() if LEAST <= c.filled <= profile.rows - LEAST]


def _together(profile: Profile) -> Iterator[Claim]:
    for one, other in combinations(_sparse(profile), 2):
        if one.filled == other.filled:
            broken = f"(b.{one.name} IS NULL) <> (b.{other.name} IS NULL)"
            says = f"{words(one.name, other.name)} come together"
            yield in_sql("pair", profile.dataset.table, (one.name, other.name), says, broken, f"b.{one.name} IS NULL")


def _by_flag(profile: Profile) -> Iterator[Claim]:
    """Present where a flag is set or is not, absent there, or exactly there."""
    table = profile.dataset.table
    for flag in (kind for kind in profile.kinds if kind.type == "boolean"):
        for column in _sparse(profile):
            columns, mine, there = (flag.name, column.name), words(column.name), f"b.{column.name} IS NOT NULL"
            for value, relation in ((True, "<>"), (False, "=")):
                here, who = is_kind(flag, value)
                says = f"{mine} is present exactly where {who}"
                yield in_sql("pair", table, columns, says, f"b.{flag.name} {relation} ({there})", there)
                says = f"{mine} is present where {who}"
                yield in_sql("pair", table, columns, says, f"{here} AND b.{column.name} IS NULL", here)
                yield in_sql("pair", table, columns, f"{mine} is absent where {who}", f"{here} AND {there}", here)


def _by_kind(connection: Connection, profile: Profile, kind: ColumnProfile) -> Iterator[Claim]:
    """Columns that are filled in all rows of some kinds and in none of the others."""
    sparse = [c for c in _sparse(profile) if c.name != kind.name]
    counts = ", ".join(f'COUNT("{c.name}")' for c in sparse)
    if not sparse:
        return
    sql = f'SELECT "{kind.name}", COUNT(*), {counts} FROM {profile.dataset.published_name} GROUP BY 1 ORDER BY 1'
    rows = [tuple(row) for row in connection.exec_driver_sql(sql) if row[0] is not None]
    for n, column in enumerate(sparse, 2):
        full = [is_kind(kind, row[0]) for row in rows if row[n] == row[1]]
        empty = [is_kind(kind, row[0]) for row in rows if not row[n]]
        if full and empty and len(full) + len(empty) == len(rows):
            there = " OR ".join(condition for condition, _ in full)
            not_there = " OR ".join(condition for condition, _ in empty)
            broken = f"(({there}) AND b.{column.name} IS NULL) OR (({not_there}) AND b.{column.name} IS NOT NULL)"
            says = f"{words(column.name)} is present exactly where {' or '.join(who for _, who in full)}"
            yield in_sql("pair", profile.dataset.table, (kind.name, column.name), says, broken, there)


def is_kind(kind: ColumnProfile, value: Any) -> tuple[str, str]:  # noqa: ANN401  any column's value
    """The condition that a row is of a kind, and how people say it."""
    name = words(kind.name)
    if isinstance(value, bool):
        return (f"b.{kind.name}", f"{name} is set") if value else (f"NOT b.{kind.name}", f"{name} is not set")
    return f"b.{kind.name} = {literal(value)}", f"{name} is {str(value).strip()}"


def _computed(profile: Profile) -> Iterator[Claim]:
    """A number that is the sum, the difference or the product of others."""
    amounts = [c for c in profile.of(*NUMBERS) if c.distinct > 1][:AMOUNTS]
    for target in (c for c in amounts if c.type == "numeric"):
        others = [c.name for c in amounts if c is not target]
        for parts, says, sql in _formulas(others):
            broken = f"ABS(b.{target.name} - ({sql})) > {CENT}"
            speaks = " AND ".join(f"b.{name} <> 0" for name in parts)
            columns = (target.name, *parts)
            yield in_sql("pair", profile.dataset.table, columns, f"{words(target.name)} is {says}", broken, speaks)


def _formulas(names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Columns, words, SQL."""
    for size in (2, 3):
        for parts in combinations(names, size):
            yield parts, " plus ".join(map(words, parts)), " + ".join(f"b.{name}" for name in parts)
    for one, other in combinations(names, 2):
        yield (one, other), f"{words(one)} times {words(other)}", f"b.{one} * b.{other}"
        for less in (name for name in names if name not in {one, other}):
            sql = f"b.{one} * b.{other} * (1 - b.{less})"
            yield (one, other, less), f"{words(one)} times {words(other)} less {words(less)}", sql
