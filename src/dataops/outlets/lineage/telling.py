"""From what the outbox notes to the events that tell it: one way for the relay and for a replay."""

from __future__ import annotations

import json

from sqlalchemy.engine import Connection

from dataops.declared import namespaces
from dataops.facts import report_list
from dataops.facts.document import Fields
from dataops.facts.lineage_graph import Graph
from dataops.facts.lineage_runs import Run, Runs
from dataops.ledger import batches, lineage, outbox, publications, reports
from dataops.ledger.lineage import Kept
from dataops.ledger.outbox import Notice
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage.naming import Naming
from dataops.outlets.lineage.openlineage import Writer


def writer(work: Workspace) -> Writer:
    """Writes events under this installation's names. Raises DeclarationError where these mean nothing."""
    names = namespaces.load(work.settings.paths.project, work.settings.project)
    naming = Naming(names, work.settings.warehouse_url, work.settings.project.known_as)
    return Writer(naming, names.producer, work.settings.site_url)


class Telling:
    """Finds the runs that a notice names, and writes their events. Raises DeclarationError as `writer` does."""

    def __init__(self, work: Workspace) -> None:
        self._writer = writer(work)
        self.runs = Runs(work.catalog, Graph(work.catalog, report_list.load(work)))

    def events(self, run: Run) -> list[Fields]:
        """START, and how it ended."""
        return self._writer.events(run)

    def kept(self, connection: Connection, notice: Notice) -> list[Kept]:
        """The events of a notice, in their order; none where what it names was replaced, or is not declared any more.

        Of one run of a dataset or a group the first word says which: they are told one after the other.
        """
        if content := lineage.contents(connection, [notice.what]):
            return [Kept(what=notice.what, subject=notice.subject, content=content[notice.what])]
        return [
            Kept(what=key(event), subject=f"{run.job} {run.name} {event['eventType']}", content=json.dumps(event))
            for run in self.of(connection, notice.what)
            for event in self.events(run)
        ]

    def of(self, connection: Connection, what: str) -> list[Run]:
        """The runs that a notice names: `judged 7 <when>`, `closed 7`, `published 3`, `made <report>`, `sent 5`."""
        kind, _, rest = what.partition(" ")
        find = {
            "judged": self._judged,
            "closed": self._closed,
            "published": self._published,
            "made": self._made,
            "sent": self._sent,
        }.get(kind)
        return find(connection, rest) if find else []

    def _judged(self, connection: Connection, rest: str) -> list[Run]:
        """None of a judgement that was replaced: the later one is told."""
        number, _, at = rest.partition(" ")
        batch = batches.numbered(connection, int(number))
        was_last = batch is not None and batch.judged_at is not None and batch.judged_at.isoformat() == at
        return self.runs.of_judged(connection, batch) if batch and was_last else []

    def _closed(self, connection: Connection, number: str) -> list[Run]:
        batch = batches.numbered(connection, int(number))
        return self.runs.of_closed(connection, batch) if batch else []

    def _published(self, connection: Connection, number: str) -> list[Run]:
        made = publications.numbered(connection, [int(number)]).get(int(number))
        return self.runs.of_publication(connection, made) if made else []

    def _made(self, connection: Connection, name: str) -> list[Run]:
        report = reports.find(connection, name)
        if report is None:
            return []
        stood = publications.numbered(connection, [report.publication]).get(report.publication)
        return self.runs.of_report(report, stood.publication_id if stood else None)

    def _sent(self, connection: Connection, number: str) -> list[Run]:
        delivery = outbox.numbered(connection, int(number))
        return self.runs.of_delivery(connection, delivery) if delivery else []


def key(event: Fields) -> str:
    """The same for the same event: a receiver can tell by it what came twice."""
    return f"{event['run']['runId']} {event['eventType']}"
