"""An incident: what is wrong, how much, what stays as it was, who waits, and what to run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dataops.facts import incident as incidents
from dataops.facts.incident import IncidentDocument, Step
from dataops.facts.text import counted, money, percent, span
from dataops.ledger import clock
from dataops.ledger.enums import IncidentKind, IncidentState
from dataops.outlets.notify import addressing, listening
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.story import Button, Fact, Link, Para, Story, Table, table_of
from dataops.outlets.site import people_pages

SHAPES = {
    IncidentState.OPEN: "■",
    IncidentState.ACKNOWLEDGED: "■",
    IncidentState.WAIVED: "◪",
    IncidentState.RESOLVED: "●",
}
STOPS = {IncidentKind.HELD, IncidentKind.ERROR, IncidentKind.DRIFT, None}
"""Kinds of which a batch is not published."""
CALLS = ("reminded", "escalated")
"""Steps by which the owner is called once more."""
SHOWN = 5  # keys of failing rows


def story(desk: Desk, incident_id: str, step: int | None = None) -> Story:
    """As the incident stands now; `step`: the number of the event that is told, for the thread."""
    page = incidents.shown(desk.work, incident_id, desk.impact)
    told = next((event for event in page.history if event.number == step), None)
    first = page.known.first_rule
    return Story(
        sentence=_sentence(desk, page),
        title=_title(page),
        paras=tuple(_solved(desk, page) if not page.is_open else _open(desk, page)),
        facts=tuple(_facts(desk, page)),
        table=_rows(page) if page.is_open else None,
        notes=tuple(_notes(desk, page)),
        links=tuple(_links(desk, page)),
        buttons=tuple(_buttons(page)),
        run=f"dataops incidents show {page.incident}" if page.is_open else None,
        mention=page.assignee or desk.owner(page.group, first.table if first else None),
        reply=_reply(told),
        is_step=told is not None and told.action not in (*addressing.OPENINGS, *addressing.ENDINGS),
        reply_mentions=told is not None and told.action in CALLS,
    )


def _name(page: IncidentDocument) -> str:
    return page.group[:1].upper() + page.group[1:]


def _title(page: IncidentDocument) -> str:
    if page.state is IncidentState.WAIVED:
        return f"{SHAPES[page.state]} {_name(page)} published under a waiver: {page.sentence}"
    if not page.is_open:
        return f"{SHAPES[page.state]} Solved: {page.sentence} ({page.group})"
    if page.kind in STOPS:
        how = "could not be judged" if page.kind is IncidentKind.ERROR else "held"
        return f"{SHAPES[page.state]} {_name(page)} {how}: {page.sentence}"
    return f"▲ {_name(page)}: {page.sentence}"


def _sentence(desk: Desk, page: IncidentDocument) -> str:
    """All of it for those who see one line: what, how much, where the figures stand, the id."""
    parts = [f"{_title(page)}."]
    if page.is_open and (share := _share(desk, page)):
        parts.append(f"{share}.")
    if page.is_open and page.kind in STOPS and (day := desk.stands_at(page.group)):
        parts.append(f"Figures stay at {day}.")
    return f"{' '.join(parts)} {page.incident}"


def _share(desk: Desk, page: IncidentDocument) -> str:
    """`1,284 of 3,419 rows, EUR 1,167,878.40 of 3,463,072.19 (33.7 %)`."""
    detail = page.known
    if not detail.rows_received:
        return ""
    text = f"{detail.rows_held:,} of {detail.rows_received:,} rows"
    if paid := detail.money:
        share = f" ({percent(float(paid.held) / float(paid.received))})" if float(paid.received) else ""
        text += f" and {desk.money(paid.held)} of {money(paid.received)}{share}"
    return text


def _open(desk: Desk, page: IncidentDocument) -> Iterator[Para]:
    if page.kind in STOPS:
        day = desk.stands_at(page.group)
        stays = f"Figures of {page.group} stay at {day}." if day else ""
        what = f"Batch {page.batch} was not published. " if page.batch else ""
        yield Para(f"{what}Nothing is lost.", stays or f"Nothing of {page.group} is published yet.")
    if page.rule:
        why = f" {page.why}" if page.why else ""
        yield Para(f"{page.sentence}.{why}", f"Rule {page.rule}:")
    if share := _share(desk, page):
        yield Para(f"are affected; allowed are {_quota(desk, page.group)}.", f"{share}")
    for difference in page.known.diff[:SHOWN]:
        yield Para(difference)


def _quota(desk: Desk, group: str) -> str:
    declared = desk.work.catalog.groups.get(group)
    if declared is None:
        return "none"
    quota = declared.checkpoint.quota
    return f"{percent(quota.rows)} of rows" + (
        f" and {percent(quota.money)} of money" if quota.money is not None else ""
    )


def _solved(desk: Desk, page: IncidentDocument) -> Iterator[Para]:
    group = desk.group(page.group)
    if page.resolved_at:
        how = f"{page.resolution_reason}: {page.resolution}" if page.resolution_reason else f"{page.resolution}"
        yield Para(f"It took {span(page.resolved_at - page.opened_at)}.", f"{how[:1].upper()}{how[1:]}.")
    if group and group.publication and page.kind in STOPS:
        yield Para(f"{group.publication} stands, with figures up to {desk.stands_at(page.group)}.")


def _facts(desk: Desk, page: IncidentDocument) -> Iterator[Fact]:
    first = page.known.first_rule
    yield Fact("Owner", page.assignee or desk.owner(page.group, first.table if first else None), is_person=True)
    yield Fact("Since", page.opened_at)
    state = page.state.value if page.is_open else f"{page.state.value} after {span(_took(page))}"
    yield Fact("State", state)
    if page.times > 1:
        yield Fact("Seen", f"{counted(page.times, 'time')}")
        yield Fact("Last", page.last_seen_at)
    for trait in page.known.pattern[:2] if page.is_open else ():
        value = "nothing" if trait.value is None else trait.value
        yield Fact("Pattern", f"{trait.column} {value}: {trait.bad:,} of {trait.of_bad:,} failing rows")
    if page.before:
        yield Fact("Seen before", ", ".join(earlier.ended for earlier in page.before[:3]))


def _took(page: IncidentDocument) -> timedelta:
    return (page.resolved_at or clock.now()) - page.opened_at


def _rows(page: IncidentDocument) -> Table | None:
    """Keys of the first failing rows of the rule that is named."""
    named = next((item for item in page.evidence if item.rule == page.rule and item.sample), None)
    if named is None:
        return None
    columns = tuple(named.sample[0])
    rows = [tuple(row.get(column, "") for column in columns) for row in named.sample]
    found = table_of(columns, rows, SHOWN)
    more = (named.failing or len(rows)) - min(len(rows), SHOWN)
    return Table(found.columns, found.rows, more) if found else None


def _notes(desk: Desk, page: IncidentDocument) -> Iterator[str]:
    if page.waiting or page.waiting_reports:
        figures = len(desk.impact(page.group).metrics)
        parts = [", ".join(page.waiting)] if page.waiting else []
        parts += [counted(figures, "figure")] if figures else []
        parts += [f"reports {', '.join(page.waiting_reports)}"] if page.waiting_reports else []
        parts += [f"for {counted(len(page.waiting_receivers), 'receiver')}"] if page.waiting_receivers else []
        yield f"Waiting because of this: {', '.join(parts)}"
    elif page.is_open and page.kind not in STOPS:
        yield "Nothing is held because of this."
    group = desk.group(page.group)
    if page.is_open and page.kind in STOPS and group and group.publication:
        fresh = "late as well" if group.state == "late" else f"confirmed {group.confirmed_at:%Y-%m-%d %H:%M} UTC"
        yield f"Last good figures: {group.publication}, {fresh}"


def _links(desk: Desk, page: IncidentDocument) -> Iterator[Link]:
    yield Link(f"Open {page.incident}", desk.site(people_pages.path(page.incident)))
    if page.batch and page.known.verdict:
        yield Link("Batch and rules", desk.site(f"batches/{page.batch}.html"))
    if page.is_open and page.kind in {IncidentKind.HELD, None} and not page.is_build:
        yield Link("Decide in Airflow", desk.required_actions)


def _buttons(page: IncidentDocument) -> Iterator[Button]:
    if page.state is IncidentState.OPEN:
        yield Button("Acknowledge", listening.ACKNOWLEDGE, page.incident)
    if page.is_open:
        yield Button("Assign to me", listening.ASSIGN, page.incident)


def _reply(step: Step | None) -> str | None:
    """What is said in the thread; nothing for an opening, which is the message, and for repeats, which count."""
    if step is None or step.action in {"opened", "seen"}:
        return None
    text = f": {step.text}" if step.text else ""
    who = "" if step.who == "gate" else f" by {step.who}"
    return f"{step.action[:1].upper()}{step.action[1:]}{who}{text}"
