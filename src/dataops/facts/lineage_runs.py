"""What was read, judged and published, run by run, as lineage tells it: from the ledger alone, so at any later time.

Every run is known by a key that follows from what the ledger says of it: told twice, it is the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.column_lineage import Origin, Origins
from dataops.declared.layers import CANDIDATE, QUARANTINE, history_of
from dataops.facts import masking
from dataops.facts.lineage_graph import Graph, Kind
from dataops.ledger import batches, lineage, metrics, outbox, publications, reports, results
from dataops.ledger.batches import Batch, BatchDataset
from dataops.ledger.enums import BatchState, Outcome, PublicationKind, VerdictName
from dataops.ledger.lineage import Root
from dataops.ledger.metrics import Name
from dataops.ledger.outbox import Delivery
from dataops.ledger.publications import Publication, PublicationDataset
from dataops.ledger.reports import MadeReport
from dataops.ledger.results import CheckResult


class JobKind(StrEnum):
    """What a run does. The order is that in which the runs of one batch follow each other."""

    GROUP = "group"  # all of a batch: the parent of the others
    EXTRACT = "extract"
    REPLAY = "replay"
    BUILD = "build"
    GATE = "gate"
    PUBLISH = "publish"
    ROLL_BACK = "roll_back"
    REPORT = "report"
    DELIVERY = "delivery"  # of a report, to a receiver


@dataclass(frozen=True)
class Column:
    """A column; `type` in the words of contracts."""

    name: str
    type: str
    is_personal: bool = False


@dataclass(frozen=True)
class Assertion:
    """What one rule said. `success`: it did not stop a row or the batch, so a warning is one as well."""

    rule: str
    says: str
    success: bool
    severity: str
    column: str | None
    engine: str
    observed: str | None
    failing: int | None
    checked: int | None


@dataclass(frozen=True)
class Measured:
    """What the gate measured: rows, and per column nulls, distinct values and, of numbers, their range."""

    rows: int | None
    columns: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Touched:
    """A dataset that a run read or wrote; `node` as the graph names it, or a candidate, history or quarantine table."""

    node: str
    columns: tuple[Column, ...]
    owner: str | None = None
    group: str | None = None
    assertions: tuple[Assertion, ...] = ()
    measured: Measured | None = None
    rows: int | None = None
    """that were written"""
    origins: Origins = field(default_factory=dict)
    publication: str | None = None
    receipt: str | None = None
    batch: str | None = None
    """that brought what was published"""


@dataclass(frozen=True)
class Run:
    """One run of a job. Times are UTC without a zone; `ended` None: it has only begun."""

    kind: JobKind
    job: str
    key: str
    started: datetime
    ended: datetime | None
    problem: str | None = None
    nominal: tuple[datetime, datetime] | None = None
    parent: tuple[str, str] | None = None
    """job and key of the run that this one is a part of"""
    inputs: tuple[Touched, ...] = ()
    outputs: tuple[Touched, ...] = ()
    root: Root | None = None
    """the scheduler's run that all of it is a part of; None: the parent itself"""
    was_begun: bool = False
    """its beginning was told with what came before"""

    @property
    def name(self) -> str:
        """`gate.orders`; of a whole group its own name."""
        return self.job if self.kind is JobKind.GROUP else f"{self.kind}.{self.job}"


