"""Incidents and their events as the ledger keeps them: read, and written to by `noted` and `changed` only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.ledger import clock, numbering, outbox
from dataops.ledger import tables as t
from dataops.ledger.enums import UNSOLVED, IncidentKind, IncidentState, NoticeKind
from dataops.ledger.incidents.detail import Detail
from dataops.ledger.reading import Record, every, one

GATE = "gate"
"""Who acts where no person does."""
REMARK = "noted"
"""A step that changes nothing."""


def id_of(seq: int) -> str:
    """`INC-0001`."""
    return f"INC-{seq:04d}"


class Incident(Record):
    """A problem that somebody must see; times are UTC without a zone."""

    seq: int
    incident_id: str
    group: str = Field(alias="group_name")
    batch: int
    fingerprint: str | None = None  # None: opened under a release that knew no root causes
    kind: IncidentKind | None = None  # None as well
    state: IncidentState
    assignee: str | None = None
    sentence: str
    detail: Detail
    times: int
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None
    resolution_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody must still act."""
        return self.state in UNSOLVED

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of the batches that it was seen in."""
        return self.detail.batches or (self.batch,)


class Event(Record):
    """One step of an incident's history."""

    seq: int
    incident: int
    happened_at: datetime
    who: str  # a person, or the gate
    action: str  # opened, seen, acknowledged, assigned, commented, resolved, …
    text: str | None = None


def open_incidents(connection: Connection) -> list[Incident]:
    """All incidents in which somebody must still act, oldest first."""
    i = t.incidents
    return every(connection, Incident, sa.select(i).where(i.c.state.in_(UNSOLVED)).order_by(i.c.seq))


def required(connection: Connection, incident_id: str) -> Incident:
    """The incident. Raises DeclarationError when there is none."""
    incident = one(connection, Incident, sa.select(t.incidents).where(t.incidents.c.incident_id == incident_id))
    if incident is None:
        raise DeclarationError(f"no incident {incident_id!r}; see: dataops incidents list --all")
    return incident


def is_known(connection: Connection, incident_id: str) -> bool:
    """Whether there is an incident of exactly this id."""
    own = t.incidents.c.incident_id == incident_id
    return connection.execute(sa.select(t.incidents.c.seq).where(own)).first() is not None


def ids(connection: Connection) -> list[str]:
    """All ids, oldest first."""
    return list(connection.execute(sa.select(t.incidents.c.incident_id).order_by(t.incidents.c.seq)).scalars())


def newest(
    connection: Connection, group: str | None, limit: int, states: tuple[IncidentState, ...] = tuple(IncidentState),
    since: datetime | None = None,
) -> list[Incident]:  # fmt: skip
    """The newest incidents in these states, or solved after `since`; newest first."""
    i = t.incidents.c
    where: sa.ColumnElement[bool] = i.state.in_(states)
    if since is not None:
        where |= i.resolved_at > since
    if group is not None:
        where &= i.group_name == group
    return every(connection, Incident, sa.select(t.incidents).where(where).order_by(i.seq.desc()).limit(limit))


def of_batch(connection: Connection, batch: int | None) -> list[Incident]:
    """Incidents that a batch opened, or was the last to show; oldest first."""
    i = t.incidents
    return every(connection, Incident, sa.select(i).where(i.c.batch == batch).order_by(i.c.seq))


def history(connection: Connection, incident: Incident) -> list[Event]:
    """Every step of an incident, first to last."""
    e = t.incident_events
    return every(connection, Event, sa.select(e).where(e.c.incident == incident.seq).order_by(e.c.seq))


def last_steps(connection: Connection) -> dict[int, int]:
    """The newest step of each incident, both by number."""
    e = t.incident_events.c
    return {
        int(row[0]): int(row[1])
        for row in connection.execute(sa.select(e.incident, sa.func.max(e.seq)).group_by(e.incident))
    }


def before(connection: Connection, incident: Incident) -> list[Incident]:
    """Earlier incidents of the same root cause, newest first."""
    if incident.fingerprint is None:
        return []
    i = t.incidents
    where = (i.c.fingerprint == incident.fingerprint) & (i.c.seq < incident.seq)
    return every(connection, Incident, sa.select(i).where(where).order_by(i.c.seq.desc()))


def of_cause(connection: Connection, fingerprint: str) -> Incident | None:
    """The newest incident of a root cause."""
    i = t.incidents
    newest_first = sa.select(i).where(i.c.fingerprint == fingerprint).order_by(i.c.seq.desc())
    return one(connection, Incident, newest_first.limit(1))


def open_of_cause(connection: Connection, fingerprint: str) -> Incident | None:
    """The incident of a root cause in which somebody must still act."""
    i = t.incidents
    where = (i.c.fingerprint == fingerprint) & i.c.state.in_(UNSOLVED)
    return one(connection, Incident, sa.select(i).where(where).limit(1))


def how_it_ended(incident: Incident) -> str:
    """`INC-0002 (source fixed)`; for one that still stands, its state."""
    by_itself = "solved itself" if incident.state is IncidentState.RESOLVED else incident.state.value
    return f"{incident.incident_id} ({incident.resolution_reason or by_itself})"


def noted(connection: Connection, incident: int, who: str, action: str, text: str | None = None) -> None:
    """Writes one step of the history, which must be told unless it is only a remark."""
    table = t.incident_events
    seq = numbering.next_seq(connection, table)
    if action != REMARK:
        incident_id = id_of(incident)
        outbox.tell(connection, NoticeKind.INCIDENT, f"{incident_id}/{seq}", incident_id)
    connection.execute(
        table.insert().values(
            seq=seq,
            incident=incident,
            happened_at=clock.now(),
            who=who,
            action=action,
            text=text,
        )
    )


def changed(connection: Connection, incident: int, **values: Any) -> None:  # noqa: ANN401  column values
    """Writes what a step changed."""
    connection.execute(t.incidents.update().where(t.incidents.c.seq == incident).values(**values))
