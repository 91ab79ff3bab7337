"""Who was told of a publication, and who started from it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import clock
from dataops.ledger import tables as t


def note(connection: Connection, publication: int, partition: str) -> bool:
    """Notes that a publication is announced now; False when it was before."""
    table = t.announcements
    if connection.execute(sa.select(table.c.publication).where(table.c.publication == publication)).first():
        return False
    connection.execute(table.insert().values(publication=publication, partition=partition, announced_at=clock.now()))
    return True


def partition_of(connection: Connection, publication: int) -> str | None:
    """Under which partition a publication was announced."""
    a = t.announcements.c
    return connection.execute(sa.select(a.partition).where(a.publication == publication)).scalar()


def pick_up(connection: Connection, consumer: str, group: str, publication: int) -> None:
    """Notes that `consumer` starts from this publication of a group."""
    table = t.pickups
    connection.execute(table.delete().where(_own(consumer, group)))
    connection.execute(
        table.insert().values(consumer=consumer, group_name=group, publication=publication, picked_up_at=clock.now())
    )


def picked_up(connection: Connection, consumer: str, group: str) -> int | None:
    """The newest publication of a group that `consumer` has started from."""
    return connection.execute(sa.select(t.pickups.c.publication).where(_own(consumer, group))).scalar()


def _own(consumer: str, group: str) -> sa.ColumnElement[bool]:
    return (t.pickups.c.consumer == consumer) & (t.pickups.c.group_name == group)
