"""How telling lineage goes: what nobody has told yet, what waits, what the server refuses."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy.engine import Connection

from dataops.facts.document import Document, Moment, Part
from dataops.ledger import heartbeats, lineage
from dataops.ledger.enums import DeliveryState
from dataops.ledger.heartbeats import Beat
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class LineageFacts(Part):
    """What a lineage server is to know."""

    untold: int = 0
    """happenings of which no events were made yet"""
    untold_since: Moment | None = None
    waiting: int = 0
    """events that were made, and not taken yet"""
    stuck_since: Moment | None = None
    """since when one was tried and not taken"""
    parked: int = 0
    """events that the server refuses; a person decides"""
    last_taken: Moment | None = None
    """when the server last took an event, within a week"""
    relayed_at: Moment | None = None
    """when somebody last tried to tell"""


class LineageStatusDocument(Document, LineageFacts):
    """How telling lineage goes."""

    document: ClassVar[str] = "lineage_status"
    server: str | None
    """null: none is configured, and everything is kept for one"""
    spooled: int = 0
    """events of others that the ledger does not have yet"""
    unreadable: int = 0
    """files among them that hold no event"""


def read(connection: Connection) -> LineageFacts:
    """From a ledger that is there."""
    counts = lineage.counts(connection)
    untold, since = lineage.untold_since(connection)
    return LineageFacts(
        untold=untold,
        untold_since=since,
        waiting=counts.get(DeliveryState.WAITING, 0),
        stuck_since=lineage.stuck_since(connection),
        parked=counts.get(DeliveryState.PARKED, 0),
        last_taken=lineage.last_taken(connection),
        relayed_at=heartbeats.last(connection, Beat.LINEAGE),
    )


def status(work: Workspace, server: str | None, spooled: int, unreadable: int) -> LineageStatusDocument:
    """With what is known of server and files."""
    with work.warehouse.reading() as connection:
        known = read(connection) if is_there(connection) else LineageFacts()
    return LineageStatusDocument(**known.model_dump(), server=server, spooled=spooled, unreadable=unreadable)
