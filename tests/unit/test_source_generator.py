"""The generator: deterministic, referentially intact, bounded in memory, cut anywhere alike."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.sources import Follow, Request, Source, Window, open_source
from dataops.sources.generator import Generator, Shape, source, tables
from dataops.sources.generator.tables import TABLES

pytestmark = pytest.mark.unit

ORDERS, LINES, REASONS = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail", "Sales.SalesOrderHeaderSalesReason"
FOLLOW = Follow(("sales_order_id",), ORDERS, ("sales_order_id",), "order_date")
SMALL = Shape(scale=Decimal("0.1"))

REFERENCES = [
    "SalesOrderHeader.customer_id Customer.customer_id",
    "SalesOrderHeader.territory_id SalesTerritory.territory_id",
    "SalesOrderHeader.bill_to_address_id Address.address_id",
    "SalesOrderHeader.ship_to_address_id Address.address_id",
    "SalesOrderHeader.sales_person_id SalesPerson.business_entity_id",
    "SalesOrderHeader.ship_method_id ShipMethod.ship_method_id",
    "SalesOrderHeader.currency_rate_id CurrencyRate.currency_rate_id",
    "SalesOrderDetail.sales_order_id SalesOrderHeader.sales_order_id",
    "SalesOrderDetail.product_id Product.product_id",
    "SalesOrderHeaderSalesReason.sales_reason_id SalesReason.sales_reason_id",
    "SalesOrderHeaderSalesReason.sales_order_id SalesOrderHeader.sales_order_id",
    "Customer.person_id Person.business_entity_id",
    "Customer.store_id Store.business_entity_id",
    "Customer.territory_id SalesTerritory.territory_id",
    "Store.sales_person_id SalesPerson.business_entity_id",
    "SalesPerson.business_entity_id Person.business_entity_id",
    "EmailAddress.business_entity_id Person.business_entity_id",
    "BusinessEntityAddress.address_id Address.address_id",
    "Address.state_province_id StateProvince.state_province_id",
    "StateProvince.territory_id SalesTerritory.territory_id",
    "StateProvince.country_region_code CountryRegion.country_region_code",
    "SalesTerritory.country_region_code CountryRegion.country_region_code",
    "Product.product_subcategory_id ProductSubcategory.product_subcategory_id",
    "Product.product_model_id ProductModel.product_model_id",
    "ProductSubcategory.product_category_id ProductCategory.product_category_id",
    "ProductVendor.product_id Product.product_id",
    "ProductVendor.business_entity_id Vendor.business_entity_id",
    "ProductCostHistory.product_id Product.product_id",
    "ProductListPriceHistory.product_id Product.product_id",
    "SpecialOfferProduct.product_id Product.product_id",
    "SpecialOfferProduct.special_offer_id SpecialOffer.special_offer_id",
    "ProductInventory.product_id Product.product_id",
    "ProductInventory.location_id Location.location_id",
    "WorkOrder.product_id Product.product_id",
    "TransactionHistory.product_id Product.product_id",
    "TransactionHistoryArchive.product_id Product.product_id",
    "PurchaseOrderHeader.vendor_id Vendor.business_entity_id",
    "PurchaseOrderDetail.purchase_order_id PurchaseOrderHeader.purchase_order_id",
    "PurchaseOrderDetail.product_id Product.product_id",
    "CurrencyRate.to_currency_code Currency.currency_code",
]

KEYS = [
    "SalesOrderHeader sales_order_id",
    "SalesOrderDetail sales_order_detail_id",
    "SalesOrderDetail rowguid",
    "SalesOrderHeaderSalesReason sales_order_id,sales_reason_id",
    "Customer customer_id",
    "Person business_entity_id",
    "TransactionHistory transaction_id",
    "WorkOrder work_order_id",
    "ProductVendor product_id,business_entity_id",
    "ProductInventory product_id,location_id",
    "CurrencyRate currency_rate_date,to_currency_code",
    "EmailAddress email_address",
    "Product product_number",
    "Product name",
    "Store business_entity_id",
    "PurchaseOrderDetail purchase_order_id,product_id",
]

BROKEN = {
    "subtotal is the sum of the lines": """
        select 1 from SalesOrderHeader h join (select sales_order_id, sum(line_total) s from
        SalesOrderDetail group by 1) using (sales_order_id) where round(s, 4) <> sub_total""",
    "every order has a line": """
        select 1 from SalesOrderHeader anti join SalesOrderDetail using (sales_order_id)""",
    "total due adds up": """
        select 1 from SalesOrderHeader where total_due <> sub_total + tax_amt + freight""",
    "dates are ordered": """
        select 1 from SalesOrderHeader where not (order_date <= ship_date and ship_date <= due_date)""",
    "line total is price times quantity": """
        select 1 from SalesOrderDetail where line_total <> round(cast(unit_price * order_qty as decimal(28,
        4)) * cast(1 - unit_price_discount as decimal(9, 4)), 6)""",
    "price is at most the list price of the day": """
        select 1 from SalesOrderDetail d join SalesOrderHeader o using (sales_order_id) left join
        ProductListPriceHistory p on p.product_id = d.product_id and o.order_date >= p.start_date and
        (p.end_date is null or o.order_date <= p.end_date) where coalesce(p.list_price, -1) < unit_price""",
    "cost is known on the day": """
        select 1 from SalesOrderDetail d join SalesOrderHeader o using (sales_order_id) where not exists
        (select 1 from ProductCostHistory c where c.product_id = d.product_id and o.order_date >=
        c.start_date and (c.end_date is null or o.order_date <= c.end_date))""",
    "product is on sale": """
        select 1 from SalesOrderDetail d join SalesOrderHeader o using (sales_order_id) join Product p using
        (product_id) where o.order_date < p.sell_start_date or o.order_date > p.sell_end_date""",
    "offer is good for the product": """
        select 1 from SalesOrderDetail d anti join SpecialOfferProduct s using (product_id,
        special_offer_id)""",
    "offer is good for the quantity and the day": """
        select 1 from SalesOrderDetail d join SpecialOffer s using (special_offer_id) join SalesOrderHeader
        o using (sales_order_id) where d.order_qty < s.min_qty or d.order_qty > s.max_qty or order_date not
        between start_date and end_date or unit_price_discount <> discount_pct""",
    "customer's territory is the order's": """
        select 1 from SalesOrderHeader o join Customer c using (customer_id) where o.territory_id <>
        c.territory_id""",
    "histories have no gap": """
        select 1 from (select start_date, lag(end_date) over (partition by product_id order by start_date) e
        from ProductListPriceHistory) where e is not null and start_date <> e + interval 1 day""",
    "purchase subtotal is the sum of its lines": """
        select 1 from PurchaseOrderHeader h join (select purchase_order_id, sum(line_total) s from
        PurchaseOrderDetail group by 1) using (purchase_order_id) where s <> sub_total""",
    "stocked is ordered less scrapped": """
        select 1 from WorkOrder where stocked_qty <> order_qty - scrapped_qty""",
    "archive is older": """
        select 1 from TransactionHistoryArchive where transaction_date >= (select min(transaction_date) from
        TransactionHistory)""",
    "transaction is not in both": """
        select 1 from TransactionHistoryArchive semi join TransactionHistory using (transaction_id)""",
    "work transaction is its work order": """
        select 1 from TransactionHistory t where transaction_type = 'W' and not exists (select 1 from
        WorkOrder w where w.work_order_id = reference_order_id and w.product_id = t.product_id)""",
    "sale transaction is its order line": """
        select 1 from TransactionHistory t where transaction_type = 'S' and not exists (select 1 from
        SalesOrderDetail d where d.sales_order_id = reference_order_id and d.product_id = t.product_id and
        d.order_qty = t.quantity)""",
    "purchase transaction is its line": """
        select 1 from TransactionHistory t where transaction_type = 'P' and not exists (select 1 from
        PurchaseOrderDetail d where d.purchase_order_id = reference_order_id and d.product_id = t.product_id
        and d.order_qty = t.quantity)""",
}


def table(generator: Source, name: str, window: Window | None = None, cursor: str | None = None) -> pa.Table:
    """All rows of a table, or those of a window."""
    return generator.read(Request(name, generator.schema(name), window, cursor)).read_all()


def lines(generator: Source, window: Window | None, name: str = LINES) -> pa.Table:
    """Lines of the orders in a window."""
    return generator.read(Request(name, generator.schema(name), window, follow=FOLLOW)).read_all()


@pytest.fixture(scope="module")
def world() -> duckdb.DuckDBPyConnection:
    """All tables at scale 0.1, under their names without schema."""
    connection = duckdb.connect()
    generator = Generator(SMALL)
    for name in TABLES:
        connection.register("arriving", table(generator, name))
        connection.execute(f'create table "{name.partition(".")[2]}" as select * from arriving')
    return connection


def failing(world: duckdb.DuckDBPyConnection, query: str) -> int:
    """How many rows a query finds."""
    found = world.execute(f"select count(*) from ({query})").fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_reference_is_found(world: duckdb.DuckDBPyConnection, reference: str) -> None:
    (child, column), (parent, key) = (side.split(".") for side in reference.split())
    assert failing(world, f"select 1 from {child} where {column} is not null") > 0
    assert (
        failing(
            world, f"select 1 from {child} c anti join {parent} p on c.{column} = p.{key} where {column} is not null"
        )
        == 0
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_unique(world: duckdb.DuckDBPyConnection, key: str) -> None:
    name, columns = key.split()
    assert failing(world, f"select 1 from {name} group by {columns} having count(*) > 1") == 0


@pytest.mark.parametrize("rule", BROKEN)
def test_rules_of_the_real_data_hold(world: duckdb.DuckDBPyConnection, rule: str) -> None:
    assert failing(world, BROKEN[rule]) == 0


def test_scale_one_is_as_large_as_microsofts_sample() -> None:
    generator = open_source("generator:")
    assert generator.name == "generator:scale=1,seed=7"
    assert table(generator, ORDERS).num_rows == 31_465
    assert 118_000 < table(generator, LINES).num_rows < 124_000
    assert table(generator, "Sales.Customer").num_rows == 19_820


def test_same_seed_same_rows_other_seed_other_rows() -> None:
    for name in TABLES:
        assert table(Generator(SMALL), name).equals(table(Generator(SMALL), name)), name
    other = Shape(scale=SMALL.scale, seed=8)
    assert not table(Generator(SMALL), LINES).equals(table(Generator(other), LINES))


@pytest.mark.parametrize("name", [ORDERS, LINES, "Production.TransactionHistory", "Purchasing.PurchaseOrderDetail"])
def test_rows_do_not_depend_on_the_size_of_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table(Generator(SMALL), name).combine_chunks()
    small = {key: tuple(replaced(part, 97) for part in parts) for key, parts in TABLES.items()}
    monkeypatch.setattr(source, "TABLES", small)
    monkeypatch.setattr(tables, "TABLES", small)
    assert table(Generator(SMALL), name).combine_chunks().equals(whole)


def replaced(part: tables.Part, chunk: int) -> tables.Part:
    """The part in other chunks."""
    return dataclasses.replace(part, chunk=chunk)


def peak(scale: str) -> int:
    """Most bytes Arrow held at once while all lines and transactions were streamed."""
    generator, highest = Generator(Shape(scale=Decimal(scale))), 0
    start = pa.total_allocated_bytes()
    for name in (LINES, "Production.TransactionHistory"):
        for batch in generator.read(Request(name, generator.schema(name))):
            assert batch.num_rows <= 1 << 18
            highest = max(highest, pa.total_allocated_bytes() - start + batch.nbytes)
    return highest


def test_memory_does_not_grow_with_the_table() -> None:
    assert peak("5") < 1.2 * peak("1")


DAYS = st.datetimes(
    min_value=Window.parse("2011-05-01..2011-06-01").start, max_value=Window.parse("2011-05-01..2014-08-01").end
)


@settings(max_examples=25, deadline=None)
@given(st.lists(DAYS, min_size=3, max_size=3, unique=True).map(sorted))
def test_two_windows_side_by_side_are_their_union(moments: list) -> None:  # type: ignore[type-arg]
    first, middle, last = moments
    generator = Generator(Shape(scale=Decimal("0.02")))
    reads: tuple[Callable[[Window], pa.Table], ...] = (
        lambda window: table(generator, ORDERS, window, "order_date"),
        lambda window: table(generator, ORDERS, window, "modified_date"),
        lambda window: lines(generator, window),
        lambda window: lines(generator, window, REASONS),
        lambda window: table(generator, "Production.TransactionHistory", window, "transaction_date"),
    )
    for read in reads:
        parts = [read(Window(first, middle)), read(Window(middle, last))]
        whole = read(Window(first, last))
        key = whole.column_names[:2]
        halves = pa.concat_tables(parts).sort_by([(name, "ascending") for name in key])
        assert halves.combine_chunks().equals(whole.sort_by([(name, "ascending") for name in key]).combine_chunks())


def test_lines_of_a_window_are_those_of_its_orders() -> None:
    generator, window = Generator(SMALL), Window.parse("2013-05-30..2013-06-30")
    orders = table(generator, ORDERS, window, "order_date")
    assert orders.num_rows > 0
    assert set(lines(generator, window)["sales_order_id"].to_pylist()) == set(orders["sales_order_id"].to_pylist())


def test_a_delta_brings_new_orders_and_changed_ones_with_all_their_lines() -> None:
    base, delta = Generator(SMALL), open_source("generator:?scale=0.1&delta=0.01,0.002")
    old = {row["sales_order_id"]: row for row in table(base, ORDERS).to_pylist()}
    orders = table(delta, ORDERS).to_pylist()
    changed = [row for row in orders if row["sales_order_id"] in old]
    assert (len(orders) - len(changed), len(changed)) == (round(len(old) * 0.01), round(len(old) * 0.002))
    assert all(row["freight"] > old[row["sales_order_id"]]["freight"] for row in changed)
    assert all(row["total_due"] == row["sub_total"] + row["tax_amt"] + row["freight"] for row in orders)
    assert all(row["sub_total"] == old[row["sales_order_id"]]["sub_total"] for row in changed)
    assert {line["sales_order_id"] for line in table(delta, LINES).to_pylist()} == {
        row["sales_order_id"] for row in orders
    }
    base_lines = {line["rowguid"]: line for line in table(base, LINES).to_pylist()}
    kept = [line for line in table(delta, LINES).to_pylist() if line["sales_order_id"] in old]
    assert all(base_lines[line["rowguid"]] == line for line in kept)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("scael=1", "parameter 'scael' is unknown, did you mean 'scale'"),
        ("scale=x", "scale='x' cannot be read"),
        ("scale=0", "scale=0 is not above 0"),
        ("scale=nan", "scale='nan' cannot be read"),
        ("days=0", "days=0 is not between"),
        ("delta=2,0", "delta= takes two shares"),
        ("delta=1", "delta='1' cannot be read"),
        ("seed=1&seed=2", "given twice"),
        ("faults=price_x100", "parameter 'faults' is unknown; known: scale"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        open_source(f"generator:?{query}")


def test_an_unknown_table_or_column_is_named() -> None:
    with pytest.raises(DataRejected, match=r"no table Sales\.Nothing"):
        Generator(SMALL).schema("Sales.Nothing")
    with pytest.raises(DataRejected, match="has no column colour"):
        Generator(SMALL).read(Request(ORDERS, pa.schema([("colour", pa.string())])))
