"""The gate: two engines audit a batch, the platform checks their counts, holds rows and gives the verdict.

`audit` and `judge` are separate steps, so that a scheduler can show Soda and GX side by side; `run` does them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import DELETIONS, READABLE, Dataset, Group, Rule
from dataops.declared.errors import DataRejected, PlatformError, VerdictError
from dataops.declared.failpoint import failpoint
from dataops.gate import anomalies, baselines, candidates, gx, pattern, policy, quarantine, waived_content, waivers
from dataops.gate.relations import relations
from dataops.gate.verdict import Held, Predicate, RuleResult, Verdict, judged, unjudged
from dataops.ledger import batches, clock, entries, incidents, publications
from dataops.ledger import results as kept_results
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BatchState, Outcome, VerdictName
from dataops.ledger.incidents import Money
from dataops.ledger.results import CheckResult
from dataops.ledger.waivers import Waiver
from dataops.ledger.workspace import Workspace
from dataops.warehouse.limits import limited
from dataops.warehouse.tables import absent, equal, gone, gone_keys, place, quoted

AuditEngine = Literal["soda", "gx"]
SAMPLE_ROWS = 5
UNABLE = (PlatformError, ConnectionError, sa.exc.DBAPIError)
UNANSWERABLE = (sa.exc.DataError, sa.exc.ProgrammingError, sa.exc.NotSupportedError)  # asking again would not help


def run(work: Workspace, batch_id: str) -> Verdict:
    """Audits and judges a sealed batch. Raises PlatformError and VerdictError; never publishes."""
    audit(work, batch_id, "soda", "gx")
    return judge(work, batch_id)


def audit(work: Workspace, batch_id: str, *engines: AuditEngine) -> list[RuleResult]:
    """Lets engines judge the batch and stores the result of every rule they own."""
    with work.warehouse.transaction() as connection:
        batch = batches.required(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        if _is_settled(batch):
            return []
        _require_parents(connection, group)
        seen = relations(connection, group, batch.seq, work.catalog.layers)
    with _explained(batch):
        show(work, batch_id)
    results: list[RuleResult] = []
    for engine in engines:
        with _explained(batch):
            results += _ask(work, group, batch_id, engine, seen)
        failpoint("audited")
    with work.warehouse.transaction() as connection:
        _store(connection, batch.seq, group, results, engines)
        failpoint("results_stored")
    return results


def is_shown(work: Workspace, batch_id: str) -> bool:
    """Whether an audit of this batch finds all in place, so that it only reads. Raises DataRejected."""
    with work.warehouse.transaction() as connection:
        batch = batches.required(connection, batch_id)
        return _is_settled(batch) or candidates.is_shown(connection, batches.group_of(connection, work, batch), batch)


def show(work: Workspace, batch_id: str) -> Group:
    """Lets the engines see this batch, where they do not yet: then the caller holds the group's lock alone.

    Returns the group with the datasets that the batch brings.
    """
    with work.warehouse.transaction() as connection:
        batch = batches.required(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        if not _is_settled(batch):
            candidates.point_at(connection, group, batch)
    return group


def _is_settled(batch: Batch) -> bool:
    """Whether a repeated task must change nothing any more. Raises DataRejected for a batch that was given up."""
    if batch.state is BatchState.DISCARDED:
        raise DataRejected(f"{batch.batch_id} is not judged again: {batch.reason}. Load its window again instead")
    return batch.is_settled


@contextmanager
def _explained(batch: Batch, errors: tuple[type[Exception], ...] = UNABLE) -> Iterator[None]:
    """What a warehouse says when it cannot judge becomes a VerdictError that says what to do."""
    try:
        yield
    except errors as error:
        message = str(getattr(error, "orig", None) or error).strip()
        raise VerdictError(
            f"the gate could not judge {batch.batch_id}: {(message.splitlines() or [type(error).__name__])[0]}\n"
            "Verdict ERROR: nothing was published or rejected.\n"
            f"It is safe to run again: dataops gate {batch.group} --batch {batch.batch_id}"
        ) from error


def _ask(work: Workspace, group: Group, batch_id: str, engine: AuditEngine, seen: dict[str, str]) -> list[RuleResult]:
    if engine == "soda":
        from dataops.gate import soda

        return soda.audit(work.warehouse, group)
    kept = work.settings.paths.results / f"{batch_id}.gx.json"
    return gx.audit(work.warehouse, group, work.catalog.schema, seen, work.settings.rule_seconds, kept)


def _require_parents(connection: Connection, group: Group) -> None:
    for name in sorted({d.group for d in group.outside} - {group.name}):
        if publications.last(connection, name) is None:
            raise VerdictError(
                f"{group.name} refers to rows of {name}, of which nothing is published yet; nothing was judged.\n"
                f"Run first: dataops load {name}"
            )


def judge(work: Workspace, batch_id: str) -> Verdict:
    """Draws the consequence of both audits: held rows, verdict, incident; one transaction."""
    scratch = quarantine.scratch(show(work, batch_id))
    with work.warehouse.transaction(scratch) as connection:
        batch = batches.required(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        if _is_settled(batch):
            return Verdict(VerdictName.PASSED, batch_id, group.name, ("judged and settled before",), ())
        with _explained(batch, UNANSWERABLE):
            with limited(connection, work.settings.rule_seconds, gx.SETTING, f"judging {batch_id}"):
                decided = _decided(work, connection, group, batch)
            verdict = anomalies.watch(connection, group, batch, decided)
        failpoint("quarantine_written")
        _record(connection, batch, group, verdict)
        failpoint("judged")
    failpoint("verdict_committed")
    return verdict


def _decided(work: Workspace, connection: Connection, group: Group, batch: Batch) -> Verdict:
    """The verdict from what both engines said and the platform's own rules; the rows that it holds are kept."""
    received = {table: d.received for table, d in batches.datasets(connection, batch.seq).items()}
    stored = _stored(connection, group, batch.seq)
    results = [_agreeing(result, received) for result in stored]
    results += [r for d in group.datasets for r in _own_rules(connection, group, d, batch.seq)]
    allowed = waivers.in_force(connection, group, batch)
    results = [_waived(connection, group, result, allowed) for result in baselines.within(connection, results)]
    closure, held = quarantine.collect(connection, group, batch.seq, results, allowed)
    failpoint("rows_held")
    results = _replaced(results, closure)
    held = [
        replace(h, received=received.get(h.table, 0)) for h in quarantine.without_old(connection, group, batch, held)
    ]
    if any(waiver.rule_id is None for waiver in allowed):
        seen = waived_content.held(connection, group)
        allowed = [waiver for waiver in allowed if waiver.rule_id or waiver.content == seen]
    terms = policy.terms_of(group, allowed, replayed=batch.is_replay)
    money, unsound = _money(connection, group, batch), _made_of_held(work, connection, group, held)
    verdict = policy.decide(group, batch.batch_id, results, held, money, terms, unsound)
    verdict = replace(verdict, results=tuple(_sampled(connection, group, r) for r in verdict.results))
    quarantine.keep(connection, group.datasets, batch.seq)
    return verdict


