"""Planted faults: exactly what is named, nothing else, the same ones for the same seed."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dataops.declared.errors import DeclarationError
from dataops.lab import planted
from dataops.lab.faulty_source import open_source
from dataops.sources import Follow, Request, Source, Window

pytestmark = pytest.mark.unit

FAULTS = planted.load(Path(__file__).parents[2])
NOWHERE = 999_999_999
HOSTILE = FAULTS["hostile_text"].set["comment"]
SHARED = Path(__file__).parents[2] / "../shared/adventureworks"
ORDERS, LINES, EMAILS = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail", "Person.EmailAddress"
FIRST_OF_MAY = Window.parse("2014-05-01..2014-05-02")
FOLLOW = Follow(("sales_order_id",), ORDERS, ("sales_order_id",), "order_date")


def orders(source: Source, window: Window | None = FIRST_OF_MAY) -> pa.Table:
    """Orders of the window."""
    return source.read(Request(ORDERS, source.schema(ORDERS), window, "order_date")).read_all()


def lines(source: Source, window: Window | None = FIRST_OF_MAY) -> pa.Table:
    """Lines of the orders of the window."""
    return source.read(Request(LINES, source.schema(LINES), window, follow=FOLLOW)).read_all()


def emails(source: Source) -> pa.Table:
    """All addresses."""
    return source.read(Request(EMAILS, source.schema(EMAILS))).read_all()


def changed(before: pa.Table, after: pa.Table) -> list[tuple[dict[str, object], dict[str, object]]]:
    """Rows that differ, before and after."""
    pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def generated(*faults: str) -> Source:
    """A small source with faults."""
    return open_source(f"generator:?scale=0.05&faults={','.join(faults)}")


CLEAN = open_source("generator:?scale=0.05")


def test_the_bad_delivery_of_the_first_of_may_2014_is_as_told() -> None:
    clean = open_source(f"csv:{SHARED / 'oltp-2014'}")
    bad = open_source(f"csv:{SHARED / 'oltp-2014'}?faults=price_x100,orphan_customer,duplicate_order")
    raised = changed(lines(clean), lines(bad))
    assert len(raised) == 872
    assert all(new == old | {"unit_price": old["unit_price"] * 100} for old, new in raised)  # type: ignore[operator]
    received = orders(bad)
    assert received.num_rows == 228
    assert received["customer_id"].to_pylist().count(NOWHERE) == 1
    assert len(set(received["sales_order_id"].to_pylist())) == 227
    assert bad.name == "csv:oltp-2014?faults=price_x100,orphan_customer,duplicate_order"
    mountain = bad.read(Request("Production.Product", bad.schema("Production.Product"))).read_all()
    assert mountain.num_rows == 504
    found = duckdb.sql("select count(*) from received join mountain on false").fetchone()
    assert found == (0,)


@pytest.mark.parametrize(
    ("fault", "column"),
    [("orphan_customer", "customer_id"), ("null_required", "due_date"), ("hostile_text", "comment")],
)
def test_one_column_of_the_named_orders_is_struck(fault: str, column: str) -> None:
    struck = changed(orders(CLEAN, None), orders(generated(fault), None))
    assert len(struck) == (3 if fault == "hostile_text" else 1)
    assert all({key for key in old if old[key] != new[key]} == {column} for old, new in struck)
    values = [new[column] for _, new in struck]
    assert values == {"orphan_customer": [NOWHERE], "null_required": [None], "hostile_text": list(HOSTILE)}[fault]


def test_a_duplicate_is_the_same_row_twice() -> None:
    clean, bad = orders(CLEAN, None).to_pylist(), orders(generated("duplicate_order"), None).to_pylist()
    twice = [row for row in bad if bad.count(row) == 2]
    assert (len(bad) - len(clean), len(twice)) == (1, 2)


def test_dates_change_places() -> None:
    [(old, new)] = changed(orders(CLEAN, None), orders(generated("swapped_dates"), None))
    assert (new["order_date"], new["due_date"]) == (old["due_date"], old["order_date"])


@pytest.mark.parametrize(("fault", "column"), [("negative_quantity", "order_qty"), ("unknown_product", "product_id")])
def test_one_line_is_struck(fault: str, column: str) -> None:
    [(old, new)] = changed(lines(CLEAN, None), lines(generated(fault), None))
    assert new[column] == {"order_qty": -old["order_qty"], "product_id": NOWHERE}[column]  # type: ignore[operator]


def test_all_lines_of_one_order_are_dropped() -> None:
    clean, bad = lines(CLEAN, None)["sales_order_id"].to_pylist(), lines(generated("drop_lines"), None)
    kept = bad["sales_order_id"].to_pylist()
    [missing] = set(clean) - set(kept)
    assert len(clean) - len(kept) == clean.count(missing)


def test_a_truncated_batch_ends_early_without_a_word() -> None:
    clean, bad = lines(CLEAN, None), lines(generated("truncated_batch"), None)
    assert 0 < bad.num_rows < clean.num_rows
    assert bad.equals(clean.slice(0, bad.num_rows))


def test_an_address_loses_its_sign() -> None:
    [(_, new)] = changed(emails(CLEAN), emails(generated("bad_email")))
    assert "@" not in str(new["email_address"])


def test_faults_strike_alike_when_repeated_and_elsewhere_with_another_seed() -> None:
    struck = orders(generated("orphan_customer"), None)
    assert struck.equals(orders(generated("orphan_customer"), None))
    other = open_source("generator:?scale=0.05&faults=orphan_customer&fault_seed=8")
    assert not struck.equals(orders(other, None))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_needs_only_the_columns_it_asks_for_and_an_empty_stream_stays_empty(fault: str) -> None:
    source = generated(fault)
    for name in [FAULTS[fault].table]:
        schema = pa.schema([source.schema(name).field(0)])
        assert source.read(Request(name, schema)).read_all().column_names == [schema.names[0], "_problems"]
        nothing = Request(name, source.schema(name), Window.parse("1999-01-01..1999-01-02"), "modified_date")
        assert source.read(nothing).read_all().num_rows == 0


def test_other_tables_are_untouched() -> None:
    source = generated(*FAULTS)
    request = Request("Sales.Customer", source.schema("Sales.Customer"))
    assert source.read(request).read_all().equals(CLEAN.read(request).read_all())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("faults=price_x10", "fault 'price_x10' is unknown, did you mean 'price_x100'"),
        ("faults=price_x100&fault_seed=x", "fault_seed='x' cannot be read"),
        ("faults=price_x100&scael=1", "parameter 'scael' is unknown, did you mean 'scale'"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        open_source(f"generator:?{query}")
