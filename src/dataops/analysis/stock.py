"""Stock policy from demand and lead time: safety stock and reorder point, and how they would have done.

Continuous review with normal errors of the forecast over the lead time (Silver, Pyke & Thomas 2017, chapter 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataops.analysis import demand
from dataops.analysis.demand import Array

DEMAND = "demand"  # product_id int, week_start date, units int: weeks with demand
LEVELS = "levels"  # product_id int, lead_time_days int, lead_time_from text, declared_reorder_point int; of any product
WEEK = 7
COUNTS = ("alerts", "in_time", "late", "in_vain", "weeks_short", "open")
_RATED: list[pa.Field[Any]] = [
    pa.field("demand_class", pa.string()), pa.field("method", pa.string()), pa.field("products", pa.int32()),
    pa.field("rmsse", pa.decimal128(20, 6)), pa.field("is_used", pa.bool_()),
]  # fmt: skip
_LEVELS: list[pa.Field[Any]] = [
    pa.field("product_id", pa.int64()), pa.field("last_week", pa.date32()), pa.field("demand_class", pa.string()),
    pa.field("method", pa.string()), pa.field("demand_per_week", pa.decimal128(20, 6)),
    pa.field("deviation_per_week", pa.decimal128(20, 6)), pa.field("lead_time_days", pa.int64()),
    pa.field("lead_time_from", pa.string()), pa.field("safety_stock", pa.int64()),
    pa.field("reorder_point", pa.int64()),
]  # fmt: skip
_TESTED: list[pa.Field[Any]] = [
    pa.field("policy", pa.string()), pa.field("demand_class", pa.string()), pa.field("products", pa.int32()),
    *(pa.field(name, pa.int32()) for name in COUNTS),
]  # fmt: skip
DIGITS = 6  # that are published; levels follow from what can be read


@dataclass(frozen=True)
class _Series:
    """Weekly demand: products by weeks, both in order."""

    products: NDArray[np.int64]
    units: Array
    last_week: date


def policy(inputs: Mapping[str, pa.Table], *, service_level: float) -> pa.Table:
    """Per product with demand: how it comes, its forecast, lead time, safety stock and reorder point.

    `service_level`: the share of lead times that should end without the stock running out, between 0.5 and 1.
    Units are pieces and days; fractions of a piece are rounded up.
    """
    if not inputs[DEMAND].num_rows:
        return _nothing(_LEVELS)
    series = _series(inputs[DEMAND])
    choice = demand.choose(series.units)
    lead_time = _numbers(inputs[LEVELS], series.products, "lead_time_days")
    source = _known(inputs[LEVELS], series.products, "lead_time_from")
    known = ~np.isnan(lead_time)
    weeks = np.nan_to_num(lead_time) / WEEK
    per_week, deviation = np.round(choice.per_week, DIGITS), np.round(choice.deviation, DIGITS)
    safety = np.ceil(NormalDist().inv_cdf(service_level) * deviation * np.sqrt(weeks))
    reorder = np.ceil(per_week * weeks + safety)
    return pa.table(
        {
            "product_id": pa.array(series.products),
            "last_week": pa.array([series.last_week] * len(series.products), pa.date32()),
            "demand_class": pa.array(choice.classes.tolist()),
            "method": pa.array([choice.methods[label] for label in choice.classes]),
            "demand_per_week": _decimal(per_week),
            "deviation_per_week": _decimal(deviation),
            "lead_time_days": pa.array(np.nan_to_num(lead_time).astype(np.int64), mask=~known),
            "lead_time_from": pa.array(["nobody" if name is None else name for name in source], pa.string()),
            "safety_stock": pa.array(safety.astype(np.int64), mask=~known),
            "reorder_point": pa.array(reorder.astype(np.int64), mask=~known),
        }
    )


def accuracy(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per class and method: the products, the error (RMSSE) over the last quarter, and whether it is the one used."""
    if not inputs[DEMAND].num_rows:
        return _nothing(_RATED)
    choice = demand.choose(_series(inputs[DEMAND]).units)
    rows = [
        {
            "demand_class": label,
            "method": name,
            "products": int((choice.classes == label).sum()),
            "rmsse": Decimal(f"{error:.{DIGITS}f}"),
            "is_used": choice.methods[label] == name,
        }
        for (label, name), error in choice.errors.items()
    ]
    return pa.Table.from_pylist(rows, pa.schema(_RATED))


