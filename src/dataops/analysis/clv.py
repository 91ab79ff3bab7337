"""Customer lifetime value as tables: what the models say of themselves, how they did, what each customer will be worth.

Three estimates stand beside each other: two models of purchases, and what customers in the same state did before. The
first model that is believed is used, else the last of the three; whether that one is believed is said as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from dataops.analysis import lifetime
from dataops.analysis.histories import WEEK, Customers, Orders, day_of
from dataops.analysis.lifetime import Estimates, HoldOut, Judged
from dataops.analysis.likelihood import Array, Whole

PURCHASES = "purchases"  # customer_id int, order_date date, value decimal: one row per customer and day
COHORTS = "cohorts"
DIGITS = 6
MOST = 7  # repeats that are told apart in the hold-out; more are counted there
SEGMENTS = ("new", "once", "returning", "loyal", "slipping", "lost")
NEW, ACTIVE, GONE = 91, 182, 365  # days since the last purchase
LOYAL = 3  # purchases
_NUMBER = pa.decimal128(38, DIGITS)
_MODELS: list[pa.Field[Any]] = [
    pa.field("model", pa.string()), pa.field("reaches", pa.date32()), pa.field("customers", pa.int64()),
    pa.field("is_used", pa.bool_()), pa.field("is_credible", pa.bool_()), pa.field("reasons", pa.string()),
    *(
        pa.field(name + end, _NUMBER)
        for name in ("r", "alpha", "a", "b", "p", "q", "v") for end in ("", "_error", "_high")
    ),
    pa.field("dependence", _NUMBER), pa.field("hold_out_days", pa.int64()),
    pa.field("hold_out_customers", pa.int64()), pa.field("expected_purchases", _NUMBER),
    pa.field("actual_purchases", pa.int64()), pa.field("total_error", _NUMBER), pa.field("correlation", _NUMBER),
    pa.field("mean_absolute_error", _NUMBER),
]  # fmt: skip
_HOLD_OUT: list[pa.Field[Any]] = [
    pa.field("model", pa.string()), pa.field("repeats", pa.int64()), pa.field("customers", pa.int64()),
    pa.field("expected_purchases", _NUMBER), pa.field("actual_purchases", pa.int64()),
]  # fmt: skip
_CUSTOMERS: list[pa.Field[Any]] = [
    pa.field("customer_id", pa.int64()), pa.field("as_of", pa.date32()), pa.field("first_date", pa.date32()),
    pa.field("last_date", pa.date32()), pa.field("purchases", pa.int64()), pa.field("spent", _NUMBER),
    pa.field("recency_score", pa.int64()), pa.field("frequency_score", pa.int64()),
    pa.field("monetary_score", pa.int64()), pa.field("segment", pa.string()), pa.field("model", pa.string()),
    pa.field("is_credible", pa.bool_()), pa.field("alive", _NUMBER), pa.field("expected_purchases", _NUMBER),
    pa.field("expected_purchases_low", _NUMBER), pa.field("expected_purchases_high", _NUMBER),
    pa.field("expected_value", _NUMBER), pa.field("expected_value_low", _NUMBER),
    pa.field("expected_value_high", _NUMBER),
]  # fmt: skip


@dataclass(frozen=True)
class _Judgement:
    """Everything that was tried, and how the stand-in did where that can be known."""

    orders: Orders
    models: tuple[Judged, ...]
    cohorts: HoldOut | None
    cohort_reasons: tuple[str, ...]

    @property
    def used(self) -> Judged | None:
        """The first model that is believed; None: the stand-in takes its place."""
        return next((judged for judged in self.models if judged.is_credible), None)


def models(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per estimate: its parameters with standard errors, how it did in the hold-out, and why it is not believed."""
    if not inputs[PURCHASES].num_rows:
        return _table([], _MODELS)
    judgement = _judge(Orders.of(inputs[PURCHASES]))
    everyone = len(Customers.of(judgement.orders, judgement.orders.last_day))
    shared = {"reaches": day_of(judgement.orders.last_day), "customers": everyone}
    rows = [
        shared
        | {"model": judged.model, "is_used": judged is judgement.used, "is_credible": judged.is_credible}
        | {"reasons": "; ".join(judged.reasons) or None, "dependence": _number(judged.dependence)}
        | _parameters(judged)
        | _told(judged.held_out)
        for judged in judgement.models
    ]
    stand_in = {"model": COHORTS, "is_used": judgement.used is None, "is_credible": not judgement.cohort_reasons}
    reasons = {"reasons": "; ".join(judgement.cohort_reasons) or None}
    return _table([*rows, shared | stand_in | reasons | _told(judgement.cohorts)], _MODELS)


