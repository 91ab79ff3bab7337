"""A small shop's day under a name of its own, and where its lineage is told."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from dataops.declared.namespaces import Namespaces, Source
from dataops.facts.lineage_graph import Graph
from dataops.facts.lineage_runs import Runs
from dataops.ledger import batches, publications, schema
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage.naming import Naming
from dataops.outlets.lineage.openlineage import Writer
from dataops.pipeline import jobs
from tests.support.marquez import MarquezDouble, client
from tests.support.shop import line, load, small_shop, workspace

FORGOTTEN = (
    "DELETE FROM ops.deliveries WHERE channel = 'lineage'",
    "DELETE FROM ops.events",
    "DELETE FROM ops.batch_roots",
    "DELETE FROM ops.outbox WHERE kind = 'lineage' AND what LIKE '%-%-% %T%'",  # those of others
    "UPDATE ops.outbox SET routed_at = NULL WHERE kind = 'lineage'",
    "DELETE FROM ops.incidents WHERE group_name = 'platform'",
    "DELETE FROM ops.outbox WHERE kind = 'incident' AND subject NOT IN (SELECT incident_id FROM ops.incidents)",
)
PRODUCER = "https://shop.example/dataops"
Event = dict[str, Any]


@dataclass(frozen=True)
class Day:
    """A day of a shop under a name of its own: a server may be there before and after us."""

    work: Workspace
    name: str

    @property
    def source(self) -> str:
        """The namespace of its source."""
        return f"mssql://sql.{self.name}.example:1433"

    @property
    def writer(self) -> Writer:
        source = Source(namespace=self.source.upper(), database="Shop")
        names = Namespaces(jobs=self.name, source=source, warehouse=f"duckdb://{self.name}", producer=PRODUCER)
        naming = Naming(names, self.work.settings.warehouse_url, self.name)
        return Writer(naming, PRODUCER, "http://127.0.0.1:8081")

    def told(self) -> list[Event]:
        """All that happened, in the order in which it did."""
        runs, found = Runs(self.work.catalog, Graph(self.work.catalog, {})), []
        with self.work.warehouse.reading() as connection:
            for batch in reversed(batches.newest(connection, None, 100)):
                found += runs.of_judged(connection, batch)
                if made := publications.of_batch(connection, batch.seq):
                    found += runs.of_publication(connection, made)
        return [event for run in found for event in self.writer.events(run)]

    def dataset(self, marquez: str, node: str) -> Any:
        namespace, name = self.writer.naming.of(node)
        return client.get(marquez, f"namespaces/{quote(namespace, '')}/datasets/{quote(name, '')}")

    def runs(self, marquez: str, job: str) -> Any:
        return client.get(marquez, f"namespaces/{self.name}/jobs/{job}/runs")["runs"]


def forget(work: Workspace) -> None:
    """As if nobody had been told of anything yet."""
    with schema.writing(work.warehouse) as connection:
        for statement in FORGOTTEN:
            connection.exec_driver_sql(statement)


def others(kind: str, at: str, run: int = 1) -> Event:
    """An event of a scheduler's, of a task in a job with a blank."""
    about = {"_producer": "https://scheduler.example", "_schemaURL": "https://openlineage.io/spec/facets/x.json"}
    job_type = {"processingType": "BATCH", "integration": "AIRFLOW", "jobType": "TASK", **about}
    return {
        "eventType": kind,
        "eventTime": f"2026-05-01T{at}:00.000Z",
        "producer": "https://scheduler.example",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": f"01941f29-7c00-7087-8940-{run:012d}", "facets": {}},
        "job": {"namespace": "scheduler", "name": "a dag.a task", "facets": {"jobType": job_type}},
        "inputs": [],
        "outputs": [],
    }


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Loaded, built; then a delivery with negative prices was held. Nobody changes it."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    work = workspace(tmp_path_factory.mktemp("day") / "home", server.create_database("lineage") if server else None)
    shop = small_shop(orders=8)
    for group in ("reference", "sales"):
        load(work, shop, group)
    for group, names in jobs.to_build(work.catalog, ()).items():
        jobs.build(work, group, names)
    for row in shop.lines:
        row.update(line(row["order_id"], row["line_id"], price="-1.00"))
    assert load(work, shop, "sales").verdict.name == "FAILED"
    return Day(work, f"shop-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def marquez() -> Iterator[str]:
    """Where a real server is, if one is named; else its double."""
    if url := os.environ.get("DATAOPS_TEST_MARQUEZ_URL"):
        yield url
        return
    with MarquezDouble() as double:
        yield double.url
        assert double.refused == []
