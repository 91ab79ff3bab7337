"""Whether the platform itself is well: the relay runs, somebody watches, there is room on the disk.

Who watches and who tells look after each other: the watchdog sees a relay that stands still, the relay a watchdog that
does. Where both are dead only somebody outside can say so: `dataops watch` ends with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy.engine import Connection

from dataops.ledger import clock, heartbeats, incidents, lineage, outbox
from dataops.ledger.enums import IncidentKind
from dataops.ledger.heartbeats import Beat
from dataops.ledger.incidents import Detail
from dataops.warehouse import Warehouse

PLATFORM = "platform"
"""Stands where other incidents name a group."""
RELAY, WATCH, DISK, LINEAGE = "the relay", "the watchdog", "the disk", "lineage"
"""Root causes."""
OVERDUE = timedelta(hours=1)  # that a message may wait, and that nobody may have watched
ROOM = 2**30  # bytes that must be free


def look(connection: Connection, warehouse: Warehouse) -> list[str]:
    """What is wrong, each with an incident; solves those that are over. Notes that somebody watched."""
    heartbeats.note(connection, Beat.WATCH)
    return [
        *_settled(connection, RELAY, _relay(connection)),
        *_settled(connection, LINEAGE, _lineage(connection)),
        *_settled(connection, DISK, _disk(warehouse)),
    ]


def look_for_watch(connection: Connection) -> list[str]:
    """As `look`, for who looks after the watchdog: only where there was one."""
    last = heartbeats.last(connection, Beat.WATCH)
    problem = None
    if last is not None and clock.now() - last > OVERDUE:
        problem = f"nobody has watched since {last:%Y-%m-%d %H:%M} UTC; is the watchdog paused, does cron run?"
    return list(_settled(connection, WATCH, problem))


def _relay(connection: Connection) -> str | None:
    since = outbox.oldest_overdue(connection)
    if since is None or clock.now() - since <= OVERDUE:
        return None
    last = heartbeats.last(connection, Beat.RELAY)
    ran = f"the relay ran last at {last:%Y-%m-%d %H:%M} UTC" if last else "the relay never ran"
    return f"messages wait since {since:%Y-%m-%d %H:%M} UTC; {ran}. See: dataops outbox list"


def _lineage(connection: Connection) -> str | None:
    since = lineage.stuck_since(connection)
    if since is None or clock.now() - since <= OVERDUE:
        return None
    return f"the lineage server has not taken an event since {since:%Y-%m-%d %H:%M} UTC. See: dataops lineage status"


def _disk(warehouse: Warehouse) -> str | None:
    free = warehouse.free_bytes()
    return f"the disk has {free / 2**20:,.0f} MiB left" if free is not None and free < ROOM else None


def _settled(connection: Connection, cause: str, problem: str | None) -> Iterator[str]:
    if problem is None:
        incidents.solve(connection, PLATFORM, IncidentKind.PLATFORM, cause, "it is over")
        return
    known = incidents.standing(connection, PLATFORM, IncidentKind.PLATFORM, cause)
    if known is None:  # it is told once, and stands as it was first seen
        incidents.open_for(connection, PLATFORM, 0, problem, Detail(), kind=IncidentKind.PLATFORM, cause=cause)
    yield problem
