"""Audits of what is published: when, against which source, what was found, and how each dataset scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import sqlalchemy as sa
from pydantic import BeforeValidator, Field
from sqlalchemy.engine import Connection

from dataops.ledger import tables as t
from dataops.ledger.enums import Dimension, FindingKind
from dataops.ledger.reading import Record, every


class Finding(Record):
    """One kind of damage in one dataset; `sample` holds keys, in the order of the dataset's key."""

    kind: FindingKind
    table: str = Field(alias="table_name")
    says: str
    rows: int | None = None
    sample: Annotated[tuple[tuple[str, ...], ...], BeforeValidator(lambda rows: tuple(map(tuple, rows or ())))] = ()


class Score(Record):
    """Of what was checked of a dataset in one dimension, how much held: rows, or for timeliness hours."""

    table: str = Field(alias="table_name")
    dimension: Dimension
    held: int
    checked: int

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where nothing was checked."""
        return self.held / self.checked if self.checked else None


class Audit(Record):
    """One audit; `problem` says why not everything could be looked at."""

    audited_at: datetime
    source: str | None = None
    problem: str | None = None
    publication: int


def add(connection: Connection, audit: Audit, findings: Sequence[Finding], scores: Sequence[Score]) -> None:
    """Records an audit with all that it found."""
    at = {"audited_at": audit.audited_at}
    connection.execute(t.audits.insert().values(audit.model_dump(mode="python")))
    for table, rows in ((t.audit_findings, findings), (t.audit_scores, scores)):
        if rows:
            connection.execute(table.insert(), [at | row.model_dump(mode="python", by_alias=True) for row in rows])


def newest(connection: Connection, limit: int) -> list[Audit]:
    """Newest first."""
    return every(connection, Audit, sa.select(t.audits).order_by(t.audits.c.audited_at.desc()).limit(limit))


def findings(connection: Connection, at: datetime) -> list[Finding]:
    """Of one audit."""
    table = t.audit_findings
    order = (table.c.table_name, table.c.kind, table.c.says)
    columns = [c for c in table.c if c.name != "audited_at"]
    return every(connection, Finding, sa.select(*columns).where(table.c.audited_at == at).order_by(*order))


def scores(connection: Connection, at: datetime) -> list[Score]:
    """Of one audit."""
    table = t.audit_scores
    columns = [c for c in table.c if c.name != "audited_at"]
    where = table.c.audited_at == at
    return every(connection, Score, sa.select(*columns).where(where).order_by(table.c.table_name, table.c.dimension))


def checked_since(connection: Connection, since: datetime) -> dict[tuple[str, str], tuple[int, int]]:
    """By table and rule, over batches judged since then: rows that broke it, and rows that it looked at."""
    c, brought = t.check_results.c, t.batch_datasets.c
    arrived = (brought.batch == c.batch) & (brought.table_name == c.table_name)
    checked = sa.func.coalesce(c.checked, brought.received)  # the platform's own rules look at all that arrived
    query = (
        sa.select(c.table_name, c.rule_id, sa.func.sum(c.failing), sa.func.sum(checked))
        .select_from(sa.outerjoin(t.check_results, t.batch_datasets, arrived))
        .where((c.judged_at >= since) & c.failing.is_not(None))
        .group_by(c.table_name, c.rule_id)
    )
    return {(str(row[0]), str(row[1])): (int(row[2] or 0), int(row[3] or 0)) for row in connection.execute(query)}
