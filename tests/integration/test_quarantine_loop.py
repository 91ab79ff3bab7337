"""Quarantine is a loop: what is held comes back by itself, by replay, or is discarded by a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataops.declared import catalog
from dataops.declared.errors import DataRejected
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs, stewards
from dataops.sources.port import Window
from tests.support.shop import Shop, fetch, land, line, load, own_project, small_shop, state, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration
DAY_3 = Window.parse("2014-05-03..2014-05-04")
ORDERS = "SELECT order_id FROM validated.sales_order ORDER BY 1"


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """Its project is a copy, so that a test may correct a rule."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    own = own_project(tmp_path / "project")
    plain = workspace(tmp_path / "home", url)
    settings = replace(plain.settings, paths=replace(plain.settings.paths, project=own))
    return open_workspace(settings)


def _with_a_bad_line(work: Workspace) -> Shop:
    """Order 1 of day 1 waits with both its lines."""
    shop = small_shop()
    stock(work, shop, "reference")
    shop.lines[0] = line(1, 1, qty=5000, price="0.01")
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]
    load(work, shop, "sales")
    assert fetch(work, ORDERS) == [(2,), (3,), (4,)]
    return shop


def _allow_more(work: Workspace) -> Workspace:
    """The rule is corrected: as a new process sees it."""
    file = work.settings.paths.expectations / "raw" / "order_line.yml"
    file.write_text(file.read_text().replace('"max_value": 1000', '"max_value": 10000'))
    return replace(work, catalog=catalog.load(work.settings.paths))


def _closed(work: Workspace) -> dict[Any, Any]:
    return dict(fetch(work, "SELECT _closed, COUNT(*) FROM quarantine.order_line GROUP BY 1"))


def _set_right(shop: Shop) -> None:
    shop.lines[0] = line(1, 1)
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]


