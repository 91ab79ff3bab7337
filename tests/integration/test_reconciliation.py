"""REFERENCE.md's figures, read from the published layers after a full load, to the cent, on both warehouses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataops.declared.reports import Period
from dataops.facts import report_list, report_making
from dataops.facts.report import ReportDocument, SectionFacts
from dataops.ledger.workspace import Workspace
from tests.support.agreement import Outcomes, edition_url, require_equal_judgements, require_equal_rows
from tests.support.shop import fetch

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("edition")]

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


@pytest.fixture(params=["duckdb", "postgres"])
def loaded(request: pytest.FixtureRequest, outcomes: Outcomes) -> Workspace:
    return outcomes[request.param].work


def test_both_warehouses_make_the_same_of_it(outcomes: Outcomes) -> None:
    """Every rule's judgement and every row."""
    require_equal_judgements(outcomes)
    require_equal_rows(outcomes)
    groups = outcomes["duckdb"].work.catalog.groups
    assert dict(outcomes["duckdb"].verdicts).keys() == groups.keys()
    assert {verdict.name for _, verdict in outcomes["duckdb"].verdicts} == {"PASSED"}


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
    with pytest.raises(pytest.fail.Exception, match="DATAOPS_TEST_NO_ADVENTUREWORKS=1"):
        edition_url(tmp_path)


def _by_hand(select: str) -> list[tuple[Any, ...]]:
    """A SELECT over the install files themselves, by their columns' places: nothing of the platform is in between."""
    folder = Path(edition_url().removeprefix("csv:"))
    files = {
        "header": "SalesOrderHeader", "detail": "SalesOrderDetail", "product": "Product", "cost": "ProductCostHistory",
        "subcategory": "ProductSubcategory", "category": "ProductCategory", "territory": "SalesTerritory",
    }  # fmt: skip
    with duckdb.connect() as connection:
        for name, file in files.items():
            connection.execute(
                f"CREATE VIEW {name} AS SELECT * FROM read_csv('{folder / file}.csv', delim = '\t', header = false,"
                " all_varchar = true, quote = '', escape = '')"
            )
        return connection.execute(select).fetchall()


LINES_BY_HAND = """
    SELECT CAST(LEFT(h.column02, 7) || '-01' AS DATE) AS month, t.column1 AS territory,
      COALESCE(c.column1, 'none') AS category, CASE h.column06 WHEN '1' THEN 'online' ELSE 'store' END AS channel,
      d.column00 AS order_id, h.column10 AS customer,
      CAST(d.column08 AS DECIMAL(38, 6)) AS revenue, CAST(d.column03 AS BIGINT) AS units,
      CAST(d.column03 AS BIGINT) * COALESCE(
        (SELECT MAX(CAST(k.column3 AS DECIMAL(19, 4))) FROM cost k WHERE k.column0 = d.column04
         AND LEFT(k.column1, 10) <= LEFT(h.column02, 10)
         AND (k.column2 IS NULL OR k.column2 = '' OR LEFT(k.column2, 10) >= LEFT(h.column02, 10))),
        CAST(p.column08 AS DECIMAL(19, 4))) AS cost
    FROM detail d JOIN header h ON h.column00 = d.column00 JOIN territory t ON t.column0 = h.column12
    JOIN product p ON p.column00 = d.column04 LEFT JOIN subcategory s ON s.column0 = p.column18
    LEFT JOIN category c ON c.column0 = s.column1
"""


def test_revenue_and_profit_of_every_month_territory_and_category_are_those_of_the_files(loaded: Workspace) -> None:
    """In every cell, to the last digit; with orders and customers, which must not be added up."""
    by_hand = _by_hand(
        "SELECT month, territory, category, SUM(revenue), SUM(revenue - cost), COUNT(DISTINCT order_id),"
        f" COUNT(DISTINCT customer), SUM(units) FROM ({LINES_BY_HAND}) GROUP BY ALL"
    )
    published = fetch(
        loaded,
        "SELECT month_start, territory, category, revenue, gross_profit, orders, active_customers, units"
        " FROM marts.kpi_sales_monthly WHERE channel = 'all' AND territory <> 'all' AND category <> 'all'",
    )
    assert len(published) > 1000
    assert sorted(map(tuple, published)) == sorted(by_hand)


