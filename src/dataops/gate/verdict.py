"""What a gate says: the outcome of every rule, and one verdict that explains itself.

Pure values; no engine and no database is known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from dataops.declared.catalog import Rule
from dataops.ledger.enums import Outcome, VerdictName
from dataops.ledger.incidents import BrokenRule, Detail, Money

PredicateKind = Literal["where", "rows"]


@dataclass(frozen=True)
class Predicate:
    """Names the failing rows of `candidate.<table>`: a condition that is true for them, or a query of their `_row`."""

    kind: PredicateKind
    sql: str

    def stored(self) -> str:
        return f"{self.kind}:{self.sql}"

    @classmethod
    def restored(cls, text: str | None) -> Predicate | None:
        if text is None:
            return None
        kind, _, sql = text.partition(":")
        return cls("where" if kind == "where" else "rows", sql)

    @property
    def condition(self) -> str:
        """As a condition on a row of `candidate.<table>`."""
        return self.sql if self.kind == "where" else f"_row IN ({self.sql})"


@dataclass(frozen=True)
class RuleResult:
    """What became of one rule on one batch. `failing` counts rows; None where a rule names no rows."""

    rule: Rule
    outcome: Outcome
    observed: str | None = None
    failing: int | None = None
    checked: int | None = None
    predicate: Predicate | None = None
    sample: tuple[dict[str, str], ...] = ()
    problem: str | None = None
    waivers: tuple[str, ...] = ()  # those that let rows or the batch pass

    @property
    def names_rows(self) -> bool:
        return self.predicate is not None

    def with_sample(self, sample: list[dict[str, str]]) -> RuleResult:
        return replace(self, sample=tuple(sample))


def judged(rule: Rule, success: bool, **values: Any) -> RuleResult:  # noqa: ANN401  fields of RuleResult
    """A result whose outcome follows from success and severity: only a critical rule fails."""
    broken = Outcome.FAILED if rule.severity == "critical" else Outcome.WARNED
    return RuleResult(rule, Outcome.PASSED if success else broken, **values)


def unjudged(rule: Rule, problem: str) -> RuleResult:
    """A rule that could not be judged; it makes the verdict ERROR."""
    return RuleResult(rule, Outcome.ERROR, problem=problem)


@dataclass(frozen=True)
class Held:
    """How much of one dataset's batch may not be published."""

    table: str
    received: int
    broke: int  # rows that broke a critical rule themselves
    fell: int  # rows that are held because of their parent or family
    again: int = 0  # of `broke`: rows that waited already and were asked for again

    @property
    def rows(self) -> int:
        return self.broke + self.fell


@dataclass(frozen=True)
class Verdict:
    """PASSED, FAILED or ERROR for one batch, with everything that led to it."""

    name: VerdictName
    batch_id: str
    group: str
    reasons: tuple[str, ...]
    results: tuple[RuleResult, ...]
    held: tuple[Held, ...] = ()
    money: Money | None = None  # None where the group has none
    waivers: tuple[str, ...] = ()  # ids of those that it rests on

    @property
    def passed(self) -> bool:
        return self.name is VerdictName.PASSED

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results)

    @property
    def rows_received(self) -> int:
        return sum(item.received for item in self.held)

    @property
    def rows_held(self) -> int:
        return sum(item.rows for item in self.held)

    @property
    def sentence(self) -> str:
        """What is wrong, in a few words: the rule with the most failing rows, batch-level rules first."""
        if self.name is VerdictName.ERROR:
            return f"could not judge {self.group}: {self.reasons[0]}"
        worst = self.first_failure
        return worst.rule.says if worst else self.reasons[0]

    @property
    def first_failure(self) -> RuleResult | None:
        """The failed rule that explains most."""
        failed = [r for r in self.results if r.outcome is Outcome.FAILED]
        return max(failed, key=lambda r: (not r.names_rows, r.failing or 0), default=None)

    def detail(self) -> Detail:
        """The facts that an incident keeps."""
        failed = [r for r in self.results if r.outcome.stops]
        return Detail(
            verdict=self.name,
            reasons=self.reasons,
            rules=tuple(
                BrokenRule(rule=r.rule.id, table=r.rule.table, says=r.rule.says, failing=r.failing, observed=r.observed)
                for r in failed
            ),
            rows_held=self.rows_held,
            rows_received=self.rows_received,
            money=self.money,
        )
