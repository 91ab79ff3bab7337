"""What customers will be worth over the next twelve months, and whether that can be told at all.

Two models of how often they buy are fitted until a year ago and held against what happened since. One that fails there,
that has no maximum of its likelihood, or whose customers spend by how often they come, is not believed; then the
estimate is what customers in the same state did in the year that followed (`cohorts`), and where there is no such year
there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dataops.analysis import purchases, spend
from dataops.analysis.histories import WEEK, Customers, Orders
from dataops.analysis.likelihood import Array, Fit, Whole
from dataops.analysis.purchases import Histories, Model

Reason = Literal[
    "few customers",
    "nobody came back",
    "no maximum",
    "no hold-out",
    "missed the hold-out",
    "no value",
    "spend depends on frequency",
]
MODELS: tuple[Model, ...] = ("BG/NBD", "MBG/NBD")
YEAR = 365
LEAST = 100  # customers
FITTED = 20_000  # customers from which parameters are estimated; more change no digit that is shown
SEED = 20_050_101
OFF = 0.25  # of all purchases of the hold-out, by which a model may miss them
DEPENDENT = 0.2  # correlation of number and mean value of purchases; the authors accept 0.11
DRAWS = 200  # of parameters, for intervals
QUARTERS = 4
NORMAL = 1.96  # standard errors on both sides hold 95 %
MONTH = 52 / 12  # weeks
MANY = 50  # repeats, above which an interval is that of so many
IDLE = (91, 182, 365)  # days since the last purchase
ENOUGH = 30  # customers in a state


@dataclass(frozen=True)
class HoldOut:
    """A model fitted until a day, and what customers did in the weeks after it."""

    customers: Customers
    weeks: float
    expected: Array
    actual: Array

    @cached_property
    def total_error(self) -> float | None:
        """Expected over actual purchases of all, less one; None where nobody bought."""
        return float(self.expected.sum() / self.actual.sum() - 1) if self.actual.sum() else None

    @cached_property
    def mean_absolute_error(self) -> float:
        return float(np.abs(self.expected - self.actual).mean())

    @cached_property
    def correlation(self) -> float | None:
        """None where all did, or were expected to do, the same."""
        if np.ptp(self.expected) == 0 or np.ptp(self.actual) == 0:
            return None
        return float(np.corrcoef(self.expected, self.actual)[0, 1])


@dataclass(frozen=True)
class Judged:
    """A model, fitted to everything, and why it is not believed, if it is not."""

    model: Model
    fit: Fit | None
    spend: Fit | None
    dependence: float
    held_out: HoldOut | None
    reasons: tuple[Reason, ...]

    @property
    def is_credible(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class Estimates:
    """Per customer, over twelve months; an interval holds 95 % of what the parameters' uncertainty allows."""

    orders: Array
    orders_interval: tuple[Array, Array]
    value: Array
    """discounted"""
    value_interval: tuple[Array, Array]
    alive: Array | None
    """None where no model tells"""


def judge(model: Model, orders: Orders) -> Judged:
    """Fits a model to everything, and to what was known before the hold-out: a year, or the last third if less."""
    customers = Customers.of(orders, orders.last_day)
    again = customers.purchases > 1
    if len(customers) < LEAST:
        return Judged(model, None, None, 0.0, None, ("few customers",))
    if not again.any():
        return Judged(model, None, None, 0.0, None, ("nobody came back",))
    whole = purchases.fit(model, _sample(customers.histories))
    number, mean, dependence = _spending(customers)
    worth = spend.fit(number, mean) if len(number) > LEAST // 2 else None
    held_out = hold_out(model, orders)
    reasons: list[Reason] = []
    if not whole.is_inside:
        reasons.append("no maximum")
    if held_out is None or held_out.total_error is None:
        reasons.append("no hold-out")
    elif not abs(held_out.total_error) <= OFF:  # no number is no hit
        reasons.append("missed the hold-out")
    if worth is None or not worth.is_inside:
        reasons.append("no value")
    if abs(dependence) > DEPENDENT:
        reasons.append("spend depends on frequency")
    return Judged(model, whole, worth, dependence, held_out, tuple(reasons))


def _spending(customers: Customers) -> tuple[Array, Array, float]:
    """Repeats and their mean value of those who paid for them, as many as are enough, and their correlation."""
    paid = np.flatnonzero(customers.repeats_worth > 0)
    number, mean = (customers.purchases[paid] - 1).astype(np.float64), customers.repeats_worth[paid]
    chosen = _chosen(len(paid))
    return number[chosen], mean[chosen], spend.dependence(number, mean)


