"""What a person does with an incident; each step is refused with the reason why, or written with its event.

Every function works in the caller's transaction and raises DeclarationError for an unknown incident, a state that
does not allow the step, an empty name or an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from dataops.declared.declarations import REASONS
from dataops.declared.errors import DeclarationError
from dataops.ledger import clock, metrics
from dataops.ledger.enums import IncidentState
from dataops.ledger.incidents.occurrences import SETTLED_REASONS
from dataops.ledger.incidents.records import Incident, changed, history, noted, open_of_cause, required

ENDINGS = ("resolved", "waived")


def acknowledge(connection: Connection, incident_id: str, who: str, text: str | None = None) -> None:
    """Somebody has seen it and acts."""
    incident = _still_open(connection, incident_id, "acknowledged")
    if incident.state is IncidentState.ACKNOWLEDGED:
        raise DeclarationError(f"{incident_id} was acknowledged {_by(connection, incident, ('acknowledged',))} already")
    _step(connection, incident, who, "acknowledged", text, state=IncidentState.ACKNOWLEDGED)


def assign(connection: Connection, incident_id: str, assignee: str, who: str) -> None:
    """Gives it an owner, in place of the one it had."""
    incident = _still_open(connection, incident_id, "assigned")
    _not_empty(assignee, "say to whom it is assigned")
    before = f" (before: {incident.assignee})" if incident.assignee else ""
    _step(connection, incident, who, "assigned", f"to {assignee}{before}", assignee=assignee)


def comment(connection: Connection, incident_id: str, text: str, who: str) -> None:
    """Adds to the history; in any state."""
    _step(connection, required(connection, incident_id), who, "commented", _not_empty(text, "the comment is empty"))


def close(
    connection: Connection,
    incident_id: str,
    reason: str,
    comment: str,  # the word of the command line
    who: str,
    reasons: Sequence[str] = REASONS,
) -> None:
    """Ends it with one of the checkpoint's `reasons`, written in words or as on the command line (source-fixed).

    What a person calls no problem teaches the anomaly detection nothing: its batch is taken out of the history.
    """
    incident = _still_open(connection, incident_id, "resolved")
    reason = reason_of(reason, reasons)
    _not_empty(comment, "say what was done: a comment is required to close an incident")
    ended = {
        "state": IncidentState.RESOLVED,
        "resolved_at": clock.now(),
        "resolution_reason": reason,
        "resolution": comment,
    }
    _step(connection, incident, who, "resolved", f"{reason}: {comment}", **ended)
    if reason in SETTLED_REASONS:
        metrics.exclude(connection, incident.batches)


def reason_of(typed: str, reasons: Sequence[str]) -> str:
    """`source-fixed` -> `source fixed`. Raises DeclarationError naming the reasons there are."""
    slugs = {reason.replace(" ", "-").lower(): reason for reason in reasons}
    reason = slugs.get(typed.strip().replace(" ", "-").lower())
    if reason is None:
        raise DeclarationError(f"no reason {typed!r} to close an incident; there are {', '.join(slugs)}")
    return reason


def reopen(connection: Connection, incident_id: str, comment: str, who: str) -> None:
    """Takes an ending back; refused while another incident of the same root cause is open."""
    incident = required(connection, incident_id)
    if incident.is_open:
        raise DeclarationError(f"{incident_id} is {incident.state}; there is nothing to reopen")
    twin = open_of_cause(connection, incident.fingerprint) if incident.fingerprint else None
    if twin is not None:
        raise DeclarationError(f"{twin.incident_id} is open for the same cause; comment there instead")
    cleared = dict.fromkeys(("resolved_at", "resolution", "resolution_reason"))
    why = _not_empty(comment, "say why it is reopened")
    _step(connection, incident, who, "reopened", why, state=IncidentState.OPEN, **cleared)


def waive(connection: Connection, incident_id: str, waiver_id: str, who: str) -> None:
    """Ends it by a waiver under which its batch is published."""
    incident = _still_open(connection, incident_id, "waived")
    ended = {"state": IncidentState.WAIVED, "resolved_at": clock.now(), "resolution": f"published under {waiver_id}"}
    _step(connection, incident, who, "waived", f"under {waiver_id}", **ended)


def _step(
    connection: Connection, incident: Incident, who: str, action: str, text: str | None, **values: object
) -> None:
    _not_empty(who, "say who acts: --by, or DATAOPS_PERSON")
    if values:
        changed(connection, incident.seq, **values)
    noted(connection, incident.seq, who, action, text)


def _still_open(connection: Connection, incident_id: str, step: str) -> Incident:
    incident = required(connection, incident_id)
    if not incident.is_open:
        raise DeclarationError(
            f"{incident_id} cannot be {step}: it was {incident.state} {_by(connection, incident, ENDINGS)}"
            f" ({incident.resolution_reason or incident.resolution}).\n"
            f"If that was wrong: dataops incidents reopen {incident_id} --comment …"
        )
    return incident


def _by(connection: Connection, incident: Incident, actions: Sequence[str]) -> str:
    """`by anna on 2026-05-01 09:10 UTC`."""
    steps = [event for event in history(connection, incident) if event.action in actions]
    if not steps:  # ended under a release that kept no history
        return f"on {incident.resolved_at or incident.last_seen_at:%Y-%m-%d %H:%M} UTC"
    return f"by {steps[-1].who} on {steps[-1].happened_at:%Y-%m-%d %H:%M} UTC"


def _not_empty(text: str, otherwise: str) -> str:
    if not text.strip():
        raise DeclarationError(otherwise)
    return text
