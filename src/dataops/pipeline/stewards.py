"""What stewards decide: waivers, releases of a held batch, discards. The same for the command line and for Airflow.

An answer is trusted for nothing but who gave it: batch, rules and the waiver's state are looked at again in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from dataops.declared.declarations import share
from dataops.declared.errors import DataRejected, DeclarationError
from dataops.gate import waivers as permissions
from dataops.gate.waivers import Scope
from dataops.ledger import batches, clock, entries, incidents
from dataops.ledger import waivers as kept
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BatchState, VerdictName, WaiverState
from dataops.ledger.schema import is_there, writing
from dataops.ledger.waivers import Waiver
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.pipeline.publish import Published

QUOTA_DAYS = 7  # a batch that nobody agreed to release by then is loaded again


@dataclass(frozen=True)
class Standing:
    """A waiver, and how it stands now."""

    waiver: Waiver
    state: WaiverState

    @property
    def is_live(self) -> bool:
        """Whether it holds, or waits for somebody to agree."""
        return self.state in {WaiverState.IN_FORCE, WaiverState.ASKED}


def add_waiver(work: Workspace, scope: Scope, owner: str, reason: str, until: datetime) -> Standing:
    """Records a waiver; returns it with its state. Raises DeclarationError for what cannot be waived."""
    with writing(work.warehouse) as connection:
        return _standing(work, permissions.add(connection, work.catalog, scope, owner, reason, until))


def ask_for_quota(work: Workspace, group: str, batch_id: str, person: str, reason: str, quota: str) -> Standing:
    """Asks for one batch to be published whatever is held of it, up to `quota`, e.g. 10%: somebody else has to agree.

    Raises DeclarationError for a share that is none, and for what cannot be waived.
    """
    try:
        limit = share(quota)
    except ValueError as error:
        raise DeclarationError(f"--quota: {error}") from None
    until = clock.now() + timedelta(days=QUOTA_DAYS)
    return add_waiver(work, Scope(group, None, batch_id, quota=limit), person, reason, until)


def approve_waiver(work: Workspace, waiver_id: str, person: str) -> Standing:
    """A second person agrees. Raises DataRejected for a late, repeated, own or outdated approval."""
    with writing(work.warehouse) as connection:
        permissions.approve(connection, work.catalog, waiver_id, person)
        return _standing(work, kept.required(connection, waiver_id))


def revoke_waiver(work: Workspace, waiver_id: str, person: str) -> Standing:
    """Ends a waiver now."""
    with writing(work.warehouse) as connection:
        permissions.revoke(connection, waiver_id, person)
        return _standing(work, kept.required(connection, waiver_id))


def waivers(work: Workspace) -> list[Standing]:
    """All waivers with their state, those that end first on top."""
    with work.warehouse.reading() as connection:
        rows = kept.first_to_end(connection) if is_there(connection) else []
    return [_standing(work, waiver) for waiver in rows]


def _standing(work: Workspace, waiver: Waiver) -> Standing:
    return Standing(waiver, permissions.state_of(work.catalog, waiver))


def held_batch(work: Workspace, batch_id: str) -> Batch | None:
    """The batch, if it failed and a steward has to decide; else None."""
    with work.warehouse.reading() as connection:
        batch = batches.find(connection, batch_id)
    held = batch is not None and batch.state is BatchState.JUDGED and batch.verdict is VerdictName.FAILED
    return batch if held else None


def ask_release(work: Workspace, batch_id: str, rules_hash: str, person: str, reason: str, quota: str) -> str:
    """A steward wants a held batch's good rows published; returns the id of the waiver that a second person approves.

    `rules_hash` is of the rules under which it was held when this was asked; a batch that was judged anew since, under
    other rules, is another question. Raises DataRejected.
    """
    with work.warehouse.reading() as connection:
        batch = _undecided(connection, batch_id)
    if batch.rules_hash != rules_hash:
        raise DataRejected(f"{batch_id} was judged under other rules since this was asked; nothing was decided")
    return ask_for_quota(work, batch.group, batch_id, person, reason, quota).waiver.waiver_id


def release(work: Workspace, waiver_id: str, person: str) -> Published:
    """A second person agrees: the batch goes through the gate under the waiver and is published.

    Raises DataRejected for an own, late or outdated approval, and when the batch is held all the same.
    """
    made = approve_waiver(work, waiver_id, person).waiver
    verdict = jobs.run_gate(work, made.group, made.batch)
    if not verdict.passed:
        raise DataRejected(f"{made.batch} is held all the same: {verdict.reasons[0]}. Nothing was published.")
    return jobs.publish(work, made.group, made.batch)


def discard_batch(work: Workspace, batch_id: str, person: str, reason: str) -> None:
    """Gives up a held batch: nothing of it will be published. Its incidents say who decided and why.

    Raises DataRejected for a batch that is published or given up already, DeclarationError without a reason.
    """
    if not reason.strip():
        raise DeclarationError("a discard says why: --reason")
    with jobs.locked(work, batch_id, "discard"), writing(work.warehouse) as connection:
        batch = _undecided(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        for dataset in group.datasets:
            entries.discard(connection, group, dataset, None, batch_id, person, reason)
        batches.settle(connection, batch.seq, BatchState.DISCARDED, f"discarded by {person}: {reason}")
        for incident in (i for i in incidents.open_incidents(connection) if i.batch == batch.seq):
            incidents.comment(connection, incident.incident_id, f"batch {batch_id} was discarded: {reason}", person)


def _undecided(connection: Connection, batch_id: str) -> Batch:
    batch = batches.required(connection, batch_id)
    if batch.is_settled:
        raise DataRejected(f"batch {batch_id} is {batch.state} already; nothing was changed")
    return batch


def discard(
    work: Workspace, table: str, rule: str | None, batch: str | None, by: str | None, reason: str
) -> dict[str, int]:
    """Closes open entries of quarantine for good; rows per dataset. Without `by` it only counts them."""
    group = work.catalog.group(work.catalog.dataset(table).group)
    with work.warehouse.lock(group.name, "discard"), writing(work.warehouse, group.datasets) as connection:
        if rule is not None:
            entries.require_rule(connection, group, rule)
        return entries.discard(connection, group, group.dataset(table), rule, batch, by, reason)
