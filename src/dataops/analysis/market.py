"""Sales of channels by product and month, and which days of a month they fell on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataops.analysis.likelihood import Array, Whole

NEVER = 2**24  # a day after all others, as a number since 1970


@dataclass(frozen=True)
class Lines:
    """Sales by day, product, channel and offer, as arrays of one length; days are numbers since 1970."""

    day: Whole
    product: Whole
    channel: NDArray[np.str_]
    offer: Whole
    revenue: Array

    @classmethod
    def of(cls, rows: pa.Table) -> Lines:
        """Of a table with order_date, product_id, channel, special_offer_id and revenue.

        In an order of their own, so that sums have the same digits whatever warehouse the rows come from.
        """
        lines = cls(
            rows["order_date"].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64),
            rows["product_id"].to_numpy().astype(np.int64),
            np.array(rows["channel"].to_pylist(), dtype=np.str_),
            rows["special_offer_id"].to_numpy().astype(np.int64),
            rows["revenue"].cast(pa.float64()).to_numpy(),
        )
        return lines.only(np.lexsort((lines.offer, lines.channel, lines.product, lines.day)))

    def only(self, chosen: NDArray[np.bool_] | Whole) -> Lines:
        """Some of them."""
        return Lines(
            self.day[chosen], self.product[chosen], self.channel[chosen], self.offer[chosen], self.revenue[chosen]
        )


@dataclass(frozen=True)
class Market:
    """What some channels sold of each product by month, in months in which they sold anything."""

    lines: Lines
    months: Whole
    """numbers since 1970"""
    products: Whole
    revenue: Array
    """products by months"""

    @cached_property
    def _place(self) -> Whole:
        return np.searchsorted(self.months, month_of(self.lines.day))

    @cached_property
    def first(self) -> Whole:
        """Of each month the first day with sales."""
        days = np.full(len(self.months), NEVER)
        np.minimum.at(days, self._place, self.lines.day)
        return days

    @cached_property
    def last(self) -> Whole:
        """Of each month the last day with sales."""
        days = np.full(len(self.months), -NEVER)
        np.maximum.at(days, self._place, self.lines.day)
        return days

    def exposure(self, start: int, end: int) -> Array:
        """The share of each month's sales that fell on these days."""
        inside = (self.lines.day >= start) & (self.lines.day <= end)
        parts = np.bincount(self._place[inside], self.lines.revenue[inside], len(self.months))
        return np.asarray(parts / self.revenue.sum(axis=0), dtype=np.float64)


def market_of(lines: Lines, channels: Sequence[str]) -> Market:
    """What was sold through these channels; months in which nothing was earned are left out."""
    own = lines.only(np.isin(lines.channel, list(channels)))
    months, month = np.unique(month_of(own.day), return_inverse=True)
    products, product = np.unique(own.product, return_inverse=True)
    revenue = np.zeros((len(products), len(months)))
    np.add.at(revenue, (product, month), own.revenue)
    earned = revenue.sum(axis=0) > 0
    return Market(own.only(earned[month]), months[earned], products, revenue[:, earned])


def month_of(day: Whole) -> Whole:
    """The months of days, both as numbers since 1970."""
    return np.asarray(day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64))
