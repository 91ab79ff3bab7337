"""Nothing that the gate holds gets lost, and nothing that is whole is torn apart by what is held."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataops.declared.errors import DeclarationError
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs, stewards
from dataops.sources.port import Window
from tests.support.shop import SCHEMAS, Row, Shop, fetch, land, line, load, own_project, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration
QTY = "SAL-031"
DAY_3 = Window.parse("2014-05-03..2014-05-04")
ORDERS = "SELECT order_id FROM validated.sales_order ORDER BY 1"
Change = Callable[[Path], None]


@pytest.fixture(params=["duckdb", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Workspace]:
    """A warehouse over a copy of the project, changed by the test."""

    def _make(change: Change = lambda _: None) -> Workspace:
        url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
        own = own_project(tmp_path / "project")
        change(own)
        plain = workspace(tmp_path / "home", url)
        return open_workspace(replace(plain.settings, paths=replace(plain.settings.paths, project=own)))

    return _make


def _edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)


def _bad(shop: Shop, order: int = 1) -> Shop:
    """The order's first line has a quantity that is too high; all else about it is right."""
    at = 2 * (order - 1)
    shop.lines[at] = line(order, 1, qty=5000, price="0.01")
    shop.orders[order - 1]["sub_total"] = shop.lines[at]["amount"] + shop.lines[at + 1]["amount"]
    return shop


# Roll-back


def test_a_roll_back_opens_what_was_released_after_its_goal_again(make: Callable[..., Workspace]) -> None:
    work = make()
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop()), "sales")
    load(work, small_shop(), "sales")
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    jobs.roll_back(work, "sales", "sales-0001", "test")
    assert fetch(work, ORDERS) == [(2,), (3,), (4,)]
    assert fetch(work, "SELECT _closed, _released FROM quarantine.order_line") == [(None, None)] * 2
    load(work, small_shop(), "sales", DAY_3)  # asks for what waits, whatever its window
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    assert fetch(work, "SELECT DISTINCT _closed FROM quarantine.order_line") == [("released",)]


def test_a_roll_back_leaves_what_was_released_before_its_goal(make: Callable[..., Workspace]) -> None:
    work = make()
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop()), "sales")
    load(work, small_shop(), "sales")
    load(work, small_shop(orders=5), "sales")
    jobs.roll_back(work, "sales", "sales-0002", "test")
    assert fetch(work, "SELECT DISTINCT _closed FROM quarantine.order_line") == [("released",)]


# Discards


def test_judging_again_keeps_who_discarded_a_row_and_why_and_the_row_held(make: Callable[..., Workspace]) -> None:
    work = make()
    stock(work, small_shop(), "reference")
    batch = land(work, _bad(small_shop()), "sales")
    jobs.run_gate(work, "sales", batch)
    stewards.discard(work, "order_line", QTY, batch, "anna", "a test order")
    discarded = "SELECT _row, _closed, _closed_by, _closed_reason FROM quarantine.order_line ORDER BY _row"
    before = fetch(work, discarded)
    assert before == [(0, "discarded", "anna", "a test order"), (1, "discarded", "anna", "a test order")]
    jobs.run_gate(work, "sales", batch)
    assert fetch(work, discarded) == before
    suite = work.settings.paths.expectations / "raw" / "order_line.yml"
    _edit(suite, ('"max_value": 1000', '"max_value": 10000'))
    work = open_workspace(work.settings)
    jobs.run_gate(work, "sales", batch)  # the rule was corrected, but nobody wants these rows
    assert fetch(work, discarded) == before
    assert jobs.publish(work, "sales", batch).total("quarantined") == 3
    assert fetch(work, ORDERS) == [(2,), (3,), (4,)]


@pytest.mark.parametrize("rule", ["%", "SAL-%", "SAL_031", "", "SAL-03", "SAL-031,"])
def test_a_pattern_is_no_rule(make: Callable[..., Workspace], rule: str) -> None:
    work = make()
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop()), "sales")
    with pytest.raises(DeclarationError, match=r"has no rule .*; rows wait for SAL-031"):
        stewards.discard(work, "order_line", rule, None, "anna", "a mistake")
    assert fetch(work, "SELECT DISTINCT _closed FROM quarantine.order_line") == [(None,)]


