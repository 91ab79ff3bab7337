"""Batches as people look at them: what came, what the rules said of it, what is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog
from dataops.facts import choosing, masking
from dataops.facts.document import Document, Fields, Moment, Part
from dataops.gate import gate
from dataops.ledger import batches, incidents, publications, results
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BatchState, IncidentState, Outcome, VerdictName
from dataops.ledger.results import CheckResult
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace

WORST_FIRST = (Outcome.ERROR, Outcome.FAILED, Outcome.WARNED, Outcome.WAIVED, Outcome.PASSED)
SEVEREST_FIRST = ("critical", "warning", "info")


class BatchFacts(Part):
    """A batch, how far it has come, and what the gate said of it."""

    batch: str
    group: str
    state: BatchState
    """where it is in its life"""
    verdict: VerdictName | None
    """what the gate said last; null before"""
    reason: str | None
    source: str
    window: tuple[Moment | None, Moment | None]
    """start and end, the end not included; nulls: a whole delivery"""
    created_at: Moment
    sealed_at: Moment | None
    judged_at: Moment | None
    rules_hash: str | None


class BatchList(Document):
    """Batches, newest first."""

    document: ClassVar[str] = "batches"
    major: ClassVar[int] = 2
    batches: tuple[BatchFacts, ...]


class Brought(Part):
    """What a batch brought of one dataset."""

    table_name: str
    scope: str
    received: int
    controls: Mapping[str, str]
    """control totals, exact"""
    notes: tuple[str, ...]
    broke: int = 0
    """rows held because they broke a critical rule"""
    fell: int = 0
    """rows held with another row"""


class RuleFacts(Part):
    """What became of one rule, free of personal data."""

    rule: str
    table: str
    engine: str
    outcome: Outcome
    severity: str
    says: str
    why: str
    failing: int | None
    """failing rows; null: the rule names no rows"""
    checked: int | None
    observed: str | None
    sample: tuple[Mapping[str, str], ...]
    """keys of the first failing rows"""
    problem: str | None
    """why it could not be judged"""


class RuleCount(Part):
    """Of the rules that judged a batch."""

    judged: int
    passed: int


class OpenedIncident(Part):
    """An incident that a batch opened, or was the last to show."""

    incident: str
    state: IncidentState
    sentence: str


class BatchDocument(Document, BatchFacts):
    """One batch with everything that was said of it."""

    document: ClassVar[str] = "batch"
    major: ClassVar[int] = 2
    publication: str | None
    published_at: Moment | None
    datasets: tuple[Brought, ...]
    rules: RuleCount
    findings: tuple[RuleFacts, ...]
    """results that are not passed, the worst first"""
    passed: tuple[RuleFacts, ...]
    incidents: tuple[OpenedIncident, ...]

    @property
    def results(self) -> tuple[RuleFacts, ...]:
        """Of all rules, the worst first."""
        return (*self.findings, *self.passed)


def listed(work: Workspace, group: str | None, limit: int) -> BatchList:
    """The newest batches. Raises DeclarationError for an unknown group."""
    name = work.catalog.group(group).name if group else None
    with work.warehouse.reading() as connection:
        rows = batches.newest(connection, name, limit) if is_there(connection) else []
    return BatchList(batches=tuple(BatchFacts(**_own(batch, batch.reason)) for batch in rows))


def shown(work: Workspace, typed: str) -> BatchDocument:
    """The batch that `typed` means. Raises DeclarationError when there is none, or several."""
    with work.warehouse.reading() as connection:
        batch = batches.find(connection, choosing.of(connection, "batch", typed))
        if batch is None:
            raise LookupError(typed)
        return of(connection, work, batch)


def of(connection: Connection, work: Workspace, batch: Batch) -> BatchDocument:
    """Everything about one batch."""
    stored = results.of_batch(connection, batch.seq)
    made = publications.of_batch(connection, batch.seq)
    ranked = sorted((_rule(work.catalog, result) for result in stored), key=_rank)
    return BatchDocument(
        **_own(batch, masking.reason(work.catalog, batch.reason, stored)),
        publication=made.publication_id if made else None,
        published_at=made.published_at if made else None,
        datasets=_datasets(connection, work, batch),
        rules=RuleCount(judged=len(ranked), passed=sum(r.outcome is Outcome.PASSED for r in ranked)),
        findings=tuple(r for r in ranked if r.outcome is not Outcome.PASSED),
        passed=tuple(r for r in ranked if r.outcome is Outcome.PASSED),
        incidents=tuple(
            OpenedIncident(incident=i.incident_id, state=i.state, sentence=i.sentence)
            for i in incidents.of_batch(connection, batch.seq)
        ),
    )


def _own(batch: Batch, reason: str | None) -> Fields:
    names = ("group", "state", "verdict", "source", "created_at", "sealed_at", "judged_at", "rules_hash")
    own = {name: getattr(batch, name) for name in names}
    return own | {"batch": batch.batch_id, "reason": reason, "window": (batch.window_start, batch.window_end)}


def _datasets(connection: Connection, work: Workspace, batch: Batch) -> tuple[Brought, ...]:
    brought = batches.datasets(connection, batch.seq)
    known = frozenset(brought) & work.catalog.groups[batch.group].tables if batch.group in work.catalog.groups else ()
    held = {}
    if known and batch.judged_at:
        group = work.catalog.group(batch.group).narrowed(frozenset(known))
        held = {item.table: item for item in gate.stored_held(connection, group, batch.seq)}
    return tuple(
        Brought(
            table_name=d.table,
            scope=d.scope,
            received=d.received,
            controls=d.controls,
            notes=d.notes,
            broke=held[d.table].broke if d.table in held else 0,
            fell=held[d.table].fell if d.table in held else 0,
        )
        for d in brought.values()
    )


def _rule(catalog: Catalog, result: CheckResult) -> RuleFacts:
    dataset, rule = masking.declared(catalog, result)
    return RuleFacts(
        rule=result.rule_id,
        table=result.table,
        engine=result.engine,
        outcome=result.outcome,
        severity=result.severity,
        says=rule.says if rule else "this rule is no longer declared",
        why=rule.why if rule else "",
        failing=result.failing,
        checked=result.checked,
        observed=masking.observed(catalog, result),
        sample=masking.sample(dataset, result.sample),
        problem=masking.problem(catalog, result),
    )


def _rank(rule: RuleFacts) -> tuple[int, int, int, str]:
    severity = SEVEREST_FIRST.index(rule.severity) if rule.severity in SEVEREST_FIRST else len(SEVEREST_FIRST)
    return WORST_FIRST.index(rule.outcome), severity, -(rule.failing or 0), rule.rule


class JudgedBatch(Part):
    """A judged batch for a site: what its page depends on, and the batch itself where the page is not current."""

    batch: str
    depends_on: tuple[Any, ...]
    document: BatchDocument | None


class Judged(Part):
    """The judged batches of one snapshot, newest first, and how much there is in all."""

    batches: tuple[JudgedBatch, ...] = ()
    head: str = "an empty warehouse"


def judged(work: Workspace, limit: int, is_current: Callable[[str, tuple[Any, ...]], bool]) -> Judged:
    """The newest judged batches, and whichever a group's standing or an open incident names.

    `is_current` says, of a batch's id and what its page depends on, whether that page need not be made again.
    """
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            return Judged()
        named = {incident.batch for incident in incidents.open_incidents(connection)}
        found = [_judged(connection, work, b, is_current) for b in batches.judged(connection, limit, named)]
        newest, horizon = batches.newest_number(connection), publications.horizon(connection)
    return Judged(batches=tuple(found), head=f"a ledger of {newest} batches and {horizon} publications")


def _judged(
    connection: Connection, work: Workspace, batch: Batch, is_current: Callable[[str, tuple[Any, ...]], bool]
) -> JudgedBatch:
    made = publications.of_batch(connection, batch.seq)
    opened = [(i.incident_id, i.state.value, i.sentence) for i in incidents.of_batch(connection, batch.seq)]
    rules = work.catalog.groups[batch.group].rules_hash if batch.group in work.catalog.groups else ""
    depends_on = (batch.model_dump(mode="json"), made.publication_id if made else None, opened, rules)
    current = is_current(batch.batch_id, depends_on)
    return JudgedBatch(
        batch=batch.batch_id, depends_on=depends_on, document=None if current else of(connection, work, batch)
    )