def test_the_next_load_asks_for_what_waits_whatever_its_window_is(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    _set_right(shop)
    done = load(work, shop, "sales", DAY_3)
    assert {c.table: (c.new, c.unchanged) for c in done.publication.counts} == {
        "sales_order": (1, 1),
        "order_line": (2, 2),
    }
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    assert _closed(work) == {"released": 2}


def test_what_is_asked_for_again_and_still_bad_goes_on_waiting_and_holds_no_new_batch(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    strict = work.settings.paths.checkpoints / "sales.yml"
    strict.write_text(strict.read_text().replace("rows: 50%, money: 90%", "rows: 0%, money: 0%"))
    work = replace(work, catalog=catalog.load(work.settings.paths))
    done = load(work, shop, "sales", DAY_3)
    assert (done.verdict.name, done.verdict.reasons) == ("PASSED", ())
    assert _closed(work) == {None: 2, "replaced": 2}
    shop.lines[4] = line(3, 1, qty=5000, price="0.01")
    assert load(work, shop, "sales", DAY_3).verdict.name == "FAILED"


def test_what_the_source_has_no_more_waits_no_more(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    del shop.orders[0], shop.lines[:2]
    load(work, shop, "sales", DAY_3)
    assert _closed(work) == {"gone": 2}
    assert fetch(work, "SELECT _closed FROM quarantine.sales_order") == [("gone",)]


def test_a_replay_after_a_corrected_rule_brings_the_family_back_together(work: Workspace) -> None:
    _with_a_bad_line(work)
    work = _allow_more(work)
    before = state(work)
    dry = jobs.replay(work, "sales", dry_run=True)
    assert (dry.waiting, dry.passing, dry.publication) == (
        {"sales_order": 1, "order_line": 2},
        {"sales_order": 1, "order_line": 2},
        None,
    )
    assert state(work) == before
    done = jobs.replay(work, "sales")
    assert done.publication is not None
    assert done.publication.total("new") == 3
    assert done.publication.total("deleted") == 0
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    assert _closed(work) == {"released": 2}
    assert jobs.replay(work, "sales").rows == 0


def test_a_replayed_family_also_loses_the_members_it_came_without(work: Workspace) -> None:
    shop = small_shop()
    stock(work, shop, "reference", "sales")
    shop.lines[0] = line(1, 1, qty=5000, price="0.01")
    del shop.lines[1]
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"]
    load(work, shop, "sales")
    assert fetch(work, "SELECT line_id FROM validated.order_line WHERE order_id = 1 ORDER BY 1") == [(1,), (2,)]
    done = jobs.replay(_allow_more(work), "sales")
    assert done.publication is not None
    assert (done.publication.total("changed"), done.publication.total("deleted")) == (2, 1)
    assert fetch(work, "SELECT line_id, qty FROM validated.order_line WHERE order_id = 1") == [(1, 5000)]


def test_a_replay_in_which_nothing_passes_changes_nothing(work: Workspace) -> None:
    _with_a_bad_line(work)
    before = state(work)
    done = jobs.replay(work, "sales")
    assert (done.rows, done.rows_passing, done.publication) == (3, 0, None)
    assert state(work) == before


def test_rows_of_a_held_batch_are_not_replayed_without_it(work: Workspace) -> None:
    shop = small_shop()
    stock(work, shop, "reference")
    for row in shop.lines:
        row["qty"] = 5000
    assert load(work, shop, "sales").verdict.name == "FAILED"
    assert jobs.replay(_allow_more(work), "sales").rows == 0
    assert fetch(work, ORDERS) == []


def test_discarded_rows_are_kept_with_who_and_why_and_wait_no_more(work: Workspace) -> None:
    _with_a_bad_line(work)
    assert stewards.discard(work, "order_line", "SAL-031", None, None, "x") == {"order_line": 2, "sales_order": 1}
    done = stewards.discard(work, "sales_order", None, "sales-whole", "anna", "a  test order")
    assert done == {"sales_order": 1, "order_line": 2}
    assert fetch(work, "SELECT DISTINCT _closed, _closed_by, _closed_reason FROM quarantine.order_line") == [
        ("discarded", "anna", "a test order")
    ]
    assert jobs.replay(_allow_more(work), "sales").rows == 0


def test_a_discarded_row_that_is_delivered_again_is_judged_again(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    stewards.discard(work, "sales_order", None, "sales-whole", "anna", "test order")
    _set_right(shop)
    load(work, shop, "sales")
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]


def test_a_replay_that_a_newer_delivery_overtook_is_refused(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    work = _allow_more(work)
    batch_id = _judged_replay(work)
    _set_right(shop)
    load(work, shop, "sales", DAY_3)
    with pytest.raises(DataRejected, match="wait no more: a newer delivery settled them"):
        jobs.publish(work, "sales", batch_id)
    assert fetch(work, "SELECT qty FROM validated.order_line WHERE order_id = 1 AND line_id = 1") == [(1,)]


def _judged_replay(work: Workspace) -> str:
    """A replay that died before it published."""
    from dataops.pipeline import replay

    group = work.catalog.group("sales")
    with work.warehouse.transaction() as connection:
        waiting = {d.table: replay._count(connection, d) for d in group.datasets}
        batch_id = replay._land(connection, group, waiting)
    assert jobs.run_gate(work, "sales", batch_id).passed
    return batch_id


def test_a_batch_read_before_a_row_came_back_does_not_take_it_back(work: Workspace) -> None:
    shop = _with_a_bad_line(work)
    shop.lines[0] = line(1, 1, qty=2)
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]
    early = land(work, shop, "sales", Window.parse("2014-05-01..2014-05-02"))
    _set_right(shop)
    load(work, shop, "sales", DAY_3)
    assert jobs.run_gate(work, "sales", early).passed
    with pytest.raises(DataRejected, match="was read from the source before sales-20140503"):
        jobs.publish(work, "sales", early)
    assert fetch(work, "SELECT qty FROM validated.order_line WHERE order_id = 1 AND line_id = 1") == [(1,)]