def test_a_rule_that_is_declared_no_more_still_names_its_rows(make: Callable[..., Workspace]) -> None:
    work = make()
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop()), "sales")
    _edit(work.settings.paths.expectations / "raw" / "order_line.yml", (QTY, "SAL-099"))
    work = open_workspace(work.settings)
    assert stewards.discard(work, "order_line", QTY, None, "anna", "gone")["order_line"] == 2


# Families


def _lines_may_move(project: Path) -> None:
    """A line is known by its own number, so it may get another order."""
    _edit(
        project / "contracts" / "raw" / "order_line.yml",
        ("key: [order_id, line_id]", "key: [line_id]"),
        ("columns: [order_id, line_id]", "columns: [line_id]"),
    )


def _numbered(shop: Shop) -> Shop:
    for number, row in enumerate(shop.lines, start=1):
        row["line_id"] = number
    return shop


def _move(shop: Shop, to: int) -> None:
    """The first line of order 1 moves; both totals are right."""
    moved = shop.lines[0]
    shop.orders[0]["sub_total"] -= moved["amount"]
    shop.orders[to - 1]["sub_total"] += moved["amount"]
    shop.lines[0] = moved | {"order_id": to}


def _totals_add_up(work: Workspace) -> bool:
    query = (
        "SELECT COUNT(*) FROM validated.sales_order o LEFT JOIN (SELECT order_id, SUM(amount) AS total"
        " FROM validated.order_line GROUP BY order_id) l ON l.order_id = o.order_id WHERE o.sub_total <> l.total"
    )
    return fetch(work, query) == [(0,)]


def test_a_child_that_moves_waits_for_the_parent_it_left(make: Callable[..., Workspace]) -> None:
    """Only the day of its new order is loaded: the old one would keep a total without its line."""
    work = make(_lines_may_move)
    load(work, _numbered(small_shop()), "reference")
    load(work, _numbered(small_shop()), "sales")
    shop = _numbered(small_shop())
    _move(shop, to=3)
    first = load(work, shop, "sales", Window.parse("2014-05-03..2014-05-05"))
    assert _totals_add_up(work)
    assert fetch(work, "SELECT _fell_with FROM quarantine.order_line WHERE line_id = 1") == [
        ("left a sales_order that did not come",)
    ]
    assert first.publication is not None
    second = load(work, shop, "sales", Window.parse("2014-05-04..2014-05-05"))  # asks for both
    assert second.publication is not None
    assert _totals_add_up(work)
    assert fetch(work, "SELECT order_id FROM validated.order_line WHERE line_id = 1") == [(3,)]
    assert fetch(work, "SELECT COUNT(*) FROM quarantine.order_line WHERE _closed IS NULL") == [(0,)]


@pytest.mark.parametrize("broken", [1, 3])
def test_a_family_that_a_child_moves_to_or_from_holds_the_other(make: Callable[..., Workspace], broken: int) -> None:
    work = make(_lines_may_move)
    load(work, _numbered(small_shop()), "reference")
    load(work, _numbered(small_shop()), "sales")
    shop = _numbered(small_shop())
    _move(shop, to=3)
    shop.orders[broken - 1]["sub_total"] = Decimal(-1)
    load(work, shop, "sales")
    assert _totals_add_up(work)
    assert fetch(work, "SELECT order_id FROM quarantine.sales_order ORDER BY 1") == [(1,), (3,)]
    assert fetch(work, "SELECT order_id FROM validated.order_line WHERE line_id = 1") == [(1,)]


