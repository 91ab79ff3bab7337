"""Reads from the ledger what the pages show. Personal data stays behind: keys and counts only.

Knows the ledger and the catalogue, not how a page looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset, Rule
from dataops.facts.status import GroupFacts, Status
from dataops.gate import gate
from dataops.gate.verdict import Held
from dataops.ledger import batches as batch_records
from dataops.ledger import incidents
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace

PROBLEMS_FIRST = ("error", "failed", "warned", "passed")
SEVEREST_FIRST = ("critical", "warning", "info")
MASKED = "•••"
COUNTED = re.compile(r"[-+0-9.,%]*|None")  # an observed value that can only be a count or a share

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RuleShown:
    """One rule on a batch's page, free of personal data."""

    id: str
    table: str
    engine: str
    severity: str
    outcome: str
    says: str
    why: str
    observed: str | None
    failing: int | None
    checked: int | None
    problem: str | None
    sample: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class BatchShown:
    """A judged batch with everything its page says."""

    batch: Row
    publication: Row | None
    datasets: tuple[Row, ...]
    held: Mapping[str, Held]
    rules: tuple[RuleShown, ...]
    incidents: tuple[Row, ...]
    reason: str | None

    def count(self, outcome: str) -> int:
        return sum(rule.outcome == outcome for rule in self.rules)


@dataclass(frozen=True)
class Standing:
    """One group this morning. `batch` is its newest judged batch, `publication` the last one: ledger rows."""

    facts: GroupFacts
    owner: str
    batch: Row | None
    publication: Row | None
    incidents: tuple[Row, ...]


def judged(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest judged batches, newest first, and whichever a group's standing or an open incident names."""
    b = ledger.batches
    seen = sa.select(b).where(b.c.judged_at.is_not(None)).order_by(b.c.seq.desc())
    newest = ledger.rows(connection, seen.limit(limit))
    named = {row["batch"] for row in incidents.open_incidents(connection)}
    for aggregate in (sa.func.max(b.c.seq), sa.func.max(sa.case((b.c.state == "published", b.c.seq)))):
        where = sa.select(aggregate).where(b.c.judged_at.is_not(None)).group_by(b.c.group_name)
        named |= {row[0] for row in connection.execute(where)}
    missing = named - {row["seq"] for row in newest} - {None}
    older = ledger.rows(connection, seen.where(b.c.seq.in_(missing))) if missing else []
    return [*newest, *older]


def standings(connection: Connection, work: Workspace, status: Status) -> list[Standing]:
    """Every declared group as it stands, in the status' order: worst first."""
    return [_standing(connection, work, status, facts) for facts in status.groups]


def _standing(connection: Connection, work: Workspace, status: Status, facts: GroupFacts) -> Standing:
    name, b = facts.state.group, ledger.batches
    newest = sa.select(b).where((b.c.group_name == name) & b.c.judged_at.is_not(None)).order_by(b.c.seq.desc()).limit(1)
    return Standing(
        facts=facts,
        owner=work.catalog.group(name).checkpoint.owner,
        batch=ledger.one(connection, newest),
        publication=ledger.last_publication(connection, name),
        incidents=tuple(row for row in status.incidents if row["group_name"] == name),
    )


def trace(connection: Connection, batch: Row) -> dict[str, Any]:
    """What a batch's page depends on, cheap to read: when it is as before, so is the page."""
    i, p = ledger.incidents, ledger.publications
    return {
        "batch": dict(batch),
        "publication": connection.execute(sa.select(p.c.publication_id).where(p.c.batch == batch["seq"])).scalar(),
        "incidents": [
            list(row)
            for row in connection.execute(
                sa.select(i.c.incident_id, i.c.state, i.c.sentence).where(i.c.batch == batch["seq"]).order_by(i.c.seq)
            )
        ],
    }


def shown(connection: Connection, work: Workspace, batch: Row) -> BatchShown:
    """Everything about one judged batch."""
    seq = batch["seq"]
    results = ledger.rows(connection, sa.select(ledger.check_results).where(ledger.check_results.c.batch == seq))
    group = batch_records.group_of(connection, work, dict(batch))
    held = {item.table: item for item in gate.stored_held(connection, group, seq)}
    p, i, d = ledger.publications, ledger.incidents, ledger.batch_datasets
    return BatchShown(
        batch=batch,
        publication=ledger.one(connection, sa.select(p).where(p.c.batch == seq)),
        datasets=tuple(ledger.rows(connection, sa.select(d).where(d.c.batch == seq).order_by(d.c.table_name))),
        held=held,
        rules=tuple(sorted((_shown(work.catalog, row) for row in results), key=_rank)),
        incidents=tuple(ledger.rows(connection, sa.select(i).where(i.c.batch == seq).order_by(i.c.seq))),
        reason=_without_secrets(batch["reason"], work.catalog, results),
    )


def _rank(rule: RuleShown) -> tuple[int, int, int, str]:
    severity = SEVEREST_FIRST.index(rule.severity) if rule.severity in SEVEREST_FIRST else len(SEVEREST_FIRST)
    return PROBLEMS_FIRST.index(rule.outcome), severity, -(rule.failing or 0), rule.id


def _shown(catalog: Catalog, row: Row) -> RuleShown:
    dataset = catalog.datasets.get(row["table_name"])
    rule = next((r for r in dataset.rules if r.id == row["rule_id"]), None) if dataset else None
    private = _is_private(dataset, rule)
    observed = MASKED if private and not _is_count(row["observed"]) else row["observed"]
    return RuleShown(
        id=row["rule_id"],
        table=row["table_name"],
        engine=row["engine"],
        severity=row["severity"],
        outcome=row["outcome"],
        says=rule.says if rule else "this rule is no longer declared",
        why=rule.why if rule else "",
        observed=observed,
        failing=row["failing"],
        checked=row["checked"],
        problem=MASKED if private and row["problem"] else row["problem"],
        sample=tuple(_keys(dataset, item) for item in row["sample"] or ()),
    )


def _is_private(dataset: Dataset | None, rule: Rule | None) -> bool:
    """Whether what an engine says about the rule may repeat personal data. What is unknown counts as personal."""
    if dataset is None or rule is None:
        return True
    if rule.type in {"schema", "row_count"}:
        return False
    pii = set(dataset.contract.platform.pii)
    named = set(rule.columns)
    # A rule in SQL names no columns; it may say anything about the table.
    return bool(pii & named) or (bool(pii) and not named)


def _is_count(observed: str | None) -> bool:
    return COUNTED.fullmatch(observed or "") is not None


def _keys(dataset: Dataset | None, sample: Row) -> dict[str, str]:
    """Key columns only, and not even those where the key is personal."""
    allowed = set(dataset.key) - set(dataset.contract.platform.pii) if dataset else set()
    return {name: str(value) if name in allowed else MASKED for name, value in sample.items()}


def _without_secrets(reason: str | None, catalog: Catalog, results: Sequence[Row]) -> str | None:
    """The verdict's reasons; what a rule over personal data observed or complained of is masked in them as well."""
    for row in results if reason else ():
        masked = _shown(catalog, row)
        for raw, safe in ((row["observed"], masked.observed), (row["problem"], masked.problem)):
            if raw and safe == MASKED and reason:
                reason = reason.replace(raw, MASKED)
    return reason


def by_table(rules: Iterable[RuleShown]) -> dict[str, list[RuleShown]]:
    """Rules by table, tables in the order of their first rule."""
    found: dict[str, list[RuleShown]] = {}
    for rule in rules:
        found.setdefault(rule.table, []).append(rule)
    return found
