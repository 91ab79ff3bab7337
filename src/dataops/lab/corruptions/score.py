"""The detection score of a group: which corruptions its rules find, which they miss, which rules nothing trips.

Many corruptions are judged in one run of the gate. So that none is credited with what another caused, datasets that
share a rule are never struck in the same run, and a rule that names far more rows than were struck proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.gate.verdict import RuleResult
from dataops.lab.corruptions import probes
from dataops.lab.corruptions import rows as row_level
from dataops.lab.corruptions import sets as set_level
from dataops.lab.corruptions.bed import AGAIN, Bed, Named
from dataops.lab.corruptions.catalogue import Corruption
from dataops.ledger.enums import Outcome

TELLS = (Outcome.WARNED, Outcome.FAILED)
SPILL = 20  # rows named beyond the struck ones, before a rule is taken to speak about the whole
FLAGGED_SHARE = 0.01  # of the rows that a set-level corruption struck


@dataclass(frozen=True)
class Finding:
    """One corruption and the rules that noticed it; none: undetected."""

    corruption: Corruption
    rules: tuple[str, ...]

    @property
    def detected(self) -> bool:
        return bool(self.rules)


@dataclass
class Score:
    """Of one group: all findings, rules that something tripped, and critical rules that clean rows break."""

    group: str
    findings: list[Finding] = field(default_factory=list)
    tripped: set[str] = field(default_factory=set)
    untripped: tuple[str, ...] = ()
    false_alarms: tuple[str, ...] = ()

    def of(self, level: str, table: str | None = None, *, history: bool = False) -> list[Finding]:
        """Findings of a level; of one dataset where named; only those that need history, or all but those."""
        return [
            f
            for f in self.findings
            if f.corruption.level == level
            and table in {None, f.corruption.table}
            and (f.corruption.history and not f.detected) is history
        ]


def tables_of(group: Group) -> dict[str, frozenset[str]]:
    """Rule -> every dataset that it looks at."""
    linked = {link.rule.id: link.to for d in group.datasets for link in d.links}
    return {r.id: frozenset({r.table, *r.tables, *({linked[r.id]} if r.id in linked else ())}) for r in group.rules}


def classes(group: Group) -> list[tuple[str, ...]]:
    """The datasets in as few classes as can be found quickly, none of which holds two that share a rule."""
    shared = list(tables_of(group).values())
    found: list[set[str]] = []
    for table in sorted(group.tables, key=lambda t: -sum(t in tables for tables in shared)):
        near = {name for tables in shared if table in tables for name in tables} - {table}
        home = next((members for members in found if not members & near), None)
        if home is None:
            found.append({table})
        else:
            home.add(table)
    return [tuple(sorted(members)) for members in found]


class Scoring:
    """The runs of one group."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.group = bed.group
        self.score = Score(bed.group.name)
        self._looks_at = tables_of(bed.group)
        failed = [r for r in bed.clean_results.values() if r.outcome.stops]
        self.score.false_alarms = tuple(sorted(f"{r.rule.id} ({r.failing or r.observed})" for r in failed))

    def rows(self) -> None:
        """Row-level corruptions: as many in one run as there are rows for them."""
        for members in classes(self.group):
            pending = {t: list(row_level.derived(self.group.dataset(t))) for t in members}
            while any(pending.values()):
                self._round({t: found for t, found in pending.items() if found})

    def _round(self, pending: dict[str, list[Corruption]]) -> None:
        self.bed.clear(pending)
        planted: list[tuple[Corruption, int]] = []
        with self.bed.opened() as connection:
            for corruptions in pending.values():
                planted += self._plant(connection, corruptions)
        results, named = self._judged(pending)
        sizes = {t: sum(c.table == t for c, _ in planted) for t in pending}
        with self.bed.opened() as connection:
            for corruption, row in planted:
                found = self._noticed(connection, corruption, row, results, named, sizes[corruption.table])
                self.score.findings.append(Finding(corruption, found))
        self.bed.clear(pending)

    def _plant(self, connection: Connection, corruptions: list[Corruption]) -> list[tuple[Corruption, int]]:
        """Plants as many as find a row of their own; the others stay in the list, those that never can are dropped."""
        used: set[int] = set()
        planted, left = [], []
        for corruption in corruptions:
            place = self.bed.victim(connection, corruption, used)
            if place is None:
                left += [corruption] if used and self.bed.victim(connection, corruption, ()) else []
                continue
            self.bed.strike(connection, corruption, *place)
            used |= {row for row in place if row is not None}
            planted.append((corruption, place[0]))
        corruptions[:] = left
        return planted

    def _judged(self, tables: Collection[str]) -> tuple[dict[str, RuleResult], Named]:
        """Results of the gate, and the rows that each rule names beyond those that it names when all is clean."""
        results = {r.rule.id: r for r in self.bed.judge(tables)}
        return results, self._new(results)

    def _new(self, results: dict[str, RuleResult]) -> Named:
        now = self.bed.named(results.values())
        new = {rule: rows - self.bed.clean.get(rule, frozenset()) for rule, rows in now.items()}
        self.score.tripped |= {rule for rule, rows in new.items() if rows}
        self.score.tripped |= {rule for rule, r in results.items() if r.predicate is None and self._changed(r)}
        return new

    def _changed(self, result: RuleResult) -> bool:
        """Whether a rule that names no rows says otherwise than about the clean batch."""
        before = self.bed.clean_results.get(result.rule.id)
        return result.outcome in TELLS and (before is None or before.outcome is Outcome.PASSED)

    def _noticed(
        self,
        connection: Connection,
        corruption: Corruption,
        row: int,
        results: dict[str, RuleResult],
        named: Named,
        struck: int,
    ) -> tuple[str, ...]:
        found = []
        for rule, new in named.items():
            judged = results[rule].rule
            spilt = len(new) > SPILL + 3 * struck
            if corruption.table not in self._looks_at[rule] or spilt or judged.severity == "info":
                continue
            if judged.table == corruption.table:
                hit = frozenset({row, row + AGAIN})
            else:
                hit = self.bed.relatives(connection, corruption, row, self.group.dataset(judged.table))
            if new & hit:
                found.append(rule)
        return tuple(sorted(found))

    def sets(self) -> None:
        """Set-level corruptions: one per dataset and run."""
        for members in classes(self.group):
            pending = {t: list(set_level.derived(self.group, self.group.dataset(t))) for t in members}
            while any(pending.values()):
                self._wave([found.pop(0) for found in pending.values() if found])

    def _wave(self, corruptions: Sequence[Corruption]) -> None:
        with self.bed.opened() as connection:
            struck = {c: self.bed.strike(connection, c) for c in corruptions}
        left = [c for c in corruptions if struck[c]]
        if left:
            results = {r.rule.id: r for r in self.bed.judge([c.table for c in left], ("soda",))}
            left = self._settle(left, struck, results, self._new(results))
        if left:
            left = self._settle(left, struck, *self._conditions({c.table for c in left}))
        self.score.findings += [Finding(c, ()) for c in left]
        self.bed.clear(c.table for c in corruptions)

    def _conditions(self, tables: Collection[str]) -> tuple[dict[str, RuleResult], Named]:
        """Rules that look at these datasets, asked by their own conditions: starting GX for each would take hours."""
        results = {
            rule: replace(result, outcome=Outcome.FAILED)
            for rule, result in self.bed.clean_results.items()
            if result.predicate and result.rule.engine != "soda" and self._looks_at[rule] & set(tables)
        }
        return results, self._new(results)

    def _settle(
        self,
        corruptions: Iterable[Corruption],
        struck: dict[Corruption, int],
        results: dict[str, RuleResult],
        named: Named,
    ) -> list[Corruption]:
        """Books what was detected; returns the others."""
        missed = []
        for c in corruptions:
            rules = [r.rule.id for r in results.values() if self._tells(r, c, named, FLAGGED_SHARE * struck[c])]
            if rules:
                self.score.findings.append(Finding(c, tuple(sorted(rules))))
            else:
                missed.append(c)
        return missed

    def _tells(self, result: RuleResult, corruption: Corruption, named: Named, enough: float) -> bool:
        if result.rule.severity == "info" or corruption.table not in self._looks_at[result.rule.id]:
            return False
        if result.predicate is None:
            return self._changed(result)
        new = named.get(result.rule.id, frozenset())
        return bool(new) and len(new) >= enough

    def rest(self, own: dict[str, Corruption]) -> None:
        """What no corruption of the catalogue has tripped is probed; what stays silent is listed."""
        # A delivery by day never loses published rows; the same one taken for a whole delivery does.
        self._new({r.rule.id: r for r in self.bed.judge(self.bed.tables, (), "whole")})
        # A rule that the known oddities of the clean data break is no dead rule.
        odd = {rule for rule, r in self.bed.clean_results.items() if r.outcome in TELLS}
        self.score.tripped |= odd
        silent = self.bed.clean_results.keys() - self.score.tripped
        probed = {r: self.bed.clean_results[r] for r in silent if self.bed.clean_results[r].predicate}
        self.score.tripped |= probes.tripped(self.bed, probed, own).keys()
        self.score.untripped = tuple(sorted(silent - self.score.tripped - self._switched_off()))

    def _switched_off(self) -> set[str]:
        """Rules that the checkpoint lets pass whatever happens."""
        everything = self.group.checkpoint.deletions >= 1
        return {r.id for r in self.group.rules if r.type == "deletions" and everything}
