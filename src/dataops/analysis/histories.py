"""Histories of customers out of their orders, as they stood on a day. Orders of one day are one purchase."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa

from dataops.analysis.likelihood import Array, Whole
from dataops.analysis.purchases import Histories

WEEK = 7
LATEST = 10**6  # more than the number of any day


@dataclass(frozen=True)
class Orders:
    """Purchases by customer, then day: arrays of one length. Days count from 1970."""

    customer: Whole
    day: Whole
    value: Array

    @classmethod
    def of(cls, table: pa.Table) -> Orders:
        """From customer_id, order_date and value; what is worth nothing is a purchase all the same."""
        customer = table["customer_id"].to_numpy().astype(np.int64)
        day = table["order_date"].cast(pa.int32()).to_numpy().astype(np.int64)
        value = table["value"].cast(pa.float64()).to_numpy()
        order = np.argsort(customer * LATEST + day)  # several times as quick as a sort by two keys
        customer, day, value = customer[order], day[order], value[order]
        starts = np.flatnonzero((np.diff(customer, prepend=-1) != 0) | (np.diff(day, prepend=-1) != 0))
        return cls(customer[starts], day[starts], np.add.reduceat(value, starts) if len(starts) else value)

    @property
    def first_day(self) -> int:
        return int(self.day.min())

    @property
    def last_day(self) -> int:
        return int(self.day.max())

    def until(self, day: int) -> Orders:
        """Those that were there at the end of a day."""
        known = self.day <= day
        return replace(self, customer=self.customer[known], day=self.day[known], value=self.value[known])


@dataclass(frozen=True)
class Customers:
    """One element per customer who had ordered by a day, in order of their ids."""

    ids: Whole
    first: Whole
    last: Whole
    purchases: Whole
    """days on which they bought, the first one included"""
    repeats_worth: Array
    """mean value of purchases after the first; NaN where there is none"""
    worth: Array
    """of all their purchases"""
    as_of: int

    @classmethod
    def of(cls, orders: Orders, as_of: int) -> Customers:
        """As they stood at the end of a day."""
        known = orders.until(as_of)
        starts = np.flatnonzero(np.diff(known.customer, prepend=-1) != 0)
        if not len(starts):
            none, nothing = np.empty(0, np.int64), np.empty(0)
            return cls(none, none, none, none, nothing, nothing, as_of)
        purchases = np.diff(np.append(starts, len(known.customer)))
        worth = np.add.reduceat(known.value, starts)
        rest = np.where(purchases > 1, (worth - known.value[starts]) / np.maximum(purchases - 1, 1), np.nan)
        ends = starts + purchases - 1
        return cls(known.customer[starts], known.day[starts], known.day[ends], purchases, rest, worth, as_of)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def histories(self) -> Histories:
        """For the models: repeats, recency and age, in weeks."""
        return Histories(
            (self.purchases - 1).astype(np.float64),
            (self.last - self.first) / WEEK,
            (self.as_of - self.first) / WEEK,
            np.ones(len(self)),
        )

    def bought_later(self, orders: Orders, until: int) -> tuple[Array, Array]:
        """Purchases of each after `as_of` and until the end of a day, and what they were worth."""
        later = (orders.day > self.as_of) & (orders.day <= until)
        place = np.searchsorted(self.ids, orders.customer[later])
        place = np.minimum(place, max(len(self) - 1, 0))
        own = self.ids[place] == orders.customer[later] if len(self) else np.zeros(int(later.sum()), bool)
        counts = np.bincount(place[own], minlength=len(self)).astype(np.float64)
        worth = np.bincount(place[own], weights=orders.value[later][own], minlength=len(self))
        return counts, worth.astype(np.float64)


def day_of(number: int) -> date:
    """The date of a day."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + number)
