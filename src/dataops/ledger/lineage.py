"""What a lineage server is to know: notices in the outbox, and one delivery of each event that they lead to.

A notice names what happened and holds nothing of it; events are made of it when its turn comes, so an outage of days
costs a line each. An event that somebody else made, a scheduler, is kept whole until it is routed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import clock, heartbeats, numbering
from dataops.ledger import tables as t
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.heartbeats import Beat
from dataops.ledger.outbox import Delivery, Notice, about, waiting
from dataops.ledger.reading import Record, every, one

WHOM = "lineage"
"""The receiver: there is one server, whatever its address is."""
KEPT = timedelta(days=7)
"""How long it is known that an event was taken, so that none is told twice."""


class Root(Record):
    """A run of a scheduler that a batch is a part of, as the scheduler's own lineage names it."""

    namespace: str
    job: str
    run: str


class Kept(Record):
    """An event on its way. `what`: by which it is told once; `subject`: its first word is what it keeps order with."""

    what: str
    subject: str
    content: str


def note(connection: Connection, what: str) -> None:
    """Notes that something happened, in its transaction: `judged 7`, `closed 7`, `published 3`, `made R-1`, `sent 5`.

    The numbers are of batches, publications and deliveries; each is given once, so nothing is looked up here.
    """
    _insert(connection, what, what)


def hand_in(connection: Connection, events: Sequence[Kept]) -> None:
    """Notes events that others made, in their order; none twice."""
    table = t.outbox
    names = [event.what for event in events]
    known = set(connection.execute(sa.select(table.c.what).where(table.c.what.in_(names))).scalars())
    for event in {event.what: event for event in events if event.what not in known}.values():
        _insert(connection, event.what, event.subject)
        _keep(connection, [event])


def _insert(connection: Connection, what: str, subject: str) -> None:
    table = t.outbox
    row = {
        "seq": numbering.next_seq(connection, table),
        "kind": NoticeKind.LINEAGE.value,
        "what": what,
        "subject": subject,
        "happened_at": clock.now(),
    }
    connection.execute(table.insert().values(row))


def untold(connection: Connection, limit: int) -> list[Notice]:
    """Notices of which no events were made yet, oldest first."""
    table = t.outbox
    return every(connection, Notice, sa.select(table).where(_untold()).order_by(table.c.seq).limit(limit))


def untold_since(connection: Connection) -> tuple[int, datetime | None]:
    """How many of those there are, and when the oldest happened."""
    table = t.outbox
    count, since = connection.execute(
        sa.select(sa.func.count(), sa.func.min(table.c.happened_at)).where(_untold())
    ).one()
    return int(count), since


def _untold() -> sa.ColumnElement[bool]:
    return (t.outbox.c.kind == NoticeKind.LINEAGE) & t.outbox.c.routed_at.is_(None)


def is_awaited(connection: Connection, batch: int) -> bool:
    """Whether a batch is still to be told of: a notice of it waits, and somebody tells lineage here."""
    told = heartbeats.last(connection, Beat.LINEAGE)
    if told is None or clock.now() - told > KEPT:
        return False
    waits = sa.select(t.outbox.c.seq).where(_untold() & _of_batch(batch)).limit(1)
    return connection.execute(waits).first() is not None


def withdraw(connection: Connection, batch: int) -> None:
    """Removes what was noted of a batch that the ledger forgets."""
    connection.execute(t.outbox.delete().where((t.outbox.c.kind == NoticeKind.LINEAGE) & _of_batch(batch)))
    connection.execute(t.batch_roots.delete().where(t.batch_roots.c.batch == batch))


def _of_batch(batch: int) -> sa.ColumnElement[bool]:
    what = t.outbox.c.what
    return (what == f"closed {batch}") | what.startswith(f"judged {batch} ")


