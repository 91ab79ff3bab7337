"""Tells a lineage server all that the ledger knows, in the order and with the times in which it happened.

For one that is empty, or was while something happened: what a server has already, it keeps twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from dataops.declared import namespaces
from dataops.declared.errors import PlatformError
from dataops.facts import report_list
from dataops.facts.lineage_graph import Graph
from dataops.facts.lineage_runs import Run, Runs
from dataops.ledger import batches, publications, reports
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.lineage.naming import Naming
from dataops.outlets.lineage.openlineage import Writer
from dataops.outlets.refusals import LaterError, RefusedError

MOMENT = "%Y-%m-%dT%H:%M:%S.%f"
LONG_AGO = datetime.min  # noqa: DTZ901  the ledger's times have no zone

Happened = tuple[datetime, int, Callable[[Connection], list[Run]]]
"""When, what comes first at the same time, and its runs."""


@dataclass
class Replayed:
    """What was told: `runs` of jobs by `events`; `refused`: what the server will never take, and why."""

    runs: int = 0
    events: int = 0
    refused: list[str] = field(default_factory=list)


def writer(work: Workspace) -> Writer:
    """Writes events under this installation's names. Raises DeclarationError."""
    names = namespaces.load(work.settings.paths.project, work.settings.project)
    naming = Naming(names, work.settings.warehouse_url, work.settings.project.name)
    return Writer(naming, names.producer, work.settings.site_url)


def replay(work: Workspace, backend: Backend, since: datetime | None = None, batch: str | None = None) -> Replayed:
    """Tells everything since a moment, or of one batch. Raises PlatformError when the server stops answering."""
    told, write = Replayed(), writer(work)
    runs = Runs(work.catalog, Graph(work.catalog, report_list.load(work)))
    with work.warehouse.session():
        with work.warehouse.reading() as connection:
            happened = list(_happened(connection, runs, batch)) if is_there(connection) else []
        for at, _, of in sorted(happened, key=lambda each: each[:2]):
            if since is None or at >= since:
                with work.warehouse.reading() as connection:
                    found = of(connection)
                for run in found:
                    _tell(backend, write, run, told, at)
    return told


def _happened(connection: Connection, runs: Runs, only: str | None) -> Iterator[Happened]:
    for batch in batches.judged_between(connection, LONG_AGO, datetime.max):  # noqa: DTZ901
        if batch.judged_at and only in {None, batch.batch_id}:
            yield batch.judged_at, 0, lambda c, b=batch: runs.of_judged(c, b)  # type: ignore[misc]
            if made := publications.of_batch(connection, batch.seq):
                yield made.published_at, 1, lambda c, p=made: runs.of_publication(c, p)  # type: ignore[misc]
    if only is None:
        every = {made.seq: made for made in publications.since(connection, 0)}
        for made in every.values():
            if made.batch is None:
                yield made.published_at, 1, lambda c, p=made: runs.of_publication(c, p)  # type: ignore[misc]
        for report in reports.of(connection):
            stood = every.get(report.publication)
            name = stood.publication_id if stood else None
            yield report.made_at, 2, lambda _, r=report, n=name: runs.of_report(r, n)  # type: ignore[misc]


def _tell(backend: Backend, write: Writer, run: Run, told: Replayed, at: datetime) -> None:
    for event in write.events(run):
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
