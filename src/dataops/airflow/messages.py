"""What a blocked gate says in a task's log: what, how much, what first, where to look, what to run."""

from __future__ import annotations

from dataops.facts import impact
from dataops.gate import policy
from dataops.gate.verdict import Verdict
from dataops.ledger.enums import Outcome
from dataops.ledger.workspace import Workspace


def blocked(work: Workspace, verdict: Verdict) -> str:
    """One line for a FAILED verdict."""
    rules = sum(result.outcome is Outcome.FAILED for result in verdict.results)
    parts = [f"{verdict.group}, batch {verdict.batch_id}: {rules} rules blocked, {_quarantined(work, verdict)}."]
    if first := verdict.first_failure:
        rows = f", {first.failing:,} rows" if first.failing is not None else f", observed {first.observed}"
        parts.append(f"First: {first.rule.id} {first.rule.says}{rows}.")
    if waits := impact.of_group(work, verdict.group).reports:
        parts.append(f"Reports waiting: {', '.join(waits)}.")
    site = work.settings.paths.shown(work.settings.paths.data_docs)
    parts.append(f"See {site}; run: dataops quarantine list {verdict.group}")
    return " ".join(parts)


def _quarantined(work: Workspace, verdict: Verdict) -> str:
    quota = work.catalog.group(verdict.group).checkpoint.quota
    received, held = verdict.rows_received, verdict.rows_held
    share = f"{held / received:.1%} of rows, quota {quota.rows:.1%}" if received else "no rows came"
    money = policy.money_share(verdict.money)
    if verdict.money and money is not None and quota.money is not None:
        share += f"; {money:.1%} of {verdict.money.column}, quota {quota.money:.1%}"
    return f"{held:,} of {received:,} rows quarantined ({share})"