def back_test(inputs: Mapping[str, pa.Table], *, service_level: float) -> pa.Table:
    """How alerts would have done over the last year of real demand, at the computed and at the static reorder points.

    Each product starts with its reorder point and one lead time's demand. An alert is raised when what is on hand and
    on order falls below the reorder point; four weeks' demand and what is missing is ordered then and arrives after
    the lead time. An alert came in time when the stock lasted until then, late when it ran out before, in vain when
    demand until the arrival left the computed safety stock untouched. Parameters are of the weeks before the year.
    """
    if not inputs[DEMAND].num_rows:
        return _nothing(_TESTED)
    series = _series(inputs[DEMAND])
    year = min(demand.YEAR, series.units.shape[1] - demand.HOLD_OUT - demand.SHORTEST)
    if year <= 0:  # too little before it to compute anything from
        return _nothing(_TESTED)
    before = demand.choose(series.units[:, : series.units.shape[1] - year])
    lead_time = _numbers(inputs[LEVELS], series.products, "lead_time_days")
    static = np.nan_to_num(_numbers(inputs[LEVELS], series.products, "declared_reorder_point"))
    known = ~np.isnan(lead_time)
    weeks = np.ceil(np.nan_to_num(lead_time, nan=1.0) / WEEK).astype(int).clip(1)
    safety = np.ceil(NormalDist().inv_cdf(service_level) * before.deviation * np.sqrt(weeks))
    computed = np.ceil(before.per_week * weeks + safety)
    rows = []
    for name, reorder in (("computed", computed), ("static", static)):
        told = _replay(series.units[:, -year:], reorder, safety, before.per_week, weeks)
        for label in demand.CLASSES:
            members = (before.classes == label) & known
            if members.any():
                counts = {outcome: int(found[members].sum()) for outcome, found in told.items()}
                rows.append({"policy": name, "demand_class": label, "products": int(members.sum())} | counts)
    return pa.Table.from_pylist(rows, pa.schema(_TESTED))


def _nothing(fields: list[pa.Field[Any]]) -> pa.Table:
    """Where there is no demand yet, nothing can be said, which is no error."""
    return pa.Table.from_pylist([], pa.schema(fields))


def _replay(units: Array, reorder: Array, kept: Array, per_week: Array, weeks: NDArray[np.int64]) -> dict[str, Array]:
    """Counts per product: alerts, in time, late, in vain, and weeks in which something could not be delivered."""
    size, horizon = units.shape
    hand = reorder + per_week * weeks
    due = np.full(size, -1)
    ordered, low, short = np.zeros(size), np.full(size, np.inf), np.zeros(size, dtype=bool)
    counts = {name: np.zeros(size) for name in COUNTS}
    for week in range(horizon):
        arrives = due == week
        counts["late"] += arrives & short
        counts["in_vain"] += arrives & ~short & (low >= kept)
        counts["in_time"] += arrives & ~short & (low < kept)
        hand = np.where(arrives, hand + ordered, hand)
        due = np.where(arrives, -1, due)
        short &= ~arrives
        lacking = units[:, week] > hand
        counts["weeks_short"] += lacking
        hand = np.maximum(hand - units[:, week], 0)
        short |= lacking & (due >= 0)
        low = np.where(due >= 0, np.minimum(low, hand), low)
        alert = (due < 0) & (hand < reorder)
        counts["alerts"] += alert
        ordered = np.where(alert, reorder - hand + 4 * np.maximum(per_week, 0), ordered)
        due = np.where(alert, week + weeks, due)
        low = np.where(alert, hand, low)
        short = np.where(alert, lacking, short)
    counts["open"] = (due >= 0).astype(float)
    return counts


def _series(rows: pa.Table) -> _Series:
    """Products by weeks, of at least one row; a week without one is a week without demand."""
    products, index = np.unique(rows["product_id"].to_numpy(), return_inverse=True)
    days = rows["week_start"].cast(pa.date32()).cast(pa.int32()).to_numpy()
    first, last = int(days.min()), int(days.max())
    weeks = max((last - first) // WEEK + 1, demand.HOLD_OUT + 2)  # too few weeks: the ones before had none
    units = np.zeros((len(products), weeks))
    np.add.at(units, (index, (days - last) // WEEK + weeks - 1), rows["units"].to_numpy())
    return _Series(products, units, date(1970, 1, 1) + timedelta(days=last))


def _known(rows: pa.Table, products: NDArray[np.int64], column: str) -> list[Any]:
    """A column by product; None for products of which nobody says it."""
    told = dict(zip(rows["product_id"].to_pylist(), rows[column].to_pylist(), strict=True))
    return [told.get(product) for product in products.tolist()]


def _numbers(rows: pa.Table, products: NDArray[np.int64], column: str) -> Array:
    """As floats; NaN for products of which nobody says it."""
    return np.array([np.nan if value is None else float(value) for value in _known(rows, products, column)])


def _decimal(values: Array) -> pa.Array[Any]:
    """As decimals of six places, halves up, so that both warehouses hold the same digits."""
    return pa.array(np.round(values, DIGITS)).cast(pa.decimal128(20, 6), safe=False)
