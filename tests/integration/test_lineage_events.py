"""A day as lineage tells it: to the double of Marquez, by the standard's classes, and the same whenever it is told."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest

from dataops.declared.namespaces import Namespaces, Source, normal
from dataops.facts.lineage_graph import Graph
from dataops.facts.lineage_runs import Runs
from dataops.ledger import batches, publications
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage.naming import Naming
from dataops.outlets.lineage.openlineage import Writer
from dataops.pipeline import jobs
from tests.support import standard
from tests.support.marquez import MarquezDouble, client
from tests.support.shop import line, load, small_shop

pytestmark = [pytest.mark.integration, pytest.mark.quick]
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


@pytest.fixture
def day(work: Workspace) -> Day:
    """Loaded, built; then a delivery with negative prices was held."""
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


def _send(marquez: str, events: list[Event]) -> None:
    for event in events:
        client.send(marquez, event)


def test_every_event_is_as_the_standard_says(day: Day) -> None:
    told = day.told()
    assert {event["eventType"] for event in told} == {"START", "COMPLETE", "FAIL"}
    assert [problem for event in told for problem in standard.problems(event)] == []
    facets = {name for event in told for d in (*event["inputs"], *event["outputs"]) for name in d["facets"]}
    assert facets == {"schema", "ownership", "tags", "columnLineage", "dataops_publication"}
    assert all(event["job"]["facets"]["jobType"]["jobType"] for event in told)
    spoilt = told[1] | {"eventType": "DONE"}
    assert standard.problems(spoilt)
    assert standard.problems(told[1] | {"run": {"facets": {}}})


def test_told_twice_it_is_the_same(day: Day) -> None:
    assert day.told() == day.told()
    keys = [(event["run"]["runId"], event["eventType"]) for event in day.told()]
    groups = {
        event["run"]["runId"] for event in day.told() if event["job"]["name"] in {"sales", "reference", "curated"}
    }
    own = [key for key in keys if key[0] not in groups]
    assert len(set(own)) == len(own)


def test_marquez_says_where_a_number_comes_from_and_whether_it_was_checked(day: Day, marquez: str) -> None:
    _send(marquez, day.told())
    naming = day.writer.naming
    namespace, name = naming.of("curated.fct_line")
    graph = client.get(marquez, "lineage", nodeId=f"dataset:{namespace}:{name}", depth="20")["graph"]
    source = f"{day.source}:Shop.Sales.OrderLine"
    assert f"dataset:{source}" in {node["id"] for node in graph}
    columns = client.get(marquez, "column-lineage", nodeId=f"datasetField:{namespace}:{name}:amount")["graph"]
    assert f"datasetField:{source}:amount" in {node["id"] for node in columns}
    [amount] = [node["data"] for node in columns if node["id"] == f"datasetField:{namespace}:{name}:amount"]
    assert amount["transformationType"] == "IDENTITY"
    held = day.dataset(marquez, "raw.order_line")["facets"]["dataQualityAssertions"]["assertions"]
    failing = [assertion["assertion"] for assertion in held if not assertion["success"]]
    assert failing
    assert all(re.match(r"[A-Z]{3}-\d{3} \w", text) for text in failing)
    assert len({assertion["assertion"] for assertion in held}) == len(held)
    runs = day.runs(marquez, "sales.gate.order_line")
    assert [run["state"] for run in runs] == ["FAILED", "COMPLETED"]
    passed = day.dataset(marquez, "raw.customer")["facets"]["dataQualityAssertions"]["assertions"]
    assert passed
    assert all(assertion["success"] for assertion in passed)
    published = day.dataset(marquez, "validated.order_line")["facets"]["dataops_publication"]
    assert published["publication"] == "sales-0001"
    assert re.fullmatch("[0-9a-f]{64}", published["receipt"])


def test_a_held_batch_says_why_and_its_group_ends_with_it(day: Day, marquez: str) -> None:
    told = day.told()
    _send(marquez, told)
    [newest, *_] = day.runs(marquez, "sales")
    assert (newest["state"], bool(newest["facets"]["errorMessage"]["message"])) == ("FAILED", True)
    assert day.runs(marquez, "curated")[0]["state"] == "COMPLETED"
    assert [event["job"]["name"] for event in told if event["eventType"] == "FAIL"].count("publish.order_line") == 0


def test_the_range_of_a_personal_column_is_not_told(day: Day) -> None:
    work = day.work
    orders = work.catalog.groups["sales"].dataset("order_line")
    platform = orders.contract.platform.model_copy(update={"pii": ("amount",)})
    private = replace(orders, contract=orders.contract.model_copy(update={"platform": platform}))
    group = replace(work.catalog.groups["sales"], datasets=(private,))
    catalog = replace(work.catalog, groups=work.catalog.groups | {"sales": group})
    with work.warehouse.reading() as connection:
        batch = batches.newest(connection, "sales", 1)[0]
        told = {}
        for name, known in (("open", work.catalog), ("private", catalog)):
            runs = Runs(known, Graph(known, {})).of_judged(connection, batch)
            [judged] = [run.inputs[0] for run in runs if run.name == "gate.order_line"]
            assert judged.measured
            told[name] = set(judged.measured.columns["amount"])
    assert told["open"] - told["private"] == {"min", "max", "mean"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POSTGRES://DB.Example", "postgres://db.example:5432"),
        ("mssql://host:14330/", "mssql://host:14330"),
        ("adventureworks", "adventureworks"),
        ("duckdb://shop", "duckdb://shop"),
    ],
)
def test_a_namespace_has_one_normal_form(text: str, expected: str) -> None:
    assert normal(text) == expected


@pytest.mark.parametrize("text", ["", "postgres://host:5432/db name", "C:\\data", "dataops#1", "ünicode", "a?b"])
def test_a_namespace_that_would_break_marquez_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a namespace"):
        normal(text)
