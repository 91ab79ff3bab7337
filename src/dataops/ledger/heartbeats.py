"""When something that must run again and again last did: the relay, the watchdog."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import clock
from dataops.ledger import tables as t


class Beat(StrEnum):
    """What is expected to run."""

    RELAY = "relay"
    WATCH = "watch"
    LINEAGE = "lineage"


def note(connection: Connection, beat: Beat) -> None:
    """It runs now."""
    own = t.settings.c.name == _name(beat)
    connection.execute(t.settings.delete().where(own))
    connection.execute(t.settings.insert().values(name=_name(beat), value=clock.now().isoformat()))


def last(connection: Connection, beat: Beat) -> datetime | None:
    """When it ran last; None: never."""
    value = connection.execute(sa.select(t.settings.c.value).where(t.settings.c.name == _name(beat))).scalar()
    return datetime.fromisoformat(value) if value else None


def _name(beat: Beat) -> str:
    return f"last {beat.value}"
