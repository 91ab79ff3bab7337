"""Incidents and their events as the ledger keeps them: read, and written to by `noted` only."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.ledger import numbering
from dataops.ledger import tables as ledger

OPEN = ("open", "acknowledged")
"""States in which somebody must still act."""
GATE = "gate"
"""Who acts where no person does."""
Row = dict[str, Any]


def open_incidents(connection: Connection) -> list[Row]:
    """All incidents in which somebody must still act, oldest first."""
    table = ledger.incidents
    return ledger.rows(connection, sa.select(table).where(table.c.state.in_(OPEN)).order_by(table.c.seq))


def required(connection: Connection, incident_id: str) -> Row:
    """The incident. Raises DeclarationError when there is none."""
    table = ledger.incidents
    found = ledger.one(connection, sa.select(table).where(table.c.incident_id == incident_id))
    if found is None:
        raise DeclarationError(f"no incident {incident_id!r}; see: dataops incidents list --all")
    return found


def history(connection: Connection, incident_id: str) -> list[Row]:
    """Every step of an incident, first to last. Raises DeclarationError when there is none."""
    events = ledger.incident_events
    where = events.c.incident == required(connection, incident_id)["seq"]
    return ledger.rows(connection, sa.select(events).where(where).order_by(events.c.seq))


def before(connection: Connection, incident: Row) -> list[Row]:
    """Earlier incidents of the same root cause, newest first."""
    if incident["fingerprint"] is None:  # opened under a release that knew no root causes
        return []
    table = ledger.incidents
    where = (table.c.fingerprint == incident["fingerprint"]) & (table.c.seq < incident["seq"])
    return ledger.rows(connection, sa.select(table).where(where).order_by(table.c.seq.desc()))


def how_it_ended(incident: Row) -> str:
    """`INC-0002 (source fixed)`; for one that still stands, its state."""
    ended = incident["resolution_reason"] or (incident["state"] if incident["state"] != "resolved" else "solved itself")
    return f"{incident['incident_id']} ({ended})"


def noted(connection: Connection, incident: int, who: str, action: str, text: str | None = None) -> None:
    """Writes one step of the history."""
    table = ledger.incident_events
    connection.execute(
        table.insert().values(
            seq=numbering.next_seq(connection, table),
            incident=incident,
            happened_at=ledger.now(),
            who=who,
            action=action,
            text=text,
        )
    )


def changed(connection: Connection, incident: int, **values: Any) -> None:  # noqa: ANN401  column values
    """Writes what a step changed."""
    connection.execute(ledger.incidents.update().where(ledger.incidents.c.seq == incident).values(**values))
