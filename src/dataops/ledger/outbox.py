"""What must be told, and what became of telling it: notices, and one delivery of each to everyone whom it reaches.

A notice is written in the transaction of what it tells; it names its subject and holds no content, so nothing personal
lies here and a message says what is so when it leaves. A delivery is known by (what, channel, whom): however often
something is announced, it is sent once. Order is kept per incident or report, channel and receiver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.ledger import clock, numbering
from dataops.ledger import tables as t
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.reading import Record, every, one

AGAIN = "#"
"""Stands before the number of a delivery that a person wished for once more."""
UNSETTLED = (DeliveryState.WAITING, DeliveryState.PARKED)
"""States from which a delivery may still be sent."""


class Notice(Record):
    """Something that must be told."""

    seq: int
    kind: NoticeKind
    what: str
    subject: str
    happened_at: datetime
    doubted: bool | None = None


class Delivery(Record):
    """A notice on its way to one receiver.

    `tried_at`: since when it may have arrived without anybody knowing; `remote`: what the receiver calls it.
    """

    seq: int
    kind: NoticeKind
    what: str
    subject: str
    channel: Channel
    whom: str
    state: DeliveryState
    attempts: int
    due_at: datetime
    created_at: datetime
    tried_at: datetime | None = None
    settled_at: datetime | None = None
    remote: str | None = None
    problem: str | None = None
    who: str | None = None
    reason: str | None = None

    @property
    def delivery_id(self) -> str:
        """As people call it."""
        return f"OUT-{self.seq:04d}"

    @property
    def key(self) -> str:
        """The same for the same notice, channel and receiver: by it a receiver can tell what came twice."""
        told = f"{self.what}\n{self.channel.value}\n{self.whom}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]


class To(Record):
    """Whom a notice goes to, and from when on it may be sent."""

    channel: Channel
    whom: str
    due_at: datetime


def tell(connection: Connection, kind: NoticeKind, what: str, subject: str) -> bool:
    """Notes that something must be told, in the caller's transaction; False when it was noted before."""
    table = t.outbox
    if connection.execute(sa.select(table.c.seq).where(table.c.what == what).limit(1)).first():
        return False
    seq = numbering.next_seq(connection, table)
    row = {"seq": seq, "kind": kind.value, "what": what, "subject": subject, "happened_at": clock.now()}
    connection.execute(table.insert().values(row))
    return True


def unrouted(connection: Connection, limit: int = 1000) -> list[Notice]:
    """Notices for which nobody has looked whom they reach, oldest first; of lineage see `ledger.lineage`."""
    table = t.outbox
    return every(connection, Notice, sa.select(table).where(_unrouted()).order_by(table.c.seq).limit(limit))


def unrouted_count(connection: Connection) -> int:
    """How many notices nobody has routed."""
    new = sa.select(sa.func.count()).select_from(t.outbox).where(_unrouted())
    return int(connection.execute(new).scalar_one())


def _unrouted() -> sa.ColumnElement[bool]:
    return t.outbox.c.routed_at.is_(None) & (t.outbox.c.kind != NoticeKind.LINEAGE)


def route(connection: Connection, notice: Notice, receivers: Sequence[To]) -> None:
    """Makes a delivery to each receiver; none twice."""
    table = t.deliveries
    known = {
        (row.channel, row.whom)
        for row in connection.execute(sa.select(table.c.channel, table.c.whom).where(table.c.what == notice.what))
    }
    for to in dict.fromkeys(receivers):
        if (to.channel.value, to.whom) not in known:
            known.add((to.channel.value, to.whom))
            connection.execute(table.insert().values(waiting(connection, notice, to.model_dump())))
    own = t.outbox.c.seq == notice.seq
    connection.execute(t.outbox.update().where(own).values(routed_at=clock.now()))


def once_more(connection: Connection, notice: Notice, to: To) -> Delivery:
    """One more delivery of what a receiver has already, by a person's wish."""
    table = t.deliveries
    same = (table.c.subject == notice.subject) & (table.c.whom == to.whom) & (table.c.channel == to.channel.value)
    number = int(connection.execute(sa.select(sa.func.count()).select_from(table).where(same)).scalar_one())
    row = waiting(connection, notice, to.model_dump() | {"what": f"{notice.what}{AGAIN}{number + 1}"})
    connection.execute(table.insert().values(row))
    return Delivery.of(row)


