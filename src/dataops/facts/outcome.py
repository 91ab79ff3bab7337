"""What load, gate, publish and build did with a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from dataops.declared.catalog import Catalog
from dataops.declared.declarations import Quota
from dataops.facts.counts import PublishedCounts
from dataops.facts.document import Document, Part
from dataops.gate.policy import money_share
from dataops.gate.verdict import RuleResult, Verdict
from dataops.ledger import batches, incidents, publications
from dataops.ledger.enums import BatchState, Outcome, VerdictName
from dataops.ledger.publications import Counts
from dataops.ledger.workspace import Workspace
from dataops.pipeline.publish import Published

Verb = Literal["load", "gate", "publish", "build"]
Word = Literal["published", "unchanged", "already", "passed", "held", "error", "sealed", "discarded"]
WORDS: Mapping[VerdictName, Word] = {
    VerdictName.PASSED: "passed", VerdictName.FAILED: "held", VerdictName.ERROR: "error",
}  # fmt: skip


class RuleOutcome(Part):
    """What became of one rule."""

    rule: str
    table: str
    says: str
    outcome: Outcome
    failing: int | None
    observed: str | None
    problem: str | None
    sample: tuple[Mapping[str, str], ...]


class RuleCounts(Part):
    """How many rules ended how."""

    declared: int
    passed: int
    warned: int
    waived: int
    failed: int
    error: int


class OutcomeDocument(Document):
    """What load, gate, publish and build did with a batch."""

    document: ClassVar[str] = "batch-outcome"
    verb: Verb
    group: str
    batch: str
    outcome: Word
    received: Mapping[str, int]
    verdict: VerdictName | None
    reasons: tuple[str, ...]
    rules: RuleCounts | None
    failed: tuple[RuleOutcome, ...]
    """the worst first"""
    warned: tuple[RuleOutcome, ...]
    rows_received: int | None
    rows_held: int | None
    fell: int | None
    """of the rows held: those that are held with others"""
    money: Mapping[str, str]
    """of the rows of the batch, exact: column, received, held; empty: the group has no money"""
    money_share: float | None
    """held of what was received"""
    quota: Mapping[str, float | None]
    publication: str | None
    counts: tuple[PublishedCounts, ...]
    resolved: tuple[str, ...]
    """incidents that it solved"""
    standing: str | None
    """the publication that is read now"""
    incident: str | None
    """an incident that it opened"""
    waiting: tuple[str, ...]
    """models that were not built, since their inputs are not published"""
    exit_code: int
    seconds: float | None = Field(exclude=True)

    def total(self, name: str) -> int:
        return sum(int(getattr(count, name)) for count in self.counts)


class OutcomesDocument(Document):
    """What building several groups did with a batch of each."""

    document: ClassVar[str] = "batch-outcomes"
    outcomes: tuple[OutcomeDocument, ...]


def of(
    work: Workspace, verb: Verb, batch_id: str, verdict: Verdict | None, made: Published | None,
    waiting: tuple[str, ...] = (),
) -> OutcomeDocument:  # fmt: skip
    """The batch as the ledger knows it now, with what was done to it."""
    with work.warehouse.reading() as connection:
        batch = batches.required(connection, batch_id)
        brought = batches.datasets(connection, batch.seq)
        standing = publications.last(connection, batch.group)
        opened = [i for i in incidents.of_batch(connection, batch.seq) if i.is_open and i.group == batch.group]
    spent = (batch.judged_at - batch.sealed_at).total_seconds() if batch.judged_at and batch.sealed_at else None
    results = verdict.results if verdict else ()
    return OutcomeDocument(
        verb=verb,
        group=batch.group,
        batch=batch.batch_id,
        outcome=_word(batch.state, verdict, made),
        received={table: d.received for table, d in brought.items()},
        verdict=verdict.name if verdict else None,
        reasons=verdict.reasons if verdict else (),
        rules=_counts(verdict) if verdict else None,
        failed=_worst_first([r for r in results if r.outcome.stops]),
        warned=_worst_first([r for r in results if r.outcome is Outcome.WARNED]),
        rows_received=verdict.rows_received if verdict else None,
        rows_held=verdict.rows_held if verdict else None,
        fell=sum(held.fell for held in verdict.held) if verdict else None,
        money=verdict.money.model_dump() if verdict and verdict.money else {},
        money_share=money_share(verdict.money) if verdict else None,
        quota=_quota(work.catalog, batch.group),
        publication=made.publication_id if made else None,
        counts=tuple(_published(count) for count in made.counts) if made else (),
        resolved=made.resolved if made else (),
        standing=standing.publication_id if standing else None,
        incident=opened[-1].incident_id if opened else None,
        waiting=waiting,
        exit_code=_exit_code(verdict),
        seconds=spent if verb != "gate" else None,  # judged again: long after it was sealed
    )


def _word(state: BatchState, verdict: Verdict | None, made: Published | None) -> Word:
    if made:
        return made.status
    if verdict is not None:
        return WORDS[verdict.name]
    return "discarded" if state is BatchState.DISCARDED else "unchanged" if state is BatchState.UNCHANGED else "sealed"


def _exit_code(verdict: Verdict | None) -> int:
    if verdict is None or verdict.passed:
        return 0
    return 1 if verdict.name is VerdictName.FAILED else 3


def _counts(verdict: Verdict) -> RuleCounts:
    return RuleCounts(declared=len(verdict.results), **{o.value: verdict.count(o) for o in Outcome})


def _worst_first(results: list[RuleResult]) -> tuple[RuleOutcome, ...]:
    ranked = sorted(results, key=lambda r: (r.outcome is not Outcome.ERROR, r.names_rows, -(r.failing or 0), r.rule.id))
    return tuple(
        RuleOutcome(
            rule=r.rule.id,
            table=r.rule.table,
            says=r.rule.says,
            outcome=r.outcome,
            failing=r.failing,
            observed=r.observed,
            problem=r.problem,
            sample=r.sample,
        )
        for r in ranked
    )


def _quota(catalog: Catalog, group: str) -> dict[str, float | None]:
    quota: Quota = catalog.group(group).checkpoint.quota
    return {"rows": quota.rows, "money": quota.money}


def _published(count: Counts) -> PublishedCounts:
    names = ("received", "new", "changed", "unchanged", "quarantined", "deleted", "retained")
    return PublishedCounts(
        table_name=count.table, controls=dict(count.controls), **{name: getattr(count, name) for name in names}
    )
