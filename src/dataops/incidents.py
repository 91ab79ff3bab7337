"""Problems that people must see: opened by a held or unjudged batch, solved by the next clean publication."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops import ledger


def open_for(connection: Connection, group: str, batch: int, sentence: str, detail: dict[str, Any]) -> str:
    """Opens an incident, or counts it once more where the group's same one is open. Returns its id."""
    table, now = ledger.incidents, ledger.now()
    where = (table.c.group_name == group) & (table.c.state == "open") & (table.c.sentence == sentence)
    if found := ledger.one(connection, sa.select(table).where(where)):
        times = found["times"] + (found["batch"] != batch)
        connection.execute(
            table.update().where(table.c.seq == found["seq"]).values(times=times, batch=batch, last_seen_at=now)
        )
        return str(found["incident_id"])
    seq = ledger.next_seq(connection, table)
    connection.execute(
        table.insert().values(
            seq=seq,
            incident_id=f"INC-{seq:04d}",
            group_name=group,
            batch=batch,
            state="open",
            sentence=sentence,
            detail=detail,
            times=1,
            opened_at=now,
            last_seen_at=now,
        )
    )
    return f"INC-{seq:04d}"


def resolve(connection: Connection, group: str, batch: dict[str, Any], publication_id: str) -> list[str]:
    """Closes the group's open incidents whose window the published `batch` delivered again. Returns their ids."""
    table, held = ledger.incidents, ledger.batches
    query = sa.select(table.c.seq, table.c.incident_id, held.c.window_start, held.c.window_end).join_from(
        table, held, held.c.seq == table.c.batch
    )
    found = ledger.rows(connection, query.where((table.c.group_name == group) & (table.c.state == "open")))
    solved = [row for row in found if _covers(batch, row)]
    if solved:
        connection.execute(
            table.update()
            .where(table.c.seq.in_([row["seq"] for row in solved]))
            .values(
                state="resolved", resolved_at=ledger.now(), resolution=f"delivered again, published as {publication_id}"
            )
        )
    return [row["incident_id"] for row in solved]


def _covers(batch: dict[str, Any], held: dict[str, Any]) -> bool:
    if batch["window_start"] is None:
        return True
    if held["window_start"] is None:
        return False
    return bool(batch["window_start"] <= held["window_start"] and held["window_end"] <= batch["window_end"])


def open_incidents(connection: Connection) -> list[dict[str, Any]]:
    """All open incidents, oldest first."""
    return ledger.rows(
        connection, sa.select(ledger.incidents).where(ledger.incidents.c.state == "open").order_by("seq")
    )
