"""Reports from a warehouse: made once, as of a publication, not from what is held, and restated when figures change."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataops.declared import settings
from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.declared.models import parse_model
from dataops.declared.reports import Period, ReportFile
from dataops.facts import figure_rows, impact, incident, report_list, report_making, restatement, status
from dataops.lab.faulty_source import open_source
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.reports import archive, building, restating
from dataops.pipeline import jobs
from dataops.sources import Source, Window
from dataops.sources.port import Position, Request
from tests.conftest import PROJECT, PostgresServer
from tests.support.shop import fetch

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("tests/integration/test_reports_made.py")]
URL = "generator:?scale=0.01&seed=7"


class Corrected:
    """The source, with one piece more on one order line, as if the order had been corrected there."""

    def __init__(self, inner: Source, line: tuple[int, int, Decimal]) -> None:
        self._inner, self._line = inner, line

    @property
    def name(self) -> str:
        return f"{self._inner.name} corrected"

    def schema(self, source_table: str) -> pa.Schema:
        return self._inner.schema(source_table)

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:
        return self._inner.snapshot(source_tables)

    def sums(self, request: Request, low: int, size: int) -> pa.Table | None:
        return self._inner.sums(request, low, size)

    def position(self) -> Position | None:
        return self._inner.position()

    def close(self) -> None:
        self._inner.close()

    def read(self, request: Request) -> pa.RecordBatchReader:
        reader = self._inner.read(request)
        order, line, price = self._line
        rows = reader.read_all().to_pylist()
        for row in rows:
            if request.source_table == "Sales.SalesOrderDetail" and row.get("sales_order_detail_id") == line:
                row |= {"order_qty": row["order_qty"] + 1, "line_total": row["line_total"] + price}
            if request.source_table == "Sales.SalesOrderHeader" and row.get("sales_order_id") == order:
                row |= {name: row[name] + price for name in ("sub_total", "total_due") if name in row}
        return pa.Table.from_pylist(rows, reader.schema).to_reader()


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def work(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Workspace:
    """Everything of the generator published, models built."""
    environ = {"DATAOPS_HOME": str(tmp_path_factory.mktemp("home")), "DATAOPS_SOURCE_URL": URL}
    if request.param == "postgres":
        environ["DATAOPS_WAREHOUSE_URL"] = postgres.create_database("reports_made")
    made = open_workspace(settings.load(environ, project=PROJECT))
    for group in ("reference", "sales", "inventory"):
        load(made, group)
    build(made)
    return made


def load(
    work: Workspace, group: str, window: Window | None = None, wrap: Callable[[Source], Source] | None = None
) -> Any:
    with jobs.source_of(work, opened=open_source) as source:
        return jobs.load(work, group, window, wrap(source) if wrap else source)


def build(work: Workspace) -> None:
    for group in work.catalog.built:
        done = jobs.build(work, group)[1]
        assert done.verdict is None or done.verdict.passed, done.verdict.reasons
    jobs.renew_copy(work)


@pytest.fixture(scope="module")
def monthly(work: Workspace) -> ReportFile:
    return report_list.required(work, "profit_monthly")


@pytest.fixture(scope="module")
def line(work: Workspace) -> tuple[str, int, int, Decimal]:
    """A month, and an order of one line in it that costs much."""
    found = fetch(
        work,
        "SELECT MIN(order_date), sales_order_id, MIN(sales_order_detail_id), MIN(unit_price) FROM curated.fct_sales"
        " WHERE channel = 'online' GROUP BY sales_order_id HAVING COUNT(*) = 1 AND MIN(unit_price) > 2000"
        " AND MIN(unit_price_discount) = 0 AND MIN(order_date) < DATE '2014-04-01'"
        " ORDER BY MIN(order_date) DESC, sales_order_id LIMIT 1",
    )[0]
    return f"{found[0]:%Y-%m}", int(found[1]), int(found[2]), Decimal(found[3])


def test_every_declared_report_is_made_in_both_languages_and_never_twice(work: Workspace) -> None:
    for report in report_list.load(work).values():
        for language in ("en", "fr"):
            made, is_new = building.build(work, report, None, language)
            assert is_new
            assert {file.format for file in made.files} == {*report.formats, "json"}
            assert building.build(work, report, None, language) == (made, False)
    listed = report_list.listed(work, None, 100)
    assert {m.report for m in listed.made} == set(report_list.load(work))
    assert all(
        Path(work.settings.paths.archive / m.period / Path(f.path).name).exists() for m in listed.made for f in m.files
    )


def test_the_archived_document_is_the_published_one(work: Workspace, monthly: ReportFile) -> None:
    """What machines read back is described by its schema."""
    import jsonschema

    building.build(work, monthly, "2012-02")
    made = report_list.listed(work, "profit_monthly", 1).made[0]
    name = next(Path(file.path).name for file in made.files if file.format == "json")
    content = json.loads((work.settings.paths.archive / made.period / name).read_text("utf-8"))
    jsonschema.validate(content, json.loads((PROJECT / "docs/reference/json/report.json").read_text("utf-8")))
    assert content["report"] == monthly.report


def test_a_file_that_somebody_changed_is_not_written_over(work: Workspace, monthly: ReportFile) -> None:
    document = report_making.make(work, monthly, Period.of("month", "2012-01"))
    made, _ = archive.keep(work, document, ("csv",))
    file = archive.path(work, made, made.files[0])
    file.write_bytes(b"mine")
    with pytest.raises(PlatformError, match="holds something else; nothing was written over it"):
        archive.keep(work, document, ("csv", "html"))
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("period", "language", "says"), [("2014-13", None, "is no month"), (None, "de", "no language 'de'")]
)
def test_what_cannot_be_made_is_said(
    work: Workspace, monthly: ReportFile, period: str | None, language: str | None, says: str
) -> None:
    with pytest.raises(DeclarationError, match=says):
        building.build(work, monthly, period, language)


def test_a_period_without_sales_says_so(work: Workspace, monthly: ReportFile) -> None:
    document = report_making.make(work, monthly, Period.of("month", "1999-01"))
    assert (document.state, document.headline, document.sections) == ("empty", "Nothing was sold in this period.", ())


def test_a_period_that_is_not_over_says_up_to_when_the_data_reach(work: Workspace) -> None:
    weekly = report_list.required(work, "sales_weekly")
    last = report_making.reaches(work, weekly.reaches)
    assert last is not None
    document = report_making.make(work, weekly, Period.around("week", last).after.before)
    if document.period_end > last:
        assert document.state == "not over"
        assert any("This period is not over" in note for note in document.notes)
    assert report_making.lacking(work, weekly, f"{last.year + 1}-01-07") is not None


def test_no_report_and_no_model_can_read_what_no_gate_has_passed(
    work: Workspace, monthly: ReportFile, tmp_path: Path
) -> None:
    """A report's query is refused by what it names, a model's when it is parsed; PostgreSQL's roles refuse both."""
    for table in ("raw.sales_order_header", "candidate.fct_sales", "quarantine.sales_order_header", "ops.batches"):
        told = monthly.model_copy(update={"reaches": f"SELECT MAX(order_date) AS day FROM {table}"})
        with pytest.raises(DeclarationError, match="is not published"):
            report_making.make(work, told, Period.of("month", "2012-01"))
        file = tmp_path / "marts" / "stolen.sql"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"-- One row. Read by nobody.\nSELECT CAST(1 AS integer) AS x FROM {table}\n")
        with pytest.raises(DeclarationError, match="may not read"):
            parse_model(file)


