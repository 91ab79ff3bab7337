"""What a steward can do, by name and with a form: the same for Airflow's form and for whoever calls it.

Each action answers with one sentence. Who acted is recorded by what it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from dataops import batches, entries, incidents, jobs, ledger
from dataops.errors import DataRejected, DeclarationError
from dataops.gate.waivers import Scope
from dataops.publish import Publication
from dataops.workspace import Workspace

Form = Mapping[str, Any]
SETTLED = ("published", "unchanged", "discarded")


def act(work: Workspace, action: str, person: str, form: Form) -> str:
    """Does `action` as `person`. Raises DeclarationError naming the actions there are, or the field that lacks."""
    found = ACTIONS.get(action)
    if found is None:
        raise DeclarationError(f"no action {action!r}; there are {', '.join(ACTIONS)}")
    return found(work, person, form)


def _field(form: Form, name: str) -> str:
    value = str(form.get(name) or "").strip()
    if not value:
        raise DeclarationError(f"fill in {name!r}: this action needs it")
    return value


def _on_incident(
    step: Callable[[Connection, str, str, Form], None], done: str
) -> Callable[[Workspace, str, Form], str]:
    def run(work: Workspace, person: str, form: Form) -> str:
        incident = _field(form, "incident")
        with work.warehouse.transaction() as connection:
            ledger.ensure(connection)
            step(connection, incident, person, form)
        return f"{incident} {done} by {person}"

    return run


def _close(connection: Connection, incident: str, person: str, form: Form) -> None:
    incidents.close(connection, incident, _field(form, "resolution"), _field(form, "reason"), person)


def _waive(work: Workspace, person: str, form: Form) -> str:
    rule = _field(form, "rule")
    dataset = next((d for d in work.catalog.datasets.values() if rule in {r.id for r in d.rules}), None)
    if dataset is None:
        raise DeclarationError(f"no rule {rule!r}; all rules: dataops check")
    until = datetime.fromisoformat(_field(form, "until"))
    scope = Scope(dataset.group, rule, str(form.get("batch") or "") or None)
    made = jobs.add_waiver(work, scope, person, _field(form, "reason"), until)
    return f"{made['waiver_id']} on {rule} is {made['state']}"


def _approve(work: Workspace, person: str, form: Form) -> str:
    made = jobs.approve_waiver(work, _field(form, "waiver"), person)
    return f"{made['waiver_id']} is {made['state']}"


def _revoke(work: Workspace, person: str, form: Form) -> str:
    made = jobs.revoke_waiver(work, _field(form, "waiver"), person)
    return f"{made['waiver_id']} is {made['state']}"


def _replay(work: Workspace, _person: str, form: Form) -> str:
    done = jobs.replay(work, _field(form, "group"))
    published = f", published as {done.publication.publication_id}" if done.publication else ""
    return f"{done.rows_passing:,} of {done.rows:,} waiting rows of {done.group} passed{published}"


def _discard(work: Workspace, person: str, form: Form) -> str:
    batch_id = _field(form, "batch")
    discard_batch(work, batch_id, person, _field(form, "reason"))
    return f"{batch_id} was discarded by {person}; its rows are kept and wait no more"


ACTIONS: dict[str, Callable[[Workspace, str, Form], str]] = {
    "acknowledge": _on_incident(lambda c, i, who, f: incidents.acknowledge(c, i, who, f.get("reason")), "acknowledged"),
    "assign": _on_incident(lambda c, i, who, f: incidents.assign(c, i, _field(f, "assignee"), who), "assigned"),
    "comment": _on_incident(lambda c, i, who, f: incidents.comment(c, i, _field(f, "reason"), who), "commented"),
    "resolve": _on_incident(_close, "resolved"),
    "reopen": _on_incident(lambda c, i, who, f: incidents.reopen(c, i, _field(f, "reason"), who), "reopened"),
    "waive": _waive,
    "approve waiver": _approve,
    "revoke waiver": _revoke,
    "replay": _replay,
    "discard batch": _discard,
}


def discard_batch(work: Workspace, batch_id: str, person: str, reason: str) -> None:
    """Gives up a held batch: nothing of it will be published. Its incidents say who decided and why.

    Raises DataRejected for a batch that is published or given up already.
    """
    with work.warehouse.transaction() as connection:
        ledger.ensure(connection)
        batch = _held(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        for dataset in group.datasets:
            entries.discard(connection, group, dataset, None, batch_id, person, reason)
        ledger.set_state(connection, batch["seq"], "discarded", reason=f"discarded by {person}: {reason}")
        for found in (i for i in incidents.open_incidents(connection) if i["batch"] == batch["seq"]):
            incidents.comment(connection, found["incident_id"], f"batch {batch_id} was discarded: {reason}", person)


def _held(connection: Connection, batch_id: str) -> dict[str, Any]:
    batch = batches.required(connection, batch_id)
    if batch["state"] in SETTLED:
        raise DataRejected(f"batch {batch_id} is {batch['state']} already; nothing was changed")
    return batch


def ask_release(work: Workspace, question: Form, person: str, reason: str, quota: float) -> str:
    """A steward wants a held batch's good rows published: the waiver that a second person has to approve.

    `question` names batch and rules_hash as they were when it was asked; a batch that was judged anew since, under
    other rules, is another question. Raises DataRejected.
    """
    batch_id = str(question["batch"])
    with work.warehouse.reading() as connection:
        batch = _held(connection, batch_id)
    if batch["rules_hash"] != question["rules_hash"]:
        raise DataRejected(f"{batch_id} was judged under other rules since this was asked; nothing was decided")
    until = ledger.now() + timedelta(days=RELEASE_DAYS)
    made = jobs.add_waiver(work, Scope(str(batch["group_name"]), None, batch_id, quota=quota), person, reason, until)
    return str(made["waiver_id"])


RELEASE_DAYS = 7


def release(work: Workspace, waiver_id: str, person: str) -> Publication:
    """A second person agrees: the batch goes through the gate under the waiver and is published.

    Raises DataRejected for an own, late or outdated approval, and when the batch is held all the same.
    """
    made = jobs.approve_waiver(work, waiver_id, person)
    verdict = jobs.run_gate(work, made["group_name"], made["batch"])
    if not verdict.passed:
        raise DataRejected(f"{made['batch']} is held all the same: {verdict.reasons[0]}. Nothing was published.")
    return jobs.publish(work, made["group_name"], made["batch"])
