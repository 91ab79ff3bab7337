"""Waivers: a steward's dated, scoped permission to publish in spite of a rule, or of the quota.

What keeps published data sound cannot be waived: keys, references, readability, shape. What is critical needs a second
person. A waiver ends at an instant in UTC, which is looked at again inside the transaction that publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared import persons
from dataops.declared.catalog import READABLE, Catalog, Dataset, Group, Rule
from dataops.declared.errors import DataRejected, DeclarationError, VerdictError
from dataops.gate import waived_content
from dataops.ledger import numbering
from dataops.ledger import tables as ledger

LONGEST = timedelta(days=90)
SOUND = ("schema", "reference", "readable")  # a figure over rows that break these means nothing


@dataclass(frozen=True)
class Scope:
    """What a waiver covers: a rule, or without one the quota; one batch or all until it ends; all rows or some."""

    group: str
    rule: str | None
    batch: str | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    quota: float | None = None


def moment(text: str) -> datetime:
    """What a person typed as an instant in UTC, without a zone. Raises DeclarationError."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DeclarationError(f"{text!r} is neither a date nor a time; write 2026-12-01 or 2026-12-01T18:00") from None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def add(connection: Connection, catalog: Catalog, scope: Scope, owner: str, reason: str, until: datetime) -> str:
    """Records a waiver and returns its id. Raises DeclarationError when it would cover what must hold."""
    group = catalog.group(scope.group)
    rule = _coverable(group, scope) if scope.rule else None
    _require_sense(scope, reason, until)
    held = _judged(connection, group, scope.batch) if scope.batch else None
    seq = numbering.next_seq(connection, ledger.waivers)
    waiver_id = f"WAI-{seq:04d}"
    connection.execute(
        ledger.waivers.insert().values(
            seq=seq,
            waiver_id=waiver_id,
            group_name=group.name,
            rule_id=scope.rule,
            table_name=rule.table if rule else None,
            batch=scope.batch,
            rules_hash=held["rules_hash"] if held else None,
            content=_content(connection, catalog, held, scope.rule) if held else None,
            keys=[list(key) for key in scope.keys] or None,
            quota=scope.quota,
            owner=persons.named(owner),
            reason=" ".join(reason.split()),
            created_at=ledger.now(),
            until=until,
        )
    )
    return waiver_id


def _judged(connection: Connection, group: Group, batch_id: str) -> dict[str, Any]:
    """A batch of the group that somebody can have looked at."""
    held = _batch(connection, batch_id)
    if held["group_name"] != group.name:
        raise DeclarationError(f"batch {batch_id} is of group {held['group_name']}, not of {group.name}")
    if held["judged_at"] is None:
        raise DataRejected(f"batch {batch_id} has not been judged: there is nothing to see yet that could be allowed")
    return held


def _content(connection: Connection, catalog: Catalog, batch: dict[str, Any], rule: str | None) -> str:
    group = catalog.group(batch["group_name"]).narrowed(frozenset(_tables(connection, batch["seq"])))
    return waived_content.kept(connection, group, batch["seq"], rule)


def _require_sense(scope: Scope, reason: str, until: datetime) -> None:
    now = ledger.now()
    if not reason.strip():
        raise DeclarationError("a waiver says why: --reason")
    if not now < until <= now + LONGEST:
        raise DeclarationError(
            f"a waiver ends in the future and within {LONGEST.days} days, not at {until:%Y-%m-%d %H:%M} UTC: --until"
        )
    if scope.rule is None and (scope.quota is None or scope.batch is None):
        raise DeclarationError("a waiver without a rule raises the quota of one batch: name both")


def _coverable(group: Group, scope: Scope) -> Rule:
    rule = next((r for r in group.rules if r.id == scope.rule), None)
    if rule is None:
        raise DeclarationError(f"group {group.name} has no rule {scope.rule!r}; see: dataops check")
    dataset = group.dataset(rule.table)
    if why := _why_sound(dataset, rule):
        raise DeclarationError(f"{rule.id} cannot be waived: {why}. Correct the rows, or discard them from quarantine")
    if bad := next((key for key in scope.keys if len(key) != len(dataset.key)), None):
        raise DeclarationError(f"key {','.join(bad)!r}: {dataset.name} has the key {', '.join(dataset.key)}")
    return rule


def _why_sound(dataset: Dataset, rule: Rule) -> str | None:
    if rule.type in SOUND or rule.id.startswith(READABLE):
        return f"it is about {rule.type}, on which all published data rests"
    if rule.type in {"missing", "duplicate"} and set(rule.columns) <= set(dataset.key):
        return f"it guards the key of {dataset.table}"
    return None


def approve(connection: Connection, catalog: Catalog, waiver_id: str, person: str) -> None:
    """A second person agrees. Raises DataRejected for a late, repeated, own or outdated approval."""
    found = required(connection, waiver_id)
    state = state_of(found, needs_approval=needs_approval(catalog, found))
    if state != "waiting for approval":
        raise DataRejected(f"{waiver_id} is {state}; it cannot be approved{_by(found)}")
    person = persons.named(person)
    if persons.same(person, found["owner"]):
        raise DataRejected(f"{waiver_id} was asked for by {found['owner']}; somebody else has to approve it")
    if found["batch"]:
        _require_same_rules(connection, catalog, found)
        _require_same_content(connection, catalog, found)
    table = ledger.waivers
    connection.execute(
        table.update().where(table.c.seq == found["seq"]).values(approver=person, approved_at=ledger.now())
    )