def route(connection: Connection, notice: Notice, events: Sequence[Kept]) -> None:
    """Makes a delivery of each event that there is none of yet."""
    table = t.deliveries
    names = [event.what for event in events]
    same = (table.c.channel == Channel.LINEAGE) & table.c.what.in_(names)
    known = set(connection.execute(sa.select(table.c.what).where(same)).scalars())
    new = [event for event in events if event.what not in known]
    to = {"channel": Channel.LINEAGE.value, "whom": WHOM, "due_at": clock.now()}
    rows = [waiting(connection, notice, to | {"what": event.what, "subject": event.subject}) for event in new]
    if rows:
        connection.execute(table.insert(), rows)
        _keep(connection, [event for event in new if event.what != notice.what])  # else it is kept already
    connection.execute(t.outbox.update().where(t.outbox.c.seq == notice.seq).values(routed_at=clock.now()))


def due(connection: Connection, limit: int) -> list[Delivery]:
    """Events to be sent now, in the order in which they were made; none of a dataset of which an earlier one waits."""
    table, earlier = t.deliveries, t.deliveries.alias("earlier")
    now = clock.now()
    waits = (earlier.c.channel == Channel.LINEAGE) & (earlier.c.state == DeliveryState.WAITING)
    waits &= (earlier.c.due_at > now) & (earlier.c.seq < table.c.seq) & (about(earlier) == about(table))
    own = (table.c.channel == Channel.LINEAGE) & (table.c.state == DeliveryState.WAITING) & (table.c.due_at <= now)
    own &= ~sa.exists(sa.select(earlier.c.seq).where(waits))
    return every(connection, Delivery, sa.select(table).where(own).order_by(table.c.seq).limit(limit))


def contents(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """Events as they are kept, by what they tell."""
    table = t.events
    found = connection.execute(sa.select(table.c.what, table.c.content).where(table.c.what.in_(list(names))))
    return {row.what: row.content for row in found}


def _keep(connection: Connection, events: Sequence[Kept]) -> None:
    if events:
        rows = [{"what": event.what, "content": event.content} for event in events]
        connection.execute(t.events.insert(), rows)


def settled(connection: Connection, what: str) -> None:
    """It need not be kept any more."""
    connection.execute(t.events.delete().where(t.events.c.what == what))


def belongs_to(connection: Connection, batch_id: str, root: Root) -> None:
    """Notes which run of a scheduler a batch is a part of."""
    batch = sa.select(t.batches.c.seq).where(t.batches.c.batch_id == batch_id)
    connection.execute(t.batch_roots.insert().values(batch=batch.scalar_subquery(), **root.model_dump()))


def root_of(connection: Connection, batch: int) -> Root | None:
    """The scheduler's run that a batch is a part of; None: somebody started it by hand."""
    return one(connection, Root, sa.select(t.batch_roots).where(t.batch_roots.c.batch == batch).limit(1))


def last_taken(connection: Connection) -> datetime | None:
    """When the server last took an event."""
    table = t.deliveries
    taken = (table.c.channel == Channel.LINEAGE) & (table.c.state == DeliveryState.DELIVERED)
    return connection.execute(sa.select(sa.func.max(table.c.settled_at)).where(taken)).scalar()


def counts(connection: Connection) -> dict[DeliveryState, int]:
    """How many events are in each state; those that were taken only as long as that is known."""
    table = t.deliveries
    own = table.c.channel == Channel.LINEAGE
    rows = connection.execute(sa.select(table.c.state, sa.func.count()).where(own).group_by(table.c.state))
    return {DeliveryState(name): int(number) for name, number in rows}


def stuck_since(connection: Connection) -> datetime | None:
    """Since when an event was tried and not taken, the oldest of those that wait."""
    table = t.deliveries
    tried = (table.c.channel == Channel.LINEAGE) & (table.c.state == DeliveryState.WAITING) & (table.c.attempts > 0)
    return connection.execute(sa.select(sa.func.min(table.c.created_at)).where(tried)).scalar()


def forget(connection: Connection) -> None:
    """Removes what was settled long ago, for the ledger knows all that it told, and what a person gave up."""
    table = t.deliveries
    own = table.c.channel == Channel.LINEAGE
    given_up = sa.select(table.c.what).where(own & (table.c.state == DeliveryState.DROPPED))
    connection.execute(t.events.delete().where(t.events.c.what.in_(given_up)))
    old = (table.c.state == DeliveryState.DELIVERED) & (table.c.settled_at < clock.now() - KEPT)
    connection.execute(table.delete().where(own & old))