def _made_of_held(work: Workspace, connection: Connection, group: Group, held: Sequence[Held]) -> list[str]:
    """Models that read another of their own group, of which rows are held or wait: they were computed from those.

    Or without them, which a whole build would not be. In a group of its own a model reads what is published.
    """
    rows = {h.table: h.rows for h in held}
    found = []
    for model in (m for m in work.catalog.models if m.table in group.tables):
        for _, table in (i for i in model.inputs if i[1] in group.tables):
            dataset = group.dataset(table)
            came = f"SELECT 1 FROM candidate.{table} AS c WHERE {equal('c', 'w', dataset.key)}"
            query = f"SELECT COUNT(*) FROM ({entries.waiting(dataset)}) AS w WHERE NOT EXISTS ({came})"
            count = rows.get(table, 0) + int(connection.exec_driver_sql(query).scalar_one())
            if count:
                found.append(
                    f"{model.name} is computed from {dataset.name}, of which {count:,} rows are held;"
                    f" correct them, or give {model.table} a checkpoint of its own"
                )
    return found


def _waived(connection: Connection, group: Group, result: RuleResult, allowed: Sequence[Waiver]) -> RuleResult:
    """A rule that names no rows holds the batch, unless somebody allowed it."""
    covering = [waiver for waiver in allowed if waiver.rule_id == result.rule.id and not waiver.keys]
    if result.outcome is not Outcome.FAILED or result.names_rows or not covering:
        return result
    seen = waived_content.failing(connection, group, result)
    counting = [waiver.waiver_id for waiver in covering if not waiver.batch or waiver.content == seen]
    return replace(result, outcome=Outcome.WAIVED, waivers=(counting[-1],)) if counting else result


