"""Whom a notice reaches, and from when on: what checkpoints, project and reports declare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.engine import Connection

from dataops.declared.routing import CHANNEL, MAIL, OWNER, Digest, Route, Routing, next_at
from dataops.ledger import clock, incidents, publications, reports
from dataops.ledger.enums import Channel, NoticeKind
from dataops.ledger.incidents import Event, Incident
from dataops.ledger.outbox import Notice, To
from dataops.outlets.notify import severity
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.severity import Severity

OPENINGS, ENDINGS = ("opened", "reopened"), ("resolved", "waived")
ESCALATED = "escalated"
MAILED = (*OPENINGS, *ENDINGS, ESCALATED)
"""Steps of an incident that are worth a mail."""


def receivers(connection: Connection, desk: Desk, notice: Notice) -> list[To]:
    """Whom it reaches; empty: nobody is to be told."""
    match notice.kind:
        case NoticeKind.INCIDENT:
            return list(_of_incident(connection, desk, notice))
        case NoticeKind.QUARANTINE:
            made = publications.find(connection, notice.what)
            return list(_of_group(desk, made.group, "warning", [desk.owner(made.group)])) if made else []
        case NoticeKind.REPORT:
            return list(_of_report(connection, desk, notice.what))
        case NoticeKind.REPORT_WAITS:
            return list(_subscribed(desk, notice.what.partition("/")[0], None))
        case NoticeKind.DIGEST:
            return [to for digest in digests(desk) if notice.what.startswith(f"digest {digest.every} ")
                    for to in addressed(digest.to, [], clock.now())]  # fmt: skip
        case NoticeKind.LINEAGE:
            return []  # no person: it has a relay of its own


def routing_of(desk: Desk, group: str) -> Routing | None:
    """Who is told of a group; of what is no group, who operates the platform."""
    declared = desk.work.catalog.groups.get(group)
    return declared.checkpoint.routing if declared else desk.work.settings.project.messages.operations


def severity_of(desk: Desk, incident: Incident) -> Severity:
    """As its kind; an anomaly as its checkpoint says."""
    declared = desk.work.catalog.groups.get(incident.group)
    if incident.kind == "anomaly" and declared and declared.checkpoint.anomalies.severity == "critical":
        return "critical"
    return severity.of_incident(incident.kind)


def owners(desk: Desk, incident: Incident) -> list[str]:
    """Who owns the dataset that it is about, and who has it."""
    first = incident.detail.first_rule
    owner = desk.owner(incident.group, first.table if first else None)
    return list(dict.fromkeys((owner, incident.assignee or owner)))


def digests(desk: Desk) -> list[Digest]:
    """Every digest that somebody gets, once."""
    found = dict.fromkeys(desk.work.settings.project.messages.digests)
    for group in desk.work.catalog.groups.values():
        for route in group.checkpoint.routing.to if group.checkpoint.routing else ():
            if route.digest != "never":
                whom = group.checkpoint.owner if route.to == OWNER else route.to
                found[Digest(to=whom, every=route.digest)] = None
    return list(found)


def digest_groups(desk: Desk, whom: str, every: str) -> list[str]:
    """The groups that a digest to somebody is about: all where the project says so, else those that route to them."""
    groups = desk.work.catalog.groups
    if any(d.to == whom and d.every == every for d in desk.work.settings.project.messages.digests):
        return list(groups)
    return [
        name
        for name, group in groups.items()
        for route in (group.checkpoint.routing.to if group.checkpoint.routing else ())
        if route.digest == every and whom in {route.to, group.checkpoint.owner if route.to == OWNER else route.to}
    ]


def _of_incident(connection: Connection, desk: Desk, notice: Notice) -> Iterator[To]:
    incident = incidents.required(connection, notice.subject)
    history = incidents.history(connection, incident)
    step = next(event for event in history if event.seq == int(notice.what.partition("/")[2]))
    routing = routing_of(desk, incident.group)
    if routing is None:
        return
    escalated = any(event.action == ESCALATED for event in history)
    for to in (
        *_of_group(desk, incident.group, severity_of(desk, incident), owners(desk, incident)),
        *(_escalated(routing, desk, incident) if escalated else ()),
    ):
        if _is_told(to.channel, step):
            yield to


def _is_told(channel: Channel, step: Event) -> bool:
    return channel is Channel.SLACK or step.action in MAILED


def _escalated(routing: Routing, desk: Desk, incident: Incident) -> Iterator[To]:
    for address in routing.escalate.to if routing.escalate else ():
        yield from addressed(address, owners(desk, incident), clock.now())


def _of_group(desk: Desk, group: str, how: Severity, named: list[str]) -> Iterator[To]:
    routing = routing_of(desk, group)
    if routing is None:
        return
    now = clock.now()
    due = routing.quiet.over(now) if routing.quiet and how == "warning" else now
    for route in routing.to:
        if _at_once(route, how):
            yield from addressed(route.to, named, due)


def _at_once(route: Route, how: Severity) -> bool:
    return route.at_once == "warning" or (route.at_once == "critical" and how == "critical")


def _of_report(connection: Connection, desk: Desk, report_id: str) -> Iterator[To]:
    made = reports.find(connection, report_id)
    if made is not None:
        yield from _subscribed(desk, made.report, made.language)


def _subscribed(desk: Desk, name: str, language: str | None) -> Iterator[To]:
    """The receivers of a report in a language, each from the time of day on that they asked for."""
    declared = desk.reports.get(name)
    if declared is None:
        return
    for receiver in declared.receivers:
        if language is None or (receiver.language or declared.language) == language:
            zone = receiver.zone or desk.work.settings.project.message_zone
            due = next_at(clock.now(), receiver.at, zone) if receiver.at else clock.now()
            yield from addressed(receiver.to, [], due)


def addressed(address: str, named: list[str], due: datetime) -> Iterator[To]:
    """What an address stands for; `named`: who owns what it is about. What is no address is nobody's."""
    for whom in named if address == OWNER else [address]:
        if re.fullmatch(CHANNEL, whom):
            yield To(channel=Channel.SLACK, whom=whom, due_at=due)
        elif re.fullmatch(MAIL, whom):
            yield To(channel=Channel.MAIL, whom=whom, due_at=due)
