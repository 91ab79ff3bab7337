"""Runs as OpenLineage events: a pure function, with OpenLineage's own classes; the only file that imports them.

START and the end carry the same datasets, each with its schema: Marquez keeps columns and quality only of what both
name.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from openlineage.client.generated import base as standard
from openlineage.client.generated import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
    tags_dataset,
    test_run,
)
from openlineage.client.serde import Serde
from openlineage.client.transport import Transport, get_default_factory
from openlineage.client.transport.http import HttpTransport
from requests import RequestException

from dataops.declared.column_lineage import How, Origin
from dataops.facts.document import Fields
from dataops.facts.lineage_runs import Assertion, Measured, Run, Touched
from dataops.ledger.batches import Batch
from dataops.outlets.lineage.naming import Naming

INTEGRATION = "DATAOPS"
PUBLICATION = "dataops_publication"
KEPT = "api/v1/events/lineage"
"""Where Marquez says which events it has."""
FACET = "facets/1-0-0/PublicationDatasetFacet.json"
BATCH = "dataops_batch"
BATCH_FACET = "facets/1-0-0/BatchRunFacet.json"
SEVERITY = {"critical": "error"}
"""What stops a row or a batch; all else warns."""


@dataclass(frozen=True)
class Writer:
    """Writes events as JSON has them. `producer`: the address by which we are known; `site`: where people read."""

    naming: Naming
    producer: str
    site: str

    def events(self, run: Run) -> list[Fields]:
        """START, and how it ended unless it is still going on."""
        found = [] if run.was_begun else [self._event(run, standard.EventType.START, run.started)]
        if run.ended is not None:
            kind = standard.EventType.FAIL if run.problem else standard.EventType.COMPLETE
            found.append(self._event(run, kind, max(run.ended, run.started)))
        return found

    def batch_facets(self, batch: Batch, said: Sequence[Assertion]) -> Fields:
        """Run facets, by name, for somebody else's run that works on a batch: ours, and each rule's result."""
        own = standard.RunFacet(producer=self.producer).with_additional_properties(
            batch=batch.batch_id,
            group=batch.group,
            verdict=batch.verdict,
            report=f"{self.site}/batches/{batch.batch_id}.html",
        )
        own._schemaURL = f"{self.producer}/{BATCH_FACET}#/$defs/BatchRunFacet"  # noqa: SLF001  its only way in
        return {BATCH: own} | ({"test": self._tests(said)} if said else {})

    def run_id(self, job: str, key: str) -> str:
        """The same for the same run, whenever it is told. Method: UUID version 5, RFC 9562."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.naming.jobs}/{job}/{key}"))

    def _event(self, run: Run, kind: standard.EventType, at: datetime) -> Fields:
        is_end = kind is not standard.EventType.START
        event = standard.RunEvent(
            eventType=kind,
            eventTime=_time(at),
            producer=self.producer,
            run=standard.Run(self.run_id(run.name, run.key), dict(self._run_facets(run, is_end=is_end))),
            job=standard.Job(self.naming.jobs, run.name, {"jobType": self._job_type(run)}),
            inputs=[self._input(touched) for touched in run.inputs],
            outputs=[self._output(touched, is_end=is_end) for touched in run.outputs],
        )
        return dict(json.loads(Serde.to_json(event)))

    def _job_type(self, run: Run) -> job_type_job.JobTypeJobFacet:
        return job_type_job.JobTypeJobFacet("BATCH", INTEGRATION, run.kind.upper(), producer=self.producer)

    def _run_facets(self, run: Run, *, is_end: bool) -> Iterator[tuple[str, Any]]:
        if run.nominal:
            start, end = map(_time, run.nominal)
            yield "nominalTime", nominal_time_run.NominalTimeRunFacet(start, end, producer=self.producer)
        if run.parent:
            job, key = run.parent
            of = parent_run.Run(self.run_id(job, key)), parent_run.Job(self.naming.jobs, job)
            yield "parent", parent_run.ParentRunFacet(*of, self._root(run, job, key), producer=self.producer)
        if is_end and run.problem:
            yield "errorMessage", error_message_run.ErrorMessageRunFacet(run.problem, "SQL", producer=self.producer)
        if said := [assertion for touched in run.inputs for assertion in touched.assertions]:
            yield "test", self._tests(said)

    def _tests(self, said: Sequence[Assertion]) -> test_run.TestRunFacet:
        return test_run.TestRunFacet([_test(assertion) for assertion in said], producer=self.producer)

    def _root(self, run: Run, job: str, key: str) -> parent_run.Root:
        """The scheduler's run, as the scheduler itself names it; without one the parent is the root."""
        if run.root:
            return parent_run.Root(
                parent_run.RootRun(run.root.run), parent_run.RootJob(run.root.namespace, run.root.job)
            )
        return parent_run.Root(parent_run.RootRun(self.run_id(job, key)), parent_run.RootJob(self.naming.jobs, job))

    def _input(self, touched: Touched) -> standard.InputDataset:
        facets: Fields = {}
        if touched.assertions:
            facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                [_asserted(assertion) for assertion in touched.assertions], producer=self.producer
            )
        if touched.measured:
            facets["dataQualityMetrics"] = _metrics(touched.measured, self.producer)
        return standard.InputDataset(
            *self.naming.of(touched.node), inputFacets=facets, facets=dict(self._facets(touched))
        )

    def _output(self, touched: Touched, *, is_end: bool) -> standard.OutputDataset:
        facets: Fields = {}
        if is_end and touched.rows is not None:
            facets["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                touched.rows, producer=self.producer
            )
        return standard.OutputDataset(
            *self.naming.of(touched.node), outputFacets=facets, facets=dict(self._facets(touched))
        )

    def _facets(self, touched: Touched) -> Iterator[tuple[str, Any]]:
        if touched.columns:
            fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.type or None) for c in touched.columns]
            yield "schema", schema_dataset.SchemaDatasetFacet(fields, producer=self.producer)
        if touched.owner:
            owner = ownership_dataset.Owner(touched.owner, "OWNER")
            yield "ownership", ownership_dataset.OwnershipDatasetFacet([owner], producer=self.producer)
        if tags := list(_tags(touched)):
            yield "tags", tags_dataset.TagsDatasetFacet(tags, producer=self.producer)
        if lineage := {column: self._fields(of) for column, of in touched.origins.items() if of}:
            yield "columnLineage", column_lineage_dataset.ColumnLineageDatasetFacet(lineage, producer=self.producer)
        if touched.publication:
            yield PUBLICATION, self._publication(touched)

    def _fields(self, origins: tuple[Origin, ...]) -> column_lineage_dataset.Fields:
        """Marquez reads only the two deprecated fields, others only `transformations`."""
        strongest = max((origin.how for origin in origins), key=list(How).index)
        says = "; ".join(dict.fromkeys(origin.says for origin in origins if origin.says))
        return column_lineage_dataset.Fields(
            [self._field(origin) for origin in origins],
            transformationDescription=says or ("as it is" if strongest is How.IDENTITY else strongest.value),
            transformationType=strongest.upper(),
        )

    def _field(self, origin: Origin) -> column_lineage_dataset.InputField:
        how = column_lineage_dataset.Transformation("DIRECT", origin.how.upper(), origin.says, masking=False)
        return column_lineage_dataset.InputField(*self.naming.of(origin.node), origin.column, [how])

    def _publication(self, touched: Touched) -> standard.BaseFacet:
        """Ours: which publication the rows are of, the receipt that proves it, and where a person reads about it."""
        page = f"batches/{touched.batch}.html" if touched.batch else "index.html"
        facet = standard.DatasetFacet(producer=self.producer).with_additional_properties(
            publication=touched.publication, receipt=touched.receipt, report=f"{self.site}/{page}"
        )
        facet._schemaURL = f"{self.producer}/{FACET}#/$defs/PublicationDatasetFacet"  # noqa: SLF001  its only way in
        return facet


