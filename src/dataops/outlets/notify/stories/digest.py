"""A digest of a day or a week: how everything stands, what happened, what somebody must decide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from dataops.declared.routing import Every, due_after
from dataops.facts import digest
from dataops.facts.digest import DigestFacts
from dataops.facts.sentence import SHAPES
from dataops.facts.text import counted, span
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify import addressing
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.story import Fact, Link, Para, Story, table_of

RULES = 5
LENGTHS: dict[Every, dt.timedelta] = {"day": dt.timedelta(days=1), "week": dt.timedelta(days=7)}


def what(every: Every, day: dt.date) -> str:
    """How the ledger names it."""
    return f"digest {every} {day}"


def end_of(desk: Desk, every: Every, now: dt.datetime) -> dt.datetime:
    """The moment, in UTC, at which the newest digest of this length was due."""
    return due_after(now, _hour(desk, every), desk.work.settings.project.message_zone, monday=every == "week")


def _hour(desk: Desk, every: Every) -> dt.time:
    messages = desk.work.settings.project.messages
    return messages.week_at if every == "week" else messages.day_at


def story(desk: Desk, delivery: Delivery) -> Story:
    """For one receiver: only the groups that they are told of."""
    _, name, day = delivery.what.split(" ")
    every: Every = "week" if name == "week" else "day"
    zone = ZoneInfo(desk.work.settings.project.message_zone)
    local = dt.datetime.combine(dt.date.fromisoformat(day), _hour(desk, every), zone)
    end = local.astimezone(dt.UTC).replace(tzinfo=None)
    groups = addressing.digest_groups(desk, delivery.whom, every) or list(desk.work.catalog.groups)
    page = digest.read(desk.work, groups, end - LENGTHS[every], end, desk.status)
    title = _title(page, every, local.date() - LENGTHS[every])
    return Story(
        sentence=f"{title}. {page.opened} opened, {page.solved} solved, {len(page.open)} open.",
        title=title,
        paras=tuple(_paras(page)),
        facts=tuple(_facts(page)),
        table=table_of(
            ("rule", "says", "batches", "rows"),
            [(r.rule, r.says, f"{r.batches:,}", f"{r.rows:,}") for r in page.fired],
            RULES,
        ),
        notes=tuple(_notes(page)),
        links=(Link("Today", desk.site("index.html")),),
        run="dataops status" if not page.is_quiet else None,
    )


def _title(page: DigestFacts, every: Every, first: dt.date) -> str:
    last = first + dt.timedelta(days=6)
    when = f"Week {_day(first)} to {_day(last)}" if every == "week" else f"{first:%A} {_day(first)}"
    if page.well and not page.open:
        how = "nothing was loaded" if not page.judged else "all published"
        solved = f", {counted(page.solved, 'incident')} solved" if page.solved else ""
        return f"{SHAPES['published']} {when}: {how}{solved}"
    return f"■ {when}: {page.sentence.rstrip('.')}"


def _day(day: dt.date) -> str:
    return f"{day.day} {day:%B %Y}"


def _paras(page: DigestFacts) -> Iterator[Para]:
    yield Para("", page.sentence)
    for item in page.open:
        yield Para(f"{item.sentence}, since {item.since:%Y-%m-%d %H:%M} UTC.", f"{item.incident} ({item.group}):")


def _facts(page: DigestFacts) -> Iterator[Fact]:
    yield Fact("Batches published", f"{page.published} of {page.judged}")
    yield Fact("Incidents", f"{page.opened} opened, {page.solved} solved, {len(page.open)} open")
    if page.median_to_solve is not None:
        yield Fact("Time to solve", f"median {span(page.median_to_solve)}")
    yield Fact("Rows in quarantine", f"{page.kept_back:,}")


def _notes(page: DigestFacts) -> Iterator[str]:
    for waiver in page.waivers:
        yield f"Please decide: {waiver.waiver} ({waiver.rule or 'quota'}) {waiver.state}, ends {waiver.until:%Y-%m-%d}"
    if page.rules_changed:
        yield f"Rules were changed: {', '.join(page.rules_changed)}"
    if page.reports_waiting:
        yield f"Reports that wait: {', '.join(page.reports_waiting)}"
    if page.undelivered:
        yield f"{counted(page.undelivered, 'message')} not delivered: dataops outbox list --state parked"
