"""What time alone brings about: digests that are due, reminders, and escalations of what nobody has acknowledged."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from dataops.declared.routing import Every
from dataops.ledger import clock, incidents, outbox, publications
from dataops.ledger.enums import IncidentState, NoticeKind
from dataops.ledger.incidents import Incident
from dataops.outlets.notify import addressing
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.stories import digest

REMINDED = "reminded"
AFTER_HOURS = (4, 24)  # without acknowledgement


def wake(connection: Connection, desk: Desk) -> None:
    """Notes what must be told now, in the caller's transaction; what was noted before is left as it is."""
    for every in get_args(Every):
        _digest(connection, desk, every)
    for incident in incidents.open_incidents(connection):
        if incident.state is IncidentState.OPEN and addressing.severity_of(desk, incident) == "critical":
            _remind(connection, desk, incident)


def _digest(connection: Connection, desk: Desk, every: Every) -> None:
    """The newest one that is due, if anything was published by then and somebody gets it; earlier ones are past."""
    if not any(wanted.every == every for wanted in addressing.digests(desk)):
        return
    end = digest.end_of(desk, every, clock.now())
    first = publications.first_published(connection)
    if first is not None and first < end:
        day = _day(desk, end)
        outbox.tell(connection, NoticeKind.DIGEST, digest.what(every, day), digest.what(every, day))


def _day(desk: Desk, end: datetime) -> date:
    zone = ZoneInfo(desk.work.settings.project.message_zone)
    return end.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).date()


def _remind(connection: Connection, desk: Desk, incident: Incident) -> None:
    history = incidents.history(connection, incident)
    opened = max(event.happened_at for event in history if event.action in addressing.OPENINGS)
    since = [event for event in history if event.happened_at >= opened]
    waited = clock.now() - opened
    if due := [hours for hours in AFTER_HOURS if waited >= timedelta(hours=hours)]:
        text = f"nobody has acknowledged it for {due[-1]} h"
        if not any(event.action == REMINDED and event.text == text for event in since):
            incidents.remark(connection, incident, REMINDED, text)
    routing = addressing.routing_of(desk, incident.group)
    if routing is None or routing.escalate is None:
        return
    hours = routing.escalate.after_hours
    if waited >= timedelta(hours=hours) and not any(event.action == addressing.ESCALATED for event in since):
        to = ", ".join(routing.escalate.to)
        incidents.remark(connection, incident, addressing.ESCALATED, f"to {to}, not acknowledged for {hours:g} h")