def _batch(connection: Connection, batch_id: str) -> dict[str, Any]:
    found = ledger.batch(connection, batch_id)
    if found is None:
        raise DataRejected(f"no batch {batch_id} was landed; see: dataops batches list")
    return found


def _by(found: dict[str, Any]) -> str:
    return f" again: {found['approver']} did on {found['approved_at']:%Y-%m-%d %H:%M} UTC" if found["approver"] else ""


def _require_same_rules(connection: Connection, catalog: Catalog, found: dict[str, Any]) -> None:
    """Who approves has seen a batch under certain rules; another judgement is another question."""
    batch = _batch(connection, found["batch"])
    if batch["state"] in ledger.SETTLED:
        raise DataRejected(f"batch {found['batch']} is {batch['state']}; {found['waiver_id']} would change nothing")
    now = catalog.group(found["group_name"]).narrowed(frozenset(_tables(connection, batch["seq"]))).rules_hash
    if found["rules_hash"] not in {batch["rules_hash"], now} or batch["rules_hash"] != now:
        raise DataRejected(
            f"the rules of {found['group_name']} changed since {found['waiver_id']} was asked for. Nothing was"
            f" approved. Judge the batch anew: dataops gate {found['group_name']} --batch {found['batch']}"
        )


def _require_same_content(connection: Connection, catalog: Catalog, found: dict[str, Any]) -> None:
    """The same for what is held: of another batch, or of this one judged again beside other published rows."""
    batch = _batch(connection, found["batch"])
    if found["content"] != _content(connection, catalog, batch, found["rule_id"]):
        raise DataRejected(
            f"what is held of {found['batch']} is not what it was when {found['waiver_id']} was asked for. Nothing was"
            f" approved. Look again, and ask anew: dataops quarantine list {found['group_name']}"
        )


def _tables(connection: Connection, seq: int) -> list[str]:
    table = ledger.batch_datasets.c
    return list(connection.execute(sa.select(table.table_name).where(table.batch == seq)).scalars())


def revoke(connection: Connection, waiver_id: str, person: str) -> None:
    """Ends a waiver now. Raises DataRejected when it has ended already."""
    found = required(connection, waiver_id)
    if found["revoked_at"] or found["until"] <= ledger.now():
        raise DataRejected(f"{waiver_id} has ended already")
    person = persons.named(person)
    table = ledger.waivers
    connection.execute(
        table.update().where(table.c.seq == found["seq"]).values(revoked_at=ledger.now(), revoked_by=person)
    )


def required(connection: Connection, waiver_id: str) -> dict[str, Any]:
    """The waiver's ledger row. Raises DeclarationError when there is none."""
    found = ledger.one(connection, sa.select(ledger.waivers).where(ledger.waivers.c.waiver_id == waiver_id))
    if found is None:
        raise DeclarationError(f"no waiver {waiver_id!r}; see: dataops waivers list")
    return found


def needs_approval(catalog: Catalog, found: dict[str, Any]) -> bool:
    """Whether a second person has to agree: for the quota and for critical rules, also for rules that are gone."""
    rules = {rule.id: rule for rule in catalog.group(found["group_name"]).rules}
    rule = rules.get(found["rule_id"])
    return rule is None or rule.severity == "critical"


def state_of(found: dict[str, Any], *, needs_approval: bool, at: datetime | None = None) -> str:
    """revoked, ended, waiting for approval or in force, at this instant in UTC."""
    if found["revoked_at"] is not None:
        return "revoked"
    if found["until"] <= (at or ledger.now()):
        return "ended"
    return "waiting for approval" if needs_approval and found["approver"] is None else "in force"


def in_force(connection: Connection, group: Group, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The waivers that hold now for this batch, oldest first."""
    table = ledger.waivers
    where = (table.c.group_name == group.name) & (table.c.batch.is_(None) | (table.c.batch == batch["batch_id"]))
    rows = ledger.rows(connection, sa.select(table).where(where).order_by(table.c.seq))
    one_person = {rule.id for rule in group.rules if rule.severity != "critical"}
    return [
        row
        for row in rows
        if state_of(row, needs_approval=row["rule_id"] not in one_person) == "in force"
        and row["rules_hash"] in {None, group.rules_hash}
    ]


def require_still(connection: Connection, group: Group, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The waivers that the batch's verdict rests on, as the receipt keeps them.

    Raises VerdictError when one of them has ended since, which only another judgement can answer.
    """
    needed = list(batch["waivers"] or [])
    there = {row["waiver_id"]: row for row in in_force(connection, group, batch)} if needed else {}
    if ended := [name for name in needed if name not in there]:
        until = required(connection, ended[0])["until"]
        raise VerdictError(
            f"{ended[0]}, on which the verdict of {batch['batch_id']} rests, holds no more (until {zones(until)}).\n"
            f"Nothing was published. Run: dataops gate {group.name} --batch {batch['batch_id']}"
        )
    return [_kept(there[name]) for name in needed]


def zones(moment: datetime) -> str:
    """An instant in UTC and, where it differs, in this machine's zone."""
    local = moment.replace(tzinfo=UTC).astimezone()
    text = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return text if not local.utcoffset() else f"{text}, {local:%Y-%m-%d %H:%M:%S %Z}"


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    names = ("waiver_id", "rule_id", "batch", "keys", "quota", "owner", "approver", "reason")
    return {name: row[name] for name in names} | {"until": row["until"].isoformat()}
