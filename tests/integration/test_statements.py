"""No transaction changes both rows and the shape of tables: a warehouse that commits at DDL would publish half of it.

Watches the statements of every verb on both warehouses; and a build is of one state of what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from dataops.declared.errors import PlatformError
from dataops.gate.waivers import Scope
from dataops.ledger import clock
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, stewards, transforms
from tests.support.shop import Shop, fetch, land, line, load, own_project, small_shop, workspace

pytestmark = pytest.mark.integration
SHAPE = re.compile(r"\s*(CREATE|DROP|ALTER|TRUNCATE)\b", re.IGNORECASE)
ROWS = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|COPY)\b|\s*WITH\b.*\b(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


@pytest.fixture
def transactions() -> Iterator[list[list[str]]]:
    """The statements that change something, by transaction, of all connections in this process."""
    done: list[list[str]] = []
    open_: dict[int, list[str]] = {}

    def seen(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if SHAPE.match(statement) or ROWS.match(statement):
            open_.setdefault(id(connection), []).append(" ".join(statement.split())[:90])

    def ended(connection: Connection) -> None:
        if statements := open_.pop(id(connection), None):
            done.append(statements)

    listened = (("before_cursor_execute", seen), ("commit", ended), ("rollback", ended))
    for name, listener in listened:
        sa.event.listen(Engine, name, listener)
    yield done
    for name, listener in listened:
        sa.event.remove(Engine, name, listener)
    assert open_ == {}


def _mixed(transactions: list[list[str]]) -> list[list[str]]:
    return [found for found in transactions if any(map(SHAPE.match, found)) and any(map(ROWS.match, found))]


def test_no_transaction_changes_both_rows_and_the_shape_of_tables(
    work: Workspace, transactions: list[list[str]]
) -> None:
    jobs.initialise(work)
    transactions.clear()
    _every_verb(work, small_shop(orders=8))
    assert _mixed(transactions) == []
    shapes = [statement for found in transactions for statement in found if SHAPE.match(statement)]
    rows = [statement for found in transactions for statement in found if ROWS.match(statement)]
    for made in ("TEMPORARY TABLE bad", "TEMPORARY TABLE difference", "TEMPORARY TABLE gone_order_line", "VIEW"):
        assert any(made in statement for statement in shapes), made
    for place in (
        "validated.order_line",
        "quarantine.order_line",
        "validated_history.",
        "curated.",
        "ops.publications",
    ):
        assert any(place in statement for statement in rows), place


def test_a_column_that_a_contract_gains_is_added_in_a_transaction_of_its_own(
    tmp_path: Path, transactions: list[list[str]]
) -> None:
    own = own_project(tmp_path / "project")
    shop = small_shop()
    load(workspace(tmp_path / "home", project=own), shop, "reference")
    contract = own / "contracts" / "raw" / "customer.yml"
    text = contract.read_text(encoding="utf-8")
    added = text.replace("columns:\n", "columns:\n  - name: nick\n    data_type: varchar\n", 1)
    contract.write_text(added.replace("x-dataops:\n", "x-dataops:\n  drift: {missing: evolve}\n", 1), encoding="utf-8")
    transactions.clear()
    load(workspace(tmp_path / "home", project=own), shop, "reference")
    assert any("ADD COLUMN" in statement for found in transactions for statement in found)
    assert _mixed(transactions) == []


def _every_verb(work: Workspace, shop: Shop) -> None:
    """Loads, holds, waives, replays, builds whole and for some keys, goes back, gives up; nothing may be forgotten."""
    for group in ("reference", "sales"):
        assert load(work, shop, group).verdict.passed
    assert jobs.build(work, "curated")[1].publication is not None
    shop.add_order(901, 1, 3, [line(901, 1, qty=5000, price="0.01"), line(901, 2)])
    shop.orders.pop(0)
    shop.lines[:] = [row for row in shop.lines if row["order_id"] != 1]
    assert load(work, shop, "sales").verdict.passed
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.order_line WHERE _closed IS NULL") == [(2,)]
    jobs.build(work, "curated")
    scope, until = Scope("sales", "SAL-031", keys=(("901", "1"),)), clock.now() + timedelta(days=1)
    made = stewards.add_waiver(work, scope, "anna", "agreed", until)
    stewards.approve_waiver(work, made.waiver.waiver_id, "ben")
    jobs.replay(work, "sales", dry_run=True)
    assert jobs.replay(work, "sales").rows_passing == 3
    jobs.build(work, "curated")
    assert jobs.roll_back(work, "sales", "sales-0001", "test").status == "published"
    assert load(work, shop, "sales").publication is not None
    shop.orders.clear()
    refused = land(work, shop, "sales")
    assert not jobs.run_gate(work, "sales", refused).passed
    stewards.discard_batch(work, refused, "anna", "a test")


def test_a_build_is_of_one_state_of_what_it_reads(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that are published between two models of a build: it begins again, once, and reads them in both."""
    shop = small_shop()
    for group in ("reference", "sales"):
        load(work, shop, group)
    made, began = transforms._build_one, []

    def between(*arguments: Any, **options: Any) -> Any:
        found = made(*arguments, **options)
        if not began:
            shop.add_order(77, 1, 4, [line(77, 1)])
            load(work, shop, "sales")
        began.append(1)
        return found

    monkeypatch.setattr(transforms, "_build_one", between)
    built, done = jobs.build(work, "curated")
    assert done.publication is not None
    assert len(began) == 2 * len(built.models)
    assert fetch(work, "SELECT COUNT(*) FROM curated.fct_line WHERE order_id = 77") == [(1,)]
    assert fetch(work, "SELECT COUNT(*) FROM ops.batches WHERE state = 'open'") == [(0,)]


def test_a_build_of_what_never_rests_gives_up_and_leaves_nothing(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = small_shop()
    for group in ("reference", "sales"):
        load(work, shop, group)
    monkeypatch.setattr(transforms, "_is_stale", lambda *_: True)
    with pytest.raises(PlatformError, match=r"published anew each time .* 3 times.*\n.*dataops build curated"):
        jobs.build(work, "curated")
    assert fetch(work, "SELECT COUNT(*) FROM ops.batches WHERE group_name = 'curated'") == [(0,)]
    monkeypatch.undo()
    assert jobs.build(work, "curated")[1].publication is not None