def test_a_corrected_order_restates_the_month_in_which_it_was_reported(
    work: Workspace, monthly: ReportFile, line: tuple[str, int, int, Decimal]
) -> None:
    """With the figure, the row, the publications that did it and who had the report; once."""
    month, order, detail, price = line
    told, _ = building.build(work, monthly, month)
    assert restating.note(work) == []
    day = fetch(work, f"SELECT MIN(order_date) FROM curated.fct_sales WHERE sales_order_id = {order}")[0][0]
    window = Window.parse(f"{day}..{day + dt.timedelta(days=1)}")
    done = load(work, "sales", window, lambda source: Corrected(source, (order, detail, price)))
    assert done.publication.total("changed") == 2, done.verdict.reasons
    build(work)
    new = restating.note(work)
    revenue = next(r for r in new if (r.metric, r.cell, r.period) == ("revenue", "", month))
    assert Decimal(revenue.after or 0) - Decimal(revenue.before or 0) == price
    assert revenue.rows == (f"fct_sales: sales_order_id {order}, sales_order_detail_id {detail}",)
    assert set(revenue.causes) >= {"sales-0002", "curated-0002"}
    assert restating.note(work) == []
    listed = restatement.listed(work, "profit_monthly").restated
    assert next(r for r in listed if r.figure == "revenue" and not r.cell).receivers == tuple(
        receiver.to for receiver in monthly.receivers
    )
    opened = [i for i in incident.listed(work, None, 10).incidents if i.kind == "restated"]
    assert len(opened) == 1
    assert f"sales_order_id {order}" in opened[0].sentence
    after = Period.of("month", month).after
    notes = report_making.make(work, monthly, after).notes
    assert (
        any("was restated: Revenue +" in note for note in notes)
        or report_making.make(work, monthly, after).state == "empty"
    )
    again, is_new = building.build(work, monthly, month, as_of=told.report_id.split("_")[3])
    assert (again.report_id, is_new) == (told.report_id, False)
    changed, is_new = building.build(work, monthly, month)
    assert is_new
    assert changed.report_id != told.report_id


