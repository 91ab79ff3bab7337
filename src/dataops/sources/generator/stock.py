"""What moves stock: work orders, purchase orders and the transactions that all orders leave behind."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array
from dataops.sources.generator.catalogue import (
    FIRST_SOLD,
    SUPPLIED,
    VENDORS,
    catalogue,
    price_year,
    supplied,
    supply_price,
)
from dataops.sources.generator.columns import Ints, below, decimals, hidden, moments, money, repeated, whole
from dataops.sources.generator.orders import FIRST_ORDER, lines_of
from dataops.sources.generator.products import FIRST_VENDOR
from dataops.sources.generator.shape import MOST_LINES, START, Shape

_FIRST_PURCHASE_LINE, _FIRST_SALE = 100_000_000, 200_000_000  # transaction ids; work orders' begin at 1
_BUYERS = 250, 12  # first employee id, how many

Columns = dict[str, Array]


@dataclass(frozen=True)
class _Work:
    product: Ints
    quantity: Ints
    day: Ints


def _work(shape: Shape, index: Ints) -> _Work:
    goods, day = catalogue(shape.seed), shape.work_orders.day(index)
    year = price_year(day)
    place = below(1 << 20, shape.seed, "work.product", index) % goods.made_sizes[year]
    quantity = below(60, shape.seed, "work.quantity", index) + 1
    return _Work(goods.made_pools[year, place] + FIRST_SOLD, quantity, day + START)


def work_order_columns(shape: Shape, index: Ints) -> Columns:
    """Production.WorkOrder."""
    work = _work(shape, index)
    scrapped = np.where(below(100, shape.seed, "work.scrap", index) == 0, work.quantity // 20, 0)
    return {
        "work_order_id": whole(index + 1, pa.int32()),
        "product_id": whole(work.product, pa.int32()),
        "order_qty": whole(work.quantity, pa.int32()),
        "stocked_qty": whole(work.quantity - scrapped, pa.int32()),
        "scrapped_qty": whole(scrapped, pa.int16()),
        "start_date": moments(work.day),
        "end_date": moments(work.day + 10),
        "due_date": moments(work.day + 11),
        "scrap_reason_id": hidden(scrapped == 0, whole(index % 16 + 1, pa.int16())),
        "modified_date": moments(work.day + 10),
    }


@dataclass(frozen=True)
class _Purchase:
    """Lines of purchase orders; `total` in 1/10000, `starts` the position of each order's first line."""

    order: Ints
    place: Ints
    product: Ints
    quantity: Ints
    price: Ints
    day: Ints
    starts: Ints


def _vendor(shape: Shape, order: Ints) -> Ints:
    return below(VENDORS, shape.seed, "purchase.vendor", order)


def _purchase(shape: Shape, order: Ints) -> _Purchase:
    counts = below(SUPPLIED, shape.seed, "purchase.lines", order) + 1
    starts = np.cumsum(counts) - counts
    place = np.arange(counts.sum()) - np.repeat(starts, counts)
    product = supplied(np.repeat(_vendor(shape, order), counts), place)
    order_of = np.repeat(order, counts)
    quantity = (below(180, shape.seed, "purchase.quantity", order_of * SUPPLIED + place) + 1) * 3
    days = np.repeat(shape.purchases.day(order), counts) + START
    return _Purchase(order_of, place, product, quantity, supply_price(product), days, starts)


def purchase_columns(shape: Shape, order: Ints) -> Columns:
    """Purchasing.PurchaseOrderHeader."""
    lines = _purchase(shape, order)
    subtotal = np.add.reduceat(lines.quantity * lines.price, lines.starts)
    tax, freight = subtotal * 8 // 100, subtotal * 25 // 1000
    day, count = shape.purchases.day(order) + START, len(order)
    return {
        "purchase_order_id": whole(order + 1, pa.int32()),
        "revision_number": whole(np.full(count, 4), pa.int16()),
        "status": whole(np.full(count, 4), pa.int16()),
        "employee_id": whole(order % _BUYERS[1] + _BUYERS[0], pa.int32()),
        "vendor_id": whole(_vendor(shape, order) * 2 + FIRST_VENDOR, pa.int32()),
        "ship_method_id": whole(order % 5 + 1, pa.int32()),
        "order_date": moments(day),
        "ship_date": moments(day + 9),
        "sub_total": money(subtotal),
        "tax_amt": money(tax),
        "freight": money(freight),
        "total_due": money(subtotal + tax + freight),
        "modified_date": moments(day + 9),
    }


def purchase_line_columns(shape: Shape, order: Ints) -> Columns:
    """Purchasing.PurchaseOrderDetail; everything arrives, little is rejected."""
    lines = _purchase(shape, order)
    number = lines.order * SUPPLIED + lines.place
    rejected = np.where(below(30, shape.seed, "purchase.rejected", number) == 0, lines.quantity // 3, 0)
    return {
        "purchase_order_id": whole(lines.order + 1, pa.int32()),
        "purchase_order_detail_id": whole(number + 1, pa.int32()),
        "due_date": moments(lines.day + 14),
        "order_qty": whole(lines.quantity, pa.int16()),
        "product_id": whole(lines.product, pa.int32()),
        "unit_price": money(lines.price),
        "line_total": money(lines.quantity * lines.price),
        "received_qty": decimals(lines.quantity * 100, 8, 2),
        "rejected_qty": decimals(rejected * 100, 8, 2),
        "stocked_qty": decimals((lines.quantity - rejected) * 100, 9, 2),
        "modified_date": moments(lines.day + 9),
    }


def _transactions(number: Ints, kind: str, product: Ints, reference: tuple[Ints, Ints], day: Ints) -> Columns:
    date = moments(day)
    return {
        "transaction_id": whole(number, pa.int32()),
        "product_id": whole(product, pa.int32()),
        "reference_order_id": whole(reference[0], pa.int32()),
        "reference_order_line_id": whole(reference[1], pa.int32()),
        "transaction_date": date,
        "transaction_type": repeated(kind, len(number)),
        "modified_date": date,
    }


def work_transactions(shape: Shape, index: Ints) -> Columns:
    """One transaction per work order, without a cost."""
    work, nothing = _work(shape, index), np.zeros(len(index), np.int64)
    columns = _transactions(index + 1, "W", work.product, (index + 1, nothing), work.day)
    return columns | {"quantity": whole(work.quantity, pa.int32()), "actual_cost": money(nothing)}


def purchase_transactions(shape: Shape, order: Ints) -> Columns:
    """One transaction per line of a purchase order."""
    lines = _purchase(shape, order)
    number = lines.order * SUPPLIED + lines.place + _FIRST_PURCHASE_LINE
    columns = _transactions(number, "P", lines.product, (lines.order + 1, lines.place + 1), lines.day)
    return columns | {"quantity": whole(lines.quantity, pa.int32()), "actual_cost": money(lines.price)}


def sale_transactions(shape: Shape, order: Ints) -> Columns:
    """One transaction per line of a sales order."""
    lines = lines_of(shape, order)
    number = lines.order * MOST_LINES + lines.place + _FIRST_SALE
    reference = (lines.order + FIRST_ORDER, lines.place + 1)
    columns = _transactions(number, "S", lines.product + FIRST_SOLD, reference, lines.day + START)
    return columns | {"quantity": whole(lines.quantity, pa.int32()), "actual_cost": money(lines.price)}
