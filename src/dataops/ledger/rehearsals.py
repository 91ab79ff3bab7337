"""What the last dry run of a replay found: how many waiting rows would pass now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Connection

from dataops.ledger import clock
from dataops.ledger import tables as t
from dataops.ledger.reading import Record, every


class Rehearsal(Record):
    """Rows of one dataset that wait, and how many would pass; None: could not be judged."""

    group: str = Field(alias="group_name")
    table: str = Field(alias="table_name")
    waiting: int
    passing: int | None = None
    tried_at: datetime


def replace(connection: Connection, tried: Iterable[tuple[str, str, int, int | None]]) -> None:
    """Keeps (group, table, waiting, passing) of dry runs, in place of what earlier ones found."""
    table, at = t.rehearsals, clock.now()
    connection.execute(table.delete())
    for group, name, waiting, passing in tried:
        row = {"group_name": group, "table_name": name, "waiting": waiting, "passing": passing, "tried_at": at}
        connection.execute(table.insert().values(row))


def of_tables(connection: Connection, names: Collection[str]) -> list[Rehearsal]:
    """What was found of these datasets, by table."""
    table = t.rehearsals
    where = table.c.table_name.in_(list(names))
    return every(connection, Rehearsal, sa.select(table).where(where).order_by(table.c.table_name))
