"""Waivers: a steward's dated, scoped permission to publish in spite of a rule, or of the quota.

What keeps published data sound cannot be waived: keys, references, readability, shape. What is critical needs a second
person. A waiver ends at an instant in UTC, which is looked at again inside the transaction that publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from dataops.declared import persons
from dataops.declared.catalog import READABLE, Catalog, Dataset, Group, Rule
from dataops.declared.errors import DataRejected, DeclarationError, VerdictError
from dataops.gate import waived_content
from dataops.ledger import batches, clock, waivers
from dataops.ledger.batches import Batch
from dataops.ledger.enums import WaiverState
from dataops.ledger.publications import KeptWaiver
from dataops.ledger.waivers import Waiver, required

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


def add(connection: Connection, catalog: Catalog, scope: Scope, owner: str, reason: str, until: datetime) -> Waiver:
    """Records a waiver. Raises DeclarationError when it would cover what must hold."""
    group = catalog.group(scope.group)
    rule = _coverable(group, scope) if scope.rule else None
    _require_sense(scope, reason, until)
    held = _judged(connection, group, scope.batch) if scope.batch else None
    return waivers.add(
        connection,
        group_name=group.name,
        rule_id=scope.rule,
        table_name=rule.table if rule else None,
        batch=scope.batch,
        rules_hash=held.rules_hash if held else None,
        content=_content(connection, catalog, held, scope.rule) if held else None,
        keys=[list(key) for key in scope.keys] or None,
        quota=scope.quota,
        owner=persons.named(owner),
        reason=" ".join(reason.split()),
        until=until,
    )


def _judged(connection: Connection, group: Group, batch_id: str) -> Batch:
    """A batch of the group that somebody can have looked at."""
    held = _batch(connection, batch_id)
    if held.group != group.name:
        raise DeclarationError(f"batch {batch_id} is of group {held.group}, not of {group.name}")
    if held.judged_at is None:
        raise DataRejected(f"batch {batch_id} has not been judged: there is nothing to see yet that could be allowed")
    return held


def _content(connection: Connection, catalog: Catalog, batch: Batch, rule: str | None) -> str:
    return waived_content.kept(connection, _group(connection, catalog, batch), batch.seq, rule)


def _group(connection: Connection, catalog: Catalog, batch: Batch) -> Group:
    return catalog.group(batch.group).narrowed(frozenset(batches.datasets(connection, batch.seq)))


def _require_sense(scope: Scope, reason: str, until: datetime) -> None:
    at = clock.now()
    if not reason.strip():
        raise DeclarationError("a waiver says why: --reason")
    if not at < until <= at + LONGEST:
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
    waiver = required(connection, waiver_id)
    state = state_of(catalog, waiver)
    if state is not WaiverState.ASKED:
        raise DataRejected(f"{waiver_id} is {state}; it cannot be approved{_by(waiver)}")
    person = persons.named(person)
    if persons.same(person, waiver.owner):
        raise DataRejected(f"{waiver_id} was asked for by {waiver.owner}; somebody else has to approve it")
    if waiver.batch:
        batch = _batch(connection, waiver.batch)
        _require_same_rules(connection, catalog, waiver, batch)
        _require_same_content(connection, catalog, waiver, batch)
    waivers.approve(connection, waiver, person)


def _batch(connection: Connection, batch_id: str) -> Batch:
    batch = batches.find(connection, batch_id)
    if batch is None:
        raise DataRejected(f"no batch {batch_id} was landed; see: dataops batches list")
    return batch


def _by(waiver: Waiver) -> str:
    return f" again: {waiver.approver} did on {waiver.approved_at:%Y-%m-%d %H:%M} UTC" if waiver.approver else ""


def _require_same_rules(connection: Connection, catalog: Catalog, waiver: Waiver, batch: Batch) -> None:
    """Who approves has seen a batch under certain rules; another judgement is another question."""
    if batch.is_settled:
        raise DataRejected(f"batch {batch.batch_id} is {batch.state}; {waiver.waiver_id} would change nothing")
    rules = _group(connection, catalog, batch).rules_hash
    if waiver.rules_hash not in {batch.rules_hash, rules} or batch.rules_hash != rules:
        raise DataRejected(
            f"the rules of {waiver.group} changed since {waiver.waiver_id} was asked for. Nothing was"
            f" approved. Judge the batch anew: dataops gate {waiver.group} --batch {batch.batch_id}"
        )


def _require_same_content(connection: Connection, catalog: Catalog, waiver: Waiver, batch: Batch) -> None:
    """The same for what is held: of another batch, or of this one judged again beside other published rows."""
    if waiver.content != _content(connection, catalog, batch, waiver.rule_id):
        raise DataRejected(
            f"what is held of {batch.batch_id} is not what it was when {waiver.waiver_id} was asked for. Nothing was"
            f" approved. Look again, and ask anew: dataops quarantine list {waiver.group}"
        )


def revoke(connection: Connection, waiver_id: str, person: str) -> None:
    """Ends a waiver now. Raises DataRejected when it has ended already."""
    waiver = required(connection, waiver_id)
    if waiver.revoked_at or waiver.until <= clock.now():
        raise DataRejected(f"{waiver_id} has ended already")
    waivers.revoke(connection, waiver, persons.named(person))


def needs_approval(catalog: Catalog, waiver: Waiver) -> bool:
    """Whether a second person has to agree: for the quota and for critical rules, also for rules that are gone."""
    rules = {rule.id: rule for rule in catalog.group(waiver.group).rules}
    rule = rules.get(waiver.rule_id or "")
    return rule is None or rule.severity == "critical"


def state_of(catalog: Catalog, waiver: Waiver) -> WaiverState:
    """How a waiver stands now."""
    return waiver.state(needs_approval=needs_approval(catalog, waiver))


def in_force(connection: Connection, group: Group, batch: Batch) -> list[Waiver]:
    """The waivers that hold now for this batch, oldest first."""
    one_person = {rule.id for rule in group.rules if rule.severity != "critical"}
    return [
        waiver
        for waiver in waivers.of_batch(connection, group.name, batch.batch_id)
        if waiver.state(needs_approval=waiver.rule_id not in one_person) is WaiverState.IN_FORCE
        and waiver.rules_hash in {None, group.rules_hash}
    ]


def require_still(connection: Connection, group: Group, batch: Batch) -> list[KeptWaiver]:
    """The waivers that the batch's verdict rests on, as the receipt keeps them.

    Raises VerdictError when one of them has ended since, which only another judgement can answer.
    """
    there = {waiver.waiver_id: waiver for waiver in in_force(connection, group, batch)} if batch.waivers else {}
    if ended := [name for name in batch.waivers if name not in there]:
        until = required(connection, ended[0]).until
        raise VerdictError(
            f"{ended[0]}, on which the verdict of {batch.batch_id} rests, holds no more (until {zones(until)}).\n"
            f"Nothing was published. Run: dataops gate {group.name} --batch {batch.batch_id}"
        )
    return [_kept(there[name]) for name in batch.waivers]


def zones(moment: datetime) -> str:
    """An instant in UTC and, where it differs, in this machine's zone."""
    local = moment.replace(tzinfo=UTC).astimezone()
    text = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return text if not local.utcoffset() else f"{text}, {local:%Y-%m-%d %H:%M:%S %Z}"


def _kept(waiver: Waiver) -> KeptWaiver:
    return KeptWaiver(
        waiver_id=waiver.waiver_id,
        rule_id=waiver.rule_id,
        batch=waiver.batch,
        keys=waiver.keys or None,
        quota=waiver.quota,
        owner=waiver.owner,
        approver=waiver.approver,
        reason=waiver.reason,
        until=waiver.until.isoformat(),
    )
