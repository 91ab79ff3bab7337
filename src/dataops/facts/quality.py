"""The state of data quality on one page: what an audit found, what changed since the one before, who must act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from dataops.declared.errors import DeclarationError
from dataops.facts import status
from dataops.facts.document import Amount, Document, Moment, Part
from dataops.facts.status import Status
from dataops.facts.text import counted
from dataops.ledger import audits, clock
from dataops.ledger.audits import Audit, Finding, Score
from dataops.ledger.enums import Dimension, FindingKind
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.pipeline.audit import budgets
from dataops.pipeline.audit.budgets import Budget
from dataops.pipeline.audit.run import said, spoken

ENDING = timedelta(days=7)  # waivers that end within them are told


class FindingFacts(Part):
    """What is wrong with published rows."""

    kind: FindingKind
    dataset: str
    sentence: str
    rows: int | None
    sample: tuple[str, ...]
    """keys of the first few rows; none where a key is personal"""
    is_new: bool
    """the audit before did not find it"""


class ScoreFacts(Part):
    """One dimension of a dataset's scorecard."""

    dataset: str
    dimension: Dimension
    share: Amount
    """of what was checked in 30 days, from 0 to 1"""
    before: Amount | None
    """in the audit before"""
    held: int
    checked: int


class BudgetFacts(Part):
    """What of a promise is spent."""

    dataset: str
    promise: str
    target: Amount
    days: int
    allowed: Amount
    """rows or hours that may go wrong"""
    wrong: Amount
    spent: Amount | None
    """share of what is allowed; null: nothing is, and something went wrong"""
    runs_out: Moment | None
    """at the pace of the last seven days"""
    sentence: str
    must_be_told: bool


class Act(Part):
    """Somebody must do something."""

    who: str
    what: str
    run: str


class QualityDocument(Document):
    """Findings, scorecards and budgets of the newest audit, and who must act."""

    document: ClassVar[str] = "quality"
    as_of: Moment
    audited_at: Moment | None
    """null: never"""
    before: Moment | None
    """the audit that it is compared with"""
    source: str | None
    """that was compared with what is published; null: none"""
    problem: str | None
    """why not everything could be looked at"""
    sentence: str
    findings: tuple[FindingFacts, ...]
    gone: tuple[str, ...]
    """what the audit before found and this one did not"""
    scores: tuple[ScoreFacts, ...]
    budgets: tuple[BudgetFacts, ...]
    act: tuple[Act, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at, the source as well."""
        return self.problem is None and self.audited_at is not None


def read(work: Workspace) -> QualityDocument:
    """Of the newest audit. Raises DeclarationError before the first one."""
    document = find(work)
    if document is None:
        raise DeclarationError("nothing was audited yet.\nRun: dataops audit")
    return document


def find(work: Workspace) -> QualityDocument | None:
    """Of the newest audit; None before the first one."""
    now = clock.now()
    with work.warehouse.reading() as connection:
        made = audits.newest(connection, 2) if is_there(connection) else []
        if not made:
            return None
        found, scored = audits.findings(connection, made[0].audited_at), audits.scores(connection, made[0].audited_at)
        earlier = audits.findings(connection, made[1].audited_at) if len(made) > 1 else []
        scored_before = audits.scores(connection, made[1].audited_at) if len(made) > 1 else []
        spent = budgets.of_all(connection, work.catalog, now)
    known = {_identity(finding) for finding in earlier}
    present = {_identity(finding) for finding in found}
    shares = {(s.table, s.dimension): s.share for s in scored_before}
    stands = status.read(work)
    return QualityDocument(
        as_of=now,
        audited_at=made[0].audited_at,
        before=made[1].audited_at if len(made) > 1 else None,
        source=made[0].source,
        problem=made[0].problem,
        sentence=_sentence(made[0], found, spent, stands),
        findings=tuple(_finding(f, is_new=bool(earlier or len(made) > 1) and _identity(f) not in known) for f in found),
        gone=tuple(f"{f.table}: {said(f)}" for f in earlier if _identity(f) not in present),
        scores=tuple(_score(s, shares.get((s.table, s.dimension))) for s in scored if s.checked),
        budgets=tuple(_budget(b) for b in spent),
        act=tuple(_act(work, stands, spent, now)),
    )


def _identity(finding: Finding) -> tuple[object, ...]:
    return finding.kind, finding.table, finding.says, finding.rows


def _finding(finding: Finding, *, is_new: bool) -> FindingFacts:
    return FindingFacts(
        kind=finding.kind,
        dataset=finding.table,
        sentence=said(finding),
        rows=finding.rows,
        sample=tuple(", ".join(key) for key in finding.sample),
        is_new=is_new,
    )


def _score(score: Score, before: float | None) -> ScoreFacts:
    return ScoreFacts(
        dataset=score.table,
        dimension=score.dimension,
        share=f"{score.share or 0.0:.6f}",
        before=None if before is None else f"{before:.6f}",
        held=score.held,
        checked=score.checked,
    )


def _budget(budget: Budget) -> BudgetFacts:
    return BudgetFacts(
        dataset=budget.dataset.name,
        promise=budget.promise,
        target=f"{budget.target:.6f}",
        days=budget.days,
        allowed=f"{budget.allowed:.2f}",
        wrong=f"{budget.wrong:.2f}",
        spent=f"{budget.spent:.4f}" if budget.spent != float("inf") else None,
        runs_out=budget.runs_out,
        sentence=spoken(budget),
        must_be_told=budget.is_told,
    )


def _sentence(audit: Audit, found: Sequence[Finding], spent: Sequence[Budget], stands: Status) -> str:
    datasets = len({finding.table for finding in found})
    parts = [f"{counted(len(found), 'finding')} in {counted(datasets, 'dataset')}" if found else "Nothing was found"]
    against = f"compared with {audit.source}" if audit.source else "compared with no source"
    parts.append("not all of the source could be compared" if audit.problem else against)
    told = sum(budget.is_told for budget in spent)
    if told:
        parts.append(f"{counted(told, 'promise')} {'is' if told == 1 else 'are'} in danger or broken")
    if stands.incidents:
        parts.append(f"{counted(len(stands.incidents), 'incident')} open")
    return "; ".join(parts) + "."


def _act(work: Workspace, stands: Status, spent: Sequence[Budget], now: datetime) -> Iterator[Act]:
    """Open incidents, promises in danger, waivers that end, rows that wait; each with its owner and a command."""
    groups = work.catalog.groups
    for incident in stands.incidents:
        owner = groups[incident.group].checkpoint.owner if incident.group in groups else "operations"
        yield Act(who=owner, what=incident.sentence, run=f"dataops incidents show {incident.incident}")
    for budget in spent:
        if budget.is_told:
            owner = budget.dataset.contract.platform.owner
            what = f"{budget.dataset.name}, {spoken(budget)}"
            yield Act(who=owner, what=what, run=f"dataops quarantine list {budget.dataset.group}")
    for waiver in stands.waivers:
        if waiver.until - now <= ENDING:
            what = f"{waiver.waiver} on {waiver.rule or 'a quota'} ends on {waiver.until:%Y-%m-%d}"
            yield Act(who="whoever asked for it", what=what, run=f"dataops waivers show {waiver.waiver}")
    for table, rows in stands.quarantine.datasets.items():
        owner = work.catalog.datasets[table].contract.platform.owner
        group = work.catalog.datasets[table].group
        yield Act(who=owner, what=f"{counted(rows, 'row')} of {table} held", run=f"dataops quarantine list {group}")
