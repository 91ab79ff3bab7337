"""Figures that a report had told and that a later publication changed: which, before and after, by what."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import clock
from dataops.ledger import tables as t
from dataops.ledger.reading import Record, every


class Restatement(Record):
    """One figure of one period; `before` and `after` are exact, as text, None where there is none."""

    report: str
    period: str
    metric: str
    cell: str
    """of what the figure is, `Australia`; empty: of the whole"""
    before: str | None = None
    after: str | None = None
    told: int
    """number of the publication that the report was made of"""
    publication: int
    """number of the newest publication that changed it"""
    causes: tuple[str, ...]
    """publications that changed rows behind it, oldest first"""
    rows: tuple[str, ...]
    """rows behind it that changed, the first few"""
    rows_changed: int
    noted_at: datetime | None = None


def note(connection: Connection, found: Collection[Restatement]) -> list[Restatement]:
    """Keeps what was not kept before: the same change of a figure is told once."""
    table, new = t.restatements, []
    for one in found:
        known = sa.select(table.c.report).where(
            (table.c.report == one.report)
            & (table.c.period == one.period)
            & (table.c.metric == one.metric)
            & (table.c.cell == one.cell)
            & (table.c.told == one.told)
            & (table.c.publication == one.publication)
        )
        if connection.execute(known).first() is None:
            connection.execute(table.insert().values(one.model_dump() | {"noted_at": clock.now()}))
            new.append(one)
    return new


def of(connection: Connection, report: str | None = None, up_to: int | None = None) -> list[Restatement]:
    """Newest first; `up_to`: only those that this publication or an earlier one made."""
    table = t.restatements
    statement = sa.select(table).order_by(table.c.publication.desc(), table.c.period, table.c.metric, table.c.cell)
    if report is not None:
        statement = statement.where(table.c.report == report)
    if up_to is not None:
        statement = statement.where(table.c.publication <= up_to)
    return every(connection, Restatement, statement)
