"""What the failing rows of a batch have in common that its good rows have not: a hint at the root cause, in plain SQL.

One GROUP BY per column of few values. It reads `candidate` inside the caller's transaction and decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.gate.verdict import Predicate, Verdict
from dataops.ledger.enums import Outcome
from dataops.ledger.incidents import Detail, First, Trait
from dataops.warehouse.tables import quoted

FEW_VALUES = 50
LEAST_BAD = 3  # two rows agree on something by chance
OF_BAD, OF_GOOD = 0.8, 0.4  # a value explains when most bad rows have it and most good rows have not
SHOWN = 5


def evidence(connection: Connection, group: Group, verdict: Verdict) -> Detail:
    """What an incident keeps of a verdict that held a batch: its facts, the failure that came first, its pattern."""
    unjudged = next((r for r in verdict.results if r.outcome is Outcome.ERROR), None)
    first = unjudged or verdict.first_failure
    detail = verdict.detail()
    if first is None:
        return detail
    found: list[Trait] = []
    if first.predicate is not None and unjudged is None:
        dataset = group.dataset(first.rule.table)
        found = pattern(connection, dataset, first.predicate, besides=first.rule.columns)
    named = First(table=first.rule.table, rule=first.rule.id)
    return detail.model_copy(update={"first": named, "pattern": tuple(found)})


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
    return sorted((t for t in found if _explains(t)), key=lambda t: (-_contrast(t), t.column))[:SHOWN]


def _explains(trait: Trait) -> bool:
    """Whether it tells failing rows from others."""
    telling = trait.bad >= OF_BAD * trait.of_bad and trait.good <= OF_GOOD * trait.of_good
    return telling and trait.of_bad >= LEAST_BAD and trait.of_good > 0


def _contrast(trait: Trait) -> float:
    return trait.bad / trait.of_bad - trait.good / trait.of_good


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
        Trait(
            column=name,
            value=None if value is None else str(value),
            bad=int(bad),
            of_bad=int(of_bad),
            good=int(good),
            of_good=int(of_good),
        )
        for value, bad, good in rows
        if bad
    ]
