"""From results and held rows to one verdict: what blocks a batch, and the sentence that says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dataops.catalog import Group
from dataops.gate.verdict import Held, RuleResult, Verdict, VerdictName


def decide(
    group: Group, batch_id: str, results: Sequence[RuleResult], held: Sequence[Held], money: dict[str, str]
) -> Verdict:
    """ERROR if anything could not be judged, FAILED if the batch as a whole may not be published, else PASSED."""
    errors = [f"{r.rule.id} could not be judged: {r.problem}" for r in results if r.outcome == "error"]
    blocks = _blocking_rules(results) + _over_quota(group, held, money)
    name: VerdictName = "ERROR" if errors else "FAILED" if blocks else "PASSED"
    return Verdict(name, batch_id, group.name, tuple(errors or blocks), tuple(results), tuple(held), money)


def _blocking_rules(results: Sequence[RuleResult]) -> list[str]:
    """Critical rules that name no rows: nothing smaller than the batch can be held."""
    return [
        f"{r.rule.id} ({r.rule.table}): {r.rule.says}; observed {r.observed}"
        for r in results
        if r.outcome == "failed" and not r.names_rows
    ]


def _over_quota(group: Group, held: Sequence[Held], money: dict[str, str]) -> list[str]:
    quota = group.checkpoint.quota
    received, broke = sum(h.received for h in held), sum(h.broke for h in held)
    reasons = []
    if received and broke / received > quota.rows:
        reasons.append(f"{broke:,} of {received:,} rows broke a rule = {broke / received:.1%}; quota {quota.rows:.1%}")
    share = money_share(money)
    if quota.money is not None and share is not None and share > quota.money:
        reasons.append(
            f"{money['column']} {money['held']} of {money['received']} is held = {share:.1%}; quota {quota.money:.1%}"
        )
    return reasons


def money_share(money: dict[str, str]) -> float | None:
    """Held share of the batch's money; None where the group has none."""
    if not money or not Decimal(money["received"]):
        return None
    return float(Decimal(money["held"]) / Decimal(money["received"]))
