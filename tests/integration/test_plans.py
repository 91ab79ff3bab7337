"""How PostgreSQL goes about a delivery: what compares rows with rows joins them, whatever it knows of the tables.

A subplan may be walked once per row, so that its time grows with the square of the delivery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from dataops.gate.waivers import Scope
from dataops.ledger import clock
from dataops.pipeline import jobs, stewards
from tests.conftest import PostgresServer
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