def _agreeing(result: RuleResult, received: dict[str, int]) -> RuleResult:
    """An engine that saw another number of rows than arrived has judged something else."""
    arrived = received.get(result.rule.table)
    if result.outcome is Outcome.ERROR or result.checked is None or result.checked == arrived:
        return result
    return unjudged(
        result.rule, f"{result.rule.engine} saw {result.checked} rows of {result.rule.table}, {arrived} arrived"
    )


def _own_rules(connection: Connection, group: Group, dataset: Dataset, seq: int) -> list[RuleResult]:
    found = []
    for rule in dataset.rules:
        if rule.id.startswith(READABLE):
            found.append(quarantine.readable(connection, dataset, rule))
        elif rule.id.startswith(DELETIONS):
            found.append(_deletions(connection, group, dataset, rule, seq))
    return found


def _deletions(connection: Connection, group: Group, dataset: Dataset, rule: Rule, seq: int) -> RuleResult:
    brought = batches.datasets(connection, seq).get(dataset.table)
    published = f"{dataset.published_layer}.{dataset.table}"
    if brought is not None and brought.scope == "window" and gone(dataset):
        return _gone_of_window(connection, group, dataset, rule, seq)
    if brought is None or brought.scope != "whole":
        return judged(rule, True, observed="not a whole delivery")
    lost, there = connection.exec_driver_sql(
        f"SELECT (SELECT COUNT(*) FROM {published} AS v WHERE NOT EXISTS (SELECT 1 FROM candidate.{dataset.table} AS c"
        f" WHERE {equal('c', 'v', dataset.key)})), (SELECT COUNT(*) FROM {published})"
    ).one()
    observed = f"{lost} of {there} published rows are gone"
    return judged(rule, lost <= group.checkpoint.deletions * there, observed=observed)


def _gone_of_window(connection: Connection, group: Group, dataset: Dataset, rule: Rule, seq: int) -> RuleResult:
    """Of the published rows that lie in the batch's window."""
    batch = batches.numbered(connection, seq)
    window = batch.window if batch else None
    if window is None:
        return judged(rule, True, observed="no window")
    cursor = quoted([str(dataset.contract.platform.cursor)])
    start, end = window.start.isoformat(" "), window.end.isoformat(" ")
    counted = (
        f"SELECT (SELECT COUNT(*) FROM ({gone_keys(dataset, seq)}) AS g), (SELECT COUNT(*) FROM {place(dataset)}"
        f" WHERE {cursor} >= TIMESTAMP '{start}' AND {cursor} < TIMESTAMP '{end}')"
    )
    left, there = connection.exec_driver_sql(counted).one()
    observed = f"{left} of {there} published rows of the window are gone"
    return judged(rule, left <= group.checkpoint.deletions * there, observed=observed)


def _replaced(results: Sequence[RuleResult], newer: Sequence[RuleResult]) -> list[RuleResult]:
    """Results, with those of `newer` in place of the ones of the same rule."""
    found = {r.rule.id: r for r in results} | {r.rule.id: r for r in newer}
    return list(found.values())