class Runs:
    """Runs of an installation; `graph` says what its tables and columns are made from."""

    def __init__(self, catalog: Catalog, graph: Graph) -> None:
        self._catalog = catalog
        self._graph = graph

    def of_judged(self, connection: Connection, batch: Batch) -> list[Run]:
        """Reading and judging a batch, dataset by dataset. Empty for one that was never judged."""
        if batch.verdict is None or batch.judged_at is None:
            return []
        brought = batches.datasets(connection, batch.seq)
        said = results.of_batch(connection, batch.seq)
        measured = metrics.of_batches(connection, batch.seq, []).get(batch.seq, {})
        goes_on = batch.verdict is VerdictName.PASSED and batch.state in {BatchState.JUDGED, BatchState.PUBLISHED}
        runs = [self._group(batch, None if goes_on else batch.judged_at, said)]
        for table, part in brought.items():
            dataset = self._catalog.datasets.get(table)
            if dataset is not None and dataset.group == batch.group:
                runs.append(self._landed(batch, dataset, part))
                runs.append(self._gate(batch, dataset, [r for r in said if r.table == table], said, measured))
        return _below(lineage.root_of(connection, batch.seq), runs)

    def of_publication(self, connection: Connection, made: Publication) -> list[Run]:
        """Promoting what passed, or going back, dataset by dataset; only those of which something changed."""
        batch = batches.numbered(connection, made.batch)
        done = [part for part in publications.datasets(connection, made.seq) if part.changes]
        runs = [run for part in done for run in self._published(made, batch, part)]
        if batch is None:
            return runs
        ended = replace(self._group(batch, made.published_at, []), was_begun=True)
        return _below(lineage.root_of(connection, batch.seq), [*runs, ended])

    def of_closed(self, connection: Connection, batch: Batch) -> list[Run]:
        """The end of a batch that was judged and led to no publication. Empty for one that was never judged."""
        if batch.verdict is None or batch.judged_at is None:
            return []
        said = results.of_batch(connection, batch.seq)
        ended = replace(self._group(batch, batch.judged_at, said), was_begun=True)
        return _below(lineage.root_of(connection, batch.seq), [ended])

    def of_report(self, made: MadeReport, publication: str | None) -> list[Run]:
        """Making a report from what was published."""
        node = f"{Kind.REPORT} {made.report}"
        if node not in self._graph.nodes:
            return []
        report = self._graph.nodes[node].report
        columns = tuple(Column(name, "") for name in self._graph.columns(node))
        inputs = tuple(self._whole(name) for name in self._graph.made_from[node])
        output = Touched(
            node, columns, report.owner if report else None, origins=self._graph.columns(node), publication=publication
        )
        return [
            Run(
                JobKind.REPORT,
                made.report,
                made.report_id,
                made.made_at,
                made.made_at,
                inputs=inputs,
                outputs=(output,),
            )
        ]

    def of_delivery(self, connection: Connection, made: Delivery) -> list[Run]:
        """Sending a report to one of its receivers. Empty where report or receiver are not declared any more."""
        report = reports.find(connection, made.what.partition(outbox.AGAIN)[0])
        if report is None or made.settled_at is None:
            return []
        given, taker = f"{Kind.REPORT} {report.report}", f"{Kind.RECEIVER} {made.whom}"
        if given not in self._graph.nodes or taker not in self._graph.nodes:
            return []
        columns = tuple(Column(name, "") for name in self._graph.columns(given))
        inputs, outputs = (Touched(given, columns),), (Touched(taker, ()),)
        job, key = f"{report.report}.{made.whom}", made.delivery_id
        return [Run(JobKind.DELIVERY, job, key, made.settled_at, made.settled_at, inputs=inputs, outputs=outputs)]

    def _group(self, batch: Batch, ended: datetime | None, said: Sequence[CheckResult]) -> Run:
        problem = self._problem(batch, said) if batch.verdict is not VerdictName.PASSED else None
        return Run(
            JobKind.GROUP, batch.group, batch.batch_id, batch.created_at, ended, problem, _nominal(batch),
        )  # fmt: skip

    def _landed(self, batch: Batch, dataset: Dataset, part: BatchDataset) -> Run:
        """Whatever brought the rows that were judged: an extract, a replay or a model."""
        landed = self._landing(dataset)
        origins = self._origins(dataset, batch)
        nodes = [f"{QUARANTINE}.{dataset.table}"] if batch.is_replay else self._graph.made_from[dataset.name]
        inputs = tuple(map(self._whole, nodes))
        kind = JobKind.BUILD if not dataset.is_loaded else JobKind.REPLAY if batch.is_replay else JobKind.EXTRACT
        output = self._touched(dataset, landed, rows=part.received, origins=origins)
        ended = batch.sealed_at or batch.judged_at
        return self._part(batch, kind, dataset, batch.created_at, ended, inputs=inputs, outputs=(output,))

    def _gate(
        self, batch: Batch, dataset: Dataset, own: list[CheckResult], said: list[CheckResult],
        measured: Mapping[Name, float],
    ) -> Run:  # fmt: skip
        judged = self._touched(
            dataset,
            self._landing(dataset),
            assertions=tuple(_assertion(self._catalog, dataset, result) for result in own),
            measured=_measured(dataset, measured),
        )
        problem = None if batch.verdict is VerdictName.PASSED else self._problem(batch, said)
        started = batch.sealed_at or batch.created_at
        return self._part(batch, JobKind.GATE, dataset, started, batch.judged_at, problem, inputs=(judged,))

    def _published(self, made: Publication, batch: Batch | None, part: PublicationDataset) -> Iterator[Run]:
        dataset = self._catalog.datasets.get(part.table)
        if dataset is None:
            return
        went_back = made.kind is PublicationKind.ROLLBACK
        place = f"{history_of(dataset.published_layer)}.{dataset.table}" if went_back else self._landing(dataset)
        output = self._touched(
            dataset,
            dataset.published_name,
            rows=part.new + part.changed + part.deleted,
            origins={column: (Origin(place, column),) for column in dataset.column_names},
            publication=made.publication_id,
            receipt=made.receipt,
            batch=batch.batch_id if batch else None,
        )
        kind = JobKind.ROLL_BACK if went_back else JobKind.PUBLISH
        started = batch.judged_at if batch and batch.judged_at else made.published_at
        yield Run(
            kind, dataset.table, f"{made.publication_id}/{dataset.table}", started, made.published_at, None,
            _nominal(batch) if batch else None, (made.group, batch.batch_id) if batch else None,
            (self._touched(dataset, place),), (output,),
        )  # fmt: skip

    def _part(
        self, batch: Batch, kind: JobKind, dataset: Dataset, started: datetime, ended: datetime | None,
        problem: str | None = None, *, inputs: tuple[Touched, ...] = (), outputs: tuple[Touched, ...] = (),
    ) -> Run:  # fmt: skip
        """A run of one dataset of a batch; a batch that is judged again is another run of the gate."""
        key = f"{batch.batch_id}/{dataset.table}"
        if kind is JobKind.GATE:
            key += f"/{batch.judged_at}"
        parent = (batch.group, batch.batch_id)
        return Run(kind, dataset.table, key, started, ended, problem, _nominal(batch), parent, inputs, outputs)

    def _landing(self, dataset: Dataset) -> str:
        """Where rows wait for the gate."""
        return dataset.name if dataset.is_loaded else f"{CANDIDATE}.{dataset.table}"

    def _origins(self, dataset: Dataset, batch: Batch) -> Origins:
        if batch.is_replay:
            waiting = f"{QUARANTINE}.{dataset.table}"
            return {column: (Origin(waiting, column),) for column in dataset.column_names}
        return self._graph.columns(dataset.name)

    def _whole(self, node: str) -> Touched:
        """A dataset that is read, with the columns that it has."""
        known = self._graph.nodes.get(node)
        dataset = known.dataset if known else self._catalog.datasets.get(node.rpartition(".")[2])
        return self._touched(dataset, node) if dataset else Touched(node, ())

    def _touched(self, dataset: Dataset, node: str, **more: object) -> Touched:
        personal = set(dataset.contract.platform.pii)
        columns = tuple(Column(c.name, c.data_type, c.name in personal) for c in dataset.columns)
        owner = None if node.startswith(f"{Kind.SOURCE} ") else dataset.contract.platform.owner
        return Touched(node, columns, owner, dataset.group, **more)  # type: ignore[arg-type]

    def _problem(self, batch: Batch, said: Sequence[CheckResult]) -> str:
        return masking.reason(self._catalog, batch.reason, said) or f"the batch is {batch.verdict}"


