"""Which columns go into each column: of SQL, of functions, of what a source computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.declared import catalog as catalogs
from dataops.declared import column_lineage, reports, select
from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Catalog
from dataops.declared.column_lineage import How
from dataops.declared.paths import Paths
from dataops.declared.python_models import PythonModel
from dataops.facts.lineage_graph import Graph, Kind
from dataops.pipeline import functions

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]
COLUMNS = {"validated": {"line": ("id", "price", "qty", "day"), "item": ("id", "cost", "name")}}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalogs.load(Paths(PROJECT, PROJECT / "var"))


def _of(sql: str) -> dict[str, set[tuple[str, str, str]]]:
    found = column_lineage.of_query(select.parse(sql, query=True), COLUMNS)
    return {
        name: {(o.node.partition(".")[2], o.column, o.how.value) for o in origins} for name, origins in found.items()
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT CAST(price AS numeric(9, 2)) AS p FROM validated.line", {"p": {("line", "price", "identity")}}),
        (
            "SELECT price * qty AS p FROM validated.line",
            {"p": {("line", "price", "transformation"), ("line", "qty", "transformation")}},
        ),
        (
            "WITH x AS (SELECT id, SUM(price) AS s FROM validated.line GROUP BY id) SELECT s, s / 2 AS h FROM x",
            {"s": {("line", "price", "aggregation")}, "h": {("line", "price", "aggregation")}},
        ),
        (
            "SELECT name AS n FROM validated.item UNION ALL SELECT CAST(day AS text) FROM validated.line",
            {"n": {("item", "name", "identity"), ("line", "day", "identity")}},
        ),
        (
            """SELECT i.name AS a, 1 AS one, COUNT(*) AS c FROM validated.line AS l
            JOIN validated.item AS i ON i.id = l.id WHERE l.day IS NOT NULL GROUP BY i.name""",
            {"a": {("item", "name", "identity")}, "one": set(), "c": set()},
        ),
        ("SELECT * FROM validated.item", {c: {("item", c, "identity")} for c in ("id", "cost", "name")}),
        (
            "SELECT (SELECT MAX(cost) FROM validated.item) AS m FROM validated.line",
            {"m": {("item", "cost", "aggregation")}},
        ),
        (
            """SELECT price AS p, price + cost AS q FROM (SELECT l.price, i.cost FROM validated.line AS l
            JOIN validated.item AS i ON i.id = l.id) AS x""",
            {
                "p": {("line", "price", "identity")},
                "q": {("line", "price", "transformation"), ("item", "cost", "transformation")},
            },
        ),
        (
            'SELECT SUM("price") OVER (ORDER BY "day") AS s FROM validated.line',
            {"s": {("line", "price", "aggregation"), ("line", "day", "aggregation")}},
        ),
    ],
)
def test_of_a_select(sql: str, expected: dict[str, set[tuple[str, str, str]]]) -> None:
    assert _of(sql) == expected


def test_gross_profit_names_what_it_is_computed_from(catalog: Catalog) -> None:
    model = next(model for model in catalog.models if model.name == "curated.fct_sales")
    origins = column_lineage.of_model(model, catalog.columns)["gross_profit"]
    assert {(o.node, o.column) for o in origins} == {
        ("validated.product", "standard_cost"),
        ("validated.product_cost_history", "standard_cost"),
        ("validated.sales_order_detail", "line_total"),
        ("validated.sales_order_detail", "order_qty"),
    }
    assert {o.how for o in origins} == {How.TRANSFORMATION}
    computed = catalog.datasets["sales_order_detail"].contract.platform.computed
    assert computed == {"line_total": ("unit_price", "unit_price_discount", "order_qty")}


def test_every_column_of_every_model_is_looked_at_and_leads_to_columns_that_there_are(catalog: Catalog) -> None:
    for model in catalog.models:
        found = column_lineage.of_model(model, catalog.columns)
        assert set(found) == set(catalog.datasets[model.table].column_names), model.name
        for origin in {origin for origins in found.values() for origin in origins}:
            layer, table = origin.node.split(".")
            assert tuple(origin.node.split(".")) in model.inputs, model.name
            assert origin.column in catalog.columns[layer][table], model.name
        keys = catalog.datasets[model.table].key
        assert any(found[key] for key in keys) or model.name == "curated.dim_date", model.name


@pytest.fixture(scope="module")
def graph(catalog: Catalog) -> Graph:
    return Graph(catalog, reports.load(PROJECT / "reports"))


def test_every_report_and_receiver_is_reached_from_the_sources(graph: Graph) -> None:
    order = list(graph.nodes)
    for name, parents in graph.made_from.items():
        assert all(order.index(parent) < order.index(name) for parent in parents)
        assert bool(parents) is (graph.nodes[name].kind is not Kind.SOURCE)
    reached = graph.reached("source Sales.SalesOrderDetail", graph.goes_into)
    assert {"marts.report_profit", "report profit_monthly", "receiver finance@adventure-works.example"} <= set(reached)
    assert "source Sales.SalesOrderDetail" in graph.reached("marts.report_profit", graph.made_from)


def test_figures_of_reports_lead_to_published_columns(graph: Graph) -> None:
    for name, node in graph.nodes.items():
        if node.kind is not Kind.REPORT:
            continue
        columns = graph.columns(name)
        for origin in {origin for origins in columns.values() for origin in origins}:
            assert origin.node in graph.made_from[name]
            assert origin.column in graph.columns(origin.node)
        assert any(origins for column, origins in columns.items() if column.startswith("figures.")), name
    own = {(o.node, o.column) for o in graph.columns("report profit_monthly")["figures.revenue"]}
    assert own == {("marts.kpi_sales_trend", "revenue")}


def test_what_the_source_computes_leads_to_what_it_computes_it_from(graph: Graph) -> None:
    line_total = graph.columns("raw.sales_order_detail")["line_total"]
    assert [origin.column for origin in line_total] == ["line_total", "unit_price", "unit_price_discount", "order_qty"]
    assert graph.columns("raw.sales_order_detail")["order_qty"][0].how is How.IDENTITY


def test_a_function_gets_the_columns_that_its_lineage_names_whatever_is_there(catalog: Catalog) -> None:
    model = next(model for model in catalog.models if model.name == "marts.inventory_policy")
    assert isinstance(model, PythonModel)
    whole = {
        f"{layer}.{table}": arrow_schema(catalog.datasets[table].columns).empty_table() for layer, table in model.inputs
    }
    given = functions.Inputs(model, whole)
    assert set(given["levels"].column_names) == {"product_id", "lead_time_days", "lead_time_from"}
    assert "declared_reorder_point" in whole["marts.inventory_levels"].column_names
