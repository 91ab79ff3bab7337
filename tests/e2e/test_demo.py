"""The demo's acts as a user sees them: figures tied, a bad delivery held, a second run that publishes nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from tests.support.marquez import MarquezDouble, client
from tests.support.slack_double import HOOK, SlackDouble

from dataops.declared.settings import load
from dataops.lab.demo import told
from dataops.lab.demo.acts import (
    BAD_DAY,
    DemoError,
    Stage,
    bad_delivery,
    data_found,
    first_look,
    say_totals,
    still_holds,
)
from dataops.lab.demo.lock import both_spellings
from dataops.lab.demo.memory import Memory
from dataops.lab.demo.origin import Origin
from dataops.lab.demo.scheduled import plan
from dataops.lab.demo.screen import Screen
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.lineage import relaying

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = "generator:?scale=0.05&seed=7"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("home")
    return open_workspace(load({"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": SOURCE}, PROJECT))


def _play(work: Workspace) -> str:
    """Acts 3 to 5; returns what they printed."""
    out = io.StringIO()
    memory = Memory(work.settings.paths.home / "demo.json")
    memory.forget_unless(still_holds(work))
    stage = Stage(work, Origin(SOURCE), Screen(out, io.StringIO()), memory)
    data_found(stage, "the generator")
    first_look(stage)
    bad_delivery(stage)
    return out.getvalue()


def _publications(work: Workspace) -> list[str]:
    with work.warehouse.reading() as connection:
        query = sa.select(ledger.publications.c.publication_id).order_by(ledger.publications.c.seq)
        return [row[0] for row in connection.execute(query)]


def test_the_acts_tie_to_the_source_hold_the_bad_day_and_repeat_without_publishing(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SlackDouble() as slack, MarquezDouble() as marquez:
        monkeypatch.setenv(told.WEBHOOK, f"{slack.url}/services/{HOOK}")
        monkeypatch.setenv("DATAOPS_LINEAGE_URL", marquez.url)
        first = _play(work)
        relaying.relay_all(work)
        _require_lineage(work, marquez)
    assert [message.body["text"][:7] for message in slack.messages] == ["■ Sales", "● Solve"]
    assert "not told yet" not in first
    published = _publications(work)
    firsts = ["reference", "sales", "inventory", "curated", "campaigns", "clv", "kpis", "stock"]
    seconds = ["sales", "curated", "campaigns", "clv", "kpis"]
    assert published == [*(f"{name}-0001" for name in firsts), *(f"{name}-0002" for name in seconds)]
    assert first.count("as in the source.") == 2
    assert "HELD" in first
    assert "INC-0001 solved by it" in first
    second = _play(work)
    assert _publications(work) == published
    assert second.count("already there") == 13
    assert second.count("as in the source.") == 2


def _require_lineage(work: Workspace, marquez: MarquezDouble) -> None:
    """Where figures come from, and whether they were checked, as Marquez says it."""
    source = "mssql://sql.adventure-works.example:1433:AdventureWorks.Sales.SalesOrderDetail"
    warehouse = f"duckdb://{work.settings.project.name}"
    graph = client.get(marquez.url, "lineage", nodeId=f"dataset:{warehouse}:marts.report_profit", depth="20")["graph"]
    assert f"dataset:{source}" in {node["id"] for node in graph}
    profit = f"datasetField:{warehouse}:curated.fct_sales:gross_profit"
    columns = client.get(marquez.url, "column-lineage", nodeId=profit)["graph"]
    names = {node["id"].rpartition(":")[2] for node in columns}
    assert {"unit_price", "order_qty", "unit_price_discount", "standard_cost"} <= names
    assert f"datasetField:{source}:unit_price" in {node["id"] for node in columns}
    broken = set()
    for table in ("sales_order_header", "sales_order_detail"):
        runs = client.get(marquez.url, f"namespaces/adventureworks/jobs/sales.gate.{table}/runs")["runs"]
        assert [run["state"] for run in runs] == ["COMPLETED", "FAILED", "COMPLETED"]
        broken |= {test["name"] for test in runs[1]["facets"]["test"]["tests"] if test["status"] == "fail"}
    assert broken
    place = f"namespaces/{quote(warehouse, '')}/datasets/raw.sales_order_detail"
    said = client.get(marquez.url, place)["facets"]["dataQualityAssertions"]["assertions"]
    assert said
    assert all(each["success"] for each in said)
    assert marquez.refused == []


def test_figures_that_differ_from_the_source_stop_the_demo(work: Workspace) -> None:
    stage = Stage(
        work, Origin("generator:?scale=0.05&seed=8"), Screen(io.StringIO(), io.StringIO()), Memory(Path("none"))
    )
    with pytest.raises(DemoError, match="They differ"):
        say_totals(stage, BAD_DAY + timedelta(days=1))


def test_the_runs_under_airflow_cover_every_day_after_the_bad_one_without_a_gap() -> None:
    starts = plan(datetime(2014, 6, 30))
    sales = [(s.partition, s.conf.get("window")) for s in starts if s.dag_id == "sales_etl"]
    assert sales == [("2014-06-29", "2014-05-02..2014-06-30"), ("2014-06-30", None)]
    assert {s.dag_id for s in starts} == {"reference_etl", "sales_etl", "inventory_monitoring"}


def test_a_step_that_no_longer_holds_is_done_again_with_all_that_follow(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "demo.json")
    for step in ("a", "b", "c"):
        memory.once(step, lambda step=step: {"publication": step})  # type: ignore[misc]
    again = Memory(tmp_path / "demo.json")
    again.forget_unless(lambda facts: facts["publication"] != "b")
    assert [step in again for step in ("a", "b", "c")] == [True, False, False]


def test_a_pin_with_extras_is_spelled_both_ways_with_the_same_hashes() -> None:
    lock = 'click==8.1 \\\n    --hash=sha256:aa\nsqlalchemy[asyncio]==2.0.58 ; a == "b" \\\n    --hash=sha256:bb\n'
    added = 'sqlalchemy==2.0.58 ; a == "b" \\\n    --hash=sha256:bb\n'
    assert both_spellings(lock) == lock.replace("sqlalchemy[", added + "sqlalchemy[")


def test_cleaning_removes_what_the_platform_wrote_and_nothing_else(tmp_path: Path) -> None:
    for name in ("warehouse.duckdb", "demo.json", "mine.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "locks").mkdir()
    environ = os.environ | {"DATAOPS_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT / "src")}
    subprocess.run([sys.executable, "-S", "-m", "dataops.lab.demo.clean"], env=environ, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_make_help_lists_at_most_twelve_targets_with_a_line_each() -> None:
    # make names the directory it enters when another make has called it, as `make test` does.
    out = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    lines = out.strip().splitlines()
    assert 1 < len(lines) <= 12
    assert all(len(line.split()) > 3 for line in lines)
