"""Incidents as people look at them: what is wrong, what is held, what led to it, what was done."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, partial
from typing import ClassVar

from pydantic import Field
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog
from dataops.declared.errors import DeclarationError
from dataops.facts import choosing, impact, masking
from dataops.facts.document import Document, Fields, Moment, Part
from dataops.facts.impact import ImpactDocument
from dataops.ledger import batches, clock, incidents, results
from dataops.ledger.batches import BUILT
from dataops.ledger.enums import BYSTANDERS, UNSOLVED, IncidentKind, IncidentState, Outcome
from dataops.ledger.incidents import Detail, Incident
from dataops.ledger.results import CheckResult
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace

HISTORY = 30  # last results of a rule
RECENT = timedelta(days=30)
StandsOn = Callable[[str], ImpactDocument]


class IncidentFacts(Part):
    """A problem that somebody must see."""

    incident: str
    group: str
    kind: IncidentKind | None
    """null: opened by a release that knew no kinds"""
    state: IncidentState
    assignee: str | None
    sentence: str
    opened_at: Moment
    last_seen_at: Moment
    times: int
    resolved_at: Moment | None
    resolution: str | None
    resolution_reason: str | None
    rows_held: int
    money_held: str | None
    """exact; null: the group has no money"""


class IncidentList(Document):
    """Incidents, newest first."""

    document: ClassVar[str] = "incidents"
    incidents: tuple[IncidentFacts, ...]


class Step(Part):
    """One step of an incident's history."""

    at: Moment
    who: str
    action: str
    text: str | None
    number: int = Field(exclude=True)
    """as messages name the step"""


class Earlier(Part):
    """An incident of the same root cause."""

    incident: str
    state: IncidentState
    reason: str | None

    @property
    def ended(self) -> str:
        by_itself = "solved itself" if self.state is IncidentState.RESOLVED else self.state.value
        return f"{self.incident} ({self.reason or by_itself})"


class Evidence(Part):
    """A rule that failed, with what was observed and keys of the first failing rows."""

    rule: str
    table: str
    says: str
    engine: str | None
    failing: int | None
    checked: int | None
    observed: str | None
    sample: tuple[dict[str, str], ...]


class IncidentDocument(Document, IncidentFacts):
    """One incident."""

    document: ClassVar[str] = "incident"
    batch: str | None
    source: str | None
    """of the batch"""
    window: str | None
    """of the batch, as the command line takes it"""
    is_build: bool
    """whether models made the batch"""
    rule: str | None
    """the rule that failed first"""
    why: str | None
    """why that rule matters"""
    rule_file: str | None
    waiting: tuple[str, ...]
    """groups that wait for this one"""
    waiting_reports: tuple[str, ...]
    """reports that cannot be made anew before it is solved"""
    waiting_receivers: tuple[str, ...]
    """who would get them"""
    evidence: tuple[Evidence, ...]
    last: tuple[Outcome, ...]
    """last results of the rule, oldest first"""
    detail: Fields
    """the facts as they were when it was last seen"""
    history: tuple[Step, ...]
    before: tuple[Earlier, ...]

    @property
    def is_open(self) -> bool:
        return self.state in UNSOLVED

    @property
    def known(self) -> Detail:
        """`detail`, typed."""
        return Detail.of(self.detail)


class Summary(Part):
    """`2 open, 1 without owner, median time to solve in 30 days: 5 h`."""

    open: int
    without_owner: int
    median: timedelta | None


def listed(
    work: Workspace, group: str | None, limit: int, states: tuple[IncidentState, ...] = UNSOLVED, *,
    owner: str | None = None, any_owner: bool = True,
) -> IncidentList:  # fmt: skip
    """The newest incidents in these states; of one owner (None: of nobody) unless `any_owner`.

    Raises DeclarationError for an unknown group.
    """
    with work.warehouse.reading() as connection:
        everything = _newest(connection, work.catalog, group, limit if any_owner else 10_000, states)
    chosen = [i for i in everything if any_owner or i.assignee == owner][:limit]
    return IncidentList(incidents=tuple(IncidentFacts(**_own(work.catalog, incident)) for incident in chosen))


def summary(work: Workspace, group: str | None) -> Summary:
    """How many are open, and how long the recent ones took."""
    with work.warehouse.reading() as connection:
        found = _newest(connection, work.catalog, group, 10_000, UNSOLVED, clock.now() - RECENT)
    took = [(i.resolved_at - i.opened_at).total_seconds() for i in found if i.resolved_at and not i.is_open]
    still = [i for i in found if i.is_open]
    return Summary(
        open=len(still),
        without_owner=sum(i.assignee is None for i in still),
        median=timedelta(seconds=statistics.median(took)) if took else None,
    )


def _newest(
    connection: Connection, catalog: Catalog, group: str | None, limit: int, states: tuple[IncidentState, ...],
    since: datetime | None = None,
) -> list[Incident]:  # fmt: skip
    name = catalog.group(group).name if group else None
    return incidents.newest(connection, name, limit, states, since) if is_there(connection) else []


