"""The deliveries of one pass: a few at a time are looked up and written, then sent one by one, and noted.

Before a message leaves, the ledger knows that it is being sent, so whoever goes on after a kill knows that it may have
arrived. How it ended is noted at once where receivers take their time, and a few together where they do not: a kill
leaves at most what was sent within a fifth of a second in doubt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.ledger import outbox
from dataops.ledger.enums import Channel, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.ledger.schema import writing
from dataops.outlets.notify import outcomes, stories
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.outcomes import Passed, Settle
from dataops.outlets.notify.port import Channel as Port
from dataops.outlets.notify.port import Channels, Errand, NeedlessError, Sent
from dataops.outlets.notify.story import Story
from dataops.outlets.refusals import LaterError, RefusedError, UnconfiguredError
from dataops.outlets.site import data_docs

TOGETHER = 20  # deliveries that are looked up together
NOTED_WITHIN = 0.2  # seconds


@dataclass(frozen=True)
class _Written:
    """A delivery with its message, or with why there is none."""

    delivery: Delivery
    story: Story | Exception
    first: Delivery | None


class Sending:
    """Everything that is due, until nothing is."""

    def __init__(self, desk: Desk, channels: Channels, passed: Passed) -> None:
        self._desk = desk
        self._work = desk.work
        self._channels = channels
        self._passed = passed
        self._opened: dict[Channel, Port] = {}
        self._closed: set[Channel] = set()  # nothing more goes by these in this pass
        self._asked_to_wait: set[tuple[Channel, str]] = set()
        self._took: set[tuple[Channel, str]] = set()
        self._to_note: list[Settle] = []
        self._noted_at = time.monotonic()

    def run(self) -> None:
        """The pages that messages lead to are brought up to date before the first one leaves."""
        pages = False
        while batch := self._next():
            if not pages:
                pages = self._build_pages()
            self._open({delivery.channel for delivery, _ in batch})
            for written in self._write(batch):
                if self._may_go(written.delivery):
                    self._note(self._make(written))
                else:
                    self._note(lambda c, d=written.delivery: outbox.untried(c, d))  # type: ignore[misc]
        with writing(self._work.warehouse) as connection:
            self._write_down(connection)
            for channel, whom in self._took:
                outcomes.takes_again(connection, channel, whom)

    def _next(self) -> list[tuple[Delivery, Delivery | None]]:
        """The next deliveries, each with the message that opened its thread; from now on they are being sent."""
        with writing(self._work.warehouse) as connection:
            self._write_down(connection)
            due = outbox.due(connection, TOGETHER, without=self._closed)
            outbox.trying(connection, [delivery.seq for delivery in due])
            found = [(delivery, outbox.first_of(connection, delivery)) for delivery in due]
        if found:
            failpoint("delivery_tried")
        return found

    def _write(self, batch: list[tuple[Delivery, Delivery | None]]) -> list[_Written]:
        with self._work.warehouse.session():
            return [_Written(delivery, self._story(delivery), first) for delivery, first in batch]

    def _story(self, delivery: Delivery) -> Story | Exception:
        if not self._may_go(delivery):
            return NeedlessError("not now")
        try:
            return stories.of(self._desk, delivery)
        except Exception as problem:  # noqa: BLE001  what cannot be written must not stop what can
            return problem

    def _may_go(self, delivery: Delivery) -> bool:
        return delivery.channel not in self._closed and (delivery.channel, delivery.whom) not in self._asked_to_wait

    def _make(self, written: _Written) -> Settle:
        delivery = written.delivery
        try:
            sent = self._send(written)
        except NeedlessError as why:
            return self._passed.arrived(delivery, Sent(was_needless=True, note=str(why)))
        except LaterError as problem:
            self._leave_alone(delivery, problem)
            return self._passed.later(delivery, problem)
        except PlatformError as problem:
            return self._passed.later(delivery, LaterError(_first_line(problem)))
        except RefusedError as problem:
            return self._passed.refused(delivery, str(problem))
        except Exception as problem:  # noqa: BLE001  as above
            name = type(problem).__name__
            return self._passed.refused(delivery, f"it could not be written: {name}: {_first_line(problem)}")
        failpoint("delivery_sent")
        if not sent.was_needless:
            self._took.add((delivery.channel, delivery.whom))
        return self._passed.arrived(delivery, sent)

    def _send(self, written: _Written) -> Sent:
        if isinstance(written.story, Exception):
            raise written.story
        port = self._opened[written.delivery.channel]
        return port.send(_errand(written.delivery, written.story, written.first))

    def _leave_alone(self, delivery: Delivery, problem: LaterError) -> None:
        if problem.for_all:
            self._closed.add(delivery.channel)
        if problem.after is not None:
            self._asked_to_wait.add((delivery.channel, delivery.whom))

    def _open(self, channels: set[Channel]) -> None:
        for channel in channels - self._opened.keys() - self._closed:
            try:
                self._opened[channel] = self._channels[channel]()
            except UnconfiguredError as problem:
                self._closed.add(channel)
                self._passed.unconfigured[channel] = str(problem)

    def _note(self, settle: Settle) -> None:
        self._to_note.append(settle)
        if time.monotonic() - self._noted_at > NOTED_WITHIN:
            with writing(self._work.warehouse) as connection:
                self._write_down(connection)

    def _write_down(self, connection: Connection) -> None:
        for settle in self._to_note:
            settle(connection)
        self._to_note.clear()
        self._noted_at = time.monotonic()

    def _build_pages(self) -> bool:
        try:
            data_docs.build(self._work)
        except PlatformError as problem:  # a message that leads to an older page is better than none
            self._passed.problems.append(_first_line(problem))
        return True


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