def waiting(connection: Connection, notice: Notice, own: Mapping[str, Any]) -> dict[str, Any]:
    """A new row of `deliveries` for what a notice tells, with what is its own: channel, whom, due_at."""
    return {
        "seq": numbering.next_seq(connection, t.deliveries),
        "kind": notice.kind.value,
        "what": notice.what,
        "subject": notice.subject,
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "created_at": clock.now(),
        "tried_at": notice.happened_at if notice.doubted else None,
        **own,
    }


def doubt(connection: Connection) -> None:
    """After a restore: what waits here may have been sent since the backup was made."""
    table = t.deliveries
    waiting = table.c.state == DeliveryState.WAITING
    connection.execute(table.update().where(waiting).values(tried_at=table.c.created_at))
    connection.execute(t.outbox.update().where(t.outbox.c.routed_at.is_(None)).values(doubted=True))


def due(connection: Connection, limit: int, channels: Collection[Channel]) -> list[Delivery]:
    """Deliveries by these channels to be sent now, if their time has come.

    About each incident or report, by each channel and to each receiver only the first that waits.
    """
    table, earlier = t.deliveries, t.deliveries.alias("earlier")
    before = (
        sa.select(earlier.c.seq)
        .where((earlier.c.state == DeliveryState.WAITING) & (earlier.c.seq < table.c.seq))
        .where((about(earlier) == about(table)) & (earlier.c.whom == table.c.whom))
        .where(earlier.c.channel == table.c.channel)
    )
    now = (table.c.state == DeliveryState.WAITING) & (table.c.due_at <= clock.now()) & ~sa.exists(before)
    now &= table.c.channel.in_([channel.value for channel in channels])
    return every(connection, Delivery, sa.select(table).where(now).order_by(table.c.seq).limit(limit))


def about(table: sa.FromClause) -> sa.ColumnElement[str]:
    """The first word of a subject: an incident; a report, whatever its period."""
    return sa.func.split_part(table.c.subject, " ", 1)


def trying(connection: Connection, seqs: Collection[int]) -> None:
    """Notes that these are being sent: if the sender dies now, whoever goes on knows that they may have arrived."""
    table = t.deliveries
    change = {"attempts": table.c.attempts + 1, "tried_at": sa.func.coalesce(table.c.tried_at, clock.now())}
    connection.execute(table.update().where(table.c.seq.in_(seqs)).values(change))


def untried(connection: Connection, delivery: Delivery) -> None:
    """Takes that back for one that was not sent after all."""
    _change(connection, delivery.seq, attempts=delivery.attempts, tried_at=delivery.tried_at)


def sent(connection: Connection, seq: int, remote: str | None, note: str | None = None) -> None:
    """Notes that the receiver has it."""
    _settle(connection, seq, DeliveryState.DELIVERED, remote=remote, problem=note)


def needless(connection: Connection, seq: int, why: str) -> None:
    """Notes that there is nothing to send any more."""
    _settle(connection, seq, DeliveryState.NEEDLESS, problem=why)


def park(connection: Connection, seq: int, problem: str) -> None:
    """Notes that the receiver refuses it for good; a person may let it be tried again."""
    _settle(connection, seq, DeliveryState.PARKED, problem=problem)


def later(connection: Connection, seq: int, due_at: datetime, problem: str, *, not_taken: bool) -> None:
    """Notes that it did not get through and is tried again at `due_at`; `not_taken`: it cannot have arrived."""
    _change(connection, seq, due_at=due_at, problem=problem, **({"tried_at": None} if not_taken else {}))


def hold_back(connection: Connection, channel: Channel, whom: str, until: datetime) -> None:
    """Moves what waits for this receiver to `until`, where it was due before: the receiver asked for it."""
    table = t.deliveries
    own = (table.c.channel == channel.value) & (table.c.whom == whom) & (table.c.state == DeliveryState.WAITING)
    connection.execute(table.update().where(own & (table.c.due_at < until)).values(due_at=until))


def drop(connection: Connection, delivery: Delivery, who: str, reason: str) -> None:
    """Gives it up, with the name of who did and why. Raises DeclarationError for one that is settled."""
    _unsettled(delivery)
    if not reason.strip():
        raise DeclarationError("say why it is given up: --reason")
    _settle(connection, delivery.seq, DeliveryState.DROPPED, who=who, reason=reason)


