"""Soda and Great Expectations judge one batch at the same time; nobody waits for the slower one to fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataops.declared.errors import PlatformError
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources import Window
from tests.support.shop import fetch, land, load, small_shop, workspace

DAYS = ("2014-05-01..2014-05-02", "2014-05-02..2014-05-03")
pytestmark = pytest.mark.integration


@pytest.fixture
def server(postgres_url: str, tmp_path: Path) -> Workspace:
    """A warehouse with clean customers, where who waits for a lock gives up after five seconds."""
    work = workspace(tmp_path / "home", postgres_url)
    load(work, small_shop(), "reference")
    return work


def test_an_audit_runs_beside_another_one_of_its_batch(server: Workspace) -> None:
    batch = land(server, small_shop(), "sales")
    with server.warehouse.lock("sales", "gate", shared=True):  # as an audit that takes long
        for engine in ("soda", "gx"):
            jobs.audit(server, batch, engine)  # type: ignore[arg-type]
        with pytest.raises(PlatformError, match=r"sales is busy: PID \d+ \(sales, gate\) holds it"):
            jobs.judge(server, batch)
    assert jobs.judge(server, batch).passed


def test_both_audits_at_once_come_to_the_verdict_of_one_after_the_other(server: Workspace) -> None:
    batch = land(server, small_shop(), "sales")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(jobs.audit, server, batch, engine) for engine in ("soda", "gx")]:
            done.result()
    at_once = jobs.judge(server, batch)
    one_by_one = jobs.run_gate(server, "sales", land(server, small_shop(), "sales"))
    assert [(r.rule.id, r.outcome) for r in at_once.results] == [(r.rule.id, r.outcome) for r in one_by_one.results]


def test_an_audit_waits_while_another_batch_of_its_group_is_judged(server: Workspace) -> None:
    batch, other = (land(server, small_shop(), "sales", Window.parse(day)) for day in DAYS)
    with (
        server.warehouse.lock("sales", "gate", shared=True),
        pytest.raises(PlatformError, match=r"sales is busy"),
    ):
        jobs.audit(server, batch, "soda")
    jobs.audit(server, other, "soda")
    jobs.audit(server, batch, "soda")
    jobs.audit(server, batch, "gx")
    assert jobs.judge(server, batch).passed


def test_an_audit_sees_the_columns_that_the_contract_has_now(server: Workspace) -> None:
    batch = land(server, small_shop(), "sales")
    with server.warehouse.transaction() as connection:  # as an earlier contract without `note` left it
        connection.exec_driver_sql("DROP VIEW candidate.order_line")
        connection.exec_driver_sql(
            "CREATE VIEW candidate.order_line AS SELECT order_id, line_id, qty, price, amount, _row, _problems"
            f" FROM raw.order_line WHERE _batch = {_number(server, batch)}"
        )
    assert jobs.run_gate(server, "sales", batch).passed


def _number(work: Workspace, batch: str) -> int:
    return int(fetch(work, f"SELECT seq FROM ops.batches WHERE batch_id = '{batch}'")[0][0])
