"""One round of deliveries: what is due is sent, one by one, until nothing is, and what became of each is noted.

Before anything leaves, the ledger knows that it is being sent, so whoever goes on after a kill knows that it may have
arrived. How it ended is noted at once where receivers take their time, and a few together where they do not: a kill
leaves at most what was sent within a fifth of a second in doubt.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.ledger import outbox
from dataops.ledger.enums import Channel
from dataops.ledger.outbox import Delivery
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.outlets import outcomes
from dataops.outlets.outcomes import Passed, Settle, first_line
from dataops.outlets.refusals import LaterError, NeedlessError, RefusedError, Sent

TOGETHER = 20  # deliveries that are looked up together
NOTED_WITHIN = 0.2  # seconds


class Round(ABC):
    """Everything that is due, until nothing is or the time is over.

    Subclasses choose a few deliveries at a time, prepare and send them.
    """

    def __init__(self, work: Workspace, passed: Passed, until: float = math.inf) -> None:
        """`until`: when to stop, by the monotonic clock."""
        self.work = work
        self.passed = passed
        self.closed: set[Channel] = set()
        """nothing more goes by these in this round"""
        self._until = until
        self._asked_to_wait: set[tuple[Channel, str]] = set()
        self._took: set[tuple[Channel, str]] = set()
        self._to_note: list[Settle] = []
        self._noted_at = time.monotonic()

    @abstractmethod
    def next_due(self, connection: Connection, limit: int) -> list[Delivery]:
        """The next deliveries, in the transaction that notes that they are being sent."""

    @abstractmethod
    def prepare(self, due: list[Delivery]) -> None:
        """Makes the next deliveries ready. Raises nothing: `send` says what cannot be sent."""

    @abstractmethod
    def send(self, delivery: Delivery) -> Sent:
        """Sends one. Raises LaterError, RefusedError or NeedlessError; any other error is a refusal."""

    def run(self) -> None:
        """Raises PlatformError where the warehouse cannot be reached."""
        while time.monotonic() < self._until and (due := self._next()):
            self.prepare(due)
            if not any(map(self.may_go, due)):
                self._to_note += [lambda c, d=delivery: outbox.untried(c, d) for delivery in due]  # type: ignore[misc]
                break
            for delivery in due:
                if self.may_go(delivery):
                    self._note(self._make(delivery))
                else:
                    self._note(lambda c, d=delivery: outbox.untried(c, d))  # type: ignore[misc]
        with writing(self.work.warehouse) as connection:
            self._write_down(connection)
            for channel, whom in self._took:
                outcomes.takes_again(connection, channel, whom)
        self._took.clear()

    def may_go(self, delivery: Delivery) -> bool:
        """Whether its receiver may be spoken to now."""
        return delivery.channel not in self.closed and (delivery.channel, delivery.whom) not in self._asked_to_wait

    def _next(self) -> list[Delivery]:
        """The next deliveries; from now on they are being sent."""
        with writing(self.work.warehouse) as connection:
            self._write_down(connection)
            due = self.next_due(connection, TOGETHER)
            outbox.trying(connection, [delivery.seq for delivery in due])
        if due:
            failpoint("delivery_tried")
        return due

    def _make(self, delivery: Delivery) -> Settle:
        try:
            sent = self.send(delivery)
        except NeedlessError as why:
            return self.passed.arrived(delivery, Sent(was_needless=True, note=str(why)))
        except LaterError as problem:
            self._leave_alone(delivery, problem)
            return self.passed.later(delivery, problem)
        except PlatformError as problem:
            return self.passed.later(delivery, LaterError(first_line(problem)))
        except RefusedError as problem:
            return self.passed.refused(delivery, str(problem))
        except Exception as problem:  # noqa: BLE001  what cannot be written must not stop what can
            name = type(problem).__name__
            return self.passed.refused(delivery, f"it could not be written: {name}: {first_line(problem)}")
        failpoint("delivery_sent")
        if not sent.was_needless:
            self._took.add((delivery.channel, delivery.whom))
        return self.passed.arrived(delivery, sent)

    def _leave_alone(self, delivery: Delivery, problem: LaterError) -> None:
        if problem.for_all:
            self.closed.add(delivery.channel)
        if problem.after is not None:
            self._asked_to_wait.add((delivery.channel, delivery.whom))

    def _note(self, settle: Settle) -> None:
        self._to_note.append(settle)
        if time.monotonic() - self._noted_at > NOTED_WITHIN:
            with writing(self.work.warehouse) as connection:
                self._write_down(connection)

    def _write_down(self, connection: Connection) -> None:
        for settle in self._to_note:
            settle(connection)
        self._to_note.clear()
        self._noted_at = time.monotonic()
