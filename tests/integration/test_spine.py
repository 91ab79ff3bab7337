"""From a source to curated and back, on both warehouses."""

from __future__ import annotations

import pytest

from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources.port import Window
from tests.support.shop import fetch, line, load, small_shop, state

pytestmark = [pytest.mark.integration, pytest.mark.quick]


def test_a_clean_delivery_reaches_curated_and_a_second_one_changes_nothing(work: Workspace) -> None:
    shop = small_shop()
    for group in ("reference", "sales"):
        assert load(work, shop, group).publication.status == "published"
    built, loaded = jobs.build(work, "curated")
    assert built.models == ("fct_line",)
    assert loaded.publication.total("new") == 8
    before = fetch(work, "SELECT * FROM validated.order_line ORDER BY 1, 2")
    assert load(work, shop, "sales").publication.status == "unchanged"
    assert fetch(work, "SELECT * FROM validated.order_line ORDER BY 1, 2") == before


def test_a_bad_line_is_quarantined_with_its_whole_order(work: Workspace) -> None:
    shop = small_shop()
    load(work, shop, "reference")
    shop.lines[0]["qty"] = 5000
    done = load(work, shop, "sales")
    assert (done.verdict.name, done.verdict.rows_held, done.publication.total("new")) == ("PASSED", 3, 9)
    rules = dict(fetch(work, "SELECT line_id, _rules FROM quarantine.order_line ORDER BY 1"))
    assert rules == {1: "SAL-031,SAL-033", 2: ""}
    assert fetch(work, "SELECT order_id FROM validated.sales_order ORDER BY 1") == [(2,), (3,), (4,)]


def test_a_corrected_delivery_closes_its_quarantine_entries(work: Workspace) -> None:
    shop = small_shop()
    load(work, shop, "reference")
    shop.lines[0]["qty"] = 5000
    load(work, shop, "sales")
    shop.lines[0]["qty"] = 1
    done = load(work, shop, "sales", Window.parse("2014-05-01..2014-05-02"))
    assert done.publication.total("new") == 3
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.order_line WHERE _closed IS NULL") == [(0,)]


def test_a_roll_back_brings_back_the_earlier_state_and_as_of_reads_it(work: Workspace) -> None:
    shop = small_shop()
    load(work, shop, "reference")
    first = load(work, shop, "sales").publication.publication_id
    before = fetch(work, "SELECT order_id, line_id, qty FROM validated.order_line ORDER BY 1, 2")
    shop.lines[0].update(line(1, 1, qty=3))
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]
    assert load(work, shop, "sales").publication.total("changed") == 2
    done = jobs.roll_back(work, "sales", first, "the ERP sent test data")
    assert done.publication_id == "sales-0003"
    assert fetch(work, "SELECT order_id, line_id, qty FROM validated.order_line ORDER BY 1, 2") == before
    assert state(work)