def retry(connection: Connection, delivery: Delivery, who: str) -> None:
    """Lets it be sent now, whatever it waited for. Raises DeclarationError for one that is settled."""
    _unsettled(delivery)
    _change(connection, delivery.seq, state=DeliveryState.WAITING.value, due_at=clock.now(), settled_at=None, who=who)


def _unsettled(delivery: Delivery) -> None:
    if delivery.state not in UNSETTLED:
        raise DeclarationError(f"{delivery.delivery_id} is {delivery.state.value}; nothing can become of it any more")


def listed(
    connection: Connection, states: Collection[DeliveryState], limit: int | None, kinds: Collection[NoticeKind] = ()
) -> list[Delivery]:
    """In these states, newest first; of these kinds, if any are given."""
    table = t.deliveries
    where: sa.ColumnElement[bool] = table.c.state.in_([state.value for state in states])
    if kinds:
        where &= table.c.kind.in_([kind.value for kind in kinds])
    return every(connection, Delivery, sa.select(table).where(where).order_by(table.c.seq.desc()).limit(limit))


def of_subject(connection: Connection, subject: str) -> list[Delivery]:
    """All that tell of it, oldest first."""
    table = t.deliveries
    return every(connection, Delivery, sa.select(table).where(table.c.subject == subject).order_by(table.c.seq))


def first_of(connection: Connection, delivery: Delivery) -> Delivery | None:
    """The message that opened the thread of this subject with this receiver."""
    table = t.deliveries
    same = (table.c.subject == delivery.subject) & (table.c.whom == delivery.whom)
    same &= (table.c.channel == delivery.channel.value) & (table.c.seq < delivery.seq) & table.c.remote.is_not(None)
    done = same & (table.c.state == DeliveryState.DELIVERED)
    return one(connection, Delivery, sa.select(table).where(done).order_by(table.c.seq).limit(1))


def to_receiver(connection: Connection, delivery: Delivery) -> list[Delivery]:
    """Deliveries of this kind to the same receiver that came before it, of subjects with the same first word."""
    table = t.deliveries
    same = (table.c.channel == delivery.channel.value) & (table.c.whom == delivery.whom)
    same &= (table.c.kind == delivery.kind.value) & (table.c.seq < delivery.seq)
    same &= table.c.subject.startswith(delivery.subject.partition(" ")[0] + " ", autoescape=True)
    return every(connection, Delivery, sa.select(table).where(same).order_by(table.c.seq))


def numbered(connection: Connection, seq: int) -> Delivery | None:
    """By number."""
    return one(connection, Delivery, sa.select(t.deliveries).where(t.deliveries.c.seq == seq))


def ids(connection: Connection) -> list[str]:
    """Oldest first."""
    numbers = connection.execute(sa.select(t.deliveries.c.seq).order_by(t.deliveries.c.seq)).scalars()
    return [f"OUT-{number:04d}" for number in numbers]


def counts(connection: Connection) -> dict[DeliveryState, int]:
    """How many messages are in each state."""
    state = t.deliveries.c.state
    messages = t.deliveries.c.channel != Channel.LINEAGE
    rows = connection.execute(sa.select(state, sa.func.count()).where(messages).group_by(state))
    return {DeliveryState(name): int(number) for name, number in rows}


def oldest_overdue(connection: Connection) -> datetime | None:
    """Since when a message waits that might have been sent: a notice nobody has routed, or a delivery that is due."""
    notices, table = t.outbox, t.deliveries
    since = sa.select(sa.func.min(notices.c.happened_at)).where(_unrouted())
    overdue = (table.c.state == DeliveryState.WAITING) & (table.c.due_at <= clock.now())
    overdue &= table.c.channel != Channel.LINEAGE
    waiting = sa.select(sa.func.min(table.c.due_at)).where(overdue)
    moments = [connection.execute(select).scalar() for select in (since, waiting)]
    return min((moment for moment in moments if moment), default=None)


def _settle(connection: Connection, seq: int, state: DeliveryState, **values: Any) -> None:  # noqa: ANN401
    _change(connection, seq, state=state.value, settled_at=clock.now(), **values)


def _change(connection: Connection, seq: int, **values: Any) -> None:  # noqa: ANN401  column values
    connection.execute(t.deliveries.update().where(t.deliveries.c.seq == seq).values(**values))