def hold_out(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per estimate and number of repeats before the hold-out: purchases in it, expected and actual."""
    if not inputs[PURCHASES].num_rows:
        return _table([], _HOLD_OUT)
    judgement = _judge(Orders.of(inputs[PURCHASES]))
    outs = [(judged.model, judged.held_out) for judged in judgement.models] + [(COHORTS, judgement.cohorts)]
    rows = []
    for model, out in outs:
        repeats = np.minimum(out.customers.purchases - 1, MOST) if out else np.empty(0, np.int64)
        for number in np.unique(repeats):
            members = repeats == number
            assert out is not None  # noqa: S101  there are repeats
            rows.append(
                {"model": model, "repeats": int(number), "customers": int(members.sum())}
                | {"expected_purchases": _number(out.expected[members].sum())}
                | {"actual_purchases": int(out.actual[members].sum())}
            )
    return _table(rows, _HOLD_OUT)


def customers(inputs: Mapping[str, pa.Table], *, discount_rate: float) -> pa.Table:
    """Per customer: what they bought, their segment, and purchases and value expected over twelve months.

    Values are in the currency of the purchases, discounted by `discount_rate` a year, from 0 to 1. Where nothing can be
    told, estimates are null.
    """
    if not inputs[PURCHASES].num_rows:
        return _table([], _CUSTOMERS)
    judgement = _judge(Orders.of(inputs[PURCHASES]))
    now = Customers.of(judgement.orders, judgement.orders.last_day)
    used = judgement.used
    told = (
        lifetime.by_model(used, now, discount_rate) if used else lifetime.cohorts(judgement.orders, now, discount_rate)
    )
    name = used.model if used else COHORTS
    idle, many = now.as_of - now.last, len(now)
    return pa.table(
        {
            "customer_id": pa.array(now.ids),
            "as_of": _days(np.full(many, now.as_of)),
            "first_date": _days(now.first),
            "last_date": _days(now.last),
            "purchases": pa.array(now.purchases),
            "spent": _numbers(now.worth),
            "recency_score": _score(-idle.astype(np.float64)),
            "frequency_score": _score(now.purchases.astype(np.float64)),
            "monetary_score": _score(now.worth),
            "segment": _segments(now.purchases, idle),
            "model": [name if told else None] * many,
            "is_credible": [bool(used) or not judgement.cohort_reasons] * many,
            **_estimated(told, many),
        },
        schema=pa.schema(_CUSTOMERS),
    )


def _judge(orders: Orders) -> _Judgement:
    judged = tuple(lifetime.judge(model, orders) for model in lifetime.MODELS)
    then = orders.until(orders.last_day - lifetime.YEAR)
    out = None
    if len(then.day):
        before = Customers.of(then, orders.last_day - lifetime.YEAR)
        estimate = lifetime.cohorts(then, before, 0.0)
        actual, _ = before.bought_later(orders, orders.last_day)
        out = HoldOut(before, lifetime.YEAR / WEEK, estimate.orders, actual) if estimate else None
    reasons = []
    if not lifetime.reaches_back(orders):
        reasons.append("less than two years")
    elif out is None or out.total_error is None:
        reasons.append("no hold-out")
    elif abs(out.total_error) > lifetime.OFF:
        reasons.append("missed the hold-out")
    return _Judgement(orders, judged, out, tuple(reasons))


def _parameters(judged: Judged) -> dict[str, Decimal | None]:
    told: dict[str, Decimal | None] = {}
    for fit, names in ((judged.fit, ("r", "alpha", "a", "b")), (judged.spend, ("p", "q", "v"))):
        for place, name in enumerate(names):
            told[name] = _number(fit.values[place]) if fit else None
            told[f"{name}_error"] = _number(fit.errors[place]) if fit else None
            told[f"{name}_high"] = _number(fit.values[place] + lifetime.NORMAL * fit.errors[place]) if fit else None
    return told


def _told(out: HoldOut | None) -> dict[str, Any]:
    if out is None:
        return {}
    return {
        "hold_out_days": round(out.weeks * WEEK),
        "hold_out_customers": len(out.customers),
        "expected_purchases": _number(out.expected.sum()),
        "actual_purchases": int(out.actual.sum()),
        "total_error": _number(out.total_error),
        "correlation": _number(out.correlation),
        "mean_absolute_error": _number(out.mean_absolute_error),
    }


def _estimated(told: Estimates | None, many: int) -> dict[str, pa.Array[Any]]:
    """The columns of an estimate; null where there is none."""
    if told is None:
        names = ("purchases", "purchases_low", "purchases_high", "value", "value_low", "value_high")
        return {name: pa.nulls(many, _NUMBER) for name in ("alive", *(f"expected_{name}" for name in names))}
    return {
        "alive": pa.nulls(many, _NUMBER) if told.alive is None else _numbers(told.alive),
        "expected_purchases": _numbers(told.orders),
        "expected_purchases_low": _numbers(told.orders_interval[0]),
        "expected_purchases_high": _numbers(told.orders_interval[1]),
        "expected_value": _numbers(told.value),
        "expected_value_low": _numbers(told.value_interval[0]),
        "expected_value_high": _numbers(told.value_interval[1]),
    }


def _segments(purchases: Whole, idle: Whole) -> list[str]:
    """By number of purchases and days since the last: `SEGMENTS`, the first that fits."""
    first = purchases == 1
    return list(
        np.select(
            [first & (idle <= NEW), first, idle > GONE, idle > ACTIVE, purchases >= LOYAL],
            ["new", "once", "lost", "slipping", "loyal"],
            "returning",
        )
    )


def _score(values: Array) -> pa.Array[Any]:
    """1 to 5 by fifths of all customers, 5 the best; equal values have the same score."""
    ordered = np.sort(values)
    return pa.array(np.minimum(1 + np.searchsorted(ordered, values, side="left") * 5 // len(values), 5))


def _days(numbers: Whole) -> pa.Array[Any]:
    return pa.array(numbers.astype(np.int32)).cast(pa.date32())


def _numbers(values: Array) -> pa.Array[Any]:
    """Rounded to what is published."""
    return pa.array(np.round(values, DIGITS)).cast(pa.decimal128(38, DIGITS), safe=False)


def _number(value: float | None) -> Decimal | None:
    """Rounded to what is published; None for what is none, or no number."""
    return Decimal(f"{value:.{DIGITS}f}") if value is not None and np.isfinite(value) else None


def _table(rows: list[dict[str, Any]], fields: list[pa.Field[Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, pa.schema(fields))
