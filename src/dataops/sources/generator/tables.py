"""Every table of the generated world: how many indices it has, which function makes its rows, when they happened."""

from collections.abc import Callable
from dataclasses import dataclass

from dataops.sources.arrow import Array
from dataops.sources.generator import lookups, orders, people, products, rates, stock
from dataops.sources.generator.catalogue import COMPONENTS, SOLD, SUPPLIED, VENDORS
from dataops.sources.generator.columns import Ints
from dataops.sources.generator.lists import lists
from dataops.sources.generator.shape import Series, Shape

Build = Callable[[Shape, Ints], dict[str, Array]]

ORDERS, PURCHASES = "Sales.SalesOrderHeader", "Purchasing.PurchaseOrderHeader"


@dataclass(frozen=True)
class Part:
    """Some rows of a table: `build` makes the columns of the rows of any indices below `count`.

    Dated parts know the series their indices belong to and the `cursor` that holds its day; lines know the table
    whose cursor that is (`parent`). Of a series that is split between a live table and its archive, `live` tells
    which one this is. `in_delta` parts bring new and changed orders only when a delta is asked for.
    """

    build: Build
    count: Callable[[Shape], int]
    series: Callable[[Shape], Series] | None = None
    cursor: str = ""
    parent: str = ""
    live: bool | None = None
    chunk: int = 1 << 16
    in_delta: bool = False


def _fixed(build: Build, count: int) -> tuple[Part, ...]:
    return (Part(build, lambda _: count),)


def _listed(build: Build, name: str) -> tuple[Part, ...]:
    return (Part(build, lambda _: len(lists()[name])),)


def _dated(
    build: Build, series: Callable[[Shape], Series], cursor: str, parent: str = "", chunk: int = 1 << 16
) -> tuple[Part, ...]:
    return (Part(build, lambda shape: series(shape).total, series, cursor, parent, chunk=chunk),)


def _ordered(build: Build, parent: str = "", chunk: int = 1 << 14) -> tuple[Part, ...]:
    """Rows made from sales orders, about four lines each."""
    return (Part(build, lambda shape: shape.orders.total, _orders, "order_date", parent, None, chunk, in_delta=True),)


def _moved(*, live: bool) -> tuple[Part, ...]:
    """Transactions of all kinds; the older ones are in the archive."""
    kinds: tuple[tuple[Build, Callable[[Shape], Series], int], ...] = (
        (stock.work_transactions, _work_orders, 1 << 16),
        (stock.purchase_transactions, _purchases, 1 << 14),
        (stock.sale_transactions, _orders, 1 << 14),
    )
    return tuple(
        Part(build, lambda shape, series=series: series(shape).total, series, "transaction_date", "", live, chunk)  # type: ignore[misc]
        for build, series, chunk in kinds
    )


def _orders(shape: Shape) -> Series:
    return shape.orders


def _work_orders(shape: Shape) -> Series:
    return shape.work_orders


def _purchases(shape: Shape) -> Series:
    return shape.purchases


TABLES: dict[str, tuple[Part, ...]] = {
    "Sales.SalesTerritory": _listed(lookups.territory_columns, "territories"),
    "Person.CountryRegion": _listed(lookups.country_columns, "countries"),
    "Person.StateProvince": _listed(lookups.state_columns, "states"),
    "Sales.Currency": _listed(lookups.currency_columns, "currencies"),
    "Production.ProductCategory": _listed(lookups.category_columns, "categories"),
    "Production.ProductSubcategory": _listed(lookups.subcategory_columns, "subcategories"),
    "Production.ProductModel": _fixed(products.model_columns, products.MODELS),
    "Production.Product": _fixed(products.product_columns, COMPONENTS + SOLD),
    "Production.ProductCostHistory": (Part(products.cost_columns, products.intervals),),
    "Production.ProductListPriceHistory": (Part(products.list_price_columns, products.intervals),),
    "Sales.SpecialOffer": _listed(products.offer_columns, "offers"),
    "Sales.SpecialOfferProduct": (Part(products.offer_product_columns, lambda _: len(lists()["offers"]) * SOLD),),
    "Sales.SalesReason": _listed(lookups.reason_columns, "reasons"),
    "Purchasing.ShipMethod": _listed(lookups.ship_method_columns, "ship_methods"),
    "Person.Person": (Part(people.person_columns, people.persons),),
    "Person.EmailAddress": (Part(people.email_columns, people.persons),),
    "Person.Address": (Part(people.address_columns, people.addresses),),
    "Person.BusinessEntityAddress": (Part(people.residence_columns, people.addresses),),
    "Sales.Customer": (Part(people.customer_columns, people.customers),),
    "Sales.Store": (Part(people.store_columns, lambda shape: shape.stores),),
    "Sales.SalesPerson": _fixed(people.seller_columns, people.SELLERS),
    "Purchasing.Vendor": _fixed(products.vendor_columns, VENDORS),
    "Purchasing.ProductVendor": _fixed(products.product_vendor_columns, VENDORS * SUPPLIED),
    "Sales.SalesOrderHeader": _ordered(orders.order_columns),
    "Sales.SalesOrderDetail": _ordered(orders.line_columns, ORDERS),
    "Sales.SalesOrderHeaderSalesReason": _ordered(orders.reason_columns, ORDERS, 1 << 16),
    "Sales.CurrencyRate": _dated(rates.rate_columns, rates.rates, "currency_rate_date"),
    "Production.Location": _listed(lookups.location_columns, "locations"),
    "Production.ProductInventory": (Part(products.inventory_columns, products.stocked),),
    "Production.TransactionHistory": _moved(live=True),
    "Production.TransactionHistoryArchive": _moved(live=False),
    "Production.WorkOrder": _dated(stock.work_order_columns, _work_orders, "start_date"),
    "Purchasing.PurchaseOrderHeader": _dated(stock.purchase_columns, _purchases, "order_date", chunk=1 << 14),
    "Purchasing.PurchaseOrderDetail": _dated(stock.purchase_line_columns, _purchases, "order_date", PURCHASES, 1 << 14),
}
"""Parts by source table."""