def hold_out(model: Model, orders: Orders) -> HoldOut | None:
    """What the model would have said before the hold-out; None where nobody had come back by then."""
    days = min(YEAR, (orders.last_day - orders.first_day) // 3)
    before = Customers.of(orders, orders.last_day - days)
    if days < WEEK or len(before) < LEAST or not (before.purchases > 1).any():
        return None
    fit = purchases.fit(model, _sample(before.histories))
    actual, _ = before.bought_later(orders, orders.last_day)
    return HoldOut(before, days / WEEK, purchases.expected(model, fit.values, before.histories, days / WEEK), actual)


def by_model(judged: Judged, customers: Customers, discount_rate: float) -> Estimates:
    """Of a model that is believed. Intervals: a parametric bootstrap of both models' parameters, see `_deviation`."""
    assert judged.fit is not None and judged.spend is not None  # noqa: S101, PT018  a credible model has both
    known, random = customers.histories, np.random.default_rng(SEED)
    mean = np.nan_to_num(customers.repeats_worth)
    orders, discounted = _quarters(judged.model, judged.fit.values, known, discount_rate)
    value = discounted * spend.expected(judged.spend.values, known.repeats, mean)
    buying = _deviation_of_orders(judged, known, random)
    both = np.hypot(buying, _deviation_of_spend(judged.spend, known.repeats, mean, random))
    alive = purchases.alive(judged.model, judged.fit.values, known)
    return Estimates(orders, _around(orders, buying), value, _around(value, both), alive)


def cohorts(orders: Orders, customers: Customers, discount_rate: float) -> Estimates | None:
    """What customers who were in the same state a year before did since: the mean, and the interval of a mean.

    A state is the number of repeats (0, 1, 2, more) and the time since the last purchase (up to a quarter, half a year,
    a year, longer). One that fewer than 30 customers were in takes all with that number of repeats, or all. None where
    the orders do not reach back two years.
    """
    if not reaches_back(orders):
        return None
    before = Customers.of(orders, orders.last_day - YEAR)
    later = orders.day > before.as_of
    paid = orders.value * np.where(later, (1 + discount_rate) ** (-(orders.day - before.as_of) / YEAR), 1.0)
    bought, worth = before.bought_later(Orders(orders.customer, orders.day, paid), orders.last_day)
    count, low, high = _means(before, bought, customers)
    value, value_low, value_high = _means(before, worth, customers)
    return Estimates(count, (low, high), value, (value_low, value_high), None)


def reaches_back(orders: Orders) -> bool:
    """Whether there is a year of orders after a year in which customers came to their states."""
    return orders.last_day - orders.first_day >= 2 * YEAR


def states(customers: Customers) -> tuple[Array, Array]:
    """Class of repeats, 0 to 3, and of the time since the last purchase, 0 to 3."""
    idle = np.digitize(customers.as_of - customers.last, IDLE, right=True)
    return np.minimum(customers.purchases - 1, 3).astype(np.float64), idle.astype(np.float64)


def _means(before: Customers, told: Array, now: Customers) -> tuple[Array, Array, Array]:
    """Mean of what is told of customers as they were, for customers as they are, with its 95 % interval."""
    repeats, idle = states(before)
    wanted_repeats, wanted_idle = states(now)
    mean, error = np.empty(len(now)), np.empty(len(now))
    for one in range(4):
        for other in range(4):
            chosen = (wanted_repeats == one) & (wanted_idle == other)
            alike = next(
                some
                for some in ((repeats == one) & (idle == other), repeats == one, np.ones(len(before), dtype=bool))
                if some.sum() >= ENOUGH or some.all()
            )
            mean[chosen] = told[alike].mean()
            error[chosen] = told[alike].std() / np.sqrt(alike.sum())
    return mean, np.maximum(mean - NORMAL * error, 0), mean + NORMAL * error


def _quarters(model: Model, values: Array, known: Histories, discount_rate: float) -> tuple[Array, Array]:
    """Expected purchases of a year, and the same discounted from the middle of each quarter."""
    until = [purchases.expected(model, values, known, YEAR / WEEK * (n + 1) / QUARTERS) for n in range(QUARTERS)]
    parts = np.diff(until, axis=0, prepend=0)
    rates = (1 + discount_rate) ** -((np.arange(QUARTERS) + 0.5) / QUARTERS)
    return until[-1], rates @ parts


def _deviation_of_orders(judged: Judged, known: Histories, random: np.random.Generator) -> Array:
    """Of the logarithm of expected orders, over draws of parameters; on a grid of histories, a month wide."""
    assert judged.fit is not None  # noqa: S101
    coarse = Histories(
        np.minimum(known.repeats, MANY), np.round(known.recency / MONTH) * MONTH, np.round(known.age / MONTH) * MONTH,
        known.customers,
    )  # fmt: skip
    grid, place = coarse.distinct()
    draws = [purchases.expected(judged.model, at, grid, YEAR / WEEK) for at in _drawn(judged.fit, random)]
    return _deviation(draws)[place]


def _deviation_of_spend(fit: Fit, repeats: Array, mean: Array, random: np.random.Generator) -> Array:
    """The same of the mean value of a purchase, on a grid of repeats and of a hundred levels of value."""
    levels = np.unique(np.quantile(mean, np.linspace(0, 1, 101)))
    near = levels[np.searchsorted(levels, mean).clip(0, len(levels) - 1)]
    number, value, place = purchases.pairs_of(np.minimum(repeats, MANY), near)
    return _deviation([spend.expected(at, number, value) for at in _drawn(fit, random)])[place]


def _deviation(draws: list[Array]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.array(draws))
    return np.asarray(np.nanstd(np.where(np.isfinite(logs), logs, np.nan), axis=0), dtype=np.float64)


def _drawn(fit: Fit, random: np.random.Generator) -> Array:
    """Parameters as they might have been estimated: normal in their logarithms."""
    return np.exp(random.multivariate_normal(np.log(fit.values), fit.covariance, size=DRAWS))


def _around(estimate: Array, deviation: Array) -> tuple[Array, Array]:
    return estimate * np.exp(-NORMAL * deviation), estimate * np.exp(NORMAL * deviation)


def _sample(known: Histories) -> Histories:
    chosen = _chosen(len(known.repeats))
    return Histories(known.repeats[chosen], known.recency[chosen], known.age[chosen], known.customers[chosen])


def _chosen(many: int) -> Whole:
    """The places of all, or of as many as are enough for the parameters, always the same ones."""
    if many <= FITTED:
        return np.arange(many)
    return np.random.default_rng(SEED).choice(many, FITTED, replace=False)
