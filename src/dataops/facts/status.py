"""May I trust this morning's figures? The state of every group, read from the ledger.

Writes nothing and knows no engine; the sentence over it all is `facts.sentence`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import ClassVar

from pydantic import Field, computed_field
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog
from dataops.facts import lineage_status
from dataops.facts.document import Amount, Document, Moment, Part, Receipt, iso
from dataops.facts.lineage_status import LineageFacts
from dataops.facts.sentence import WORST_FIRST, GroupState, State, sentence, worst
from dataops.gate.waivers import state_of
from dataops.ledger import batches, clock, entries, outbox, publications, receipts, results, waivers
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BYSTANDERS, BatchState, DeliveryState, Outcome, PublicationKind, VerdictName
from dataops.ledger.incidents import Incident, open_incidents
from dataops.ledger.publications import Publication
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.pipeline.stewards import Standing
from dataops.pipeline.watch import confirmed_at, is_late


@dataclass(frozen=True)
class _Group:
    """What is read of one group. Times are UTC without a zone."""

    state: GroupState
    as_of: datetime | None = None
    as_of_is_day: bool = False  # of the end of a window, so a day; else the moment of publication
    confirmed_at: datetime | None = None
    rules: Mapping[Outcome, int] = field(default_factory=dict)  # of the last judgement; empty: never judged
    declared: int = 0
    rows_held: int = 0
    money_held: str | None = None
    incident: str | None = None
    batch: Batch | None = None
    publication: Publication | None = None
    held_from: datetime | None = None


class Rules(Part):
    """How the rules of a group's last judgement ended."""

    declared: int
    passed: int = 0
    warned: int = 0
    waived: int = 0
    failed: int = 0
    error: int = 0


class GroupFacts(Part):
    """How a group stands."""

    group: str
    state: State
    waits_for: tuple[str, ...]
    missing: tuple[str, ...]
    """its datasets of which nothing was ever published"""
    rolled_back: bool
    publication: str | None
    published_at: Moment | None
    confirmed_at: Moment | None
    """when it was last delivered, with a difference or without"""
    verdict: VerdictName | None
    """of the last batch that was judged"""
    batch: str | None
    """that batch"""
    rules: Rules
    rows_held: int
    money_held: Amount | None
    incident: str | None
    owner: str
    is_built: bool
    as_of: datetime | None = Field(exclude=True)
    as_of_is_day: bool = Field(exclude=True)
    unjudged: bool = Field(exclude=True)
    held_from: datetime | None = Field(exclude=True)
    """what is held speaks for no time before this one; None: for any"""

    def is_held_for(self, day: date) -> bool:
        """Whether what is held speaks for a day or days before it; corrections of earlier ones will be restatements."""
        return self.state == "held" and (self.held_from is None or self.held_from.date() <= day)

    @property
    def as_of_day(self) -> datetime | None:
        """The last day that the figures hold: a window ends before its end."""
        if self.as_of is None or not self.as_of_is_day:
            return self.as_of
        return self.as_of - timedelta(microseconds=1)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def figures_as_of(self) -> str | None:
        """A day, or where the figures are of no day the moment of publication."""
        day = self.as_of_day
        if day is None:
            return None
        return f"{day:%Y-%m-%d}" if self.as_of_is_day else iso(day)

    @property
    def well(self) -> bool:
        return self.state == "published" and not self.rolled_back


class OpenIncident(Part):
    """An incident in which somebody must act."""

    incident: str
    group: str
    sentence: str
    since: Moment
    times: int


class LiveWaiver(Part):
    """A waiver that holds or waits for approval."""

    waiver: str
    rule: str | None
    state: str
    until: Moment


class Quarantined(Part):
    """Rows that are kept back from published batches."""

    rows: int
    oldest: Moment | None
    datasets: Mapping[str, int]