REASON = """
dataset: adventureworks/raw/order_reason
x-dataops:
  group: sales
  source: Sales.OrderReason
  key: [order_id, reason]
  follows: sales_order
  references:
    order_id: {to: sales_order, rule: SAL-055, why: A reason belongs to an order.}
  owner: tests@adventure-works.example
columns:
  - name: order_id
    data_type: integer
    checks:
      - missing: {name: order is present, attributes: {rule: SAL-051, severity: critical, why: Needed.}}
  - name: reason
    data_type: varchar
    checks:
      - missing: {name: reason is present, attributes: {rule: SAL-052, severity: critical, why: Needed.}}
checks:
  - row_count:
      name: rows arrived
      threshold: {must_be_greater_than: 0}
      attributes: {rule: SAL-053, severity: critical, why: An empty delivery is a broken one.}
  - duplicate:
      columns: [order_id, reason]
      name: key is unique
      attributes: {rule: SAL-054, severity: critical, why: A key names one row.}
"""
REASON_SUITE = """
suite: raw.order_reason
expectations:
  - type: expect_column_values_to_match_regex
    kwargs: {column: reason, regex: "^[a-z]"}
    severity: critical
    description: reason is a word
    notes: Nobody can group by anything else.
    meta: {rule: SAL-056}
"""
REASONS = pa.schema([("order_id", pa.int32()), ("reason", pa.string())])


class ShopWithReasons(Shop):
    """Every order has two reasons; the first ones of the first order is what a test says."""

    first = "price"

    def rows(self, source_table: str) -> list[Row]:
        if source_table != "Sales.OrderReason":
            return super().rows(source_table)
        numbers = [o["order_id"] for o in self.orders]
        found = [{"order_id": n, "reason": r} for n in numbers for r in ("price", "quality")]
        return [{"order_id": numbers[0], "reason": self.first}, *found[1:]]


def _with_reasons(project: Path) -> None:
    (project / "contracts" / "raw" / "order_reason.yml").write_text(REASON)
    (project / "expectations" / "raw" / "order_reason.yml").write_text(REASON_SUITE)


def _shop_with_reasons(**values: Any) -> ShopWithReasons:
    plain = small_shop()
    shop = ShopWithReasons(plain.customers, plain.orders, plain.lines)
    shop.schemas["Sales.OrderReason"] = REASONS
    for name, value in values.items():
        setattr(shop, name, value)
    return shop


def test_a_child_that_its_parent_can_do_without_falls_alone(make: Callable[..., Workspace]) -> None:
    work = make(_with_reasons)
    shop = _shop_with_reasons(first="?")
    stock(work, shop, "reference")
    done = load(work, shop, "sales")
    assert done.publication.total("quarantined") == 1
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    assert fetch(work, "SELECT order_id, reason FROM quarantine.order_reason") == [(1, "?")]
    shop.first = "price"
    load(work, shop, "sales", DAY_3)
    assert fetch(work, "SELECT COUNT(*) FROM validated.order_reason") == [(8,)]


def test_a_parent_that_is_held_holds_all_that_refer_to_it(make: Callable[..., Workspace]) -> None:
    work = make(_with_reasons)
    shop = _shop_with_reasons()
    stock(work, shop, "reference")
    _bad(shop)
    load(work, shop, "sales")
    assert fetch(work, "SELECT DISTINCT order_id FROM validated.order_reason ORDER BY 1") == [(2,), (3,), (4,)]
    assert fetch(work, "SELECT DISTINCT order_id FROM quarantine.order_reason") == [(1,)]


# One cell


def _wide(project: Path) -> None:
    """Amounts of 38 digits, as the lines of AdventureWorks have."""
    for name in ("sales_order", "order_line"):
        _edit(project / "contracts" / "raw" / f"{name}.yml", ("numeric_precision: 19", "numeric_precision: 38"))
    _edit(project / "expectations" / "raw" / "order_line.yml", ("b.amount - b.qty * b.price", "b.amount - b.amount"))
    _edit(project / "contracts" / "curated" / "fct_line.yml", ("numeric_precision: 19", "numeric_precision: 38"))
    _edit(project / "transforms" / "curated" / "fct_line.sql", ("numeric(19, 4)", "numeric(38, 4)"))


