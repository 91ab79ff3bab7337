"""How PostgreSQL goes about a delivery and about figures: what compares rows with rows joins them.

A subplan may be walked once per row, and a join by part of its columns may compare everything with everything, so that
their time grows with the square of the delivery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from dataops.declared import settings
from dataops.gate.waivers import Scope
from dataops.lab.faulty_source import open_source
from dataops.ledger import clock
from dataops.ledger.workspace import open_workspace
from dataops.pipeline import jobs, stewards
from tests.conftest import PROJECT, PostgresServer
from tests.support.shop import fetch, land, line, small_shop, workspace

pytestmark = pytest.mark.integration
QTY = "SAL-031"
EXPLAINED = re.compile(r"\s*(SELECT|INSERT|DELETE|UPDATE)\b", re.IGNORECASE)
ROWS = re.compile(r"\b(raw|candidate|quarantine|validated)\.|\b(bad|exempt|difference)\b", re.IGNORECASE)


@pytest.fixture
def plans() -> Iterator[dict[str, str]]:
    """What PostgreSQL says it will do for each statement on rows, as they come."""
    found: dict[str, str] = {}

    def explain(connection: Any, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        if EXPLAINED.match(statement) and ROWS.search(statement) and not many:
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {statement}", parameters or None)
                found[statement] = "\n".join(row[0] for row in cursor.fetchall())

    sa.event.listen(Engine, "before_cursor_execute", explain)
    yield found
    sa.event.remove(Engine, "before_cursor_execute", explain)


def test_no_statement_on_rows_is_a_subplan(tmp_path: Path, postgres: PostgresServer, plans: dict[str, str]) -> None:
    """Whole deliveries, judged and published: a first, one with a family that is held, one of which a row is waived."""
    work = workspace(tmp_path, postgres.create_database("plans"))
    shop = small_shop(orders=30)
    for day in (1, 2, 3):
        for group in ("reference", "sales"):
            batch = land(work, shop, group)
            jobs.run_gate(work, group, batch)
            jobs.publish(work, group, batch)
        if day == 2:
            scope, until = Scope("sales", QTY, keys=(("902", "1"),)), clock.now() + timedelta(days=1)
            made = stewards.add_waiver(work, scope, "anna", "agreed", until)
            stewards.approve_waiver(work, made.waiver.waiver_id, "ben")
        shop.add_order(900 + day, 1, day, [line(900 + day, 1, qty=5000, price="0.01"), line(900 + day, 2)])
    assert fetch(work, "SELECT qty FROM validated.order_line WHERE order_id = 902 AND line_id = 1") == [(5000,)]
    assert sum("difference" in statement for statement in plans) > 5
    assert sum("quarantine" in statement for statement in plans) > 5
    assert {statement: plan for statement, plan in plans.items() if "SubPlan" in plan} == {}


ACTUAL = re.compile(r"actual rows=(\d+) loops=(\d+)")
REMOVED = re.compile(r"Rows Removed by (?:Join )?Filter: (\d+)")
MOST = 1_000_000  # comparisons of a few thousand rows


@pytest.fixture
def comparisons() -> Iterator[dict[str, int]]:
    """By statement that makes figures or judges them: the most rows that a step of its plan went through."""
    most: dict[str, int] = {}

    def explain(connection: Any, _: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        select = re.sub(r"^\s*CREATE TABLE \S+ AS\s", "", statement)
        if re.match(r"\s*SELECT\b", select) and re.search(r"\b(candidate|marts)\.", select) and not many:
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING off) {select}", parameters or None)
                most[statement] = went_through("\n".join(row[0] for row in cursor.fetchall()))

    sa.event.listen(Engine, "before_cursor_execute", explain)
    yield most
    sa.event.remove(Engine, "before_cursor_execute", explain)


def went_through(plan: str) -> int:
    """Rows that a step gave in all its rounds, or that it threw away in one."""
    given = [int(rows) * int(rounds) for rows, rounds in ACTUAL.findall(plan)]
    return max([*given, *(int(rows) for rows in REMOVED.findall(plan))], default=0)


def test_no_figure_compares_everything_with_everything(
    tmp_path: Path, postgres: PostgresServer, comparisons: dict[str, int]
) -> None:
    url = postgres.create_database("figures")
    environ = {"DATAOPS_HOME": str(tmp_path), "DATAOPS_WAREHOUSE_URL": url}
    work = open_workspace(settings.load(environ, project=PROJECT))
    with closing(open_source("generator:?scale=0.1&seed=7&days=400")) as source:
        for group in ("reference", "sales", "inventory"):
            jobs.load(work, group, None, source)
    for group in ("curated", "kpis"):
        done = jobs.build(work, group)[1]
        assert done.publication, done.verdict
    assert len(comparisons) > 50
    assert {statement: rows for statement, rows in comparisons.items() if rows > MOST} == {}
