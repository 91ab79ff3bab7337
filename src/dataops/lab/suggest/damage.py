"""What proposed rules would notice that no rule notices today: the corruptions that the gate is scored with.

Works on a warehouse that is thrown away. Rules are asked by their own conditions, not by starting their engines for
each corruption; those that have none (columns, number of rows) are asked by Soda.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.gate.verdict import RuleResult
from dataops.lab.corruptions import probes, rows, sets
from dataops.lab.corruptions.bed import Bed
from dataops.lab.corruptions.catalogue import Corruption
from dataops.lab.corruptions.score import TELLS
from dataops.ledger.enums import Outcome

NONE: frozenset[int] = frozenset()
OTHERS = re.compile(r"\(SELECT (MIN|MAX)\(.*\)")


@dataclass
class Noticed:
    """By corruption: rows of the dataset that each proposed rule names, and those that declared rules name."""

    by_rule: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    today: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)  # corruptions that rules of other datasets notice

    def new(self, rule: str) -> dict[str, int]:
        """Corruption -> rows that the rule names and that nothing notices today."""
        found = {}
        for name, named in self.by_rule.get(rule, {}).items():
            known = NONE.union(*self.today.get(name, {}).values())
            if name not in self.elsewhere and named - known:
                found[name] = len(named - known)
        return found

    def named(self, rule: str) -> int:
        """How many rows it names, over all corruptions."""
        return sum(map(len, self.by_rule.get(rule, {}).values()))

    def within(self, rule: str, other: Mapping[str, frozenset[int]]) -> bool:
        """Whether all that the rule names is named by `other` as well."""
        own = self.by_rule.get(rule, {})
        return all(named <= other.get(name, NONE) for name, named in own.items())

    def of_declared(self, rule: str) -> dict[str, frozenset[int]]:
        """What a declared rule names, by corruption."""
        return {name: by_rule[rule] for name, by_rule in self.today.items() if rule in by_rule}


def notice(bed: Bed, dataset: Dataset, proposed: Iterable[str]) -> Noticed:
    """Strikes the dataset, and what its proposed rules look at, in every way that the catalogue knows.

    `bed` has the proposed rules among its own.
    """
    noticed, new = Noticed(), set(proposed)
    with bed.opened() as connection:
        bed.show(connection)
        for corruption in _corruptions(bed, dataset, new):
            _strike(bed, connection, corruption, dataset, new, noticed)
    silent = {rule for rule in new if bed.clean_results[rule].predicate is None}
    for corruption in sets.derived(bed.group, dataset) if silent else ():
        if corruption.kind in {"empty", "re-typed"}:
            _ask_soda(bed, corruption, silent, noticed)
    return noticed


def _corruptions(bed: Bed, dataset: Dataset, new: set[str]) -> Iterator[Corruption]:
    """Each once: those that follow from the declarations, and attempts at the proposed rules."""
    seen = set()
    attempts = (a for rule in bed.group.rules if rule.id in new for a in probes.attempts_at(bed, rule))
    for corruption in (*rows.derived(dataset), *attempts):
        what = (corruption.table, corruption.way, corruption.values, corruption.where)
        if what not in seen:
            seen.add(what)
            yield corruption


def _strike(
    bed: Bed, connection: Connection, corruption: Corruption, dataset: Dataset, new: set[str], noticed: Noticed
) -> None:
    """Books which rules name rows that they do not name when all is clean."""
    name = _name(corruption)
    with probes.shown(bed, connection, corruption):
        for rule, result in bed.clean_results.items():
            if not _can_notice(result, corruption):
                continue
            named = bed.rows_of(connection, result) - bed.clean.get(rule, NONE)
            if not named:
                continue
            if rule in new:
                noticed.by_rule.setdefault(rule, {})[name] = named
            elif result.rule.table == dataset.table:
                noticed.today.setdefault(name, {})[rule] = named
            else:
                noticed.elsewhere.add(name)


def _name(corruption: Corruption) -> str:
    """`disturbed orders: order_date + INTERVAL '12 hours'`; others as the catalogue calls them."""
    if corruption.kind != "disturbed":
        return corruption.name
    [(column, value)] = corruption.values
    shown = OTHERS.sub(lambda m: f"its {'least' if m[1] == 'MIN' else 'greatest'} value", value)
    shown = shown.replace("c.", "").replace('"', "")
    return f"disturbed {corruption.table}: {column} becomes {shown}"


def _can_notice(result: RuleResult, corruption: Corruption) -> bool:
    """Its condition speaks of what is changed: a column, or all rows of another dataset."""
    if result.predicate is None or result.rule.severity == "info":
        return False
    sql = result.predicate.sql
    own = result.rule.table == corruption.table
    if not own and f"candidate.{corruption.table}" not in sql:
        return False
    if corruption.way != "change":
        return not own or result.rule.type == "duplicate"
    return any(column in sql for column, _ in corruption.values)


def _ask_soda(bed: Bed, corruption: Corruption, silent: set[str], noticed: Noticed) -> None:
    """A rule that names no rows tells that something is wrong with all of them."""
    with bed.opened() as connection:
        struck = bed.strike(connection, corruption)
    results = bed.judge([corruption.table], ("soda",)) if struck else []
    bed.clear([corruption.table])
    for result in results:
        before = bed.clean_results.get(result.rule.id)
        told = result.outcome in TELLS and (before is None or before.outcome is Outcome.PASSED)
        if told and result.rule.id in silent:
            noticed.by_rule.setdefault(result.rule.id, {})[corruption.name] = frozenset({-1})
        elif told:
            noticed.today.setdefault(corruption.name, {})[result.rule.id] = frozenset({-1})
