"""Tells the lineage server what the outbox notes, in order, each event once; nothing waits for it.

Events are made of a few notices at a time, so what waits for a server that is down is a line each. What it refuses is
parked alone; what it cannot take now comes back later, and only what is of the same dataset waits for it.
"""

from __future__ import annotations

import json
import math
import re
import time
from datetime import datetime
from functools import cached_property

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.facts.document import Fields
from dataops.ledger import heartbeats, incidents, lineage
from dataops.ledger.enums import IncidentKind
from dataops.ledger.heartbeats import Beat
from dataops.ledger.incidents import Detail
from dataops.ledger.lineage import Kept
from dataops.ledger.outbox import Delivery, Notice
from dataops.ledger.schema import is_there, writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage import backend, spool
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.lineage.telling import Telling
from dataops.outlets.outcomes import Passed, first_line
from dataops.outlets.refusals import LaterError, RefusedError, Sent
from dataops.outlets.rounds import Round
from dataops.pipeline.watch_platform import PLATFORM

ROUTED = 10  # notices of which events are made together
IN_A_ROW = 5  # events that a server breaks at, until it is the server
ENOUGH = 8  # attempts at one event, while others are taken


def relay(work: Workspace, backend: Backend, seconds: float = math.inf) -> Passed:
    """Tells everything that is due, for so many seconds at most. Raises PlatformError when another relay does not end.

    Raises DeclarationError where names mean nothing.
    """
    until = time.monotonic() + seconds
    with work.warehouse.lock("lineage", "tell lineage"):
        passed = Passed()
        spool.hand_in(work.settings.paths, work.warehouse)
        with work.warehouse.reading() as connection:
            there = is_there(connection)
        if there:
            _Relay(work, backend, passed, until).run()
        return passed


def relay_all(work: Workspace, seconds: float = math.inf) -> Passed:
    """As `relay`, to the server that is configured. Raises UnconfiguredError where none is."""
    server = backend.configured(work.settings.paths.project)
    try:
        return relay(work, server, seconds)
    finally:
        server.close()


class _Relay:
    def __init__(self, work: Workspace, backend: Backend, passed: Passed, until: float) -> None:
        self._work = work
        self._passed = passed
        self._until = until
        self._round = Events(work, backend, passed, until)

    @cached_property
    def _telling(self) -> Telling:
        """Only when there is something to tell: it reads all declarations of reports."""
        return Telling(self._work)

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
                lineage.route(connection, notice, self._kept(connection, notice))
        failpoint("lineage_routed")
        self._passed.routed += len(notices)
        return bool(notices)

    def _kept(self, connection: Connection, notice: Notice) -> list[Kept]:
        """Its events; none of one that cannot be written, which is an incident and stops nothing else."""
        try:
            return self._telling.kept(connection, notice)
        except PlatformError:
            raise
        except Exception as problem:  # noqa: BLE001  one that cannot be told must not stop what can
            sentence = f"lineage cannot tell of {notice.what}: {type(problem).__name__}: {first_line(problem)}"
            self._passed.problems.append(sentence)
            again = (
                f"{sentence}; once that is mended: dataops lineage replay --since {notice.happened_at:%Y-%m-%dT%H:%M}"
            )
            incidents.open_for(connection, PLATFORM, 0, again, Detail(), kind=IncidentKind.PLATFORM, cause=notice.what)
            return []


class Events(Round):
    """Events that are due, in the order in which they happened; of a dataset none before one that waits."""

    def __init__(self, work: Workspace, backend: Backend, passed: Passed, until: float) -> None:
        super().__init__(work, passed, until)
        self._backend = backend
        self._broken = 0  # times in a row
        self._contents: dict[str, str] = {}
        self._waits: set[str] = set()  # datasets of which an event comes back later
        self._parking: set[str] = set()  # those of which one is being parked
        self._last_taken: datetime | None = None

    def next_due(self, connection: Connection, limit: int) -> list[Delivery]:
        due = [] if self.closed else lineage.due(connection, limit)
        self._last_taken = lineage.last_taken(connection)
        self._contents = lineage.contents(connection, [delivery.what for delivery in due])
        return due

    def prepare(self, due: list[Delivery]) -> None:  # noqa: ARG002
        """An event waits as it is sent; what became of those before is noted by now."""
        self._parking.clear()

    def may_go(self, delivery: Delivery) -> bool:
        return super().may_go(delivery) and _about(delivery) not in self._waits | self._parking

    def send(self, delivery: Delivery) -> Sent:
        event = json.loads(self._contents[delivery.what])
        if delivery.tried_at is not None and self._backend.has(event):
            return Sent(note="it had arrived before")
        try:
            self._send(delivery, event)
        except LaterError:
            self._waits.add(_about(delivery))
            raise
        except RefusedError:
            self._parking.add(_about(delivery))  # else a kill could let what follows go before it
            raise
        self._broken = 0
        return Sent()

    def _send(self, delivery: Delivery, event: Fields) -> None:
        """A server that breaks at one event after another is out of order; one that breaks at one alone refuses it."""
        try:
            self._backend.send(event)
        except LaterError as problem:
            if problem.for_all or problem.after is not None:
                raise
            self._broken += 1
            times = _times(delivery.problem) + 1
            said = f"{problem}, {times} time{'s' if times > 1 else ''}"
            if times >= ENOUGH and self._takes_others(delivery):
                raise RefusedError(f"{said}, and takes others") from None
            raise LaterError(said, for_all=self._broken >= IN_A_ROW) from None

    def _takes_others(self, delivery: Delivery) -> bool:
        return bool(self._last_taken and delivery.tried_at and self._last_taken > delivery.tried_at)


def _times(problem: str | None) -> int:
    """How often the server broke at it so far, as its last problem says."""
    said = re.search(r", (\d+) times?$", problem or "")
    return int(said[1]) if said else 0


def _about(delivery: Delivery) -> str:
    """The dataset or group that keeps its order."""
    return delivery.subject.partition(" ")[0]
