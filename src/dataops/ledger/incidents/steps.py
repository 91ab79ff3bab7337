"""What a person does with an incident; each step is refused with the reason why, or written with its event.

Every function works in the caller's transaction and raises DeclarationError for an unknown incident, a state that
does not allow the step, an empty name or an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.declarations import REASONS
from dataops.declared.errors import DeclarationError
from dataops.ledger import tables as ledger
from dataops.ledger.incidents.occurrences import SETTLED_REASONS
from dataops.ledger.incidents.records import OPEN, Row, changed, noted, required

ENDINGS = ("resolved", "waived")


def acknowledge(connection: Connection, incident_id: str, who: str, text: str | None = None) -> None:
    """Somebody has seen it and acts."""
    found = _still_open(connection, incident_id, "acknowledged")
    if found["state"] == "acknowledged":
        raise DeclarationError(f"{incident_id} was acknowledged {_by(connection, found, ('acknowledged',))} already")
    _step(connection, found, who, "acknowledged", text, state="acknowledged")


def assign(connection: Connection, incident_id: str, assignee: str, who: str) -> None:
    """Gives it an owner, in place of the one it had."""
    found = _still_open(connection, incident_id, "assigned")
    _said(assignee, "say to whom it is assigned")
    before = f" (before: {found['assignee']})" if found["assignee"] else ""
    _step(connection, found, who, "assigned", f"to {assignee}{before}", assignee=assignee)


def comment(connection: Connection, incident_id: str, text: str, who: str) -> None:
    """Adds to the history; in any state."""
    _step(connection, required(connection, incident_id), who, "commented", _said(text, "the comment is empty"))


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
    found = _still_open(connection, incident_id, "resolved")
    reason = reason_of(reason, reasons)
    _said(comment, "say what was done: a comment is required to close an incident")
    ended = {"state": "resolved", "resolved_at": ledger.now(), "resolution_reason": reason, "resolution": comment}
    _step(connection, found, who, "resolved", f"{reason}: {comment}", **ended)
    if reason in SETTLED_REASONS:
        _forget(connection, found)


def reason_of(typed: str, reasons: Sequence[str]) -> str:
    """`source-fixed` -> `source fixed`. Raises DeclarationError naming the reasons there are."""
    slugs = {reason.replace(" ", "-").lower(): reason for reason in reasons}
    found = slugs.get(typed.strip().replace(" ", "-").lower())
    if found is None:
        raise DeclarationError(f"no reason {typed!r} to close an incident; there are {', '.join(slugs)}")
    return found


def reopen(connection: Connection, incident_id: str, comment: str, who: str) -> None:
    """Takes an ending back; refused while another incident of the same root cause is open."""
    found = required(connection, incident_id)
    if found["state"] in OPEN:
        raise DeclarationError(f"{incident_id} is {found['state']}; there is nothing to reopen")
    table = ledger.incidents
    other = (table.c.fingerprint == found["fingerprint"]) & table.c.state.in_(OPEN)
    twin = ledger.one(connection, sa.select(table).where(other)) if found["fingerprint"] else None
    if twin is not None:
        raise DeclarationError(f"{twin['incident_id']} is open for the same cause; comment there instead")
    cleared = dict.fromkeys(("resolved_at", "resolution", "resolution_reason"))
    _step(connection, found, who, "reopened", _said(comment, "say why it is reopened"), state="open", **cleared)


def waive(connection: Connection, incident_id: str, waiver_id: str, who: str) -> None:
    """Ends it by a waiver under which its batch is published."""
    found = _still_open(connection, incident_id, "waived")
    ended = {"state": "waived", "resolved_at": ledger.now(), "resolution": f"published under {waiver_id}"}
    _step(connection, found, who, "waived", f"under {waiver_id}", **ended)


def _step(
    connection: Connection,
    found: Row,
    who: str,
    action: str,
    text: str | None,
    **values: object,
) -> None:
    _said(who, "say who acts: --by, or DATAOPS_PERSON")
    if values:
        changed(connection, found["seq"], **values)
    noted(connection, found["seq"], who, action, text)


def _still_open(connection: Connection, incident_id: str, step: str) -> Row:
    found = required(connection, incident_id)
    if found["state"] not in OPEN:
        raise DeclarationError(
            f"{incident_id} cannot be {step}: it was {found['state']} {_by(connection, found, ENDINGS)}"
            f" ({found['resolution_reason'] or found['resolution']}).\n"
            f"If that was wrong: dataops incidents reopen {incident_id} --comment …"
        )
    return found


def _by(connection: Connection, found: Row, actions: Sequence[str]) -> str:
    """`by anna on 2014-05-01 09:10 UTC`."""
    events = ledger.incident_events
    where = (events.c.incident == found["seq"]) & events.c.action.in_(actions)
    last = ledger.one(connection, sa.select(events).where(where).order_by(events.c.seq.desc()).limit(1))
    if last is None:  # ended under a release that kept no history
        return f"on {found['resolved_at'] or found['last_seen_at']:%Y-%m-%d %H:%M} UTC"
    return f"by {last['who']} on {last['happened_at']:%Y-%m-%d %H:%M} UTC"


def _said(text: str, otherwise: str) -> str:
    if not text.strip():
        raise DeclarationError(otherwise)
    return text


def _forget(connection: Connection, found: Row) -> None:
    batches = found["detail"].get("batches", [found["batch"]])
    table = ledger.metrics
    connection.execute(table.update().where(table.c.batch.in_(batches)).values(excluded=True))
