"""Single cases of the invariants that random sequences found or only seldom reach, on both warehouses."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dataops.declared.errors import DataRejected
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources.port import Window
from tests.support.shop import fetch, line, load, small_shop, state
from tests.support.stock import stock

pytestmark = pytest.mark.integration

LINES = "SELECT order_id, line_id FROM validated.order_line ORDER BY 1, 2"
DAYS = Window.parse("2014-05-01..2014-05-05")


@pytest.mark.parametrize("window", [None, DAYS], ids=["whole", "window"])
def test_a_held_order_keeps_the_lines_of_its_published_version(work: Workspace, window: Window | None) -> None:
    """The delivery breaks one line and lacks the other: half an order must not stand."""
    shop = small_shop()
    stock(work, shop, "reference", "sales")
    before = fetch(work, LINES)
    shop.lines[0]["qty"] = 5000
    del shop.lines[1]
    done = load(work, shop, "sales", window)
    assert (done.verdict.name, done.publication.total("deleted")) == ("PASSED", 0)
    assert fetch(work, LINES) == before


def test_an_order_that_is_gone_stays_while_new_lines_refer_to_it(work: Workspace) -> None:
    """Its header is missing from the delivery, its first line is new."""
    shop = small_shop()
    shop.add_order(9, 1, 3, [])
    stock(work, shop, "reference", "sales")
    shop.orders.pop()
    shop.lines.append(line(9, 1))
    done = load(work, shop, "sales")
    assert (done.publication.total("retained"), done.publication.total("deleted")) == (1, 0)
    assert (9, 1) in fetch(work, LINES)
    assert (9,) in fetch(work, "SELECT order_id FROM validated.sales_order")


def test_a_roll_back_brings_back_no_order_whose_customer_has_gone(work: Workspace) -> None:
    """Invariant 5 across groups: the customer was deleted after his order had been."""
    shop = small_shop(customers=3, orders=2)
    stock(work, shop, "reference")
    first = load(work, shop, "sales").publication.publication_id
    gone = shop.orders[0]
    shop.orders.remove(gone)
    shop.lines = [row for row in shop.lines if row["order_id"] != gone["order_id"]]
    load(work, shop, "sales")
    shop.customers = [row for row in shop.customers if row["customer_id"] != gone["customer_id"]]
    assert load(work, shop, "reference").publication.total("deleted") == 1
    before = state(work)
    with pytest.raises(DataRejected, match=r"1 rows of raw\.sales_order that would return refer to rows of customer"):
        jobs.roll_back(work, "sales", first, "a test")
    assert state(work) == before
    jobs.roll_back(work, "reference", "reference-0001", "a test")
    assert jobs.roll_back(work, "sales", first, "a test").status == "published"


def test_a_source_that_is_back_at_what_stands_settles_its_quarantine(work: Workspace) -> None:
    """Nothing differs, so there is no publication; the entry of the bad delivery between is closed all the same."""
    shop = small_shop()
    stock(work, shop, "reference", "sales")
    good = dict(shop.lines[0])
    shop.lines[0]["qty"] = 5000
    load(work, shop, "sales")
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.order_line WHERE _closed IS NULL") == [(2,)]
    shop.lines[0].update(good)
    assert load(work, shop, "sales").publication.status == "unchanged"
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.order_line WHERE _closed IS NULL") == [(0,)]


def test_a_parent_that_returns_brings_its_children_back(work: Workspace) -> None:
    """A customer is quarantined before he ever stood: his orders are held for it, and follow him when he is mended."""
    shop = small_shop(customers=3, orders=3)
    shop.customers[0]["region"] = "de"
    stock(work, shop, "reference")
    held = load(work, shop, "sales")
    assert (held.publication.total("new"), held.publication.total("quarantined")) == (6, 3)
    shop.customers[0]["region"] = "DE"
    stock(work, shop, "reference")
    assert load(work, shop, "sales").publication.total("new") == 3
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.sales_order WHERE _closed IS NULL") == [(0,)]
    assert fetch(work, "SELECT SUM(sub_total) FROM validated.sales_order") == [(Decimal(90),)]
