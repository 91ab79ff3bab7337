"""A message as it would be sent now, for somebody who wants to see it first."""

from __future__ import annotations

import datetime as dt
import json
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from dataops.declared.errors import DeclarationError
from dataops.declared.routing import Every
from dataops.facts import choosing
from dataops.ledger import clock, incidents, reports
from dataops.ledger.enums import Channel, NoticeKind
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import mail, slack, stories
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.samples import delivery
from dataops.outlets.notify.stories import digest
from dataops.outlets.notify.story import plain
from dataops.outlets.refusals import NeedlessError


def preview(work: Workspace, what: str, whom: str, form: Literal["text", "slack", "html"]) -> str:
    """The message about an incident, a publication, a made report or a digest (`day`, `week`) as text, JSON or HTML.

    Raises DeclarationError for what is none of these, or has nothing to say.
    """
    desk = Desk(work)
    kind, name, subject = _what(desk, what)
    channel = Channel.SLACK if whom.startswith("#") else Channel.MAIL
    wanted = delivery(kind, channel, whom, what=name).model_copy(update={"subject": subject})
    try:
        story = stories.of(desk, wanted)
    except NeedlessError as why:
        raise DeclarationError(f"there is nothing to say of {what}: {why}") from None
    if form == "slack":
        body = slack.message(story, work.settings.project.messages.people)
        return json.dumps(body, indent=1, ensure_ascii=False)
    return mail.html(story) if form == "html" else plain(story)


def _what(desk: Desk, what: str) -> tuple[NoticeKind, str, str]:
    """Kind, name and subject of a notice about it."""
    for every in get_args(Every):
        if what == every:
            zone = ZoneInfo(desk.work.settings.project.message_zone)
            end = digest.end_of(desk, every, clock.now()).replace(tzinfo=dt.UTC).astimezone(zone)
            return NoticeKind.DIGEST, digest.what(every, end.date()), ""
    if what.upper().startswith("INC") or what.isdigit():
        name = choosing.of_work(desk.work, "incident", what)
        with desk.work.warehouse.reading() as connection:
            last = incidents.history(connection, incidents.required(connection, name))[-1]
        return NoticeKind.INCIDENT, f"{name}/{last.seq}", name
    with desk.work.warehouse.reading() as connection:
        if made := reports.find(connection, what):
            return NoticeKind.REPORT, made.report_id, reports.subject_of(made.report, made.period)
    return NoticeKind.QUARANTINE, choosing.of_work(desk.work, "publication", what), ""