class ReadersCopy(Part):
    """What notebooks and BI tools open: of which publication it is, and how many were made since."""

    publication: str | None
    behind: int


class Messages(Part):
    """What was to be told."""

    waiting: int
    parked: int
    """refused for good: a person decides"""
    overdue_since: Moment | None
    """since when something waits that might have been sent"""


NOTHING = Messages(waiting=0, parked=0, overdue_since=None)


class Status(Document):
    """How every group stands."""

    document: ClassVar[str] = "status"
    as_of: Moment
    state: State
    sentence: str
    groups: tuple[GroupFacts, ...]
    """the worst first"""
    quarantine: Quarantined
    incidents: tuple[OpenIncident, ...]
    waivers: tuple[LiveWaiver, ...]
    """those that end first on top"""
    receipt: Receipt | None
    """head of the chain of receipts"""
    readers: ReadersCopy | None
    """null where people read the warehouse itself"""
    outbox: Messages
    lineage: LineageFacts
    reports_waiting: tuple[str, ...] = ()
    """reports that cannot be made anew while a group is held"""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def healthy(self) -> bool:
        return all(group.well for group in self.groups)

    @property
    def held(self) -> bool:
        return any(group.state == "held" for group in self.groups)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def next(self) -> str | None:
        """What a person would run now; null when there is nothing to do."""
        if self.incidents:
            return f"dataops incidents show {self.incidents[0].incident}"
        for group in self.groups:
            if group.state == "waiting" and not group.waits_for:
                return "make demo" if all(g.publication is None for g in self.groups) else _run(group)
        return "dataops quarantine list" if self.quarantine.rows else None


def _run(group: GroupFacts) -> str:
    return f"dataops build {group.group}" if group.is_built else f"dataops load {group.group}"


def read(work: Workspace) -> Status:
    """The status now, from the ledger in one snapshot. Raises PlatformError when the warehouse cannot be read."""
    now = clock.now()
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            never = {name: _never(work.catalog, name) for name in in_order(work.catalog)}
            return _status(work, now, never, (), {}, (), None, None, NOTHING, LineageFacts())
        incidents = tuple(open_incidents(connection))
        held = entries.waiting_rows(connection, work.catalog.datasets)
        receipt = receipts.head(connection)
        copy = _readers(work, publications.ids(connection))
        allowed = [Standing(waiver, state_of(work.catalog, waiver)) for waiver in waivers.first_to_end(connection)]
        published = publications.published_tables(connection)
        groups = {
            name: _group(connection, work.catalog, name, incidents, held, published, now)
            for name in in_order(work.catalog)
        }
        told, lineage = _messages(connection), lineage_status.read(connection)
    caused = _with_causes(work.catalog, groups)
    return _status(work, now, caused, incidents, held, allowed, receipt, copy, told, lineage)


def _messages(connection: Connection) -> Messages:
    counts = outbox.counts(connection)
    waiting = counts.get(DeliveryState.WAITING, 0) + outbox.unrouted_count(connection)
    return Messages(
        waiting=waiting,
        parked=counts.get(DeliveryState.PARKED, 0),
        overdue_since=outbox.oldest_overdue(connection),
    )


def _status(
    work: Workspace,
    now: datetime,
    groups: Mapping[str, _Group],
    incidents: Sequence[Incident],
    held: Mapping[str, tuple[int, datetime | None]],
    allowed: Sequence[Standing],
    receipt: str | None,
    copy: ReadersCopy | None,
    told: Messages,
    lineage: LineageFacts,
) -> Status:
    ordered = sorted(groups.values(), key=lambda group: WORST_FIRST.index(group.state.state))
    states = [group.state for group in ordered]
    rows = {table: count for table, (count, _) in held.items() if count}
    return Status(
        as_of=now,
        state=worst([state.state for state in states]),
        sentence=sentence(states),
        groups=tuple(_facts(work.catalog, group) for group in ordered),
        quarantine=Quarantined(
            rows=sum(rows.values()), oldest=min((s for _, s in held.values() if s), default=None), datasets=rows
        ),
        incidents=tuple(
            OpenIncident(incident=i.incident_id, group=i.group, sentence=i.sentence, since=i.opened_at, times=i.times)
            for i in incidents
        ),
        waivers=tuple(
            LiveWaiver(waiver=s.waiver.waiver_id, rule=s.waiver.rule_id, state=s.state, until=s.waiver.until)
            for s in allowed
            if s.is_live
        ),
        receipt=receipt,
        readers=copy,
        outbox=told,
        lineage=lineage,
        reports_waiting=_reports_waiting(work, [state.group for state in states if state.state == "held"]),
    )


