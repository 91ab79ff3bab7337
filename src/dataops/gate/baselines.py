"""The ratchet: known failures of a rule that says `baseline: true` are accepted; only worse ones are told.

The first publication sets the accepted share; a better one, seen on at least as many rows, tightens it. Nothing
loosens it. Only rules that hold no rows may have one: what is critical needs a waiver, which ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.gate.verdict import RuleResult
from dataops.ledger import tables as ledger


def within(connection: Connection, results: Sequence[RuleResult]) -> list[RuleResult]:
    """Results, those no worse than their baseline passed."""
    accepted = dict(connection.execute(sa.select(ledger.baselines.c.rule_id, ledger.baselines.c.share)).tuples().all())
    return [_within(result, accepted.get(result.rule.id)) for result in results]


def _within(result: RuleResult, accepted: float | None) -> RuleResult:
    if not result.rule.baseline or result.outcome != "warned" or accepted is None or not result.checked:
        return result
    share = (result.failing or 0) / result.checked
    return replace(result, outcome="passed") if share <= accepted else result


def tighten(connection: Connection, group: Group, batch: int) -> None:
    """Remembers the shares of a published batch where they are the first or the best."""
    ratcheted = {rule.id for rule in group.rules if rule.baseline}
    table = ledger.check_results.c
    where = (table.batch == batch) & table.rule_id.in_(ratcheted) & (table.checked > 0)
    for row in ledger.rows(connection, sa.select(ledger.check_results).where(where)) if ratcheted else []:
        _keep(connection, row["rule_id"], (row["failing"] or 0) / row["checked"], row["checked"], batch)


def _keep(connection: Connection, rule_id: str, share: float, checked: int, batch: int) -> None:
    table = ledger.baselines
    found = ledger.one(connection, sa.select(table).where(table.c.rule_id == rule_id))
    values = {"share": share, "checked": checked, "batch": batch, "set_at": ledger.now()}
    if found is None:
        connection.execute(table.insert().values(rule_id=rule_id, **values))
    elif share < found["share"] and checked >= found["checked"]:
        connection.execute(table.update().where(table.c.rule_id == rule_id).values(**values))
