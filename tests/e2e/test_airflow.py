"""The DAGs under a real headless Airflow: what is published, announced, repeated, held."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from dataops import ledger
from dataops.airflow.headless import Headless, running
from dataops.airflow.rest import Run
from dataops.settings import load
from dataops.workspace import Workspace, open_workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PROJECT = Path(__file__).resolve().parents[2]
DAGS = ("reference_etl", "sales_etl", "inventory_monitoring")
SOURCE = "generator:?scale=0.02&seed=7&days=60"  # about ten orders a day from 2011-05-31
BEFORE, DAY, NEXT, BAD = "2011-07-25", "2011-07-26", "2011-07-27", "2011-07-28"
LIMIT = 600


@dataclass
class Installation:
    """An Airflow, and the warehouse its tasks write to."""

    airflow: Headless
    work: Workspace
    runs: dict[str, Run] = field(default_factory=dict)

    def run(self, dag_id: str, partition: str, window: str | None = None) -> Run:
        conf = {"window": window} if window else {}
        run_id = self.airflow.client.trigger(dag_id, partition, conf)
        self.runs[partition] = self.airflow.client.wait(dag_id, run_id, LIMIT)
        return self.runs[partition]

    def publications(self) -> list[str]:
        with self.work.warehouse.reading() as connection:
            query = sa.select(ledger.publications.c.publication_id).order_by(ledger.publications.c.seq)
            return [row[0] for row in connection.execute(query)] if ledger.version(connection) else []

    def announced(self, asset: str) -> list[tuple[str, str]]:
        """Partition and publication of every event."""
        return [(e["partition_key"], e["extra"]["publication"]) for e in self.airflow.client.events(asset)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Reference data, the history of sales and a day of stock are published before the first test begins."""
    home = tmp_path_factory.mktemp("home")
    mine = {"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": SOURCE}
    others = {k: v for k, v in os.environ.items() if not k.startswith(("DATAOPS_", "AIRFLOW_"))}
    airflow = Headless(PROJECT, home, environ=others | mine)
    try:
        airflow.start(dags=DAGS)
        ready = Installation(airflow, open_workspace(load(others | mine, PROJECT)))
        first = ready.run("reference_etl", BEFORE), ready.run("inventory_monitoring", f"{BEFORE}T23")
        assert [run.state for run in first] == ["success", "success"], first
        history = ready.run("sales_etl", BEFORE, f"2011-05-31..{DAY}")
        assert history.state == "success", history
        yield ready
    finally:
        family = [child for entry in running(airflow.pids).values() for child in _family(entry)]
        airflow.stop()
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def test_no_dag_file_fails_to_import_in_a_running_airflow(installation: Installation) -> None:
    assert installation.airflow.client.import_errors() == []
    assert installation.airflow.client.dags() == sorted(DAGS)


def test_each_day_is_a_partition_that_only_its_publication_announces(installation: Installation) -> None:
    for day in (DAY, NEXT):
        run = installation.run("sales_etl", day)
        assert run.state == "success", run
    assert [key for key, _ in installation.announced("validated/sales")] == [BEFORE, DAY, NEXT]
    assert [key for key, _ in installation.announced("curated/all")][-2:] == [DAY, NEXT]


def test_a_task_cleared_after_its_success_publishes_and_announces_nothing_more(installation: Installation) -> None:
    client = installation.airflow.client
    run_id = installation.runs[NEXT].run_id
    before = _everything(installation)
    for tasks, downstream in ((["sales.publish"], False), (["sales.extract"], True)):
        client.clear("sales_etl", run_id, tasks, downstream=downstream)
        assert client.wait("sales_etl", run_id, LIMIT).state == "success"
    assert _everything(installation) == before


def _everything(installation: Installation) -> list[object]:
    assets = ("validated/sales", "validated/reference", "curated/all")
    return [installation.publications(), *(installation.announced(asset) for asset in assets)]


def test_a_held_day_blocks_everything_after_its_verdict_and_is_not_retried(installation: Installation) -> None:
    before = installation.publications()
    installation.airflow.restart("scheduler", {"DATAOPS_SOURCE_URL": f"{SOURCE}&faults=price_x100,orphan_customer"})
    try:
        run = installation.run("sales_etl", BAD)
    finally:
        installation.airflow.restart("scheduler", {"DATAOPS_SOURCE_URL": SOURCE})
    assert run.state == "failed"
    assert run.in_state("failed") == ["sales.verdict"]
    blocked = ["curated.build", "curated.gx_checkpoint", "curated.publish", "curated.soda_scan", "curated.verdict"]
    assert run.in_state("upstream_failed") == [*blocked, "sales.publish"]
    assert installation.publications() == before
    assert BAD not in [key for key, _ in installation.announced("validated/sales")]
    log = installation.airflow.client.log("sales_etl", run.run_id, "sales.verdict")
    assert "GateBlocked" in log
    assert "dataops quarantine list sales" in log
    again = installation.run("sales_etl", BAD)
    assert again.state == "success", again
    assert [key for key, _ in installation.announced("validated/sales")][-1] == BAD
