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


class Telling:
    """Writes events under this installation's names. Raises DeclarationError where these mean nothing."""

    def __init__(self, work: Workspace) -> None:
        names = namespaces.load(work.settings.paths.project, work.settings.project)
        naming = Naming(names, work.settings.warehouse_url, work.settings.project.name)
        self._writer = Writer(naming, names.producer, work.settings.site_url)
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
        number, _, at = rest.partition(" ")
        if kind in {"judged", "closed"}:
            batch = batches.numbered(connection, int(number))
            if batch is None or batch.judged_at is None:
                return []
            if kind == "closed":
                return self.runs.of_closed(connection, batch)
            return self.runs.of_judged(connection, batch) if batch.judged_at.isoformat() == at else []
        if kind == "published":
            made = publications.numbered(connection, [int(number)]).get(int(number))
            return self.runs.of_publication(connection, made) if made else []
        if kind == "made":
            report = reports.find(connection, rest)
            stood = publications.numbered(connection, [report.publication]).get(report.publication) if report else None
            return self.runs.of_report(report, stood.publication_id if stood else None) if report else []
        sent = outbox.numbered(connection, int(number))
        return self.runs.of_delivery(connection, sent) if sent else []


def key(event: Fields) -> str:
    """The same for the same event: a receiver can tell by it what came twice."""
    return f"{event['run']['runId']} {event['eventType']}"
