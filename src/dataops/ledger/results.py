"""What both engines and the platform said of every rule on a batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated

import sqlalchemy as sa
from pydantic import BeforeValidator, Field
from sqlalchemy.engine import Connection

from dataops.ledger import tables as t
from dataops.ledger.enums import Outcome
from dataops.ledger.reading import Record, every


class CheckResult(Record):
    """One rule on one batch. `failing` counts rows; None where a rule names no rows."""

    batch: int
    rule_id: str
    table: str = Field(alias="table_name")
    engine: str
    severity: str
    outcome: Outcome
    observed: str | None = None
    failing: int | None = None
    checked: int | None = None
    predicate: str | None = None  # SQL that is true for a failing row, or a query of their _row
    sample: Annotated[tuple[dict[str, str], ...], BeforeValidator(lambda rows: rows or ())] = ()  # keys only
    problem: str | None = None
    rules_hash: str
    judged_at: datetime


def replace(connection: Connection, batch: int, results: Sequence[CheckResult], engines: Sequence[str]) -> None:
    """Replaces the stored results of these engines; none named: of all."""
    table = t.check_results
    where = table.c.batch == batch
    connection.execute(table.delete().where(where & table.c.engine.in_(engines) if engines else where))
    if results:
        connection.execute(table.insert(), [result.model_dump(mode="python", by_alias=True) for result in results])


def of_batch(connection: Connection, batch: int | None, outcomes: Collection[Outcome] = ()) -> list[CheckResult]:
    """Results of a batch, by table and rule; only those of `outcomes` where some are named."""
    table = t.check_results
    where = table.c.batch == batch
    if outcomes:
        where &= table.c.outcome.in_(list(outcomes))
    return every(connection, CheckResult, sa.select(table).where(where).order_by(table.c.table_name, table.c.rule_id))


def counts(connection: Connection, batch: int | None) -> dict[Outcome, int]:
    """How many rules of a batch ended how; empty where it was not judged."""
    table = t.check_results.c
    query = sa.select(table.outcome, sa.func.count()).where(table.batch == batch).group_by(table.outcome)
    return {Outcome(outcome): int(count) for outcome, count in connection.execute(query.order_by(table.outcome))}


def last_outcomes(connection: Connection, rule: str | None, limit: int) -> list[Outcome]:
    """How the rule's last judgements ended, oldest first."""
    table = t.check_results.c
    query = sa.select(table.outcome).where(table.rule_id == rule).order_by(table.batch.desc()).limit(limit)
    return [Outcome(found) for found in connection.execute(query).scalars()][::-1]


def fired(connection: Connection, batches: Collection[int]) -> list[tuple[str, int, int]]:
    """Rules that failed or warned on these batches: (rule, batches, rows), the most rows first."""
    table = t.check_results.c
    rows = sa.func.coalesce(sa.func.sum(table.failing), 0)
    mine = table.batch.in_(list(batches)) & table.outcome.in_([Outcome.FAILED, Outcome.WARNED, Outcome.ERROR])
    query = sa.select(table.rule_id, sa.func.count(table.batch.distinct()), rows).where(mine).group_by(table.rule_id)
    return [(r[0], int(r[1]), int(r[2])) for r in connection.execute(query.order_by(rows.desc(), table.rule_id))]


def observed_without_rows(connection: Connection, batch: int, rule: str | None) -> str | None:
    """What a rule that names no rows observed on a batch."""
    table = t.check_results.c
    mine = (table.batch == batch) & (table.rule_id == rule) & table.predicate.is_(None)
    return connection.execute(sa.select(table.observed).where(mine)).scalar()


def forget(connection: Connection, batch: int) -> None:
    """Removes the results of a batch."""
    connection.execute(t.check_results.delete().where(t.check_results.c.batch == batch))
