"""Demand of many products at once: how it comes, how well simple forecasts follow it, and which one suits.

All functions take weekly demand as one array, products by weeks, and work on all products together. Methods:
simple exponential smoothing; Croston, Operational Research Quarterly 23; SBA: Syntetos & Boylan, International Journal
of Forecasting 21; TSB: Teunter, Syntetos & Babai, European Journal of Operational Research 214.
Classes by average demand interval and squared coefficient of variation: Syntetos, Boylan & Croston (2005).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HOLD_OUT = 13  # weeks, a quarter
SHORTEST = 26  # weeks of history before the hold-out, without which a product is too new to be classed
YEAR = 52
RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
FREQUENT = 1.32  # weeks between demands
STEADY = 0.49  # squared coefficient of variation of what is demanded
CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "new")


@dataclass(frozen=True)
class Forecasts:
    """One-step forecasts of one method: `steps[i, t]` is made before week t, `next_week[i]` after the last one."""

    steps: Array
    next_week: Array


@dataclass(frozen=True)
class Choice:
    """What suits: class by product, RMSSE by (class, method), the method of each class, and its forecasts."""

    classes: NDArray[np.str_]
    errors: dict[tuple[str, str], float]
    methods: dict[str, str]
    per_week: Array
    deviation: Array
    """of the forecast for one week: the root mean square of its errors over the last year, units"""


def naive(demand: Array) -> Forecasts:
    """As much as in the week before."""
    return Forecasts(_shifted(demand), demand[:, -1])


def smoothing(demand: Array) -> Forecasts:
    """Simple exponential smoothing, the rate of each product by its calibration."""
    return _best(demand, _smoothed)


def croston(demand: Array) -> Forecasts:
    """Size and interval of demands smoothed apart."""
    return _best(demand, lambda y, rate: _croston(y, rate, 1.0))


def sba(demand: Array) -> Forecasts:
    """Croston's forecast without its bias."""
    return _best(demand, lambda y, rate: _croston(y, rate, 1 - rate / 2))


def tsb(demand: Array) -> Forecasts:
    """Size, and probability of a demand, which falls in every week without one: follows what dies out."""
    return _best(demand, _tsb)


METHODS: dict[str, Callable[[Array], Forecasts]] = {
    "naive": naive,
    "simple smoothing": smoothing,
    "Croston": croston,
    "SBA": sba,
    "TSB": tsb,
}
"""In the order in which they are preferred when they err alike."""


def choose(demand: Array) -> Choice:
    """Tries every method on the last quarter, one week ahead, and takes for each class the one that errs least.

    `demand`: products by weeks, at least `HOLD_OUT` + 2 weeks. RMSSE: root of the mean squared error over the hold-out,
    scaled by that of the naive forecast before it (Hyndman & Koehler 2006); averaged over the products of a class.
    """
    classes = classify(demand[:, :-HOLD_OUT])
    tried = {name: method(demand) for name, method in METHODS.items()}
    scale = _scale(demand[:, :-HOLD_OUT])
    errors = {}
    for name, forecasts in tried.items():
        missed = np.sqrt(np.mean((demand - forecasts.steps)[:, -HOLD_OUT:] ** 2, axis=1))
        scaled = np.divide(missed, scale, out=np.full_like(missed, np.nan), where=scale > 0)
        for label in CLASSES:
            members = scaled[(classes == label) & ~np.isnan(scaled)]
            if len(members):
                errors[label, name] = float(members.mean())
    methods = {label: _least(errors, label) for label in CLASSES if (classes == label).any()}
    steps, per_week = np.zeros_like(demand), np.zeros(len(demand))
    for label, name in methods.items():
        chosen = classes == label
        steps[chosen], per_week[chosen] = tried[name].steps[chosen], tried[name].next_week[chosen]
    return Choice(classes, errors, methods, np.maximum(per_week, 0), _deviation(demand, steps))


def classify(demand: Array) -> NDArray[np.str_]:
    """The class of each product by how often and how evenly it was demanded since its first demand."""
    first = _first(demand)
    weeks = demand.shape[1] - first
    times = (demand > 0).sum(axis=1)
    interval = np.divide(weeks, times, out=np.full(len(demand), np.inf), where=times > 0)
    sizes = np.where(demand > 0, demand, np.nan)
    with np.errstate(all="ignore"):
        mean = np.divide(np.nansum(sizes, axis=1), times, out=np.ones(len(demand)), where=times > 0)
        spread = np.divide(
            np.nansum((sizes - mean[:, None]) ** 2, axis=1), times, out=np.zeros(len(demand)), where=times > 0
        )
    variation = spread / mean**2
    label = np.where(
        interval < FREQUENT,
        np.where(variation < STEADY, "smooth", "erratic"),
        np.where(variation < STEADY, "intermittent", "lumpy"),
    )
    classes: NDArray[np.str_] = np.where((weeks < SHORTEST) | (times < 2), "new", label)  # noqa: PLR2004  one demand has no interval
    return classes


