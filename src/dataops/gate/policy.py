"""From results and held rows to one verdict: what blocks a batch, and the sentence that says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dataops.declared.catalog import Group
from dataops.gate.verdict import Held, RuleResult, Verdict
from dataops.ledger.enums import Outcome, VerdictName
from dataops.ledger.incidents import Money
from dataops.ledger.waivers import Waiver


@dataclass(frozen=True)
class Terms:
    """Under which terms a batch is judged: what may be held, and whether it only brings back what waited."""

    rows: float
    money: float | None
    replayed: bool = False
    quota_waiver: str | None = None


def terms_of(group: Group, waivers: Sequence[Waiver], *, replayed: bool) -> Terms:
    """The checkpoint's quota, or the one that a waiver allows for this batch."""
    quota = group.checkpoint.quota
    raised = [waiver for waiver in waivers if waiver.rule_id is None]
    if not raised:
        return Terms(quota.rows, quota.money, replayed)
    limit, name = raised[-1].quota or 0.0, raised[-1].waiver_id
    return Terms(max(quota.rows, limit), None if quota.money is None else max(quota.money, limit), replayed, name)


def decide(
    group: Group,
    batch_id: str,
    results: Sequence[RuleResult],
    held: Sequence[Held],
    money: Money | None,
    terms: Terms | None = None,
    unsound: Sequence[str] = (),
) -> Verdict:
    """ERROR if anything could not be judged, FAILED if the batch as a whole may not be published, else PASSED.

    `unsound` says what else must not be published. What only brings back rows that waited is judged row by row: its
    number and share of bad rows say nothing.
    """
    terms = terms or terms_of(group, (), replayed=False)
    errors = [f"{r.rule.id} could not be judged: {r.problem}" for r in results if r.outcome is Outcome.ERROR]
    blocks = [] if terms.replayed else [*unsound, *_blocking_rules(results), *_over_quota(terms, held, money)]
    name = VerdictName.ERROR if errors else VerdictName.FAILED if blocks else VerdictName.PASSED
    used = {waiver for r in results for waiver in r.waivers}
    if terms.quota_waiver and _over_quota(terms_of(group, (), replayed=False), held, money):
        used.add(terms.quota_waiver)
    return Verdict(
        name, batch_id, group.name, tuple(errors or blocks), tuple(results), tuple(held), money, tuple(sorted(used))
    )


def _blocking_rules(results: Sequence[RuleResult]) -> list[str]:
    """Critical rules that name no rows: nothing smaller than the batch can be held."""
    return [
        f"{r.rule.id} ({r.rule.table}): {r.rule.says}; observed {r.observed}"
        for r in results
        if r.outcome is Outcome.FAILED and not r.names_rows
    ]


def _over_quota(terms: Terms, held: Sequence[Held], money: Money | None) -> list[str]:
    received, broke = sum(h.received for h in held), sum(h.broke - h.again for h in held)
    reasons = []
    if received and broke / received > terms.rows:
        reasons.append(f"{broke:,} of {received:,} rows broke a rule = {broke / received:.1%}; quota {terms.rows:.1%}")
    share = money_share(money)
    if money and terms.money is not None and share is not None and share > terms.money:
        reasons.append(
            f"{money.column} {money.held} of {money.received} is held = {share:.1%}; quota {terms.money:.1%}"
        )
    return reasons


def money_share(money: Money | None) -> float | None:
    """Held share of the batch's money; None where the group has none."""
    if not money or not Decimal(money.received):
        return None
    return float(Decimal(money.held) / Decimal(money.received))
