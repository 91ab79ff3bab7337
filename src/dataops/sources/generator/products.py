"""Products and what surrounds them: categories, models, price and cost histories, offers, vendors, stock."""

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array
from dataops.sources.generator.catalogue import (
    BOUGHT,
    COMPONENTS,
    FIRST_SOLD,
    PERIODS,
    SOLD,
    SUPPLIED,
    YEAR,
    Catalogue,
    catalogue,
    supplied,
    supply_price,
)
from dataops.sources.generator.columns import (
    Ints,
    Mask,
    below,
    decimals,
    flags,
    guids,
    hidden,
    joined,
    moments,
    money,
    padded,
    picked,
    repeated,
    texts,
    whole,
)
from dataops.sources.generator.lists import column, lists
from dataops.sources.generator.shape import START, Shape

FIRST_VENDOR = 1_492
MODELS = SOLD
_EPOCH = START - 1_127  # when the company's master data began: 2008-04-29
_NO_STOCK = 72  # products that have no inventory row: nobody knows how many there are
_LINES = ["M ", "R ", "T ", "S "]

Columns = dict[str, Array]


def product_columns(shape: Shape, index: Ints) -> Columns:
    """Production.Product: components first, then what is sold."""
    goods, sold = catalogue(shape.seed), index >= COMPONENTS
    number = np.where(sold, index - COMPONENTS, 0)
    ids = whole(product_id(index), pa.int32())
    last = goods.last[number]
    safety = whole(np.where(sold, np.array([100, 500, 4, 4])[number % 4], 1000), pa.int16())
    return {
        "product_id": ids,
        "name": joined(_product_kind(sold, number), " ", ids),
        "product_number": _code(sold, number, index),
        "make_flag": flags(np.where(sold, goods.made[number], index >= BOUGHT)),
        "finished_goods_flag": flags(sold),
        "color": hidden(~sold, picked(lists()["colors"], number)),
        "safety_stock_level": safety,
        "reorder_point": whole(np.where(sold, np.array([75, 375, 3, 3])[number % 4], 750), pa.int16()),
        "standard_cost": money(np.where(sold, goods.cost[number, last], 0)),
        "list_price": money(np.where(sold, goods.list_price[number, last], 0)),
        "size": hidden(~sold, picked(["38", "44", "48", "52", "58"], number)),
        "size_unit_measure_code": hidden(~sold, repeated("CM ", len(index))),
        "weight_unit_measure_code": hidden(~sold, repeated("LB ", len(index))),
        "weight": hidden(~sold, decimals(number % 900 + 200, 8, 2)),
        "days_to_manufacture": whole(np.where(sold & goods.made[number], number % 4 + 1, 0), pa.int32()),
        "product_line": hidden(~sold, picked(_LINES, number)),
        "class": hidden(~sold, picked(["L ", "M ", "H "], number)),
        "style": hidden(~sold, picked(["U ", "W ", "M "], number)),
        "product_subcategory_id": hidden(~sold, whole(_subcategory(number), pa.int32())),
        "product_model_id": hidden(~sold, whole(number + 1, pa.int32())),
        "sell_start_date": moments(np.where(sold, START + goods.first[number] * YEAR, _EPOCH)),
        "sell_end_date": hidden(~sold | (last == PERIODS - 1), moments(START + (last + 1) * YEAR - 1)),
        "rowguid": guids(shape.seed, "product", index),
        "modified_date": moments(np.full(len(index), START + 984)),
    }


def product_id(index: Ints) -> Ints:
    """Components are numbered from 1, sold products from FIRST_SOLD."""
    return np.where(index < COMPONENTS, index + 1, index - COMPONENTS + FIRST_SOLD)


def _product_kind(sold: Mask, number: Ints) -> Array:
    kinds = ["Part", "Mountain Bike", "Frame", "Jersey", "Helmet"]
    return picked(kinds, np.where(sold, number % 4 + 1, 0))


def _code(sold: Mask, number: Ints, index: Ints) -> Array:
    prefix = picked(["BA-", "BK-", "FR-", "SH-", "HL-"], np.where(sold, number % 4 + 1, 0))
    return joined(prefix, padded("", product_id(index) + 1000, 4))


