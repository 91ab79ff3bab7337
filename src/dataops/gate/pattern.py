"""What the failing rows of a batch have in common that its good rows have not: a hint at the root cause, in plain SQL.

One GROUP BY per column of few values. It reads `candidate` inside the caller's transaction and decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.gate.verdict import Predicate, Verdict
from dataops.warehouse.tables import quoted

FEW_VALUES = 50
LEAST_BAD = 3  # two rows agree on something by chance
OF_BAD, OF_GOOD = 0.8, 0.4  # a value explains when most bad rows have it and most good rows have not
SHOWN = 5


@dataclass(frozen=True)
class Trait:
    """A value that `bad` of `of_bad` failing rows have, and `good` of `of_good` others. NULL is a value: None."""

    column: str
    value: str | None
    bad: int
    of_bad: int
    good: int
    of_good: int

    @property
    def explains(self) -> bool:
        """Whether it tells failing rows from others."""
        telling = self.bad >= OF_BAD * self.of_bad and self.good <= OF_GOOD * self.of_good
        return telling and self.of_bad >= LEAST_BAD and self.of_good > 0

    @property
    def contrast(self) -> float:
        return self.bad / self.of_bad - self.good / self.of_good


def evidence(connection: Connection, group: Group, verdict: Verdict) -> dict[str, Any]:
    """What an incident keeps of a verdict that held a batch: its facts, the failure that came first, its pattern."""
    unjudged = next((r for r in verdict.results if r.outcome == "error"), None)
    first = unjudged or verdict.first_failure
    detail = verdict.detail()
    if first is None:
        return detail
    found: list[Trait] = []
    if first.predicate is not None and unjudged is None:
        dataset = group.dataset(first.rule.table)
        found = pattern(connection, dataset, first.predicate, besides=first.rule.columns)
    return detail | {
        "first": {"table": first.rule.table, "rule": first.rule.id},
        "pattern": [{k: getattr(t, k) for k in Trait.__dataclass_fields__} for t in found],
    }


def pattern(
    connection: Connection, dataset: Dataset, predicate: Predicate, besides: Collection[str] = ()
) -> list[Trait]:
    """Values that set the failing rows of `candidate.<table>` apart, the clearest first; empty when none does.

    Personal data is left out, and so are the columns `besides`, those of the rule itself: they explain nothing.
    """
    hidden = {*besides, *dataset.contract.platform.pii}
    names = [name for name in dataset.column_names if name not in hidden]
    relation = f"(SELECT *, COALESCE({predicate.condition}, FALSE) AS _bad FROM candidate.{dataset.table}) AS q"
    found = [t for name in _of_few_values(connection, names, relation) for t in _traits(connection, name, relation)]
    return sorted((t for t in found if t.explains), key=lambda t: (-t.contrast, t.column))[:SHOWN]


def _of_few_values(connection: Connection, names: list[str], relation: str) -> list[str]:
    if not names:
        return []
    counts = ", ".join(f"COUNT(DISTINCT {quoted([name])})" for name in names)
    row = connection.exec_driver_sql(f"SELECT {counts} FROM {relation}").one()
    return [name for name, count in zip(names, row, strict=True) if count <= FEW_VALUES]


def _traits(connection: Connection, name: str, relation: str) -> list[Trait]:
    rows = connection.exec_driver_sql(
        f"SELECT {quoted([name])}, COUNT(*) FILTER (WHERE _bad), COUNT(*) FILTER (WHERE NOT _bad)"
        f" FROM {relation} GROUP BY 1"
    ).fetchall()
    of_bad, of_good = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return [
        Trait(name, None if value is None else str(value), int(bad), int(of_bad), int(good), int(of_good))
        for value, bad, good in rows
        if bad
    ]
