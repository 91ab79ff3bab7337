"""A day as lineage tells it: to the double of Marquez, by the standard's classes, and the same whenever it is told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dataops.declared.namespaces import normal
from dataops.facts.lineage_graph import Graph
from dataops.facts.lineage_runs import Runs
from dataops.ledger import batches
from dataops.ledger.workspace import Workspace
from tests.support import standard
from tests.support.lineage_day import Day, day, marquez
from tests.support.marquez import client
from tests.support.shop import load, small_shop

__all__ = ["day", "marquez"]
pytestmark = [pytest.mark.integration, pytest.mark.quick, pytest.mark.xdist_group("lineage")]


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


def test_told_again_it_is_the_same_and_nothing_is_told_twice(day: Day) -> None:
    told = day.told()
    assert told == day.told()
    keys = [(event["run"]["runId"], event["eventType"]) for event in told]
    assert len(set(keys)) == len(keys)


def test_marquez_says_where_a_number_comes_from_and_whether_it_was_checked(day: Day, marquez: str) -> None:
    client.send_all(marquez, day.told())
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
    assert re.fullmatch(r"http://127.0.0.1:8081/batches/sales[-\w]+.html", published["report"])
    assert re.fullmatch("[0-9a-f]{64}", published["receipt"])


def test_a_held_batch_says_why_and_its_group_ends_with_it(day: Day, marquez: str) -> None:
    told = day.told()
    client.send_all(marquez, told)
    [newest, *_] = day.runs(marquez, "sales")
    assert (newest["state"], bool(newest["facets"]["errorMessage"]["message"])) == ("FAILED", True)
    assert day.runs(marquez, "curated")[0]["state"] == "COMPLETED"
    assert [event["job"]["name"] for event in told if event["eventType"] == "FAIL"].count("publish.order_line") == 0


def test_the_groups_run_ends_with_a_delivery_that_changed_nothing(work: Workspace) -> None:
    shop = small_shop(orders=8)
    for _ in range(2):
        load(work, shop, "reference")
    ended = [(e["run"]["runId"], e["eventType"]) for e in Day(work, "again").told() if e["job"]["name"] == "reference"]
    first, second = dict.fromkeys(run for run, _ in ended)
    assert ended == [(first, "START"), (first, "COMPLETE"), (second, "START"), (second, "COMPLETE")]


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