def _subcategory(number: Ints) -> Ints:
    """Category is the product's number modulo 4; the subcategory one of the category's."""
    owners = np.array(column("subcategories", 0))
    members = [np.flatnonzero(owners == category + 1) + 1 for category in range(4)]
    return np.array([members[n % 4][n // 4 % len(members[n % 4])] for n in number.tolist()], np.int64)


def _intervals(goods: Catalogue) -> tuple[Ints, Ints]:
    """Product and price year of every interval of the histories."""
    year = np.arange(PERIODS)
    listed = (goods.first[:, None] <= year) & (year <= goods.last[:, None])
    product, years = np.nonzero(listed)
    return product, years


def intervals(shape: Shape) -> int:
    """How many intervals the price and the cost history have."""
    return len(_intervals(catalogue(shape.seed))[0])


def _history(shape: Shape, index: Ints) -> tuple[Columns, Ints, Ints]:
    product, year = (part[index] for part in _intervals(catalogue(shape.seed)))
    end = START + (year + 1) * YEAR - 1
    started = START + year * YEAR
    columns = {
        "product_id": whole(product + FIRST_SOLD, pa.int32()),
        "start_date": moments(started),
        "end_date": hidden(year == PERIODS - 1, moments(end)),
        "modified_date": moments(np.where(year == PERIODS - 1, started, end)),
    }
    return columns, product, year


def list_price_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductListPriceHistory, without gaps."""
    columns, product, year = _history(shape, index)
    return columns | {"list_price": money(catalogue(shape.seed).list_price[product, year])}


def cost_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductCostHistory, without gaps."""
    columns, product, year = _history(shape, index)
    return columns | {"standard_cost": money(catalogue(shape.seed).cost[product, year])}


def model_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductModel."""
    return {
        "product_model_id": whole(index + 1, pa.int32()),
        "name": joined("Model-", whole(index + 1, pa.int32())),
        "rowguid": guids(shape.seed, "model", index),
        "modified_date": moments(np.full(len(index), _EPOCH)),
    }


def offer_columns(shape: Shape, index: Ints) -> Columns:
    """Sales.SpecialOffer; all are open as long as anything is ordered."""
    count = len(index)
    most = np.array([value or 0 for value in column("offers", 5)])[index]
    return {
        "special_offer_id": whole(index + 1, pa.int32()),
        "description": picked(column("offers", 0), index),
        "discount_pct": decimals(np.array(column("offers", 1))[index], 10, 4),
        "type": picked(column("offers", 2), index),
        "category": picked(column("offers", 3), index),
        "start_date": moments(np.full(count, START - 30)),
        "end_date": moments(np.full(count, START + shape.days + 400)),
        "min_qty": whole(np.array(column("offers", 4))[index], pa.int32()),
        "max_qty": hidden(most == 0, whole(most, pa.int32())),
        "rowguid": guids(shape.seed, "offer", index),
        "modified_date": moments(np.full(count, START - 60)),
    }


def offer_product_columns(shape: Shape, index: Ints) -> Columns:
    """Sales.SpecialOfferProduct: every offer is good for every sold product."""
    return {
        "special_offer_id": whole(index // SOLD + 1, pa.int32()),
        "product_id": whole(index % SOLD + FIRST_SOLD, pa.int32()),
        "rowguid": guids(shape.seed, "offer_product", index),
        "modified_date": moments(np.full(len(index), START - 60)),
    }


def vendor_columns(shape: Shape, index: Ints) -> Columns:
    """Purchasing.Vendor."""
    return {
        "business_entity_id": whole(index * 2 + FIRST_VENDOR, pa.int32()),
        "account_number": padded("VENDOR", index, 4),
        "name": joined("Vendor ", whole(index + 1, pa.int32())),
        "credit_rating": whole(index % 5 + 1, pa.int16()),
        "preferred_vendor_status": flags(index % 10 != 0),
        "active_flag": flags(np.ones(len(index), bool)),
        "modified_date": moments(np.full(len(index), START - 35 + below(1, shape.seed, "vendor", index))),
    }


def product_vendor_columns(shape: Shape, index: Ints) -> Columns:
    """Purchasing.ProductVendor: each vendor supplies four components."""
    product = supplied(index // SUPPLIED, index % SUPPLIED)
    price, count = supply_price(product), len(index)
    received = moments(np.full(count, START + 90))
    return {
        "product_id": whole(product, pa.int32()),
        "business_entity_id": whole(index // SUPPLIED * 2 + FIRST_VENDOR, pa.int32()),
        "average_lead_time": whole(below(20, shape.seed, "supply.lead", index) + 10, pa.int32()),
        "standard_price": money(price),
        "last_receipt_cost": money(price * 105 // 100),
        "last_receipt_date": received,
        "min_order_qty": whole(np.ones(count), pa.int32()),
        "max_order_qty": whole(np.full(count, 1000), pa.int32()),
        "on_order_qty": hidden(index % 3 > 0, whole(np.full(count, 3), pa.int32())),
        "unit_measure_code": repeated("CTN", count),
        "modified_date": received,
    }


def stocked(shape: Shape) -> int:  # noqa: ARG001 - the same signature for all counts
    """Rows of stock: two places for each product that is stocked at all."""
    return (COMPONENTS + SOLD - _NO_STOCK) * 2


def inventory_columns(shape: Shape, index: Ints) -> Columns:
    """Production.ProductInventory: parts on shelves and in assembly, goods in the finished goods storage.

    Components 1 to 72 are not stocked; what is sold no longer has run out.
    """
    product = index // 2 + _NO_STOCK
    sold = product >= COMPONENTS
    location = np.where(index % 2, np.where(sold, 60, 50), np.where(sold, 7, 6))
    gone = sold & (catalogue(shape.seed).last[np.where(sold, product - COMPONENTS, 0)] < PERIODS - 1)
    quantity = np.where(gone, 0, below(600, shape.seed, "stock", index) + 50)
    shelves = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    return {
        "product_id": whole(product_id(product), pa.int32()),
        "location_id": whole(location, pa.int16()),
        "shelf": texts([shelves[place % 26] if not done else "N/A" for place, done in zip(product, sold, strict=True)]),
        "bin": whole(np.where(sold, 0, product % 100 + 1), pa.int16()),
        "quantity": whole(quantity, pa.int16()),
        "rowguid": guids(shape.seed, "stock", index),
        "modified_date": moments(np.full(len(index), START + shape.days)),
    }
