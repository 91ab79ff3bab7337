"""What becomes of a delivery: it arrived, it was needless, it comes back later, or it is refused for good."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.engine import Connection

from dataops.ledger import clock, incidents, lineage, outbox
from dataops.ledger.enums import Channel, DeliveryState, IncidentKind, NoticeKind
from dataops.ledger.incidents import Detail
from dataops.ledger.outbox import Delivery
from dataops.outlets.refusals import LaterError, Sent
from dataops.pipeline.watch_platform import PLATFORM

FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0  # seconds between two attempts

Settle = Callable[[Connection], None]
"""Notes an outcome, in a transaction."""


@dataclass
class Passed:
    """What one pass did."""

    routed: int = 0
    delivered: int = 0
    needless: int = 0
    parked: int = 0
    put_off: int = 0
    unconfigured: dict[Channel, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """`3 delivered, 1 put off`."""
        parts = [
            f"{number} {word}"
            for number, word in (
                (self.delivered, "delivered"),
                (self.needless, "not needed any more"),
                (self.put_off, "put off"),
                (self.parked, "refused for good"),
            )
            if number
        ]
        return ", ".join(parts) or "nothing to send"

    def arrived(self, delivery: Delivery, sent: Sent) -> Settle:
        """The receiver has it, or there was nothing to send."""
        if sent.was_needless:
            self.needless += 1
            return lambda c: outbox.needless(c, delivery.seq, sent.note or "")
        self.delivered += 1
        return lambda c: _arrived(c, delivery, sent)

    def later(self, delivery: Delivery, problem: LaterError) -> Settle:
        """It comes back; what else waits for the receiver as well, where it asked to be left alone."""
        self.put_off += 1
        self._say(delivery, str(problem))
        due = clock.now() + timedelta(seconds=wait(delivery.attempts + 1, problem.after))
        not_taken = problem.not_taken and delivery.tried_at is None  # an earlier attempt may have arrived all the same

        def settle(connection: Connection) -> None:
            outbox.later(connection, delivery.seq, due, str(problem), not_taken=not_taken)
            if problem.after is not None:
                outbox.hold_back(connection, delivery.channel, delivery.whom, due)

        return settle

    def refused(self, delivery: Delivery, problem: str) -> Settle:
        """A person must look at it."""
        self.parked += 1
        self._say(delivery, problem)
        return lambda c: _park(c, delivery, problem)

    def _say(self, delivery: Delivery, problem: str) -> None:
        self.problems.append(f"{delivery.delivery_id} to {delivery.whom}: {problem}")


def takes_again(connection: Connection, channel: Channel, whom: str) -> None:
    """The incident of a receiver who refused messages is over; of lineage only when no event is parked any more."""
    if channel is Channel.LINEAGE and lineage.counts(connection).get(DeliveryState.PARKED):
        return
    incidents.solve(connection, PLATFORM, IncidentKind.PLATFORM, _cause(channel, whom), "a message arrived")


def first_line(problem: Exception) -> str:
    """All that is said of it where it stands in a line."""
    return next(iter(str(problem).splitlines()), "")


def wait(attempts: int, asked: float | None) -> float:
    """Seconds until the next attempt: what the receiver asked for, or longer each time, with jitter."""
    if asked is not None:
        return asked
    longest = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    return random.uniform(longest / 2, longest)  # noqa: S311  so that many do not come back at once


def _arrived(connection: Connection, delivery: Delivery, sent: Sent) -> None:
    outbox.sent(connection, delivery.seq, sent.remote, sent.note)
    if delivery.kind is NoticeKind.REPORT:
        lineage.note(connection, f"sent {delivery.seq}")
    if delivery.channel is Channel.LINEAGE:
        lineage.settled(connection, delivery.what)


def _park(connection: Connection, delivery: Delivery, problem: str) -> None:
    """Parks it and opens an incident, unless it told of such an incident itself: that would never end."""
    outbox.park(connection, delivery.seq, problem)
    if delivery.kind is NoticeKind.INCIDENT:
        told = incidents.required(connection, delivery.subject)
        if told.kind is IncidentKind.PLATFORM:
            return
    sentence = f"{delivery.whom} takes no messages by {delivery.channel.value}: {problem}"
    if delivery.channel is Channel.LINEAGE:
        sentence = f"the lineage server takes not every event: {problem}; see: dataops lineage status"
    cause = _cause(delivery.channel, delivery.whom)
    incidents.open_for(connection, PLATFORM, 0, sentence, Detail(), kind=IncidentKind.PLATFORM, cause=cause)


def _cause(channel: Channel, whom: str) -> str:
    return f"{channel.value} {whom}"
