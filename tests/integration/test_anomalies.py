"""Every gate run remembers its metrics; what is unusual for the group opens an incident and changes no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dataops.declared import settings
from dataops.facts import status
from dataops.gate import anomalies, candidates
from dataops.gate.verdict import Verdict
from dataops.ledger import batches as batch_records
from dataops.ledger import incidents
from dataops.ledger.enums import VerdictName
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs
from dataops.pipeline.intake import extraction
from dataops.sources import open_source
from dataops.sources.port import Window
from tests.support.shop import Shop, customer, fetch, land, line, load, own_project, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

MAY = datetime(2014, 5, 1)
ORDERS = 40


def shop_of(days: int, orders: int = ORDERS) -> Shop:
    """Days of the same number of orders, each with one line; `note` is one of four tills."""
    shop = Shop(customers=[customer(n) for n in range(1, 5)])
    for number in range(days * orders):
        note = {"note": f"till {number % 4}"}
        shop.add_order(number, 1 + number % 4, 1 + number // orders, [line(number, 1, qty=1 + number % 5) | note])
    return shop


def window(day: int) -> Window:
    return Window(MAY + timedelta(days=day - 1), MAY + timedelta(days=day))


def watched(work: Workspace, batch_id: str, passed: bool = True) -> str:
    """The batch's metrics and what is unusual about it, as if both engines had judged it; the verdict's name."""
    with work.warehouse.transaction() as connection:
        batch = batch_records.required(connection, batch_id)
        group = batch_records.group_of(connection, work, batch)
        candidates.point_at(connection, group, batch)
        verdict = Verdict(VerdictName("PASSED" if passed else "FAILED"), batch_id, group.name, ("",), ())
        verdict = anomalies.watch(connection, group, batch, verdict)
        batch_records.record_verdict(connection, batch.seq, verdict.name, verdict.reasons, group.rules_hash, ())
        return verdict.name


@pytest.fixture
def shop(work: Workspace) -> Iterator[Shop]:
    """Ten days of history."""
    shop = shop_of(12)
    for day in range(1, 11):
        watched(work, land(work, shop, "sales", window(day)))
    assert opened(work) == []
    return shop


def opened(work: Workspace) -> list[tuple[str, str, int]]:
    found = fetch(work, "SELECT fingerprint, state, times FROM ops.incidents ORDER BY seq")
    return [(str(f), str(s), int(t)) for f, s, t in found]


def told(work: Workspace) -> list[str]:
    with work.warehouse.reading() as connection:
        return [f.says for i in incidents.open_incidents(connection) for f in i.detail.findings]


def half_gone(shop: Shop, day: int) -> None:
    shop.orders = [o for o in shop.orders if o["order_date"].day != day or o["order_id"] % 2]
    kept = {o["order_id"] for o in shop.orders}
    shop.lines = [row for row in shop.lines if row["order_id"] in kept]


def test_the_metrics_of_a_batch_are_kept_by_dataset_column_and_name(work: Workspace) -> None:
    shop = shop_of(1)
    shop.lines[0]["note"] = None
    watched(work, land(work, shop, "sales", window(1)))
    found = {
        (column, metric): value
        for column, metric, value in fetch(
            work, "SELECT column_name, metric, value FROM ops.metrics WHERE table_name = 'order_line'"
        )
    }
    assert found[None, "rows"] == ORDERS
    assert found["note", "null_share"] == pytest.approx(1 / ORDERS)
    assert (found["note", "distinct"], found["note", "share:till 1"]) == (4, 0.25)
    assert (found["qty", "min"], found["qty", "max"], found["qty", "mean"]) == (1, 5, 3)
    assert ("order_id", "share:1") not in found
    age = fetch(work, "SELECT value FROM ops.metrics WHERE metric = 'age_hours'")
    assert age == [(24.0,)]


def test_judging_again_replaces_the_metrics(work: Workspace) -> None:
    batch = land(work, shop_of(1), "sales", window(1))
    watched(work, batch)
    before = fetch(work, "SELECT COUNT(*) FROM ops.metrics")
    watched(work, batch)
    assert fetch(work, "SELECT COUNT(*) FROM ops.metrics") == before


def test_half_a_day_missing_is_told_once_and_published(work: Workspace, shop: Shop) -> None:
    """Through the whole gate: the verdict stays PASSED, the group is published, the incident stays open."""
    half_gone(shop, 11)
    stock(work, shop, "reference")
    done = load(work, shop, "sales", window(11))
    assert (done.verdict.name, done.publication.status) == ("PASSED", "published")
    assert "order_line has 20 rows, usual are 40" in told(work)
    found = [("sales:anomaly:order_line:volume", "open", 1), ("sales:anomaly:sales_order:volume", "open", 1)]
    assert sorted(opened(work)) == found
    assert not status.read(work).held
    with work.warehouse.transaction() as connection:
        for incident in incidents.open_incidents(connection):
            incidents.acknowledge(connection, incident.incident_id, "anna")
    whole = shop_of(12)
    done = load(work, whole, "sales", window(11))
    assert sorted(done.publication.resolved) == ["INC-0001", "INC-0002"]


def test_a_category_that_is_gone_or_new_or_doubled_is_told(work: Workspace) -> None:
    """Of enough rows: of forty, a share of a quarter may vary by a third of itself."""
    shop = shop_of(9, orders=160)
    for row in shop.lines:
        if row["order_id"] >= 8 * 160:
            row["note"] = {"till 2": "till 1", "till 3": "till 9"}.get(row["note"], row["note"])
    for day in range(1, 10):
        watched(work, land(work, shop, "sales", window(day)))
    assert sorted(told(work)) == [
        "till 1 is note of 50.0% of order_line, usual are 25.0%",
        "till 2 is note of 0.0% of order_line, usual are 25.0%",
        "till 3 is note of 0.0% of order_line, usual are 25.0%",
        "till 9 is note of 25.0% of order_line, usual are 0.0%",
    ]
    assert opened(work) == [("sales:anomaly:order_line:distribution", "open", 1)]


def test_what_was_unusual_held_or_settled_teaches_nothing(work: Workspace, shop: Shop) -> None:
    """The same half day again is as unusual as the first time, and no batch is in its own history."""
    half_gone(shop, 11)
    half_gone(shop, 12)
    watched(work, land(work, shop, "sales", window(11)))
    excluded = "SELECT DISTINCT table_name, metric FROM ops.metrics WHERE excluded ORDER BY 1"
    assert fetch(work, excluded) == [("order_line", "rows"), ("sales_order", "rows")]
    watched(work, land(work, shop, "sales", window(12)))
    assert [times for *_, times in opened(work)] == [2, 2]
    watched(work, land(work, shop_of(13), "sales", window(13)), passed=False)
    columns = fetch(work, "SELECT COUNT(*) FROM ops.metrics WHERE excluded IS NOT TRUE AND batch = 13")
    assert columns == [(0,)]


def test_critical_holds_the_batch_until_a_person_calls_it_expected(work: Workspace, shop: Shop, tmp_path: Path) -> None:
    project = own_project(tmp_path / "project")
    checkpoint = project / "checkpoints/sales.yml"
    checkpoint.write_text(checkpoint.read_text() + "anomalies: {severity: critical}\n")
    url = None if work.warehouse.dialect == "duckdb" else work.settings.warehouse_url
    strict = workspace(work.settings.paths.home, url, project)
    half_gone(shop, 11)
    stock(strict, shop, "reference")
    done = load(strict, shop, "sales", window(11))
    assert (done.verdict.name, done.publication) == ("FAILED", None)
    assert "sales_order has 20 rows, usual are 40" in done.verdict.reasons
    with strict.warehouse.transaction() as connection:
        incidents.close(connection, "INC-0001", "expected change", "a holiday", "anna")
    assert jobs.run_gate(strict, "sales", done.batch_id).name == "PASSED"


def test_off_is_off(work: Workspace, shop: Shop, tmp_path: Path) -> None:
    project = own_project(tmp_path / "project")
    checkpoint = project / "checkpoints/sales.yml"
    checkpoint.write_text(checkpoint.read_text() + "anomalies: {severity: off}\n")
    url = None if work.warehouse.dialect == "duckdb" else work.settings.warehouse_url
    half_gone(shop, 11)
    quiet = workspace(work.settings.paths.home, url, project)
    watched(quiet, land(quiet, shop, "sales", window(11)))
    assert opened(work) == []


SPOILT = {
    "half a day": ("DELETE FROM raw.{} WHERE _batch = 33 AND sales_order_id % 2 = 0", "sales_order_header has"),
    "a territory": ("DELETE FROM raw.{} WHERE _batch = 33 AND territory_id = 9", "9 is territory_id of 0.0%"),
    "a category": (
        "UPDATE raw.{} SET territory_id = 1 WHERE _batch = 33 AND territory_id IN (4, 6, 7)",
        "1 is territory_id of",
    ),
}


def test_a_clean_history_of_the_generator_gives_no_alarm_and_spoilt_days_do(tmp_path: Path) -> None:
    """Thirty-two days at scale 10; then one day without its half, without a territory, with a territory doubled."""
    project = Path(__file__).resolve().parents[2]
    work = open_workspace(settings.load({"DATAOPS_HOME": str(tmp_path)}, project=project))
    source = open_source("generator:?scale=10&seed=7", project=project, cache=tmp_path / "source")
    group, start = work.catalog.group("sales"), datetime(2013, 5, 1)
    for day in range(33):
        span = Window(start + timedelta(days=day), start + timedelta(days=day + 1))
        batch_id = extraction.extract(work, group, source, span)
        assert watched(work, batch_id) == "PASSED"
    assert opened(work) == []
    for what, (sql, said) in SPOILT.items():
        with work.warehouse.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE kept AS SELECT * FROM raw.sales_order_header WHERE _batch = 33")
            connection.exec_driver_sql(sql.format("sales_order_header"))
            batch = batch_records.required(connection, batch_id)
            anomalies.metrics.store(connection, group, batch, excluded=False)
            found = [f.says for f in anomalies.findings(connection, group, batch)]
            assert any(text.startswith(said) for text in found), (what, found)
            connection.exec_driver_sql("DELETE FROM raw.sales_order_header WHERE _batch = 33")
            connection.exec_driver_sql("INSERT INTO raw.sales_order_header SELECT * FROM kept")
            connection.exec_driver_sql("DROP TABLE kept")
