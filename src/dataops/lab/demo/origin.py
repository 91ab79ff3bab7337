"""The source as the demo sees it: what it has, what its figures add up to, what a planted fault changes.

Reads source tables directly and adds them up in memory: an opinion that is independent of the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dataops.lab.faulty_source import open_source
from dataops.sources import Source, Window
from dataops.sources.port import Follow, Request

ORDERS, LINES = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail"
FAULTS = ("price_x100", "orphan_customer", "duplicate_order")
BEGINNING = datetime(2000, 1, 1)  # noqa: DTZ001  source times carry no zone
TABLES = {
    "orders": (ORDERS, ("sales_order_id", "order_date")),
    "lines": (LINES, ("sales_order_id", "product_id", "order_qty", "line_total")),
    "products": ("Production.Product", ("product_id", "standard_cost")),
    "costs": ("Production.ProductCostHistory", ("product_id", "start_date", "end_date", "standard_cost")),
}


@dataclass(frozen=True)
class Totals:
    """Exact sums, to six decimals."""

    lines: int
    revenue: Decimal
    gross_profit: Decimal


@dataclass(frozen=True)
class Planted:
    """How many rows of a delivery the faults changed."""

    overpriced: int
    orphans: int
    twice: int
    rows: int


class Origin:
    """A source, read into memory once."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def faulty_url(self) -> str:
        return f"{self.url}{'&' if '?' in self.url else '?'}faults={','.join(FAULTS)}"

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        source = open_source(self.url)
        try:
            return {name: _read(source, table, columns) for name, (table, columns) in TABLES.items()}
        finally:
            source.close()

    def totals(self, until: datetime, since: datetime = BEGINNING) -> Totals:
        """Of orders from `since` to before `until`."""
        query = Path(__file__).with_name("totals.sql").read_text(encoding="utf-8")
        with duckdb.connect() as connection:
            for name, table in self.tables.items():
                connection.register(name, table)
            found = connection.execute(query, {"since": since, "until": until}).fetchone()
        lines, revenue, profit = found or (0, 0, 0)
        return Totals(lines, Decimal(revenue or 0), Decimal(profit or 0))

    @property
    def last_day(self) -> datetime:
        """Date of the newest order."""
        newest: datetime = pc.max(self.tables["orders"]["order_date"]).as_py()
        return newest.replace(hour=0, minute=0, second=0, microsecond=0)

    def planted(self, window: Window) -> Planted:
        """What the faults do to the delivery of `window`, counted by comparing it with the clean one."""
        clean, faulty = open_source(self.url), open_source(self.faulty_url)
        try:
            pairs = [(_orders(s, window), _lines(s, window)) for s in (clean, faulty)]
        finally:
            clean.close()
            faulty.close()
        (orders, lines), (bad_orders, bad_lines) = pairs
        prices = zip(_column(lines, "unit_price"), _column(bad_lines, "unit_price"), strict=True)
        overpriced = sum(before != after for before, after in prices)
        known = set(_column(orders, "customer_id"))
        orphans = sum(customer not in known for customer in _column(bad_orders, "customer_id"))
        twice = bad_orders.num_rows - orders.num_rows
        return Planted(overpriced, orphans, twice, bad_orders.num_rows + bad_lines.num_rows)


def _column(table: pa.Table, name: str) -> list[object]:
    return list(table[name].to_pylist())


def _read(source: Source, table: str, columns: tuple[str, ...], **which: object) -> pa.Table:
    schema = source.schema(table)
    wanted = pa.schema([schema.field(name) for name in columns])
    request = Request(table, wanted, **which)  # type: ignore[arg-type]
    return source.read(request).read_all().select(list(columns))


def _orders(source: Source, window: Window) -> pa.Table:
    return _read(source, ORDERS, ("sales_order_id", "customer_id"), window=window, cursor="order_date")


def _lines(source: Source, window: Window) -> pa.Table:
    key = ("sales_order_id",)
    follow = Follow(key, ORDERS, key, "order_date")
    return _read(source, LINES, ("sales_order_id", "sales_order_detail_id", "unit_price"), window=window, follow=follow)