def _reports_waiting(work: Workspace, held: Sequence[str]) -> tuple[str, ...]:
    from dataops.facts import impact

    return tuple(dict.fromkeys(report for group in held for report in impact.of_group(work, group).reports))


def _readers(work: Workspace, made: Sequence[str]) -> ReadersCopy | None:
    """How the readers' copy stands to the publications, given oldest first."""
    about = work.warehouse.readers_about()
    if about is None:
        return None
    of = about.get("publication") or None
    return ReadersCopy(publication=of, behind=len(made) - (made.index(of) + 1 if of in made else 0))


def _facts(catalog: Catalog, group: _Group) -> GroupFacts:
    state, declared = group.state, catalog.groups[group.state.group]
    return GroupFacts(
        group=state.group,
        state=state.state,
        waits_for=state.waits_for,
        missing=state.missing,
        rolled_back=state.rolled_back,
        publication=state.publication,
        published_at=group.publication.published_at if group.publication else None,
        confirmed_at=group.confirmed_at,
        verdict=group.batch.verdict if group.batch else None,
        batch=group.batch.batch_id if group.batch else None,
        rules=Rules(declared=group.declared, **{outcome.value: count for outcome, count in group.rules.items()}),
        rows_held=group.rows_held,
        money_held=group.money_held,
        incident=group.incident,
        owner=declared.checkpoint.owner,
        is_built=not declared.is_loaded,
        as_of=group.as_of,
        as_of_is_day=group.as_of_is_day,
        unjudged=state.unjudged,
        held_from=group.held_from,
    )


def in_order(catalog: Catalog) -> list[str]:
    """Groups so that each comes after those whose rows it refers to or reads."""
    from graphlib import TopologicalSorter

    graph = {name: inputs(catalog, name) for name in sorted(catalog.groups)}
    return list(TopologicalSorter(graph).static_order())


def inputs(catalog: Catalog, group: str) -> set[str]:
    """Groups that a group's models read; for loaded groups, those that its rows refer to."""
    declared = catalog.groups[group]
    tables = {table for model in catalog.models if model.table in declared.tables for _, table in model.inputs}
    named = {catalog.datasets[table].group for table in tables if table in catalog.datasets}
    return (named | {d.group for d in declared.outside}) - {group}


def _never(catalog: Catalog, name: str) -> _Group:
    return _Group(GroupState(name, "waiting"), declared=len(catalog.groups[name].rules))


def _group(
    connection: Connection,
    catalog: Catalog,
    name: str,
    incidents: Sequence[Incident],
    held: Mapping[str, tuple[int, datetime | None]],
    published: set[str],
    now: datetime,
) -> _Group:
    group = catalog.groups[name]
    own = [i for i in incidents if i.group == name and i.kind not in BYSTANDERS]
    last, batch = publications.last(connection, name), batches.newest_judged(connection, name)
    rows = sum(held.get(table, (0, None))[0] for table in group.tables)
    missing = tuple(sorted(group.tables - published))
    state = _state(connection, catalog, name, last, batch, own, missing if last else (), rows)
    confirmed = confirmed_at(connection, name)
    if WORST_FIRST.index(state.state) > WORST_FIRST.index("late") and is_late(group, confirmed, now):
        state = replace(state, state="late")
    as_of, is_day = _as_of(publications.of_group(connection, name))
    rules = results.counts(connection, batch.seq) if batch else {}
    money = own[-1].detail.money if own else None
    return _Group(
        state,
        as_of,
        is_day,
        confirmed,
        rules,
        sum(rules.values()) or len(group.rules),
        (own[-1].detail.rows_held if own else 0) or rows,
        money.held if money else None,
        own[-1].incident_id if own else None,
        batch,
        last,
        _held_from(connection, batch, own),
    )


