"""What the platform does by itself: opens one incident per root cause, counts what recurs, solves what is over."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import batches, clock, numbering
from dataops.ledger import tables as t
from dataops.ledger.batches import Batch
from dataops.ledger.enums import UNSOLVED, IncidentKind, IncidentState, VerdictName
from dataops.ledger.incidents.detail import Detail
from dataops.ledger.incidents.records import (
    GATE,
    REMARK,
    Incident,
    before,
    changed,
    how_it_ended,
    id_of,
    noted,
    of_cause,
)
from dataops.ledger.reading import every

SETTLED_REASONS = ("false positive", "expected change")  # a person has said that this batch is no problem
KEPT_BATCHES = 50  # an incident that recurs for ever must not grow for ever


def open_for(
    connection: Connection,
    group: str,
    batch: int,
    sentence: str,
    detail: Detail,
    *,
    kind: IncidentKind | None = None,
    cause: str | None = None,
) -> str:
    """Opens an incident, or counts it once more where one of the same root cause is open. Returns its id.

    Without `kind` and `cause` they are read from the detail: the verdict, and dataset and rule of the failure that
    came first. A batch that a person settled as no problem opens nothing when it is judged again.
    """
    kind = kind or (IncidentKind.ERROR if detail.verdict is VerdictName.ERROR else IncidentKind.HELD)
    fingerprint = f"{group}:{kind}:{cause or _cause(detail)}"
    known = of_cause(connection, fingerprint)
    if known and known.is_open:
        return _seen_again(connection, known, batch, sentence, detail)
    if known and known.batch == batch and known.resolution_reason in SETTLED_REASONS:
        return known.incident_id
    return _opened(connection, group, batch, sentence, detail, kind, fingerprint)


def _cause(detail: Detail) -> str:
    """Dataset and rule of the first failure: a sentence carries counts, which differ from day to day."""
    first = detail.first_rule
    return f"{first.table}:{first.rule}" if first else "batch"


def _with_batches(detail: Detail, batches: Sequence[int]) -> Detail:
    return detail.model_copy(update={"batches": tuple(batches[-KEPT_BATCHES:])})


def _seen_again(connection: Connection, known: Incident, batch: int, sentence: str, detail: Detail) -> str:
    """A batch that is only judged again does not count again: a repeated task changes nothing."""
    again = known.batch != batch
    seen_in = [*known.batches, *([batch] if again else [])]
    changed(
        connection,
        known.seq,
        times=known.times + again,
        batch=batch,
        sentence=sentence,
        detail=_with_batches(detail, seen_in).stored(),
        last_seen_at=clock.now(),
    )
    if again:
        noted(connection, known.seq, GATE, "seen", sentence)
    return known.incident_id


def _opened(
    connection: Connection, group: str, batch: int, sentence: str, detail: Detail, kind: IncidentKind, fingerprint: str
) -> str:
    seq, at = numbering.next_seq(connection, t.incidents), clock.now()
    row = {
        "seq": seq,
        "incident_id": id_of(seq),
        "group_name": group,
        "batch": batch,
        "fingerprint": fingerprint,
        "kind": kind.value,
        "state": IncidentState.OPEN.value,
        "sentence": sentence,
        "detail": _with_batches(detail, [batch]).stored(),
        "times": 1,
        "opened_at": at,
        "last_seen_at": at,
    }
    connection.execute(t.incidents.insert().values(**row))
    noted(connection, seq, GATE, "opened", sentence)
    if earlier := before(connection, Incident.of(row)):
        noted(connection, seq, GATE, REMARK, f"Seen before: {', '.join(how_it_ended(e) for e in earlier[:5])}")
    return id_of(seq)


def resolve(connection: Connection, batch: Batch, publication_id: str) -> list[str]:
    """Closes the group's open incidents whose window the published `batch` delivered again. Returns their ids.

    An anomaly of the batch itself stays: what is unusual is published, and somebody must look at it.
    """
    solved = []
    for incident in _open_of(connection, batch.group):
        held = batches.numbered(connection, incident.batch)
        own_anomaly = incident.kind is IncidentKind.ANOMALY and incident.batch == batch.seq
        if held and _covers(batch, held) and not own_anomaly:
            solved.append(incident)
    return _solved(connection, solved, f"delivered again, published as {publication_id}")


def resolve_drift(connection: Connection, group: str, batch_id: str) -> list[str]:
    """Closes the group's drift: a batch of the agreed shape was landed whole. Returns the ids of the incidents."""
    drifted = [i for i in _open_of(connection, group) if i.kind is IncidentKind.DRIFT]
    return _solved(connection, drifted, f"the source has the agreed shape, landed as {batch_id}")


def standing(connection: Connection, group: str, kind: IncidentKind, cause: str) -> Incident | None:
    """The incident of this root cause that is open now."""
    known = of_cause(connection, f"{group}:{kind}:{cause}")
    return known if known and known.is_open else None


def solve(connection: Connection, group: str, kind: IncidentKind, cause: str, how: str) -> None:
    """Closes the incident of this root cause, if one is open, since it is over: `how` says by what."""
    if known := standing(connection, group, kind, cause):
        _solved(connection, [known], how)


def remark(connection: Connection, incident: Incident, action: str, text: str) -> None:
    """Writes a step that the platform takes by itself: it reminds, it asks somebody else."""
    noted(connection, incident.seq, GATE, action, text)


def is_settled(connection: Connection, batch: int) -> bool:
    """Whether a person has said that this batch is no problem."""
    i = t.incidents.c
    query = sa.select(i.seq).where((i.batch == batch) & i.resolution_reason.in_(SETTLED_REASONS))
    return connection.execute(query.limit(1)).first() is not None


def _open_of(connection: Connection, group: str) -> list[Incident]:
    i = t.incidents
    where = (i.c.group_name == group) & i.c.state.in_(UNSOLVED)
    return every(connection, Incident, sa.select(i).where(where).order_by(i.c.seq))


def _solved(connection: Connection, incidents: Sequence[Incident], how: str) -> list[str]:
    for incident in incidents:
        changed(connection, incident.seq, state=IncidentState.RESOLVED, resolved_at=clock.now(), resolution=how)
        noted(connection, incident.seq, GATE, "resolved", how)
    return [incident.incident_id for incident in incidents]


def _covers(batch: Batch, held: Batch) -> bool:
    if batch.is_replay:  # some rows that waited: it delivers no window again
        return held.is_replay
    if batch.window_start is None:
        return True
    if held.window_start is None or held.window_end is None or batch.window_end is None:
        return False
    return batch.window_start <= held.window_start and held.window_end <= batch.window_end
