"""Claims about one column, or about the whole dataset: presence, keys, sets, ranges, moments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any

from dataops.lab.suggest.profile import MOMENTS, NUMBERS, ColumnProfile, Profile
from dataops.lab.suggest.proposal import Claim, Proposal, in_sql, literal, words

OFTEN = 0.005  # of the rows, for each value of a set: beside one that is seen less there may be others
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"


def claims(profile: Profile) -> Iterator[Claim]:
    """What may be true of single columns; a rule that is declared is not claimed again."""
    for derive in (_whole, _present, _unique, _sets, _ranges, _moments):
        yield from derive(profile)


def _whole(profile: Profile) -> Iterator[Claim]:
    table = profile.dataset.table
    if not profile.has("schema", *()):
        yield Claim(Proposal("schema", table, (), "columns and types are as agreed", "schema"), "FALSE")
    if not profile.has("row_count") and not profile.dataset.contract.platform.may_be_empty:
        detail = {"threshold": {"must_be_greater_than": 0}}
        yield Claim(Proposal("volume", table, (), "at least one row arrived", "row_count", detail), "FALSE")


def _present(profile: Profile) -> Iterator[Claim]:
    for column in profile.columns.values():
        if column.filled == profile.rows and not profile.has("missing", column.name):
            says = f"{words(column.name)} is present"
            proposal = Proposal("presence", profile.dataset.table, (column.name,), says, "missing")
            yield Claim(proposal, f"b.{column.name} IS NULL")


def _unique(profile: Profile) -> Iterator[Claim]:
    """Keys: of one column, and of two that refer elsewhere where no single one is."""
    table, key = profile.dataset.table, set(profile.dataset.key)
    for column in profile.of("integer", "bigint", "varchar", ids=True):
        alone = column.distinct == column.filled and column.filled == profile.rows
        if alone and not profile.has("duplicate", column.name):
            detail = {"columns": [column.name]} | ({} if {column.name} == key else {"qualifier": column.name})
            says = f"{words(column.name)} is unique"
            yield Claim(Proposal("key", table, (column.name,), says, "duplicate", detail), f"b.{column.name} IS NULL")


def pairs_of_ids(profile: Profile) -> Iterator[tuple[str, str]]:
    """Two columns that name things and may be a key together; whether they are is asked of the rows."""
    several = [
        c
        for c in profile.of("integer", "bigint", "smallint", "varchar", ids=True)
        if c.name in profile.ids and c.distinct < c.filled == profile.rows
    ]
    for one, other in combinations(several, 2):
        enough = one.distinct * other.distinct >= profile.rows
        if enough and {one.name, other.name} != set(profile.dataset.key):
            yield one.name, other.name


def key_of_two(profile: Profile, one: str, other: str) -> Proposal:
    """The proposal for two columns that were found to be a key together."""
    detail = {"columns": [one, other], "qualifier": f"{one}_{other}"}
    says = f"{words(one, other)} are unique together"
    return Proposal("key", profile.dataset.table, (one, other), says, "duplicate", detail, profile.rows)


def _sets(profile: Profile) -> Iterator[Claim]:
    """Values of a column that sorts rows into kinds, each of which occurs often."""
    for column in profile.of("smallint", "integer", "varchar"):
        settled = column.values and min(count for _, count in column.values) >= OFTEN * column.filled
        if not settled or profile.rows < 10 * len(column.values) or profile.has(IN_SET, column.name):
            continue
        values = sorted(value for value, _ in column.values)
        listed = ", ".join(map(literal, values))
        says = f"{words(column.name)} is {_one_of(values)}"
        detail = {"column": column.name, "value_set": values}
        proposal = Proposal("set", profile.dataset.table, (column.name,), says, IN_SET, detail)
        yield Claim(proposal, f"b.{column.name} NOT IN ({listed})", f"b.{column.name} IS NOT NULL")


def _one_of(values: list[Any]) -> str:
    shown = [str(value).strip() for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _ranges(profile: Profile) -> Iterator[Claim]:
    """Signs and shares. Bounds that only happen to be there are none: the next good row may cross them."""
    for column in profile.of(*NUMBERS):
        low, high = _bounds(column)
        if low is None or profile.has(BETWEEN, column.name):
            continue
        detail: dict[str, Any] = {"column": column.name, "min_value": low}
        says = f"{words(column.name)} is {'not negative' if low == 0 else f'at least {low}'}"
        broken = f"b.{column.name} < {low}"
        if high is not None:
            detail["max_value"] = high
            says = f"{words(column.name)} is a share from {low} to {high}"
            broken += f" OR b.{column.name} > {high}"
        proposal = Proposal("range", profile.dataset.table, (column.name,), says, BETWEEN, detail)
        yield Claim(proposal, broken, f"b.{column.name} IS NOT NULL")


def _bounds(column: ColumnProfile) -> tuple[int | None, int | None]:
    if column.low < 0:
        return None, None
    low = 1 if column.type != "numeric" and column.low >= 1 else 0
    share = column.type == "numeric" and Decimal(0) < column.high <= 1
    return low, 1 if share else None


def _moments(profile: Profile) -> Iterator[Claim]:
    """Not before the year of the first; and days that carry no time."""
    table = profile.dataset.table
    for column in profile.of(*MOMENTS):
        name, first = column.name, date(column.low.year, 1, 1)
        broken = f"b.{name} < DATE '{first}'"
        yield in_sql(
            "range", table, (name,), f"{words(name)} is not before {first.year}", broken, f"b.{name} IS NOT NULL"
        )
        if column.type == "timestamp":
            broken = f"b.{name} <> DATE_TRUNC('day', b.{name})"
            says = f"{words(name)} is a day without a time"
            yield in_sql("format", table, (name,), says, broken, f"b.{name} IS NOT NULL")
