"""The ratchet: known failures of a rule that says `baseline: true` are accepted; only worse ones are told.

The first publication sets the accepted share; a better one, seen on at least as many rows, tightens it. Nothing
loosens it. Only rules that hold no rows may have one: what is critical needs a waiver, which ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.gate.verdict import RuleResult
from dataops.ledger import baselines
from dataops.ledger.enums import Outcome


def within(connection: Connection, results: Sequence[RuleResult]) -> list[RuleResult]:
    """Results, those no worse than their baseline passed."""
    accepted = baselines.accepted(connection)
    return [_within(result, accepted.get(result.rule.id)) for result in results]


def _within(result: RuleResult, accepted: float | None) -> RuleResult:
    if not result.rule.baseline or result.outcome is not Outcome.WARNED or accepted is None or not result.checked:
        return result
    share = (result.failing or 0) / result.checked
    return replace(result, outcome=Outcome.PASSED) if share <= accepted else result


def tighten(connection: Connection, group: Group, batch: int) -> None:
    """Remembers the shares of a published batch where they are the first or the best."""
    baselines.tighten(connection, batch, {rule.id for rule in group.rules if rule.baseline})