def test_levels_above_a_cell_are_those_of_the_files_too(loaded: Workspace) -> None:
    """Distinct orders and customers of a month are no sums of its cells."""
    by_hand = _by_hand(
        "SELECT month, channel, SUM(revenue), SUM(revenue - cost), COUNT(DISTINCT order_id), COUNT(DISTINCT customer)"
        f" FROM ({LINES_BY_HAND}) GROUP BY ALL"
    )
    published = fetch(
        loaded,
        "SELECT month_start, channel, revenue, gross_profit, orders, active_customers FROM marts.kpi_sales_monthly"
        " WHERE channel <> 'all' AND territory = 'all' AND category = 'all'",
    )
    assert sorted(map(tuple, published)) == sorted(by_hand)


def test_the_monthly_report_says_what_is_known_of_may_2014(loaded: Workspace) -> None:
    """Figures computed elsewhere out of the same files; every language and file says the same."""
    report = report_list.required(loaded, "profit_monthly")
    made = report_making.make(loaded, report, Period.of("month", "2014-05"))
    figures = {figure.metric: (figure.value, figure.previous, figure.year_ago) for figure in made.figures}
    cents = {name: [round(value, 2) for value in values] for name, values in figures.items()}
    assert cents["revenue"] == [Decimal(v) for v in ("5366674.97", "1797173.92", "3245623.75")]
    assert cents["gross_profit"] == [Decimal(v) for v in ("792473.56", "746490.17", "63332.89")]
    assert figures["orders"] == (2411, 2115, 428)
    regions = {row[0]: round(row[5], 2) for row in _section(made, "regions").rows}
    assert (regions["Australia"], regions["Northeast"]) == (Decimal("191560.08"), Decimal("-9134.98"))
    below = _section(made, "below_cost").total
    assert below is not None
    assert (below[1], below[2], round(below[3], 2)) == (8626, 1234, Decimal("-154149.35"))
    assert (len(_section(made, "products").rows), len(_section(made, "detail").rows)) == (166, 1337)
    assert made.headline.startswith("Gross profit USD 792,473.56, 12.5 times May 2013.")
    in_french = report_making.make(loaded, report, Period.of("month", "2014-05"), "fr")
    assert [f.value for f in in_french.figures] == [f.value for f in made.figures]
    assert "12,5 fois mai 2013" in in_french.headline


def _section(made: ReportDocument, name: str) -> SectionFacts:
    return next(section for section in made.sections if section.section == name)


def test_stock_is_known_where_there_are_records_and_unknown_elsewhere(loaded: Workspace) -> None:
    rows = fetch(loaded, "SELECT COUNT(on_hand), COUNT(*) - COUNT(on_hand), SUM(on_hand) FROM marts.inventory_cover")
    assert [int(value) for value in rows[0]] == [432, 72, 335974]
    declared = fetch(loaded, "SELECT COUNT(*) FROM marts.inventory_cover WHERE on_hand < declared_reorder_point")
    assert declared[0][0] == 7


def test_no_forecast_that_is_used_errs_more_than_the_simple_ones(loaded: Workspace) -> None:
    rows = fetch(loaded, "SELECT demand_class, method, rmsse, is_used FROM marts.inventory_accuracy")
    for label in {row[0] for row in rows}:
        errors = {method: rmsse for of, method, rmsse, _ in rows if of == label}
        used = next(rmsse for of, _, rmsse, is_used in rows if of == label and is_used)
        assert used <= min(errors["naive"], errors["simple smoothing"]), label