@pytest.mark.parametrize("digits", [20, 22, 23, 24, 27, 31, 33])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_corrupt_cell_waits_alone(make: Callable[..., Workspace], digits: int, sign: int) -> None:
    """A line of 10^22 was summed with 28 digits, and the whole group refused with "a defect of the platform"."""
    work = make(_wide)
    wide = pa.decimal128(38, 4)
    shop = small_shop()
    shop.schemas |= {
        name: pa.schema([f.with_type(wide) if pa.types.is_decimal(f.type) else f for f in SCHEMAS[name]])
        for name in ("Sales.SalesOrder", "Sales.OrderLine")
    }
    stock(work, shop, "reference")
    shop.lines[0]["amount"] = sign * (Decimal(10) ** digits + Decimal("0.0001"))
    done = load(work, shop, "sales")
    assert done.publication is not None, done.verdict
    assert fetch(work, ORDERS) == [(2,), (3,), (4,)]
    ((kept,),) = fetch(work, "SELECT controls FROM ops.batch_datasets WHERE table_name = 'order_line'")
    if digits < 24:  # it fits, so every digit of it is accounted for
        received = kept if isinstance(kept, dict) else json.loads(kept)
        assert int(received["amount"].replace(".", "")) == sign * (10**digits * 10000 + 1) + 1100000


def test_many_large_numbers_are_accounted_for_to_the_last_digit(make: Callable[..., Workspace]) -> None:
    work = make(_wide)
    wide = pa.decimal128(38, 4)
    shop = small_shop()
    shop.schemas["Sales.OrderLine"] = pa.schema(
        [f.with_type(wide) if pa.types.is_decimal(f.type) else f for f in SCHEMAS["Sales.OrderLine"]]
    )
    shop.schemas["Sales.SalesOrder"] = pa.schema(
        [f.with_type(wide) if pa.types.is_decimal(f.type) else f for f in SCHEMAS["Sales.SalesOrder"]]
    )
    stock(work, shop, "reference")
    for number, row in enumerate(shop.lines):
        row["amount"] = Decimal(45) * 10**22 + number + Decimal("0.0001")
    for number, row in enumerate(shop.orders):
        row["sub_total"] = shop.lines[2 * number]["amount"] + shop.lines[2 * number + 1]["amount"]
    assert load(work, shop, "sales").publication is not None
    held = fetch(work, "SELECT SUM(amount), COUNT(*) FROM validated.order_line")
    assert held == [(Decimal("3600000000000000000000028.0008"), 8)]


# Keys and personal data


NOTE_IS_PRESENT = "      - missing: {name: note, attributes: {rule: SAL-061, severity: critical, why: A key.}}"


def _note_is_part_of_the_key(project: Path) -> None:
    _edit(
        project / "contracts" / "raw" / "order_line.yml",
        ("key: [order_id, line_id]", "key: [order_id, line_id, note]"),
        ("columns: [order_id, line_id]", "columns: [order_id, line_id, note]"),
        (
            "- name: note\n    data_type: varchar",
            "- name: note\n    data_type: varchar\n    checks:\n" + NOTE_IS_PRESENT,
        ),
    )


def test_a_long_random_key_is_quarantined(make: Callable[..., Workspace]) -> None:
    """No page of PostgreSQL's index holds it; the load ended with an error of the platform."""
    work = make(_note_is_part_of_the_key)
    shop = small_shop()
    letters = random.Random(7).choices(string.ascii_letters + string.digits, k=9000)  # noqa: S311  a test's text
    for row in shop.lines:
        row["note"] = "n"
    shop.lines[0]["note"] = "".join(letters)
    shop.lines[2]["note"] = "".join(letters[:2600])
    stock(work, shop, "reference")
    done = load(work, shop, "sales")
    assert done.publication is not None
    assert fetch(work, ORDERS) == [(2,), (3,), (4,)]
    assert fetch(work, "SELECT _problems FROM quarantine.order_line WHERE _problems IS NOT NULL") == [
        ("note: contains a NUL character, or is longer than the 2,600 bytes of a key",)
    ]


def test_moments_of_release_are_told(make: Callable[..., Workspace]) -> None:
    """What a roll-back opens again has no moment at which it was closed."""
    work = make()
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop()), "sales")
    load(work, small_shop(), "sales")
    ((closed,),) = fetch(work, "SELECT DISTINCT _closed_at FROM quarantine.sales_order")
    assert isinstance(closed, datetime)
    jobs.roll_back(work, "sales", "sales-0001", "test")
    assert fetch(work, "SELECT DISTINCT _closed_at FROM quarantine.sales_order") == [(None,)]