def _least(errors: dict[tuple[str, str], float], label: str) -> str:
    known = {name: errors[label, name] for name in METHODS if (label, name) in errors}
    return min(known, key=known.__getitem__) if known else "simple smoothing"


def _first(demand: Array) -> NDArray[np.int64]:
    """The week of each product's first demand; the number of weeks where there is none."""
    there = demand > 0
    week: NDArray[np.int64] = np.where(there.any(axis=1), there.argmax(axis=1), demand.shape[1])
    return week


def _scale(demand: Array) -> Array:
    """Root mean square of the naive forecast's errors since the first demand; 0 where it cannot be told."""
    steps = np.diff(demand, axis=1) ** 2
    since = np.arange(1, demand.shape[1])[None, :] > _first(demand)[:, None]
    counts = since.sum(axis=1)
    mean: Array = np.divide((steps * since).sum(axis=1), counts, out=np.zeros(len(demand)), where=counts > 0)
    return np.sqrt(mean)


def _deviation(demand: Array, steps: Array) -> Array:
    """Root mean square of the errors over the last year, of weeks since the first demand was seen; 0 without any."""
    since = np.arange(demand.shape[1])[None, :] > _first(demand)[:, None]
    since[:, :-YEAR] = False
    counts = since.sum(axis=1)
    squares = (((demand - steps) ** 2) * since).sum(axis=1)
    mean: Array = np.divide(squares, counts, out=np.zeros(len(demand)), where=counts > 0)
    return np.sqrt(mean)


def _shifted(demand: Array) -> Array:
    return np.hstack([np.zeros((len(demand), 1)), demand[:, :-1]])


def _best(demand: Array, method: Callable[[Array, float], Forecasts]) -> Forecasts:
    """The method at the rate that errs least before the hold-out, product by product."""
    tried = [method(demand, rate) for rate in RATES]
    errors = np.stack([((demand - f.steps)[:, :-HOLD_OUT] ** 2).mean(axis=1) for f in tried])
    best, row = errors.argmin(axis=0), np.arange(len(demand))
    steps = np.stack([f.steps for f in tried])[best, row]
    return Forecasts(steps, np.stack([f.next_week for f in tried])[best, row])


def _smoothed(demand: Array, rate: float) -> Forecasts:
    steps, level = np.zeros_like(demand), np.zeros(len(demand))
    seen = np.zeros(len(demand), dtype=bool)
    for week in range(demand.shape[1]):
        steps[:, week] = level
        now = demand[:, week]
        level = np.where(seen, level + rate * (now - level), now)
        seen |= now > 0
    return Forecasts(steps, level)


def _croston(demand: Array, rate: float, correction: float) -> Forecasts:
    size, interval, since = np.zeros(len(demand)), np.ones(len(demand)), np.ones(len(demand))
    seen = np.zeros(len(demand), dtype=bool)
    steps = np.zeros_like(demand)
    for week in range(demand.shape[1]):
        steps[:, week] = correction * size / interval
        now = demand[:, week]
        comes = now > 0
        size = np.where(comes, np.where(seen, size + rate * (now - size), now), size)
        interval = np.where(comes & seen, interval + rate * (since - interval), interval)
        since = np.where(comes, 1.0, since + 1)
        seen |= comes
    return Forecasts(steps, correction * size / interval)


def _tsb(demand: Array, rate: float) -> Forecasts:
    size, chance = np.zeros(len(demand)), np.zeros(len(demand))
    seen = np.zeros(len(demand), dtype=bool)
    steps = np.zeros_like(demand)
    for week in range(demand.shape[1]):
        steps[:, week] = chance * size
        now = demand[:, week]
        comes = now > 0
        size = np.where(comes, np.where(seen, size + rate * (now - size), now), size)
        chance = np.where(seen, chance + rate * (comes - chance), np.where(comes, 1.0, 0.0))
        seen |= comes
    return Forecasts(steps, chance * size)