def transport(config: Fields) -> Transport:
    """A transport of the standard: http, file, kafka, … or the dotted path of one."""
    return get_default_factory().create(config)


def has(of: Transport, event: Fields) -> bool:
    """Whether a Marquez behind an http transport has this event; False where nobody can say."""
    if not isinstance(of, HttpTransport):
        return False
    at = datetime.fromisoformat(event["eventTime"])
    until = at + timedelta(milliseconds=2)  # it may have kept the time to the microsecond, or rounded
    between = {"limit": "100", "sortDirection": "desc", "before": _zoned(until), "after": _zoned(at)}
    bearer = of.config.auth.get_bearer()
    headers = dict(of.config.custom_headers) | ({"Authorization": bearer} if bearer else {})
    try:
        answer = of.session.get(
            urljoin(of.url, KEPT), params=between, headers=headers, timeout=of.timeout, verify=of.verify
        )
        kept = answer.json()["events"] if answer.ok else []
        return any(
            each["run"]["runId"] == event["run"]["runId"] and each["eventType"] == event["eventType"] for each in kept
        )
    except (RequestException, ValueError, KeyError, TypeError):
        return False


def _zoned(moment: datetime) -> str:
    return _time(moment.astimezone(UTC).replace(tzinfo=None))


def _time(moment: datetime) -> str:
    """UTC to the millisecond: a time without a zone makes Marquez answer 500."""
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def _text(assertion: Assertion) -> str:
    """Readable and unique: all that Marquez' table shows of a rule, beside its column and whether it holds."""
    return f"{assertion.rule} {assertion.says}".strip()


