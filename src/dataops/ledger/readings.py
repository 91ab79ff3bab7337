"""Where a live source stood when batches were read from it: from when on its changes are still to be looked for."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import tables as t
from dataops.ledger.enums import STANDS
from dataops.ledger.reading import Record, one
from dataops.sources.port import Position


class Reading(Record):
    """Of one batch; `settled`: until when nothing that changed can have been missed. Times by the source's clock."""

    batch: int
    identity: str
    mark: int
    now: datetime
    oldest: int
    next: int
    deletions: int | None = None
    settled: datetime

    @property
    def position(self) -> Position:
        return Position(self.identity, self.mark, self.now, self.oldest, self.next, deletions=self.deletions)


def note(connection: Connection, batch: int, position: Position, settled: datetime) -> None:
    """Of a batch that is sealed now."""
    row = {name: getattr(position, name) for name in ("identity", "mark", "now", "oldest", "next", "deletions")}
    connection.execute(t.readings.insert().values(batch=batch, settled=settled, **row))


def renew(connection: Connection, group: str, position: Position) -> None:
    """Everything was compared at this position and is the same: the group counts as read there."""
    for standing in (False, True):
        if found := last(connection, group, standing=standing):
            connection.execute(t.readings.delete().where(t.readings.c.batch == found.batch))
            note(connection, found.batch, position, position.now)


def last(connection: Connection, group: str, *, standing: bool = False) -> Reading | None:
    """The group's newest; with `standing` of a batch whose rows are what is published, or were before a later one."""
    mine = t.batches.c.group_name == group
    if standing:
        mine &= t.batches.c.state.in_(STANDS)
    joined = sa.join(t.readings, t.batches, t.readings.c.batch == t.batches.c.seq)
    query = sa.select(t.readings).select_from(joined).where(mine).order_by(t.readings.c.batch.desc()).limit(1)
    return one(connection, Reading, query)


def forget_since(connection: Connection, group: str, publication: int) -> None:
    """Those of batches that were read or published after this one: what they brought stands no more."""
    b, p = t.batches.c, t.publications.c
    read_later = sa.select(b.seq).where((b.group_name == group) & (b.horizon >= publication))
    published_later = sa.select(p.batch).where((p.group_name == group) & (p.seq > publication) & p.batch.is_not(None))
    mine = t.readings.c.batch
    connection.execute(t.readings.delete().where(mine.in_(read_later) | mine.in_(published_later)))