def said_of(connection: Connection, catalog: Catalog, batch: Batch) -> list[Assertion]:
    """What every rule said of a batch, as long as its datasets are declared."""
    return [
        _assertion(catalog, catalog.datasets[result.table], result)
        for result in results.of_batch(connection, batch.seq)
        if result.table in catalog.datasets
    ]


def _assertion(catalog: Catalog, dataset: Dataset, result: CheckResult) -> Assertion:
    rule = next((rule for rule in dataset.rules if rule.id == result.rule_id), None)
    return Assertion(
        rule=result.rule_id,
        says=rule.says if rule else "",
        success=not result.outcome.stops,
        severity=result.severity if result.outcome is not Outcome.WAIVED else "warning",
        column=rule.columns[0] if rule and len(rule.columns) == 1 else None,
        engine=result.engine,
        observed=masking.observed(catalog, result),
        failing=result.failing,
        checked=result.checked,
    )


def _below(root: Root | None, runs: list[Run]) -> list[Run]:
    return [replace(run, root=root) for run in runs] if root else runs


def _nominal(batch: Batch) -> tuple[datetime, datetime] | None:
    return (batch.window.start, batch.window.end) if batch.window else None


def _measured(dataset: Dataset, values: Mapping[Name, float]) -> Measured | None:
    """Without the range of columns that say who a person is."""
    personal = set(dataset.contract.platform.pii)
    rows = values.get((dataset.table, None, "rows"))
    columns: dict[str, dict[str, float]] = {}
    for (table, column, metric), value in values.items():
        hidden = column in personal and metric in {"min", "max", "mean"}
        if table == dataset.table and column is not None and not hidden:
            columns.setdefault(column, {})[metric] = value
    return Measured(None if rows is None else int(rows), columns) if rows is not None or columns else None