def shown(work: Workspace, typed: str, stands_on: StandsOn | None = None) -> IncidentDocument:
    """The incident that `typed` means. Raises DeclarationError when there is none, or several.

    `stands_on`: what stands on a group, for who shows many incidents and has looked already.
    """
    with work.warehouse.reading() as connection:
        is_id = is_there(connection) and incidents.is_known(connection, typed)
        name = typed if is_id else choosing.of(connection, "incident", typed)
        incident = incidents.required(connection, name)
        return _document(connection, work, incident, stands_on or partial(impact.of_group, work))


class Page(Part):
    """An incident as a page shows it: what the page depends on, and the document unless it is current."""

    incident: str
    depends_on: Fields
    document: IncidentDocument | None


def pages(work: Workspace, limit: int, is_current: Callable[[str, Fields], bool]) -> list[Page]:
    """Every open incident and the newest of the others, with their documents where a page is not current."""
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            return []
        chosen = {i.incident_id: i for i in incidents.newest(connection, None, limit)}
        chosen |= {i.incident_id: i for i in incidents.open_incidents(connection)}
        steps = incidents.last_steps(connection)
        stands_on = cache(partial(impact.of_group, work))
        found = []
        for name, incident in chosen.items():
            depends_on = incident.model_dump(mode="json") | {"step": steps.get(incident.seq)}
            document = None if is_current(name, depends_on) else _document(connection, work, incident, stands_on)
            found.append(Page(incident=name, depends_on=depends_on, document=document))
    return found


def _document(connection: Connection, work: Workspace, incident: Incident, stands_on: StandsOn) -> IncidentDocument:
    catalog = work.catalog
    batch = batches.numbered(connection, incident.batch)
    failed = results.of_batch(connection, incident.batch, (Outcome.FAILED, Outcome.ERROR))
    first = incident.detail.first_rule
    rule = next((r for g in catalog.groups.values() for r in g.rules if first and r.id == first.rule), None)
    last = results.last_outcomes(connection, first.rule if first else None, HISTORY)
    waits = stands_on(incident.group) if _holds(incident) else None
    return IncidentDocument(
        **_own(catalog, incident, failed),
        batch=batch.batch_id if batch else None,
        source=batch.source if batch else None,
        window=str(batch.window) if batch and batch.window else None,
        is_build=bool(batch and batch.source == BUILT),
        rule=first.rule if first else None,
        why=rule.why if rule else None,
        rule_file=rule.file if rule else None,
        waiting=tuple(name for name in waits.groups if name != incident.group) if waits else (),
        waiting_reports=waits.reports if waits else (),
        waiting_receivers=waits.receivers if waits else (),
        evidence=tuple(_evidence(catalog, incident, failed)),
        last=tuple(last),
        detail=_masked(catalog, incident.detail, failed).stored(),
        history=tuple(
            Step(at=e.happened_at, who=e.who, action=e.action, text=e.text, number=e.seq)
            for e in incidents.history(connection, incident)
        ),
        before=tuple(
            Earlier(incident=i.incident_id, state=i.state, reason=i.resolution_reason)
            for i in incidents.before(connection, incident)
        ),
    )


def _own(catalog: Catalog, incident: Incident, failed: list[CheckResult] | None = None) -> Fields:
    names = (
        "group", "kind", "state", "assignee", "opened_at", "last_seen_at", "times", "resolved_at", "resolution",
        "resolution_reason",
    )  # fmt: skip
    money = incident.detail.money
    return {name: getattr(incident, name) for name in names} | {
        "incident": incident.incident_id,
        "sentence": masking.reason(catalog, incident.sentence, failed or []) or incident.sentence,
        "rows_held": incident.detail.rows_held,
        "money_held": money.held if money else None,
    }


def _masked(catalog: Catalog, detail: Detail, failed: list[CheckResult]) -> Detail:
    """Reasons and observed values may repeat what stood in a personal column."""
    by_rule = {result.rule_id: result for result in failed}
    changes: Fields = {}
    if detail.reasons:
        changes["reasons"] = tuple(masking.reason(catalog, text, failed) or text for text in detail.reasons)
    if detail.rules:
        changes["rules"] = tuple(
            item.model_copy(update={"observed": masking.observed(catalog, by_rule[item.rule])})
            if item.rule in by_rule
            else item
            for item in detail.rules
        )
    return detail.model_copy(update=changes)


def _evidence(catalog: Catalog, incident: Incident, failed: list[CheckResult]) -> list[Evidence]:
    by_rule = {result.rule_id: result for result in failed}
    found = []
    for item in incident.detail.rules:
        result = by_rule.get(item.rule)
        dataset = catalog.datasets.get(item.table)
        found.append(
            Evidence(
                rule=item.rule,
                table=item.table,
                says=item.says,
                engine=result.engine if result else None,
                failing=item.failing,
                checked=result.checked if result else None,
                observed=masking.observed(catalog, result) if result else item.observed,
                sample=masking.sample(dataset, result.sample) if result else (),
            )
        )
    return found


def _holds(incident: Incident) -> bool:
    """Whether something waits until it is solved."""
    return incident.is_open and incident.kind not in BYSTANDERS


def state_of(text: str) -> IncidentState:
    """Raises DeclarationError naming the states there are."""
    try:
        return IncidentState(text)
    except ValueError:
        raise DeclarationError(f"no state {text!r} of an incident; there are {', '.join(IncidentState)}") from None