def _is_stopped(batch: Batch | None) -> bool:
    return batch is not None and batch.state is BatchState.JUDGED and batch.verdict is not VerdictName.PASSED


def _held_from(connection: Connection, batch: Batch | None, incidents: Sequence[Incident]) -> datetime | None:
    """Where the earliest window begins of what is held; None when something held has no window."""
    numbers = {number for incident in incidents for number in incident.batches}
    held = [made for number in numbers if (made := batches.numbered(connection, number))]
    starts = [made.window_start for made in (*held, *([batch] if batch and _is_stopped(batch) else []))]
    known = [start for start in starts if start]
    return min(known) if known and len(known) == len(starts) else None


def _state(
    connection: Connection,
    catalog: Catalog,
    name: str,
    last: Publication | None,
    batch: Batch | None,
    incidents: Sequence[Incident],
    missing: tuple[str, ...],
    rows: int,
) -> GroupState:
    base = GroupState(
        name,
        "published",
        missing=missing,
        publication=last.publication_id if last else None,
        rolled_back=bool(last and last.kind is PublicationKind.ROLLBACK),
        rows_wait=rows > 0,
    )
    if _is_stopped(batch) or incidents:
        verdicts = {i.detail.verdict for i in incidents} | ({batch.verdict} if batch and _is_stopped(batch) else set())
        return replace(base, state="held", unjudged=VerdictName.FAILED not in verdicts)
    if last is None or _is_behind(connection, catalog, name):
        return replace(base, state="waiting")
    return replace(base, state="partly published") if rows or missing else base


def _is_behind(connection: Connection, catalog: Catalog, name: str) -> bool:
    """Whether a built group's inputs, or the group itself by a roll-back, changed since its last build that stands."""
    if catalog.groups[name].is_loaded:
        return False
    horizon, read = batches.built_up_to(connection, name), inputs(catalog, name)
    if catalog.groups[name].checkpoint.late_after_hours:  # built by the clock: what is newer waits for the next time
        return any(publications.rolled_back_since(connection, group, horizon) for group in sorted({name, *read}))
    return publications.changed_since(connection, horizon, read, name)


def _as_of(made: Sequence[Publication]) -> tuple[datetime | None, bool]:
    """As of when the figures stand; a roll-back sets it back, a correction of an old window does not."""
    moment: datetime | None = None
    is_day = False
    for publication in made:
        reached = publication.window_end or publication.published_at
        if moment is None or reached >= moment or publication.kind is PublicationKind.ROLLBACK:
            moment, is_day = reached, publication.window_end is not None
    return moment, is_day


def _with_causes(catalog: Catalog, groups: Mapping[str, _Group]) -> dict[str, _Group]:
    """A built group waits while one of its inputs is held or has nothing published; causes pass down the chain."""
    found: dict[str, _Group] = {}
    for name, group in groups.items():
        causes: set[str] = set()
        if not catalog.groups[name].is_loaded and group.state.state != "held":
            for parent in inputs(catalog, name) & found.keys():
                state = found[parent].state
                causes |= set(state.waits_for) or ({parent} if state.state in {"held", "late"} else set())
        waiting = replace(group.state, state="waiting", waits_for=tuple(sorted(causes)))
        found[name] = replace(group, state=waiting) if causes else group
    return found
