"""REFERENCE.md's figures, read from the published layers after a full load, to the cent, on both warehouses."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataops.ledger.workspace import Workspace
from dataops.sources import find_source, open_source
from tests.conftest import PROJECT as REPOSITORY
from tests.conftest import PostgresServer
from tests.support.agreement import Outcomes, deliver, require_equal_judgements, require_equal_rows
from tests.support.shop import fetch

pytestmark = pytest.mark.integration

LINES = "curated.fct_sales"
STOCK = "(SELECT product_id, SUM(quantity) AS units FROM validated.product_inventory GROUP BY product_id) s"
BY_PRODUCT = f"{STOCK} JOIN validated.product p ON p.product_id = s.product_id"
CATEGORY = (
    "SELECT SUM(f.line_total) FROM curated.fct_sales f JOIN validated.product p ON p.product_id = f.product_id"
    " JOIN validated.product_subcategory u ON u.product_subcategory_id = p.product_subcategory_id"
    " JOIN validated.product_category c ON c.product_category_id = u.product_category_id WHERE c.name = '{}'"
)
YEAR = (
    "SELECT COUNT(*), ROUND(SUM(sub_total), 2) FROM validated.sales_order_header"
    " WHERE EXTRACT(YEAR FROM order_date) = {}"
)
DIFFERING = (
    "SELECT COUNT(*) FROM validated.sales_order_header h JOIN (SELECT sales_order_id, SUM(line_total) AS t"
    " FROM validated.sales_order_detail GROUP BY sales_order_id) l ON l.sales_order_id = h.sales_order_id"
    " WHERE h.sub_total <> l.t"
)
# what it is, how to ask for it, what REFERENCE.md says
FACTS: list[tuple[str, str, tuple[str, ...]]] = [
    ("orders", "SELECT COUNT(*) FROM validated.sales_order_header", ("31465",)),
    ("online", "SELECT COUNT(*) FROM validated.sales_order_header WHERE online_order_flag", ("27659",)),
    ("store", "SELECT COUNT(*) FROM validated.sales_order_header WHERE NOT online_order_flag", ("3806",)),
    (
        "lines",
        "SELECT COUNT(*), SUM(order_qty), SUM(line_total) FROM validated.sales_order_detail",
        ("121317", "274914", "109846381.399888"),
    ),
    ("lines of curated", f"SELECT COUNT(*), SUM(line_total) FROM {LINES}", ("121317", "109846381.399888")),
    (
        "totals",
        "SELECT SUM(sub_total), SUM(tax_amt), SUM(freight), SUM(total_due) FROM validated.sales_order_header",
        ("109846381.4039", "10186974.4602", "3183430.2518", "123216786.1159"),
    ),
    ("bikes", CATEGORY.format("Bikes"), ("94651172.704731",)),
    ("components", CATEGORY.format("Components"), ("11802593.286430",)),
    ("clothing", CATEGORY.format("Clothing"), ("2120542.524801",)),
    ("accessories", CATEGORY.format("Accessories"), ("1272072.883926",)),
    ("2011", YEAR.format(2011), ("1607", "12641672.21")),
    ("2012", YEAR.format(2012), ("3915", "33524301.33")),
    ("2013", YEAR.format(2013), ("14182", "43622479.05")),
    ("2014", YEAR.format(2014), ("11761", "20057928.81")),
    ("gross profit", f"SELECT SUM(gross_profit) FROM {LINES}", ("12557780.599088",)),
    ("customers", "SELECT COUNT(*) FROM validated.customer", ("19820",)),
    ("customers of curated", "SELECT COUNT(*) FROM curated.dim_customer", ("19820",)),
    ("products", "SELECT COUNT(*) FROM validated.product", ("504",)),
    ("products of curated", "SELECT COUNT(*) FROM curated.dim_product", ("504",)),
    ("territories", "SELECT COUNT(*) FROM validated.sales_territory", ("10",)),
    ("offers", "SELECT COUNT(*) FROM validated.special_offer", ("16",)),
    ("units on hand", f"SELECT SUM(units), COUNT(*) FROM {STOCK}", ("335974", "432")),
    ("below safety stock", f"SELECT COUNT(*) FROM {BY_PRODUCT} WHERE s.units < p.safety_stock_level", ("69",)),
    ("below reorder point", f"SELECT COUNT(*) FROM {BY_PRODUCT} WHERE s.units < p.reorder_point", ("7",)),
    (
        "reasons",
        "SELECT COUNT(*), COUNT(DISTINCT sales_order_id) FROM validated.sales_order_header_sales_reason",
        ("27647", "23012"),
    ),
    ("individuals and stores", "SELECT COUNT(*), COUNT(store_id) FROM validated.customer", ("19820", "1336")),
    (
        "orders that differ from their lines",
        DIFFERING,
        ("695",),
    ),
    ("held rows", "SELECT COUNT(*) FROM ops.publication_datasets WHERE quarantined > 0", ("0",)),
]


def _data() -> str:
    """The install CSVs beside the project; their absence is a failure unless somebody said so."""
    found = find_source(REPOSITORY)
    if found.url.startswith("csv:"):
        return found.url
    if os.environ.get("DATAOPS_TEST_NO_ADVENTUREWORKS") == "1":
        pytest.skip("DATAOPS_TEST_NO_ADVENTUREWORKS=1: Microsoft's files are not here")
    pytest.fail(
        "Microsoft's AdventureWorks files are not in ../shared/adventureworks/oltp-2014: nothing can be reconciled.\n"
        "Put them there, or set DATAOPS_TEST_NO_ADVENTUREWORKS=1 to leave these tests out.",
        pytrace=False,
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Outcomes:
    """One full load per warehouse."""
    return deliver(tmp_path_factory.mktemp("reconciled"), postgres, [open_source(_data())])


@pytest.fixture(params=["duckdb", "postgres"])
def loaded(request: pytest.FixtureRequest, outcomes: Outcomes) -> Workspace:
    return outcomes[request.param].work


def test_both_warehouses_make_the_same_of_it(outcomes: Outcomes) -> None:
    """Every rule's judgement and every row."""
    require_equal_judgements(outcomes)
    require_equal_rows(outcomes)
    assert [verdict.name for _, verdict in outcomes["duckdb"].verdicts] == ["PASSED"] * 6


@pytest.mark.parametrize(("query", "figures"), [fact[1:] for fact in FACTS], ids=[fact[0] for fact in FACTS])
def test_a_known_figure_is_found_in_the_published_layers(
    loaded: Workspace, query: str, figures: tuple[str, ...]
) -> None:
    assert [Decimal(str(value)) for value in fetch(loaded, query)[0]] == [Decimal(figure) for figure in figures]


def test_the_clean_edition_breaks_no_critical_rule_and_its_oddities_show(loaded: Workspace) -> None:
    """No finding that would hold a row; at least the known oddities as warnings."""
    outcomes: dict[str, Any] = dict(fetch(loaded, "SELECT outcome, COUNT(*) FROM ops.check_results GROUP BY outcome"))
    assert set(outcomes) == {"passed", "warned"}
    assert outcomes["warned"] >= 3


def test_missing_data_fails_with_a_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a checkout without the files the tests do not pass silently."""
    monkeypatch.delenv("DATAOPS_TEST_NO_ADVENTUREWORKS", raising=False)
    monkeypatch.setattr("tests.integration.test_reconciliation.REPOSITORY", tmp_path, raising=False)
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    with pytest.raises(pytest.fail.Exception, match="DATAOPS_TEST_NO_ADVENTUREWORKS=1"):
        _data()