def test_while_sales_are_held_reports_wait_and_everybody_is_told_for_what(work: Workspace, monthly: ReportFile) -> None:
    day = fetch(work, "SELECT MAX(order_date) FROM curated.fct_sales")[0][0]
    month, window = f"{day:%Y-%m}", Window.parse(f"{day}..{day + dt.timedelta(days=1)}")
    with jobs.source_of(
        work, f"{URL}&faults=price_x100,orphan_customer,null_required,drop_lines", open_source
    ) as source:
        held = jobs.load(work, "sales", window, source)
    assert held.publication is None
    with pytest.raises(DataRejected, match=r"profit_monthly waits: sales is held \(INC-") as caught:
        building.build(work, monthly, month)
    stood = str(caught.value).rpartition("--as-of ")[2]
    assert building.build(work, monthly, month, as_of=stood)[0].report == "profit_monthly"
    waits = impact.of_name(work, held.batch_id)
    assert waits.reports == (
        "campaigns",
        "customer_value",
        "profit_monthly",
        "sales_daily",
        "sales_weekly",
        "stock_daily",
    )
    found = status.read(work)
    assert found.reports_waiting == waits.reports
    page = incident.shown(
        work, found.incidents[0].incident if found.incidents[0].group == "sales" else held_incident(work)
    )
    assert (page.waiting_reports, page.waiting_receivers) == (waits.reports, waits.receivers)
    assert "sales is held" in str(report_making.lacking(work, monthly, f"{month}-01"))
    before = str(Period.of("month", month).before)
    assert report_making.lacking(work, monthly, f"{before}-01") is None
    assert building.build(work, monthly, before)[0].period == before


def held_incident(work: Workspace) -> str:
    return next(i.incident for i in incident.listed(work, "sales", 10).incidents if i.kind == "held")


def test_impact_follows_models_figures_and_reports(work: Workspace) -> None:
    on_alerts = impact.of_name(work, "marts.inventory_alerts")
    assert (on_alerts.datasets, on_alerts.reports) == ((), ("sales_daily", "sales_weekly", "stock_daily"))
    on_lines = impact.of_name(work, "sales_order_detail")
    assert {"revenue", "margin", "units"} <= set(on_lines.metrics)
    assert {"campaigns", "clv", "kpis", "stock", "curated"} == set(on_lines.groups)
    with pytest.raises(DeclarationError, match="no dataset, group or batch 'nothing'"):
        impact.of_name(work, "nothing")


@pytest.mark.parametrize("figure", ["revenue", "gross_profit", "margin", "orders", "active_customers", "units"])
def test_every_cell_leads_to_rows_that_give_the_same_figure(work: Workspace, figure: str) -> None:
    """By place and channel together, over all months; customers are those of the place of the order."""
    cells = fetch(
        work,
        f"SELECT month_start, territory, channel, {figure} FROM marts.kpi_sales_monthly WHERE category = 'all'"
        " AND territory <> 'all' AND channel <> 'all' ORDER BY month_start DESC, territory, channel LIMIT 6",
    )
    for month, territory, channel, value in cells:
        told = figure_rows.explain(
            work, figure, Period.around("month", month), {"territory": territory, "channel": channel}
        )
        assert told.value == value, (figure, month, territory, channel)
        assert 1 <= len(told.largest) <= told.rows


def test_what_leads_nowhere_is_said(work: Workspace) -> None:
    may = Period.of("month", "2014-05")
    with pytest.raises(DeclarationError, match="turnover is made of figures of several facts; ask for stock_value"):
        figure_rows.explain(work, "turnover", may, {})
    with pytest.raises(DeclarationError, match="cannot be chosen by 'colour'; there are"):
        figure_rows.explain(work, "revenue", may, {"colour": "red"})
    hostile = figure_rows.explain(work, "revenue", may, {"territory": "x' OR '1'='1"})
    assert (hostile.rows, hostile.value) == (0, None)
