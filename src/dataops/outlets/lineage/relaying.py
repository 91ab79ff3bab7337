"""Tells the lineage server what the outbox notes, in order, each event once; nothing waits for it.

Events are made of a few notices at a time, so what waits for a server that is down is a line each. What it refuses is
parked alone; what it cannot take now comes back later, and only what is of the same dataset waits for it.
"""

from __future__ import annotations

import json
import time
from datetime import datetime

from sqlalchemy.engine import Connection

from dataops.declared.failpoint import failpoint
from dataops.ledger import heartbeats, lineage
from dataops.ledger.heartbeats import Beat
from dataops.ledger.outbox import Delivery
from dataops.ledger.schema import is_there, writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage import backend, spool
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.lineage.telling import Telling
from dataops.outlets.outcomes import Passed
from dataops.outlets.refusals import LaterError, RefusedError, Sent
from dataops.outlets.rounds import Round

ROUTED = 10  # notices of which events are made together
IN_A_ROW = 5  # events that a server breaks at, until it is the server
ENOUGH = 8  # attempts at one event, while others are taken


def relay(work: Workspace, backend: Backend, seconds: float = float("inf")) -> Passed:
    """Tells everything that is due, for so many seconds at most. Raises PlatformError when another relay does not end.

    Raises DeclarationError where names mean nothing.
    """
    until = time.monotonic() + seconds
    with work.warehouse.lock("lineage", "tell lineage"):
        passed = Passed()
        spool.hand_in(work)
        with work.warehouse.reading() as connection:
            there = is_there(connection)
        if there:
            _Relay(work, backend, passed, until).run()
        return passed


def relay_all(work: Workspace, seconds: float = float("inf")) -> Passed:
    """As `relay`, to the server that is configured. Raises UnconfiguredError where none is."""
    server = backend.configured(work.settings.paths.project)
    try:
        return relay(work, server, seconds)
    finally:
        server.close()


class _Relay:
    def __init__(self, work: Workspace, backend: Backend, passed: Passed, until: float) -> None:
        self._work = work
        self._telling = Telling(work)
        self._passed = passed
        self._until = until
        self._round = Events(work, backend, passed, until)

    def run(self) -> None:
        with writing(self._work.warehouse) as connection:
            heartbeats.note(connection, Beat.LINEAGE)
            lineage.forget(connection)
        self._round.run()  # what was left by an earlier one comes first
        while not self._round.closed and time.monotonic() < self._until and self._route():
            self._round.run()

    def _route(self) -> bool:
        """Makes events of the next notices; False when there were none."""
        with writing(self._work.warehouse) as connection:
            notices = lineage.untold(connection, ROUTED)
            for notice in notices:
                lineage.route(connection, notice, self._telling.kept(connection, notice))
        failpoint("lineage_routed")
        self._passed.routed += len(notices)
        return bool(notices)


class Events(Round):
    """Events that are due, in the order in which they happened; of a dataset none before one that waits."""

    def __init__(self, work: Workspace, backend: Backend, passed: Passed, until: float) -> None:
        super().__init__(work, passed, until)
        self._backend = backend
        self._broken = 0  # times in a row
        self._contents: dict[str, str] = {}
        self._waits: set[str] = set()
        self._last_taken: datetime | None = None

    def next_due(self, connection: Connection, limit: int) -> list[Delivery]:
        due = [] if self.closed else lineage.due(connection, limit)
        self._last_taken = lineage.last_taken(connection)
        self._contents = lineage.contents(connection, [delivery.what for delivery in due])
        return due

    def prepare(self, due: list[Delivery]) -> None:
        """An event waits as it is sent."""

    def send(self, delivery: Delivery) -> Sent:
        event = json.loads(self._contents[delivery.what])
        if delivery.tried_at is not None and self._backend.has(event):
            return Sent(note="it had arrived before")
        try:
            self._backend.send(event)
        except LaterError as problem:
            judged = self._judged(delivery, problem)
            if isinstance(judged, LaterError):
                self._waits.add(_about(delivery))
            raise judged from None
        self._broken = 0
        return Sent()

    def may_go(self, delivery: Delivery) -> bool:
        return super().may_go(delivery) and _about(delivery) not in self._waits

    def _judged(self, delivery: Delivery, problem: LaterError) -> Exception:
        """A server that breaks at one event after another is out of order; one that breaks at one alone refuses it."""
        self._broken += 1
        others = self._last_taken is not None and delivery.tried_at is not None and self._last_taken > delivery.tried_at
        if not problem.for_all and others and delivery.attempts + 1 >= ENOUGH:
            return RefusedError(f"{problem}, {ENOUGH} times, and takes others")
        if self._broken >= IN_A_ROW:
            return LaterError(str(problem), problem.after, for_all=True)
        return problem


def _about(delivery: Delivery) -> str:
    """The dataset or group that keeps its order."""
    return delivery.subject.partition(" ")[0]