def _asserted(assertion: Assertion) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        assertion=_text(assertion),
        success=assertion.success,
        column=assertion.column,
        severity=SEVERITY.get(assertion.severity, "warn"),
        name=assertion.rule,
        description=assertion.says or None,
        actual=_actual(assertion),
        params=None,
    )


def _test(assertion: Assertion) -> test_run.TestExecution:
    """By the standard's words: `fail` where rows break the rule, whether that stops anything or not."""
    return test_run.TestExecution(
        name=assertion.rule,
        status="fail" if assertion.failing or not assertion.success else "pass",
        severity=SEVERITY.get(assertion.severity, "warn"),
        type=assertion.engine,
        description=assertion.says or None,
        actual=_actual(assertion),
        params=None,
    )


def _actual(assertion: Assertion) -> str | None:
    if assertion.failing is not None and assertion.checked is not None:
        return f"{assertion.failing} of {assertion.checked} rows"
    return assertion.observed


def _metrics(
    measured: Measured, producer: str
) -> data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet:
    columns = {name: _column_metrics(values, measured.rows) for name, values in measured.columns.items()}
    return data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
        columns, measured.rows, producer=producer
    )


def _column_metrics(values: Mapping[str, float], rows: int | None) -> data_quality_metrics_input_dataset.ColumnMetrics:
    nulls = values.get("null_share")
    return data_quality_metrics_input_dataset.ColumnMetrics(
        nullCount=None if nulls is None or rows is None else round(nulls * rows),
        distinctCount=None if "distinct" not in values else round(values["distinct"]),
        min=values.get("min"),
        max=values.get("max"),
        quantiles=None,
    )


def _tags(touched: Touched) -> Iterator[tags_dataset.TagsDatasetFacetFields]:
    if touched.group:
        yield tags_dataset.TagsDatasetFacetFields("group", touched.group, INTEGRATION)
    for column in touched.columns:
        if column.is_personal:
            yield tags_dataset.TagsDatasetFacetFields("pii", "true", INTEGRATION, column.name)
