"""Tells a lineage server all that the ledger knows, in the order and with the times in which it happened.

For one that is empty, or was while something happened: what a server has already, it keeps twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.facts.lineage_runs import Run
from dataops.ledger import batches, outbox, publications, reports
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.lineage.telling import Telling
from dataops.outlets.refusals import LaterError, RefusedError

MOMENT = "%Y-%m-%dT%H:%M:%S.%f"
LONG_AGO = datetime.min  # noqa: DTZ901  the ledger's times have no zone

Happened = tuple[datetime, int, str]
"""When, what comes first at the same time, and what a notice of it says."""


@dataclass
class Replayed:
    """What was told: `runs` of jobs by `events`; `refused`: what the server will never take, and why."""

    runs: int = 0
    events: int = 0
    refused: list[str] = field(default_factory=list)


def replay(work: Workspace, backend: Backend, since: datetime | None = None, batch: str | None = None) -> Replayed:
    """Tells everything since a moment, or of one batch. Raises PlatformError when the server stops answering."""
    told, telling = Replayed(), Telling(work)
    with work.warehouse.session():
        with work.warehouse.reading() as connection:
            happened = list(_happened(connection, batch)) if is_there(connection) else []
        for at, _, what in sorted(happened):
            if since is None or at >= since:
                with work.warehouse.reading() as connection:
                    runs = telling.of(connection, what)
                for run in runs:
                    _tell(backend, telling, run, told, at)
    return told


def _happened(connection: Connection, only: str | None) -> Iterator[Happened]:
    for batch in batches.judged_between(connection, LONG_AGO, datetime.max):  # noqa: DTZ901
        if batch.judged_at and only in {None, batch.batch_id}:
            yield batch.judged_at, 0, f"judged {batch.seq} {batch.judged_at.isoformat()}"
            if made := publications.of_batch(connection, batch.seq):
                yield made.published_at, 1, f"published {made.seq}"
    if only is None:
        for made in publications.since(connection, 0):
            if made.batch is None:
                yield made.published_at, 1, f"published {made.seq}"
        for report in reports.of(connection):
            yield report.made_at, 2, f"made {report.report_id}"
        for sent in outbox.listed(connection, [DeliveryState.DELIVERED], None, [NoticeKind.REPORT]):
            if sent.settled_at and sent.channel is not Channel.LINEAGE:
                yield sent.settled_at, 3, f"sent {sent.seq}"


def _tell(backend: Backend, telling: Telling, run: Run, told: Replayed, at: datetime) -> None:
    for event in telling.events(run):
        try:
            backend.send(event)
        except RefusedError as problem:
            told.refused.append(f"{event['eventType']} of {run.name} ({run.key}): {problem}")
        except LaterError as problem:
            raise PlatformError(
                f"{backend.name}: {problem}; {told.events:,} events were told.\n"
                f"When it answers again: dataops lineage replay --since {at:{MOMENT}}"
            ) from None
        else:
            told.events += 1
    told.runs += 1
