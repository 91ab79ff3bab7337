"""What a purchase of a customer is worth: Gamma-Gamma, Fader & Hardie (2013), for averages over few purchases.

The value of a purchase varies around the customer's own mean, which varies between customers and not with how often
they buy; where it does, `dependence` says so and the model does not hold.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dataops.analysis.likelihood import Array, Fit, maximise

STARTS = ((5.0, 4.0, 15.0), (1.0, 2.0, 100.0), (10.0, 3.0, 1000.0))
TYPICAL = 15.0  # to which values are scaled, so that the starts suit any currency


def fit(purchases: Array, mean_value: Array) -> Fit:
    """Estimates p, q and v from customers with at least one purchase worth something, in units of their mean."""
    scale = float(mean_value.mean()) / TYPICAL
    best = maximise(lambda at: log_likelihood(at, purchases, mean_value / scale), STARTS)
    unit = np.array([1.0, 1.0, scale])
    return replace(best, values=best.values * unit, errors=best.errors * unit)


def log_likelihood(at: Array, purchases: Array, mean_value: Array) -> tuple[float, Array]:
    """Of p, q and v, with its derivatives."""
    from scipy.special import digamma, gammaln

    p, q, v = at
    x, m = purchases, mean_value
    whole = np.log(v + m * x)
    logs = (
        gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
        + (p * x - 1) * np.log(m) + p * x * np.log(x) - (p * x + q) * whole
    )  # fmt: skip
    slopes = (
        x * (digamma(p * x + q) - digamma(p * x) + np.log(m) + np.log(x) - whole),
        digamma(p * x + q) - digamma(q) + np.log(v) - whole,
        q / v - (p * x + q) / (v + m * x),
    )
    return float(logs.sum()), np.array([slope.sum() for slope in slopes])


def expected(at: Array, purchases: Array, mean_value: Array) -> Array:
    """The mean value of a customer's purchases to come: own average drawn to that of all, the more the fewer there are.

    NaN where q is 1 or less: then the values of all customers together have no mean.
    """
    p, q, v = at
    if q <= 1:
        return np.full(len(purchases), np.nan)
    return np.asarray(p * (v + mean_value * purchases) / (p * purchases + q - 1), dtype=np.float64)


def dependence(purchases: Array, mean_value: Array) -> float:
    """Correlation of how often and for how much; 0 where one of them does not vary."""
    if len(purchases) < 2 or np.ptp(purchases) == 0 or np.ptp(mean_value) == 0:  # noqa: PLR2004
        return 0.0
    return float(np.corrcoef(purchases, mean_value)[0, 1])
