"""What the platform does by itself: opens one incident per root cause, counts what recurs, solves what is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import numbering
from dataops.ledger import tables as ledger
from dataops.ledger.incidents.records import GATE, OPEN, Row, before, changed, how_it_ended, noted

Kind = Literal["held", "error", "anomaly", "late", "drift", "warehouse"]
SETTLED_REASONS = ("false positive", "expected change")  # a person has said that this batch is no problem
KEPT_BATCHES = 50  # an incident that recurs for ever must not grow for ever


def open_for(
    connection: Connection,
    group: str,
    batch: int,
    sentence: str,
    detail: dict[str, Any],
    *,
    kind: Kind | None = None,
    cause: str | None = None,
) -> str:
    """Opens an incident, or counts it once more where one of the same root cause is open. Returns its id.

    `detail` holds JSON values. Without `kind` and `cause` they are read from it: the verdict, and dataset and rule of
    the failure that came first. A batch that a person settled as no problem opens nothing when it is judged again.
    """
    kind = kind or ("error" if detail.get("verdict") == "ERROR" else "held")
    fingerprint = f"{group}:{kind}:{cause or _cause(detail)}"
    found = _latest(connection, fingerprint)
    if found and found["state"] in OPEN:
        return _seen_again(connection, found, batch, sentence, detail)
    if found and found["batch"] == batch and found["resolution_reason"] in SETTLED_REASONS:
        return str(found["incident_id"])
    return _opened(connection, group, batch, sentence, detail, kind, fingerprint)


def _cause(detail: dict[str, Any]) -> str:
    """Dataset and rule of the first failure: a sentence carries counts, which differ from day to day."""
    first = detail.get("first") or next(iter(detail.get("rules") or ()), None)
    return f"{first['table']}:{first['rule']}" if first else "batch"


def _latest(connection: Connection, fingerprint: str) -> Row | None:
    table = ledger.incidents
    newest = sa.select(table).where(table.c.fingerprint == fingerprint).order_by(table.c.seq.desc()).limit(1)
    return ledger.one(connection, newest)


def _seen_again(connection: Connection, found: Row, batch: int, sentence: str, detail: dict[str, Any]) -> str:
    """A batch that is only judged again does not count again: a repeated task changes nothing."""
    again = found["batch"] != batch
    batches = [*found["detail"].get("batches", [found["batch"]]), *([batch] if again else [])]
    changed(
        connection,
        found["seq"],
        times=found["times"] + again,
        batch=batch,
        sentence=sentence,
        detail=detail | {"batches": batches[-KEPT_BATCHES:]},
        last_seen_at=ledger.now(),
    )
    if again:
        noted(connection, found["seq"], GATE, "seen", sentence)
    return str(found["incident_id"])


def _opened(
    connection: Connection, group: str, batch: int, sentence: str, detail: dict[str, Any], kind: Kind, fingerprint: str
) -> str:
    table, now = ledger.incidents, ledger.now()
    seq = numbering.next_seq(connection, table)
    incident = {
        "seq": seq,
        "incident_id": f"INC-{seq:04d}",
        "group_name": group,
        "batch": batch,
        "fingerprint": fingerprint,
        "kind": kind,
        "state": "open",
        "sentence": sentence,
        "detail": detail | {"batches": [batch]},
        "times": 1,
        "opened_at": now,
        "last_seen_at": now,
    }
    connection.execute(table.insert().values(**incident))
    noted(connection, seq, GATE, "opened", sentence)
    if earlier := before(connection, incident):
        noted(connection, seq, GATE, "noted", f"Seen before: {', '.join(how_it_ended(e) for e in earlier[:5])}")
    return f"INC-{seq:04d}"


def resolve(connection: Connection, group: str, batch: dict[str, Any], publication_id: str) -> list[str]:
    """Closes the group's open incidents whose window the published `batch` delivered again. Returns their ids.

    An anomaly of the batch itself stays: what is unusual is published, and somebody must look at it.
    """
    table, held = ledger.incidents, ledger.batches
    columns = (table.c.seq, table.c.incident_id, table.c.kind, table.c.batch)
    query = sa.select(*columns, held.c.source, held.c.window_start, held.c.window_end).join_from(
        table, held, held.c.seq == table.c.batch
    )
    found = ledger.rows(connection, query.where((table.c.group_name == group) & table.c.state.in_(OPEN)))
    solved = [r for r in found if _covers(batch, r) and not (r["kind"] == "anomaly" and r["batch"] == batch["seq"])]
    return _solved(connection, solved, f"delivered again, published as {publication_id}")


def resolve_drift(connection: Connection, group: str, batch_id: str) -> list[str]:
    """Closes the group's drift: a batch of the agreed shape was landed whole. Returns the ids of the incidents."""
    table = ledger.incidents
    where = (table.c.group_name == group) & (table.c.kind == "drift") & table.c.state.in_(OPEN)
    found = ledger.rows(connection, sa.select(table.c.seq, table.c.incident_id).where(where).order_by(table.c.seq))
    return _solved(connection, found, f"the source has the agreed shape, landed as {batch_id}")


def standing(connection: Connection, group: str, kind: Kind, cause: str) -> Row | None:
    """The incident of this root cause that is open now."""
    found = _latest(connection, f"{group}:{kind}:{cause}")
    return found if found and found["state"] in OPEN else None


def solve(connection: Connection, group: str, kind: Kind, cause: str, how: str) -> None:
    """Closes the incident of this root cause, if one is open, since it is over: `how` says by what."""
    if found := standing(connection, group, kind, cause):
        _solved(connection, [found], how)


def _solved(connection: Connection, found: Sequence[Row], how: str) -> list[str]:
    for row in found:
        changed(connection, row["seq"], state="resolved", resolved_at=ledger.now(), resolution=how)
        noted(connection, row["seq"], GATE, "resolved", how)
    return [row["incident_id"] for row in found]


def _covers(batch: dict[str, Any], held: Row) -> bool:
    from dataops.ledger.entries import REPLAYED  # it knows sources, which `status` must not wait for

    if batch["source"] == REPLAYED:  # some rows that waited: it delivers no window again
        return bool(held["source"] == REPLAYED)
    if batch["window_start"] is None:
        return True
    if held["window_start"] is None:
        return False
    return bool(batch["window_start"] <= held["window_start"] and held["window_end"] <= batch["window_end"])
