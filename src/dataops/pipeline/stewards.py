"""What stewards decide: waivers, releases of a held batch, discards. The same for the command line and for Airflow.

An answer is trusted for nothing but who gave it: batch, rules and the waiver's state are looked at again in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.declarations import share
from dataops.declared.errors import DataRejected, DeclarationError
from dataops.gate import waivers as permissions
from dataops.gate.waivers import Scope
from dataops.ledger import batches as batch_records
from dataops.ledger import entries, incidents
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.pipeline.publish import Publication
from dataops.warehouse import tables

QUOTA_DAYS = 7  # a batch that nobody agreed to release by then is loaded again


def add_waiver(work: Workspace, scope: Scope, owner: str, reason: str, until: datetime) -> dict[str, Any]:
    """Records a waiver; returns it with its state. Raises DeclarationError for what cannot be waived."""
    with ledger.writing(work.warehouse) as connection:
        made = permissions.add(connection, work.catalog, scope, owner, reason, until)
        return _waiver(work, connection, made)


def ask_for_quota(work: Workspace, group: str, batch_id: str, person: str, reason: str, quota: str) -> dict[str, Any]:
    """Asks for one batch to be published whatever is held of it, up to `quota`, e.g. 10%: somebody else has to agree.

    Raises DeclarationError for a share that is none, and for what cannot be waived.
    """
    try:
        limit = share(quota)
    except ValueError as error:
        raise DeclarationError(f"--quota: {error}") from None
    until = ledger.now() + timedelta(days=QUOTA_DAYS)
    return add_waiver(work, Scope(group, None, batch_id, quota=limit), person, reason, until)


def approve_waiver(work: Workspace, waiver_id: str, person: str) -> dict[str, Any]:
    """A second person agrees. Raises DataRejected for a late, repeated, own or outdated approval."""
    with ledger.writing(work.warehouse) as connection:
        permissions.approve(connection, work.catalog, waiver_id, person)
        return _waiver(work, connection, waiver_id)


def revoke_waiver(work: Workspace, waiver_id: str, person: str) -> dict[str, Any]:
    """Ends a waiver now."""
    with ledger.writing(work.warehouse) as connection:
        permissions.revoke(connection, waiver_id, person)
        return _waiver(work, connection, waiver_id)


def waivers(work: Workspace) -> list[dict[str, Any]]:
    """All waivers with their state, those that end first on top."""
    with work.warehouse.reading() as connection:
        if ledger.version(connection) is None:
            return []
        rows = ledger.rows(connection, sa.select(ledger.waivers).order_by(ledger.waivers.c.until))
    return [_with_state(work, row) for row in rows]


def _waiver(work: Workspace, connection: Connection, waiver_id: str) -> dict[str, Any]:
    return _with_state(work, permissions.required(connection, waiver_id))


def _with_state(work: Workspace, row: dict[str, Any]) -> dict[str, Any]:
    needed = permissions.needs_approval(work.catalog, row)
    return row | {"state": permissions.state_of(row, needs_approval=needed)}


def held_batch(work: Workspace, batch_id: str) -> dict[str, Any] | None:
    """What a steward has to know about a batch that failed: batch, group, rules_hash, sentence; None if it did not."""
    with work.warehouse.reading() as connection:
        found = ledger.batch(connection, batch_id)
    if found is None or found["state"] != "failed":
        return None
    names = {"batch": "batch_id", "group": "group_name", "rules_hash": "rules_hash", "sentence": "reason"}
    return {name: found[column] for name, column in names.items()}


def ask_release(work: Workspace, question: Mapping[str, Any], person: str, reason: str, quota: str) -> str:
    """A steward wants a held batch's good rows published; returns the id of the waiver that a second person approves.

    `question` names batch and rules_hash as they were when it was asked; a batch that was judged anew since, under
    other rules, is another question. Raises DataRejected.
    """
    batch_id = str(question["batch"])
    with work.warehouse.reading() as connection:
        batch = _undecided(connection, batch_id)
    if batch["rules_hash"] != question["rules_hash"]:
        raise DataRejected(f"{batch_id} was judged under other rules since this was asked; nothing was decided")
    return str(ask_for_quota(work, batch["group_name"], batch_id, person, reason, quota)["waiver_id"])


def release(work: Workspace, waiver_id: str, person: str) -> Publication:
    """A second person agrees: the batch goes through the gate under the waiver and is published.

    Raises DataRejected for an own, late or outdated approval, and when the batch is held all the same.
    """
    made = approve_waiver(work, waiver_id, person)
    verdict = jobs.run_gate(work, made["group_name"], made["batch"])
    if not verdict.passed:
        raise DataRejected(f"{made['batch']} is held all the same: {verdict.reasons[0]}. Nothing was published.")
    return jobs.publish(work, made["group_name"], made["batch"])


def discard_batch(work: Workspace, batch_id: str, person: str, reason: str) -> None:
    """Gives up a held batch: nothing of it will be published. Its incidents say who decided and why.

    Raises DataRejected for a batch that is published or given up already, DeclarationError without a reason.
    """
    if not reason.strip():
        raise DeclarationError("a discard says why: --reason")
    with jobs.locked(work, batch_id, "discard"), ledger.writing(work.warehouse) as connection:
        batch = _undecided(connection, batch_id)
        group = batch_records.group_of(connection, work, batch)
        for dataset in group.datasets:
            entries.discard(connection, group, dataset, None, batch_id, person, reason)
        ledger.set_state(connection, batch["seq"], "discarded", reason=f"discarded by {person}: {reason}")
        for found in (i for i in incidents.open_incidents(connection) if i["batch"] == batch["seq"]):
            incidents.comment(connection, found["incident_id"], f"batch {batch_id} was discarded: {reason}", person)


def _undecided(connection: Connection, batch_id: str) -> dict[str, Any]:
    batch = batch_records.required(connection, batch_id)
    if batch["state"] in ledger.SETTLED:
        raise DataRejected(f"batch {batch_id} is {batch['state']} already; nothing was changed")
    return batch


def discard(
    work: Workspace, table: str, rule: str | None, batch: str | None, by: str | None, reason: str
) -> dict[str, int]:
    """Closes open entries of quarantine for good; rows per dataset. Without `by` it only counts them."""
    group = work.catalog.group(work.catalog.dataset(table).group)
    with work.warehouse.lock(group.name, "discard"), ledger.writing(work.warehouse) as connection:
        tables.ensure(work.warehouse, connection, group.datasets)
        if rule is not None:
            entries.require_rule(connection, group, rule)
        return entries.discard(connection, group, group.dataset(table), rule, batch, by, reason)
