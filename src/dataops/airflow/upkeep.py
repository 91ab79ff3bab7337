"""Jobs that look after what others did: missed starts, late data, rows that would pass now, receipts, the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from dataops.airflow.groups import consumers, read_by
from dataops.airflow.operators import Job

if TYPE_CHECKING:
    from dataops.ledger.publications import Publication
    from dataops.ledger.workspace import Workspace
    from dataops.outlets.outcomes import Passed

SECONDS = 30.0  # for which lineage is told


class Watch(Job):
    """Opens incidents for what is late, and announces publications again that a consumer did not start from.

    `assets`: what publications are announced as, by group. Consumers say in their DAG files which groups they read.
    """

    def __init__(self, *, assets: Mapping[str, Asset], **options: Any) -> None:  # noqa: ANN401
        super().__init__(outlets=list(assets.values()), **options)
        self.assets = assets

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from dataops.airflow import channels
        from dataops.ledger.schema import writing
        from dataops.outlets.notify import relay
        from dataops.pipeline import watch, watch_platform

        minutes = float(context["params"]["minutes"])
        with writing(work.warehouse) as connection:
            unwell = watch_platform.look(connection, work.warehouse)
            late = [watch.look_for_late(connection, group) for group in work.catalog.groups.values()]
            missed = {
                group: found
                for consumer, reads in consumers().items()
                for group in reads
                if (found := watch.look_for_missed(connection, consumer, group, minutes))
            }
        self.log.info("late: %s; announced again: %s", [i for i in late if i] or "none", list(missed) or "none")
        if unwell:
            self.log.warning("%s; %s", "; ".join(unwell), relay.relay(work, channels.of(work)).sentence)
        self.outlets = [self.assets[group] for group in missed]  # Airflow would announce every outlet
        for group, found in missed.items():
            event = context["outlet_events"][self.assets[group]]
            event.extra = {"publication": found.publication, "batch": found.batch}
            event.add_partitions([found.partition])


class Relay(Job):
    """Sends what waits in the outbox, then tells lineage; what does not get through is tried again by a later run.

    After an outage lineage is told for half a minute per run, so that messages never wait for it.
    """

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.airflow import channels
        from dataops.outlets.lineage import relaying
        from dataops.outlets.notify import relay
        from dataops.outlets.refusals import UnconfiguredError

        self._say(relay.relay(work, channels.of(work)), "messages")
        try:
            self._say(relaying.relay_all(work, SECONDS), "lineage")
        except UnconfiguredError as none:
            self.log.info("%s", none)

    def _say(self, passed: Passed, what: str) -> None:
        self.log.info("%s: %s", what, passed.sentence)
        for problem in (*passed.unconfigured.values(), *passed.problems):
            self.log.warning("%s", problem)


class Rehearse(Job):
    """Tries to replay what waits in quarantine, so that stewards see what would pass now; publishes nothing."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.pipeline import jobs

        for name, tried in jobs.rehearse(work).items():
            self.log.info("%s: %s of %s waiting rows would pass now", name, tried.rows_passing, tried.rows)


class Prove(Job):
    """Walks the chain of receipts. A broken one fails for good: somebody changed what was recorded."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.pipeline import verification

        with work.warehouse.reading() as connection:
            proof = verification.verify(connection, tuple(work.catalog.datasets.values()))
        if not proof.proven:
            raise AirflowFailException("a receipt or a figure does not hold; see: dataops publications verify")
        self.log.info("%s receipts hold, head %s", proof.receipts, proof.head)


class Audit(Job):
    """Audits what is published and compares it with the source; what is found is told and shown, and fails nothing."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.facts import quality
        from dataops.lab.faulty_source import open_source
        from dataops.outlets.site import data_docs
        from dataops.pipeline import jobs

        jobs.audit_published(work, opened=open_source)
        document = quality.read(work)
        data_docs.build(work)
        self.log.info("%s", document.sentence)
        for finding in document.findings:
            self.log.warning("%s: %s", finding.dataset, finding.sentence)
        for act in document.act:
            self.log.info("%s: %s; run: %s", act.who, act.what, act.run)


class BackUp(Job):
    """Copies the warehouse to a file of its own and proves the copy."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from dataops.pipeline import backups

        made = backups.make(work, keep=int(context["params"]["keep"]))
        self.log.info(
            "%s: as of %s, %s receipts proven, %s bytes, removed: %s",
            work.settings.paths.shown(made.file),
            made.publication,
            made.receipts,
            made.bytes,
            [file.name for file in made.removed] or "none",
        )


class Consumer(Job):
    """A job that starts from publications, and says so in the ledger. Subclasses implement `consume`."""

    def __init__(self, *, reads: Sequence[str], **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.reads = tuple(reads)

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from dataops.ledger.schema import writing
        from dataops.pipeline import watch

        consumer = context["dag"].dag_id
        with writing(work.warehouse) as connection:
            woke = [made for group in read_by(self.reads) for made in watch.pick_up(connection, consumer, group)]
        self.log.info("starts from %s", ", ".join(made.publication_id for made in woke) or "nothing new")
        self.consume(work, woke)

    def consume(self, work: Workspace, publications: Sequence[Publication]) -> None:
        """Does what follows from the publications that woke it: those it has not started from, oldest first."""
        raise NotImplementedError


class Start(Consumer):
    """The first task of a job that builds from publications; what it builds reads whatever is published by then."""

    def consume(self, work: Workspace, publications: Sequence[Publication]) -> None:
        """Nothing more."""


class ReadersCopy(Consumer):
    """Brings up to date what notebooks open; a failure is one, since nobody else waits for this task."""

    def consume(self, work: Workspace, publications: Sequence[Publication]) -> None:  # noqa: ARG002  all of it
        from dataops.ledger import numbering

        work.warehouse.refresh_published(numbering.described)
        about = work.warehouse.readers_about()
        self.log.info("%s", "there is no copy" if about is None else f"the copy is of {about.get('publication')}")


class Docs(Consumer):
    """Brings the site up to date."""

    def consume(self, work: Workspace, publications: Sequence[Publication]) -> None:  # noqa: ARG002  all of it
        from dataops.outlets.site import data_docs

        self.log.info("%s", work.settings.paths.shown(data_docs.build(work)))


class Reconcile(Job):
    """Compares what was loaded with a live source and loads what differs; the watchdog announces what is published."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.lab.faulty_source import open_source
        from dataops.pipeline import jobs

        with jobs.source_of(work, None, open_source) as source:
            done = jobs.reconcile_live(work, source)
            if not done:
                self.log.info("%s does not change by itself, or nothing was loaded from it", source.name)
        for group, loads in done.items():
            said = [f"{load.batch_id}: {load.publication.status if load.publication else 'held'}" for load in loads]
            self.log.info("%s: %s", group, "; ".join(said) or "as its source has it")
