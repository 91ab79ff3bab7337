"""Sales orders: headers, lines and reasons, each a function of the orders' indices.

Headers and lines agree because a header sums the lines made from the same index; nothing is kept between chunks.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dataops.sources.arrow import Array
from dataops.sources.generator.catalogue import FIRST_SOLD, VOLUME, catalogue, price_year, volume_band
from dataops.sources.generator.columns import (
    Ints,
    Mask,
    below,
    decimals,
    fixed,
    flags,
    guids,
    hexadecimal,
    hidden,
    joined,
    moments,
    money,
    padded,
    picked,
    repeated,
    whole,
)
from dataops.sources.generator.people import FIRST_SALES_PERSON, SELLERS, customer_address, territory_of
from dataops.sources.generator.rates import rate_id
from dataops.sources.generator.shape import MOST_LINES, START, Shape

FIRST_ORDER = 43_659
_STORE_SHARE = 121  # of 1000 orders
_ONLINE_LINES = np.array([1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4])
_REASONS = np.array([1, 3, 4, 5, 6, 7, 8, 9, 10])  # without 2, which needs a promotion in the order
_CHANGED = "delivery note changed"

Columns = dict[str, Array]


@dataclass(frozen=True)
class Lines:
    """Lines of some orders: `order` is the order's index, `place` its number within the order, money in 1/10000.

    `total` is in millionths; `starts` are the positions of each order's first line.
    """

    order: Ints
    place: Ints
    product: Ints
    quantity: Ints
    offer: Ints
    price: Ints
    discount: Ints
    total: Ints
    online: Mask
    day: Ints
    starts: Ints


def is_online(shape: Shape, order: Ints) -> Mask:
    """Which orders came over the internet."""
    return below(1000, shape.seed, "order.online", order) >= _STORE_SHARE


def lines_of(shape: Shape, order: Ints) -> Lines:
    """All lines of the orders, in order."""
    seed, goods = shape.seed, catalogue(shape.seed)
    online = is_online(shape, order)
    dice = below(1 << 20, seed, "order.lines", order)
    counts = np.where(online, _ONLINE_LINES[dice % len(_ONLINE_LINES)], dice % 31 + 1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    place = np.arange(counts.sum()) - np.repeat(starts, counts)
    day = shape.orders.day(order)
    line = np.repeat(order * MOST_LINES, counts) + place
    year = np.repeat(price_year(day), counts)
    base = np.repeat(below(1 << 20, seed, "order.goods", order), counts)
    product = goods.pools[year, (base + place * 7) % goods.sizes[year]]
    online = np.repeat(online, counts)
    quantity = np.where(online, 1, _quantity(seed, line))
    band = VOLUME[volume_band(quantity)]
    price = np.where(online, goods.list_price[product, year], goods.list_price[product, year] * 6 // 10)
    total = quantity * price * (100 - band[:, 1])  # 1/10000 times percent: millionths, exact
    days = np.repeat(day, counts)
    return Lines(
        np.repeat(order, counts), place, product, quantity, band[:, 0], price, band[:, 1], total, online, days, starts
    )


def _quantity(seed: int, line: Ints) -> Ints:
    dice = below(1000, seed, "line.quantity", line)
    return np.where(dice < 950, dice % 6 + 1, dice % 30 + 11)  # noqa: PLR2004 - one line in twenty buys in bulk


def line_columns(shape: Shape, order: Ints) -> Columns:
    """Sales.SalesOrderDetail."""
    lines = lines_of(shape, order)
    number = lines.order * MOST_LINES + lines.place
    ids = whole(number + 1, pa.int32())
    return {
        "sales_order_id": whole(lines.order + FIRST_ORDER, pa.int32()),
        "sales_order_detail_id": ids,
        "carrier_tracking_number": hidden(lines.online, _tracking(shape, lines.order)),
        "order_qty": whole(lines.quantity, pa.int16()),
        "product_id": whole(lines.product + FIRST_SOLD, pa.int32()),
        "special_offer_id": whole(lines.offer, pa.int32()),
        "unit_price": money(lines.price),
        "unit_price_discount": money(lines.discount * 100),
        "line_total": decimals(lines.total, 38, 6),
        "rowguid": guids(shape.seed, "line", number),
        "modified_date": moments(lines.day + START),
    }


def _tracking(shape: Shape, order: Ints) -> Array:
    digits = hexadecimal(shape.seed, "order.tracking", order, 10)
    dash = np.full((len(order), 1), ord("-"), np.uint8)
    return fixed(np.hstack([digits[:, :4], dash, digits[:, 4:8], dash, digits[:, 8:]]))


def order_columns(shape: Shape, order: Ints) -> Columns:
    """Sales.SalesOrderHeader."""
    lines = lines_of(shape, order)
    subtotal = (np.add.reduceat(lines.total, lines.starts) + 50) // 100
    changed = _is_changed(shape, order)
    tax, freight = subtotal * 8 // 100, subtotal * 25 // 1000 + np.where(changed, 10_000, 0)
    day = shape.orders.day(order) + START
    return {
        **_order_identity(shape, order, changed),
        **_order_parties(shape, order),
        "order_date": moments(day),
        "due_date": moments(day + 12),
        "ship_date": moments(day + 7 + changed),
        "sub_total": money(subtotal),
        "tax_amt": money(tax),
        "freight": money(freight),
        "total_due": money(subtotal + tax + freight),
        "modified_date": moments(day + 7 + 30 * changed),
    }


def _is_changed(shape: Shape, order: Ints) -> Mask:
    """In a delta every order of the base is there because it changed."""
    return (order < shape.orders.total) & (shape.delta is not None)


def _order_identity(shape: Shape, order: Ints, changed: Mask) -> Columns:
    online = is_online(shape, order)
    number = whole(order + FIRST_ORDER, pa.int32())
    approval = below(10_000_000, shape.seed, "order.approval", order)
    return {
        "sales_order_id": number,
        "revision_number": whole(8 + changed, pa.int16()),
        "status": whole(np.full(len(order), 5), pa.int16()),
        "online_order_flag": flags(online),
        "sales_order_number": joined("SO", number),
        "purchase_order_number": hidden(online, padded("PO", below(10**9, shape.seed, "order.po", order), 9)),
        "ship_method_id": whole(np.where(online, 1, 5), pa.int32()),
        "credit_card_id": whole(below(19_118, shape.seed, "order.card", order) + 1, pa.int32()),
        "credit_card_approval_code": joined(padded("", approval, 6), "Vi", padded("", approval // 7, 5)),
        "comment": hidden(~changed, repeated(_CHANGED, len(order))),
        "rowguid": guids(shape.seed, "order", order),
    }


def _order_parties(shape: Shape, order: Ints) -> Columns:
    """Customer, seller, addresses, territory and currency, which follow from the customer."""
    online = is_online(shape, order)
    dice = below(1 << 40, shape.seed, "order.customer", order)
    store = dice % shape.contacts
    customer = shape.stores + np.where(online, shape.contacts + dice % shape.individuals, store)
    address = customer_address(shape, customer)
    territory = territory_of(shape, address)
    rate = rate_id(shape, territory, shape.orders.day(order))
    place = whole(address + 1, pa.int32())
    prefix = picked(["10-4020-", "10-4030-"], online.astype(np.int64))
    return {
        "account_number": joined(prefix, padded("", customer + 1, 6)),
        "customer_id": whole(customer + 1, pa.int32()),
        "sales_person_id": hidden(online, whole(store % SELLERS + FIRST_SALES_PERSON, pa.int32())),
        "territory_id": whole(territory, pa.int32()),
        "bill_to_address_id": place,
        "ship_to_address_id": place,
        "currency_rate_id": hidden(rate == 0, whole(rate, pa.int32())),
    }


def reason_columns(shape: Shape, order: Ints) -> Columns:
    """Sales.SalesOrderHeaderSalesReason: none, one or two reasons for an order over the internet."""
    dice = below(1 << 20, shape.seed, "order.reason", order)
    counts = np.where(is_online(shape, order), np.array([0, 1, 1, 1, 1, 2])[dice % 6], 0)
    starts = np.cumsum(counts) - counts
    place = np.arange(counts.sum()) - np.repeat(starts, counts)
    reason = _REASONS[(np.repeat(dice // 6, counts) + place) % len(_REASONS)]
    return {
        "sales_order_id": whole(np.repeat(order, counts) + FIRST_ORDER, pa.int32()),
        "sales_reason_id": whole(reason, pa.int32()),
        "modified_date": moments(np.repeat(shape.orders.day(order), counts) + START),
    }
