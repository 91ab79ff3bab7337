"""Audits of what is published: every kind of damage done behind the platform's back is found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.cli.process import main
from dataops.declared.errors import DeclarationError, PlatformError
from dataops.facts import quality, status
from dataops.ledger import clock
from dataops.ledger.audits import Finding
from dataops.ledger.enums import Dimension
from dataops.ledger.workspace import Workspace
from dataops.outlets.site import data_docs
from dataops.pipeline import jobs
from dataops.pipeline.audit import budgets, punctuality, run
from dataops.pipeline.audit.punctuality import Span
from dataops.sources import Window
from tests.support.shop import Shop, fetch, line, load, own_project, small_shop, workspace

pytestmark = pytest.mark.integration
MAY = Window(datetime(2014, 5, 1), datetime(2014, 6, 1))
NOW = clock.now


@pytest.fixture
def shop() -> Shop:
    return small_shop(customers=6, orders=10)


@pytest.fixture
def filled(work: Workspace, shop: Shop) -> Workspace:
    """Two deliveries, so that there is history, one line that is held, and models."""
    load(work, shop, "reference")
    load(work, shop, "sales", MAY)
    shop.customers[0]["name"] = "renamed"
    shop.lines[2] = line(2, 1, qty=-1)
    shop.lines[0] = line(1, 1, qty=2)
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]
    load(work, shop, "reference")
    load(work, shop, "sales", MAY)
    jobs.build(work, "curated")
    return work


def found(work: Workspace, source: Shop | None) -> list[Finding]:
    return list(run.audit(work, source).findings)


def told(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.kind.value, finding.table.rpartition(".")[2]) for finding in findings}


def change(work: Workspace, sql: str) -> None:
    with work.warehouse.transaction() as connection:
        done = connection.exec_driver_sql(sql)
        assert done.rowcount != 0, sql


def _sql(sql: str) -> Callable[[Workspace, Shop], None]:
    return lambda work, _: change(work, sql)


def _doubled(work: Workspace, _: Shop) -> None:
    """PostgreSQL keeps keys by an index, which whoever doubles a row must have taken away."""
    with work.warehouse.transaction() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP INDEX validated.customer_customer_id_idx")
    change(work, "INSERT INTO validated.customer SELECT * FROM validated.customer WHERE customer_id = 2")


def _ahead(_: Workspace, shop: Shop) -> None:
    shop.add_order(77, 1, 5, [line(77, 1)])


def _behind(_: Workspace, shop: Shop) -> None:
    shop.lines = [row for row in shop.lines if row["order_id"] != 9]
    shop.orders = [row for row in shop.orders if row["order_id"] != 9]


def _differs(_: Workspace, shop: Shop) -> None:
    shop.orders[6]["sub_total"] += 1


DAMAGE: dict[str, tuple[Callable[[Workspace, Shop], None], set[tuple[str, str]]]] = {
    "rows deleted": (
        _sql("DELETE FROM validated.order_line WHERE order_id = 7 AND line_id = 2"),
        {("receipt", "order_line"), ("source ahead", "order_line")},
    ),
    "a value changed": (
        _sql("UPDATE validated.sales_order SET sub_total = sub_total + 1 WHERE order_id = 4"),
        {("receipt", "sales_order"), ("source differs", "sales_order")},
    ),
    "rows doubled": (
        _doubled,
        {("receipt", "customer"), ("duplicate", "customer")},
    ),
    "rows orphaned": (
        _sql("UPDATE validated.sales_order SET customer_id = 999 WHERE order_id = 5"),
        {("receipt", "sales_order"), ("orphan", "sales_order"), ("source differs", "sales_order")},
    ),
    "a required value emptied": (
        _sql("UPDATE validated.sales_order SET order_date = NULL WHERE order_id = 6"),
        {("receipt", "sales_order"), ("missing value", "sales_order"), ("source differs", "sales_order")},
    ),
    "a row slipped in": (
        _sql(
            "INSERT INTO validated.customer SELECT * FROM (SELECT 55 AS customer_id, 'x' AS name, region, modified,"
            " _publication FROM validated.customer WHERE customer_id = 3) AS q"
        ),
        {("receipt", "customer"), ("source behind", "customer")},
    ),
    "history forgotten": (_sql("DELETE FROM validated_history.customer"), {("receipt", "customer")}),
    "a model's row changed": (
        _sql("UPDATE curated.fct_line SET amount = amount + 1 WHERE order_id = 3"),
        {("receipt", "fct_line")},
    ),
    "the ledger changed": (
        _sql("UPDATE ops.publication_datasets SET new = new + 1 WHERE publication = 1 AND table_name = 'customer'"),
        {("receipt", "customer"), ("receipt", "ledger")},
    ),
    "held rows lost": (
        _sql("DELETE FROM quarantine.order_line"),
        {("receipt", "order_line"), ("source differs", "order_line")},  # the older versions stand
    ),
    "the source is ahead": (_ahead, {("source ahead", "sales_order"), ("source ahead", "order_line")}),
    "the source is behind": (_behind, {("source behind", "sales_order"), ("source behind", "order_line")}),
    "the source differs": (_differs, {("source differs", "sales_order")}),
}  # fmt: skip


def test_an_undamaged_warehouse_has_no_finding(filled: Workspace, shop: Shop) -> None:
    """Rows that wait in quarantine are known, and so are the windows that were never asked for."""
    shop.add_order(78, 1, 5, [line(78, 1)])
    shop.orders[-1]["order_date"] = datetime(2014, 7, 1)
    assert fetch(filled, "SELECT COUNT(*) FROM quarantine.order_line") != [(0,)]
    assert found(filled, shop) == []
    assert found(filled, None) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_done_behind_the_platforms_back_is_found(filled: Workspace, shop: Shop, damage: str) -> None:
    do, expected = DAMAGE[damage]
    do(filled, shop)
    findings = found(filled, shop)
    assert told(findings) == expected, findings
    assert all(finding.rows is None or finding.rows > 0 for finding in findings)


def test_what_is_found_is_an_incident_until_an_audit_finds_nothing(filled: Workspace, shop: Shop) -> None:
    _differs(filled, shop)
    found(filled, shop)
    (incident,) = [i for i in status.read(filled).incidents if "the audit found in" in i.sentence]
    assert incident.sentence == ("the audit found in raw.sales_order: 1 rows that the source has with other values")
    first = quality.read(filled)
    assert [(f.sentence, f.sample, f.is_new) for f in first.findings] == [
        ("1 rows that the source has with other values", ("7",), False)
    ]
    _ahead(filled, shop)
    found(filled, shop)
    again = quality.read(filled)
    assert {(f.dataset, f.kind.value): f.is_new for f in again.findings} == {
        ("raw.sales_order", "source differs"): False,
        ("raw.sales_order", "source ahead"): True,
        ("raw.order_line", "source ahead"): True,
    }
    shop.orders[6]["sub_total"] -= 1
    shop.orders.pop()
    shop.lines.pop()
    found(filled, None)  # no source: nothing is solved by not looking
    assert any("the audit found in" in i.sentence for i in status.read(filled).incidents)
    found(filled, shop)
    assert not any("the audit found in" in i.sentence for i in status.read(filled).incidents)
    assert quality.read(filled).findings == ()


def test_a_changed_ledger_is_an_incident_of_the_warehouse(filled: Workspace) -> None:
    undo = "UPDATE ops.publication_datasets SET new = new {} 1 WHERE publication = 1 AND table_name = 'customer'"
    change(filled, undo.format("+"))
    found(filled, None)
    groups = {i.group for i in status.read(filled).incidents if "the audit found in" in i.sentence}
    assert groups == {"reference", "warehouse"}
    assert any(act.who == "operations" for act in quality.read(filled).act)


def test_a_source_that_is_away_is_said_and_the_rest_is_looked_at(filled: Workspace, shop: Shop) -> None:
    class Away(Shop):
        def read(self, request: Any) -> Any:  # noqa: ARG002  the port's words
            raise PlatformError("the source does not answer\nAsk its keeper.")

    away = Away(shop.customers, shop.orders, shop.lines)
    change(filled, "UPDATE curated.fct_line SET amount = amount + 1 WHERE order_id = 3")
    audited = run.audit(filled, away)
    assert audited.audit.problem is not None
    assert "sales could not be compared with shop: the source does not answer" in audited.audit.problem
    assert told(list(audited.findings)) == {("receipt", "fct_line")}
    assert "not all of the source could be compared" in quality.read(filled).sentence
    audited = jobs.audit_published(filled, "csv:/nowhere")
    assert str(audited.audit.problem).startswith("the source could not be opened: ")


def test_counts_and_control_totals_of_both_sides_stand_beside_each_other(filled: Workspace, shop: Shop) -> None:
    totals = {t.dataset.table: t for t in run.audit(filled, shop).totals}
    assert totals["sales_order"].source == totals["sales_order"].published
    lines = totals["order_line"]
    assert (lines.source[0], lines.published[0], lines.waiting) == (20, 20, 2)  # those that wait stand as they were
    assert lines.source[1] != lines.published[1]


def test_the_site_has_a_page_of_the_newest_audit_and_says_only_text(filled: Workspace, shop: Shop) -> None:
    front = data_docs.build(filled)
    assert "quality.html" not in front.read_text("utf-8")
    assert not (front.parent / "quality.html").exists()
    change(filled, "UPDATE curated.fct_line SET amount = amount + 1 WHERE order_id = 3")
    run.audit(filled, replace(shop, name="<script>alert(1)</script>"))
    data_docs.build(filled)
    page = (front.parent / "quality.html").read_text("utf-8")
    assert 'href="quality.html"' in front.read_text("utf-8")
    assert "curated.fct_line" in page
    assert "dataops incidents show INC-" in page
    assert "completeness" in page
    assert "<script" not in page


def test_nothing_is_audited_before_anything_was(work: Workspace) -> None:
    with pytest.raises(DeclarationError, match="nothing was audited yet"):
        quality.read(work)
    assert found(work, None) == []


def test_scores_are_shares_of_what_was_checked(filled: Workspace, shop: Shop) -> None:
    scores = {(s.table, s.dimension): s for s in run.audit(filled, shop).scores}
    lines = scores["raw.order_line", Dimension.VALIDITY]
    assert 0 < lines.held < lines.checked
    assert scores["raw.customer", Dimension.UNIQUENESS].share == 1
    orders = scores["raw.sales_order", Dimension.CONSISTENCY]
    assert (orders.held, orders.checked) == (39, 40)  # two rules, twice ten orders; one no longer added up
    document = quality.read(filled)
    assert all(0 <= float(s.share) <= 1 for s in document.scores)
    assert {s.before for s in document.scores} == {None}
    run.audit(filled, shop)
    assert all(s.before == s.share for s in quality.read(filled).scores if s.dimension != "timeliness")


@pytest.fixture
def promising(tmp_path: Path) -> Workspace:
    """The small project, whose order lines are promised to be right in 90 % and its customers on time in 99 %."""
    project = own_project(tmp_path / "project")
    for table, promise in (("order_line", "{valid: 90%, over: 30d}"), ("customer", "{on_time: 99%, over: 30d}")):
        file = project / "contracts" / "raw" / f"{table}.yml"
        text = file.read_text("utf-8")
        file.write_text(text.replace("  owner:", f"  slo: {promise}\n  owner:", 1), "utf-8")
    return workspace(tmp_path / "home", project=project)


def _budgets(work: Workspace) -> dict[str, budgets.Budget]:
    with work.warehouse.reading() as connection:
        return {b.promise: b for b in budgets.of_all(connection, work.catalog, clock.now())}


def test_a_promise_is_told_before_it_is_broken(promising: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = small_shop(customers=3, orders=10)
    load(promising, shop, "reference")
    load(promising, shop, "sales", MAY)
    assert _budgets(promising)["valid"].spent == 0
    assert [i for i in status.read(promising).incidents if "promise" in i.sentence or "budget" in i.sentence] == []
    shop.lines[0] = line(1, 1, qty=-1)
    load(promising, shop, "sales", MAY)
    spent = _budgets(promising)["valid"]
    assert (spent.whole, spent.wrong) == (40, 2)  # two deliveries of 20 lines; the order goes as a whole
    assert spent.allowed == pytest.approx(4)
    assert spent.spent == pytest.approx(0.5)
    assert spent.runs_out is not None
    run.audit(promising, None)
    (told_,) = [i for i in status.read(promising).incidents if "budget" in i.sentence]
    assert told_.sentence.startswith(
        "raw.order_line, valid 90 % over 30 days: 50 % of the budget is spent, it runs out"
    )
    shop.lines[4] = line(3, 1, qty=-1)
    shop.lines[6] = line(4, 1, qty=-1)
    load(promising, shop, "sales", MAY)
    assert _budgets(promising)["valid"].is_broken
    monkeypatch.setattr(clock, "now", lambda: NOW() + timedelta(days=31))
    assert _budgets(promising)["valid"].wrong == 0  # long ago
    late = _budgets(promising)["on time"]
    assert late.wrong == pytest.approx(24 * 30 - 2, abs=0.2)  # of 30 days; the first two hours were agreed still
    assert late.is_broken
    run.audit(promising, None)
    said = [i.sentence for i in status.read(promising).incidents if "promise" in i.sentence]
    assert said == ["raw.customer, on time 99 % over 30 days: the promise is broken"]


@pytest.mark.parametrize(
    ("promise", "says"),
    [
        ("{over: 30d}", "a promise says valid, on_time or both"),
        ("{valid: 90%}", "over"),
        ("{valid: 90%, over: month}", "'month' is no number of days such as 30d"),
        ("{valid: 900%, over: 30d}", "share"),
        ("{vaild: 90%, over: 30d}", "unknown key"),
        ("{on_time: 90%, over: 30d}", "late_after_hours"),
    ],
)
def test_a_promise_that_cannot_be_kept_or_read_is_refused(tmp_path: Path, promise: str, says: str) -> None:
    project = own_project(tmp_path / "project")
    file = project / "contracts" / "raw" / "sales_order.yml"
    file.write_text(file.read_text("utf-8").replace("  owner:", f"  slo: {promise}\n  owner:", 1), "utf-8")
    with pytest.raises(DeclarationError, match=says) as caught:
        workspace(tmp_path / "home", project=project)
    assert "contracts/raw/sales_order.yml" in str(caught.value)


@pytest.mark.parametrize(
    ("hours_at", "late", "whole"),
    [
        ((0,), 0.0, 0.0),
        ((0, 20, 40, 60), 0.0, 100.0),
        ((0, 50), 26.0 + 26.0, 100.0),
        ((), 0.0, 0.0),
        ((90,), 0.0, 10.0),
    ],
)
def test_late_hours_are_those_beyond_what_was_agreed(hours_at: tuple[int, ...], late: float, whole: float) -> None:
    start = datetime(2014, 5, 1)
    span = Span(start, start + timedelta(hours=100))
    deliveries = [start + timedelta(hours=h) for h in hours_at]
    allowed = timedelta(hours=40) if hours_at == (0, 20, 40, 60) else timedelta(hours=24)
    found_late, found_whole = punctuality.late_hours(deliveries, allowed, span)
    if hours_at == (0,):
        assert (found_late, found_whole) == (76.0, 100.0)
    else:
        assert (found_late, found_whole) == (late, whole)


@contextmanager
def environment(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATAOPS_HOME", str(work.settings.paths.home))
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", work.settings.warehouse_url)
    monkeypatch.setenv("DATAOPS_PROJECT", str(work.settings.paths.project))
    yield


def test_the_command_says_what_was_found_who_must_act_and_ends_accordingly(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with environment(filled, monkeypatch):
        assert main(["audit", "--last"]) == 2
        assert "nothing was audited yet" in capsys.readouterr().err
        assert main(["audit", "--no-source"]) == 0
        assert "Nothing was found; compared with no source" in capsys.readouterr().out
        change(filled, "UPDATE curated.fct_line SET amount = amount + 1 WHERE order_id = 3")
        assert main(["audit", "--no-source"]) == 1
        out = capsys.readouterr().out
        assert "curated.fct_line" in out
        assert "dataops incidents show INC-" in out
        assert main(["audit", "--source", "csv:/nowhere"]) == 1
        assert "the source could not be opened" in capsys.readouterr().out
        assert main(["audit", "--last", "--json"]) == 1
        assert '"dataops.quality/1"' in capsys.readouterr().out
