"""Sends what waits in the outbox: finds whom it reaches, writes the message, hands it to a channel, notes how it ended.

One pass at a time. Nothing is locked in the warehouse while a receiver is spoken to. Before a message leaves, the
ledger knows that it is being sent, so whoever goes on after a kill asks the receiver first whether it arrived, where
the receiver can be asked: Slack by the message's metadata; a mail server knows a repeated Message-ID.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.ledger import clock, heartbeats, incidents, outbox
from dataops.ledger.enums import Channel, IncidentKind, NoticeKind
from dataops.ledger.heartbeats import Beat
from dataops.ledger.incidents import Detail
from dataops.ledger.outbox import Delivery
from dataops.ledger.schema import is_there, writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import addressing, stories, waking
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Channel as Port
from dataops.outlets.notify.port import (
    Channels,
    Errand,
    LaterError,
    NeedlessError,
    RefusedError,
    Sent,
    UnconfiguredError,
)
from dataops.outlets.notify.story import Story
from dataops.outlets.site import data_docs
from dataops.pipeline import watch_platform
from dataops.pipeline.watch_platform import PLATFORM

FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0  # seconds between two attempts
ROUND = 20  # deliveries that are looked up together

Settle = Callable[[Connection], None]


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


def relay(work: Workspace, channels: Channels) -> Passed:
    """Sends everything that is due now. Raises PlatformError when another pass does not end in time."""
    with work.warehouse.lock("outbox", "send messages"):
        if not _has_ledger(work):
            return Passed()
        desk = Desk(work)
        passed = Passed()
        with writing(work.warehouse) as connection:
            heartbeats.note(connection, Beat.RELAY)
            watch_platform.look_for_watch(connection)
            waking.wake(connection, desk)
        passed.routed = _route(work, desk)
        _Round(work, desk, channels, passed).run()
        return passed


def _has_ledger(work: Workspace) -> bool:
    with work.warehouse.reading() as connection:
        return is_there(connection)


def _route(work: Workspace, desk: Desk) -> int:
    """Makes deliveries of every notice, in one transaction each hundred."""
    routed = 0
    while True:
        with writing(work.warehouse) as connection:
            notices = outbox.unrouted(connection, 100)
            for notice in notices:
                outbox.route(connection, notice, addressing.receivers(connection, desk, notice))
        failpoint("notices_routed")
        routed += len(notices)
        if not notices:
            return routed


class _Round:
    """The deliveries of one pass."""

    def __init__(self, work: Workspace, desk: Desk, channels: Channels, passed: Passed) -> None:
        self.work = work
        self.desk = desk
        self.channels = channels
        self.passed = passed
        self.opened: dict[Channel, Port] = {}
        self.closed: set[Channel] = set()
        self.waiting: list[Settle] = []  # what is to be noted with the next transaction
        self.worked: set[tuple[Channel, str]] = set()

    def run(self) -> None:
        """Sends until nothing is due; the pages that messages lead to are brought up to date before the first."""
        while batch := self._due():
            if not self.opened and not self.closed:
                self._build_pages()
            for delivery in batch:
                if delivery.channel not in self.closed:
                    self._make(delivery)
        self._note_open_ends()

    def _build_pages(self) -> None:
        try:
            data_docs.build(self.work)
        except PlatformError as problem:  # a message that leads to an older page is better than none
            self.passed.problems.append(_first_line(problem))

    def _due(self) -> list[Delivery]:
        with writing(self.work.warehouse) as connection:
            self._write_down(connection)
            return outbox.due(connection, ROUND, without=self.closed)

    def _write_down(self, connection: Connection) -> None:
        for settle in self.waiting:
            settle(connection)
        self.waiting.clear()

    def _make(self, delivery: Delivery) -> None:
        port = self._port(delivery.channel)
        if port is None:
            return None
        with writing(self.work.warehouse) as connection:
            self._write_down(connection)
            outbox.trying(connection, [delivery.seq])
            first = outbox.first_of(connection, delivery)
        failpoint("delivery_tried")
        try:
            sent = port.send(_errand(delivery, stories.of(self.desk, delivery), first))
        except NeedlessError as why:
            sent = Sent(was_needless=True, note=str(why))
        except LaterError as problem:
            return self._put_off(delivery, problem)
        except PlatformError as problem:
            return self._put_off(delivery, LaterError(_first_line(problem)))
        except RefusedError as problem:
            return self._park(delivery, str(problem))
        except Exception as problem:  # noqa: BLE001  what cannot be written must not stop what can
            return self._park(delivery, f"it could not be written: {type(problem).__name__}: {_first_line(problem)}")
        failpoint("delivery_sent")
        return self._sent(delivery, sent)

    def _port(self, channel: Channel) -> Port | None:
        if channel not in self.opened:
            try:
                self.opened[channel] = self.channels[channel]()
            except UnconfiguredError as problem:
                self.closed.add(channel)
                self.passed.unconfigured[channel] = str(problem)
                return None
        return self.opened[channel]

    def _sent(self, delivery: Delivery, sent: Sent) -> None:
        if sent.was_needless:
            self.passed.needless += 1
            self.waiting.append(lambda c: outbox.needless(c, delivery.seq, sent.note or ""))
            return
        self.passed.delivered += 1
        self.worked.add((delivery.channel, delivery.whom))
        self.waiting.append(lambda c: outbox.sent(c, delivery.seq, sent.remote, sent.note))

    def _put_off(self, delivery: Delivery, problem: LaterError) -> None:
        self.passed.put_off += 1
        self.passed.problems.append(f"{delivery.delivery_id} to {delivery.whom}: {problem}")
        due = clock.now() + timedelta(seconds=wait(delivery.attempts + 1, problem.after))
        not_taken = problem.not_taken and delivery.tried_at is None  # an earlier attempt may have arrived all the same
        self.waiting.append(lambda c: outbox.later(c, delivery.seq, due, str(problem), not_taken=not_taken))
        if problem.after is not None:
            self.waiting.append(lambda c: outbox.hold_back(c, delivery.channel, delivery.whom, due))
        if problem.for_all:
            self.closed.add(delivery.channel)

    def _park(self, delivery: Delivery, problem: str) -> None:
        self.passed.parked += 1
        self.passed.problems.append(f"{delivery.delivery_id} to {delivery.whom}: {problem}")
        self.waiting.append(lambda c: _parked(c, delivery, problem))

    def _note_open_ends(self) -> None:
        """Incidents of receivers who take messages again are over."""
        with writing(self.work.warehouse) as connection:
            self._write_down(connection)
            for channel, whom in self.worked:
                incidents.solve(connection, PLATFORM, IncidentKind.PLATFORM, cause(channel, whom), "a message arrived")


def _errand(delivery: Delivery, story: Story, first: Delivery | None) -> Errand:
    is_incident = delivery.kind is NoticeKind.INCIDENT
    return Errand(
        delivery=delivery,
        story=story,
        opened=first.remote if first else None,
        is_uncertain=delivery.tried_at is not None,
        edits=is_incident,
        is_step=is_incident and story.is_step,
    )


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), "")


def cause(channel: Channel, whom: str) -> str:
    """The root cause of messages that a receiver refuses."""
    return f"{channel.value} {whom}"


def wait(attempts: int, asked: float | None) -> float:
    """Seconds until the next attempt: what the receiver asked for, or longer each time, with jitter."""
    if asked is not None:
        return asked
    longest = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    return random.uniform(longest / 2, longest)  # noqa: S311  so that many do not come back at once


def _parked(connection: Connection, delivery: Delivery, problem: str) -> None:
    """Parks it and opens an incident, unless it told of such an incident itself: that would never end."""
    outbox.park(connection, delivery.seq, problem)
    if delivery.kind is NoticeKind.INCIDENT:
        told = incidents.required(connection, delivery.subject)
        if told.kind is IncidentKind.PLATFORM:
            return
    sentence = f"{delivery.whom} takes no messages by {delivery.channel.value}: {problem}"
    incidents.open_for(
        connection,
        PLATFORM,
        0,
        sentence,
        Detail(),
        kind=IncidentKind.PLATFORM,
        cause=cause(delivery.channel, delivery.whom),
    )