def _money(connection: Connection, group: Group, batch: Batch) -> Money | None:
    """Received and held money of the window's rows; absolute, so that a credit does not hide a debit."""
    table, _, column = (group.checkpoint.money or "").partition(".")
    if table not in group.tables:  # none declared, or a build that does not bring it
        return None
    outside = quarantine.outside(group, group.dataset(table), batch)
    inside = f" WHERE {absent('c._row', outside)}" if outside else ""
    held = f"SELECT DISTINCT _row AS held_row FROM bad WHERE table_name = '{table}'"
    row = connection.exec_driver_sql(
        f'SELECT COALESCE(SUM(ABS("{column}")), 0),'
        f' COALESCE(SUM(ABS("{column}")) FILTER (WHERE held_row IS NOT NULL), 0)'
        f" FROM candidate.{table} AS c LEFT JOIN ({held}) AS h ON h.held_row = c._row{inside}"
    ).one()
    return Money(column=column, received=str(row[0]), held=str(row[1]))


def _sampled(connection: Connection, group: Group, result: RuleResult) -> RuleResult:
    """Keys of the first failing rows; keys only, so no personal data travels with a result."""
    if result.outcome in {Outcome.PASSED, Outcome.ERROR} or result.predicate is None:
        return result
    dataset = group.dataset(result.rule.table)
    found = connection.exec_driver_sql(
        f"SELECT {quoted(dataset.key)} FROM candidate.{dataset.table} WHERE {result.predicate.condition}"
        f" ORDER BY _row LIMIT {SAMPLE_ROWS}"
    )
    return result.with_sample(
        [{name: str(value) for name, value in zip(dataset.key, row, strict=True)} for row in found]
    )


def _record(connection: Connection, batch: Batch, group: Group, verdict: Verdict) -> None:
    _store(connection, batch.seq, group, verdict.results, ())
    batches.record_verdict(connection, batch.seq, verdict.name, verdict.reasons, group.rules_hash, verdict.waivers)
    if not verdict.passed:
        detail = pattern.evidence(connection, group, verdict)
        incidents.open_for(connection, group.name, batch.seq, verdict.sentence, detail)


def _store(
    connection: Connection, seq: int, group: Group, results: Sequence[RuleResult], engines: Sequence[str]
) -> None:
    """Replaces the stored results of these engines; none named: of all."""
    at = clock.now()
    kept_results.replace(connection, seq, [_kept(seq, r, group.rules_hash, at) for r in results], engines)


def _kept(seq: int, result: RuleResult, rules_hash: str, at: datetime) -> CheckResult:
    rule = result.rule
    return CheckResult(
        batch=seq,
        rule_id=rule.id,
        table=rule.table,
        engine=rule.engine,
        severity=rule.severity,
        outcome=result.outcome,
        observed=result.observed,
        failing=result.failing,
        checked=result.checked,
        predicate=result.predicate.stored() if result.predicate else None,
        sample=result.sample,
        problem=result.problem,
        rules_hash=rules_hash,
        judged_at=at,
    )


def _stored(connection: Connection, group: Group, seq: int) -> list[RuleResult]:
    """Both engines' results; a declared rule without one, or judged under other rules, could not be judged."""
    found = {result.rule_id: result for result in kept_results.of_batch(connection, seq)}
    rules = [rule for rule in group.rules if rule.engine in {"soda", "gx"}]
    return [_restored(rule, found.get(rule.id), group.rules_hash) for rule in rules]


def _restored(rule: Rule, kept: CheckResult | None, rules_hash: str) -> RuleResult:
    if kept is None:
        return unjudged(rule, f"{rule.engine} has not judged it")
    if kept.rules_hash != rules_hash:
        return unjudged(rule, "it was judged under other rules; run the gate again")
    return RuleResult(
        rule,
        kept.outcome,
        kept.observed,
        kept.failing,
        kept.checked,
        Predicate.restored(kept.predicate),
        problem=kept.problem,
    )


def stored_held(connection: Connection, group: Group, seq: int) -> list[Held]:
    """What a judgement held, as it was kept."""
    brought = batches.datasets(connection, seq)
    found = []
    for d in group.datasets:
        row = connection.exec_driver_sql(
            f"SELECT COUNT(*) FILTER (WHERE _rules <> ''), COUNT(*) FILTER (WHERE _rules = '')"
            f" FROM quarantine.{d.table} WHERE _batch = {int(seq)}"
        ).one()
        found.append(Held(d.table, brought[d.table].received if d.table in brought else 0, int(row[0]), int(row[1])))
    return found
