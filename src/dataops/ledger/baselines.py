"""The share of failing rows that is accepted of a rule; only ever lowered."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import clock
from dataops.ledger import tables as t


def accepted(connection: Connection) -> dict[str, float]:
    """Accepted share by rule."""
    b = t.baselines.c
    return dict(connection.execute(sa.select(b.rule_id, b.share)).tuples().all())


def tighten(connection: Connection, batch: int, rules: Collection[str]) -> None:
    """Remembers the shares of a published batch where they are the first or the best."""
    if not rules:
        return
    r = t.check_results.c
    seen = sa.select(r.rule_id, r.failing, r.checked).where(
        (r.batch == batch) & r.rule_id.in_(list(rules)) & (r.checked > 0)
    )
    for rule, failing, checked in connection.execute(seen).all():
        _keep(connection, rule, (failing or 0) / checked, checked, batch)


def _keep(connection: Connection, rule: str, share: float, checked: int, batch: int) -> None:
    table = t.baselines
    own = table.c.rule_id == rule
    before = connection.execute(sa.select(table.c.share, table.c.checked).where(own)).first()
    values = {"share": share, "checked": checked, "batch": batch, "set_at": clock.now()}
    if before is None:
        connection.execute(table.insert().values(rule_id=rule, **values))
    elif share < before[0] and checked >= before[1]:
        connection.execute(table.update().where(own).values(**values))
