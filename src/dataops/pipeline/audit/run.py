"""The audit: looks, records what it found, and opens or closes incidents by it. Changes no row that people read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dataops.declared.errors import DataRejected, PlatformError
from dataops.ledger import audits, batches, clock, incidents, publications, waivers
from dataops.ledger.audits import Audit, Finding, Score
from dataops.ledger.enums import FindingKind, IncidentKind
from dataops.ledger.healing import WAREHOUSE
from dataops.ledger.incidents import Detail
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import verification
from dataops.pipeline.audit import budgets, consistency, reconciliation, scores
from dataops.pipeline.audit.budgets import Budget
from dataops.pipeline.audit.punctuality import Span
from dataops.pipeline.audit.reconciliation import Totals
from dataops.sources.port import Source

SCORED = 30  # days
LEDGER = "ledger"


@dataclass(frozen=True)
class Audited:
    """What an audit found; `totals` are of the datasets that were compared with the source."""

    audit: Audit
    findings: tuple[Finding, ...]
    scores: tuple[Score, ...]
    budgets: tuple[Budget, ...]
    totals: tuple[Totals, ...]


def audit(work: Workspace, source: Source | None, problem: str | None = None) -> Audited:
    """Looks at everything published, and at the source where one is given; what is found is recorded.

    A source that is away, or has another shape, is said in the audit's `problem`; the rest is looked at all the same.
    """
    at = clock.now()
    with writing(work.warehouse, work.catalog.datasets.values()):
        """The ledger is there."""
    with work.warehouse.reading() as connection:
        found = _inside(connection, work)
        horizon = publications.horizon(connection)
        scored = scores.of_all(connection, work.catalog, Span.before(at, SCORED))
        spent = budgets.of_all(connection, work.catalog, at)
    totals, differing, problem = _against(work, source) if source else ([], [], problem)
    found += differing
    record = Audit(audited_at=at, source=source.name if source else None, problem=problem, publication=horizon)
    with writing(work.warehouse) as connection:
        audits.add(connection, record, found, scored)
        _tell(connection, work, found, complete=problem is None and source is not None)
        _tell_budgets(connection, spent)
    return Audited(record, tuple(found), tuple(scored), tuple(spent), tuple(totals))


def _inside(connection: Connection, work: Workspace) -> list[Finding]:
    """What contradicts the ledger or the contracts."""
    datasets = tuple(work.catalog.datasets.values())
    proof = verification.verify(connection, datasets, rows=True)
    found = [
        Finding(kind=FindingKind.RECEIPT, table=m.dataset, says=f"{m.publication}: {m.says}") for m in proof.mismatches
    ]
    if proof.broken is not None:
        found.append(Finding(kind=FindingKind.RECEIPT, table=LEDGER, says=str(proof.broken)))
    found += [
        Finding(kind=FindingKind.RECEIPT, table=name, says=says)
        for name, says in verification.lost_from_quarantine(connection, datasets)
    ]
    waived = {w.rule_id for w in waivers.first_to_end(connection) if w.rule_id}
    for dataset in verification.there(connection, datasets):
        found += consistency.findings(connection, work.catalog, dataset, waived)
    return found


def _against(work: Workspace, source: Source) -> tuple[list[Totals], list[Finding], str | None]:
    totals, found, problems = [], [], []
    for group in work.catalog.groups.values():
        if not group.is_loaded:
            continue
        try:
            with work.warehouse.session():
                for compared, differing in reconciliation.compare(work, source, group):
                    totals.append(compared)
                    found += differing
        except (DataRejected, PlatformError, OSError) as error:
            problems.append(f"{group.name} could not be compared with {source.name}: {str(error).splitlines()[0]}")
    return totals, found, "; ".join(problems) or None


def _tell(connection: Connection, work: Workspace, found: Sequence[Finding], *, complete: bool) -> None:
    """One incident per dataset; solved when a later, complete audit finds nothing in it."""
    groups = {d.name: d.group for d in work.catalog.datasets.values()} | {LEDGER: WAREHOUSE}
    by_table: dict[str, list[Finding]] = {}
    for finding in found:
        by_table.setdefault(finding.table if finding.table in groups else LEDGER, []).append(finding)
    for table, own in by_table.items():
        group = groups[table]
        sentence = f"the audit found in {table}: " + "; ".join(said(finding) for finding in own[:3])
        if len(own) > 3:  # noqa: PLR2004  as many as a line holds
            sentence += f"; and {len(own) - 3} more"
        newest = batches.newest_number(connection, group)
        incidents.open_for(connection, group, newest, sentence, Detail(), kind=IncidentKind.AUDIT, cause=table)
    if complete:
        for table, group in groups.items():
            if table not in by_table:
                incidents.solve(connection, group, IncidentKind.AUDIT, table, "an audit found nothing")


def _tell_budgets(connection: Connection, spent: Sequence[Budget]) -> None:
    for budget in spent:
        group, cause = budget.dataset.group, f"{budget.dataset.name} {budget.promise}"
        if not budget.is_told:
            incidents.solve(connection, group, IncidentKind.BUDGET, cause, "the budget has room again")
            continue
        newest = batches.newest_number(connection, group)
        sentence = f"{budget.dataset.name}, {spoken(budget)}"
        incidents.open_for(connection, group, newest, sentence, Detail(), kind=IncidentKind.BUDGET, cause=cause)


def said(finding: Finding) -> str:
    """`3 rows without order_date`."""
    return f"{finding.rows:,} {finding.says}" if finding.rows is not None else finding.says


def spoken(budget: Budget) -> str:
    """`valid 99.5 % over 30 days: 80 % of the budget is spent, it runs out on 2026-05-04 at this pace`."""
    promise = f"{budget.promise} {100 * budget.target:.6g} % over {budget.days} days"
    if budget.is_broken:
        return f"{promise}: the promise is broken"
    ends = f", it runs out on {budget.runs_out:%Y-%m-%d} at this pace" if budget.runs_out else ""
    return f"{promise}: {100 * budget.spent:.0f} % of the budget is spent{ends}"
