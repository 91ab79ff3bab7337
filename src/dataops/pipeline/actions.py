"""The actions of a steward's form, by name: each takes a person and the form's fields and answers with one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.gate.waivers import Scope, moment
from dataops.ledger import incidents
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, stewards
from dataops.pipeline.stewards import Standing

Form = Mapping[str, Any]
Action = Callable[[Workspace, str, Form], str]


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


def _on_incident(step: Callable[[Connection, str, str, Form], None], done: str) -> Action:
    def run(work: Workspace, person: str, form: Form) -> str:
        incident = _field(form, "incident")
        with writing(work.warehouse) as connection:
            step(connection, incident, person, form)
        return f"{incident} {done} by {person}"

    return run


def _close(connection: Connection, incident: str, person: str, form: Form) -> None:
    incidents.close(connection, incident, _field(form, "resolution"), _field(form, "reason"), person)


def _waive(work: Workspace, person: str, form: Form) -> str:
    rule = _field(form, "rule")
    scope = Scope(work.catalog.group_of_rule(rule).name, rule, str(form.get("batch") or "").strip() or None)
    made = stewards.add_waiver(work, scope, person, _field(form, "reason"), moment(_field(form, "until")))
    return f"{made.waiver.waiver_id} on {rule} is {made.state}"


def _on_waiver(step: Callable[[Workspace, str, str], Standing]) -> Action:
    def run(work: Workspace, person: str, form: Form) -> str:
        made = step(work, _field(form, "waiver"), person)
        return f"{made.waiver.waiver_id} is {made.state}"

    return run


def _replay(work: Workspace, _person: str, form: Form) -> str:
    done = jobs.replay(work, _field(form, "group"))
    published = f", published as {done.publication.publication_id}" if done.publication else ""
    return f"{done.rows_passing:,} of {done.rows:,} waiting rows of {done.group} passed{published}"


def _discard(work: Workspace, person: str, form: Form) -> str:
    batch_id = _field(form, "batch")
    stewards.discard_batch(work, batch_id, person, _field(form, "reason"))
    return f"{batch_id} was discarded by {person}; its rows are kept and wait no more"


ACTIONS: dict[str, Action] = {
    "acknowledge": _on_incident(lambda c, i, who, f: incidents.acknowledge(c, i, who, f.get("reason")), "acknowledged"),
    "assign": _on_incident(lambda c, i, who, f: incidents.assign(c, i, _field(f, "assignee"), who), "assigned"),
    "comment": _on_incident(lambda c, i, who, f: incidents.comment(c, i, _field(f, "reason"), who), "commented"),
    "resolve": _on_incident(_close, "resolved"),
    "reopen": _on_incident(lambda c, i, who, f: incidents.reopen(c, i, _field(f, "reason"), who), "reopened"),
    "waive": _waive,
    "approve waiver": _on_waiver(stewards.approve_waiver),
    "revoke waiver": _on_waiver(stewards.revoke_waiver),
    "replay": _replay,
    "discard batch": _discard,
}
