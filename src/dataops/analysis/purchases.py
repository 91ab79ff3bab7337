"""How often customers will buy again: they buy at a rate of their own until, unseen, they leave.

BG/NBD: Fader, Hardie & Lee, Marketing Science 24 (2005); after each repeat purchase a customer may leave. MBG/NBD:
Batislam, Denizel & Filiztekin, International Journal of Research in Marketing 24 (2007); after the first one as well.
Rates are gamma distributed (shape r, rate alpha), chances to leave beta distributed (a, b). All functions work on all
customers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dataops.analysis.likelihood import Array, Fit, Whole, maximise

Model = Literal["BG/NBD", "MBG/NBD"]
STARTS = ((1.0, 1.0, 1.0, 1.0), (0.3, 5.0, 0.8, 2.5), (1.0, 20.0, 0.5, 5.0), (3.0, 50.0, 1.0, 1.0))
LATE: dict[Model, float] = {"BG/NBD": 0.0, "MBG/NBD": 1.0}
"""Chances to leave beside those after repeats: MBG/NBD counts the one after the first purchase as well."""
POLE = 1e-6  # the expectation is continuous at a = 1, its formula is not


@dataclass(frozen=True)
class Histories:
    """Customers by what they bought: arrays of one length, times in weeks."""

    repeats: Array
    """purchases after the first"""
    recency: Array
    """from the first to the last purchase; 0 without a repeat"""
    age: Array
    """from the first purchase until now"""
    customers: Array
    """how many have this history"""

    @cached_property
    def numbers(self) -> tuple[Array, Whole]:
        """Each number of repeats once, and its place for every history: what is dear is computed for these."""
        return np.unique(self.repeats, return_inverse=True)

    @cached_property
    def ages(self) -> tuple[Array, Array, Whole]:
        """Each number of repeats with each age once, and the place of every history's pair among them."""
        return pairs_of(self.repeats, self.age)

    def distinct(self) -> tuple[Histories, Whole]:
        """Each history once, and every element's place among them: costs grow with these, not with customers."""
        _, _, pair = self.ages
        _, recency, place = pairs_of(pair.astype(np.float64), self.recency)
        _, first = np.unique(place, return_index=True)
        counts = np.bincount(place, weights=self.customers).astype(np.float64)
        return Histories(self.repeats[first], recency, self.age[first], counts), place


def pairs_of(one: Array, other: Array) -> tuple[Array, Array, Whole]:
    """Each pair of values once, in order, and the place of every element's pair among them."""
    unique, place = np.unique(one + 1j * other, return_inverse=True)
    return unique.real.astype(np.float64), unique.imag.astype(np.float64), place.astype(np.int64)


def fit(model: Model, histories: Histories) -> Fit:
    """Estimates r, alpha, a and b."""
    known, _ = histories.distinct()
    return maximise(lambda values: log_likelihood(model, values, known), STARTS)


def log_likelihood(model: Model, values: Array, known: Histories) -> tuple[float, Array]:
    """Of r, alpha, a and b, with its derivatives: a sum of two cases, still there or gone since the last purchase."""
    from scipy.special import digamma, gammaln

    r, alpha, a, b = values
    late = LATE[model]
    each, place = known.numbers
    chances = each + late
    leaves_from = np.where(chances > 0, b + chances - 1, np.inf)
    shared = (
        gammaln(r + each) - gammaln(r) + r * np.log(alpha)
        + gammaln(a + b) + gammaln(b + chances) - gammaln(b) - gammaln(a + b + chances)
    )  # fmt: skip
    now, last, power = np.log(alpha + known.age), np.log(alpha + known.recency), -(r + known.repeats)
    stays, leaves = power * now, (np.log(a) - np.log(leaves_from))[place] + power * last
    both = np.logaddexp(stays, leaves)
    here = np.exp(stays - both)
    away = 1 - here
    in_rate = digamma(r + each) - digamma(r) + np.log(alpha)
    in_a = digamma(a + b) - digamma(a + b + chances)
    in_b = in_a + digamma(b + chances) - digamma(b)
    slopes = (
        in_rate[place] - here * now - away * last,
        r / alpha + power * (here / (alpha + known.age) + away / (alpha + known.recency)),
        in_a[place] + away / a,
        in_b[place] - away / leaves_from[place],
    )
    return float(known.customers @ (shared[place] + both)), np.array([known.customers @ slope for slope in slopes])


def alive(model: Model, values: Array, known: Histories) -> Array:
    """The probability that a customer has not left."""
    r, alpha, a, b = values
    chances = known.repeats + LATE[model]
    gone = np.where(chances > 0, a / np.where(chances > 0, b + chances - 1, 1.0), 0.0)
    with np.errstate(over="ignore"):
        left = gone * ((alpha + known.age) / (alpha + known.recency)) ** (r + known.repeats)
    return np.asarray(1 / (1 + left), dtype=np.float64)


def expected(model: Model, values: Array, known: Histories, weeks: float) -> Array:
    """Expected purchases within the next weeks, for each history."""
    return alive(model, values, known) * _expected_if_alive(model, values, known, weeks)


def _expected_if_alive(model: Model, values: Array, known: Histories, weeks: float) -> Array:
    """Computed once for each pair of repeats and age: it does not depend on recency.

    The published formula overflows for many purchases, Euler's transformation of it for large a; for new customers,
    long horizons and large a both do, and all leave with the same probability, which is the limit.
    """
    from scipy.special import hyp2f1

    r, alpha, a, b = values
    late = LATE[model]
    pole = a + POLE if abs(a - 1) < POLE else a
    repeats, age, place = known.ages
    x = repeats + late
    share = weeks / (alpha + age + weeks)
    c = pole + b + x - 1
    with np.errstate(over="ignore", invalid="ignore"):
        published = (1 - share) ** (r + repeats) * hyp2f1(r + repeats, b + x, c, share)
        turned = (1 - share) ** (pole - 1) * hyp2f1(pole + b - 1 - r + late, pole - 1, c, share)
        limit = ((1 - share) / (1 - share * (b + x) / c)) ** (r + repeats)
    left = np.select([np.isfinite(published), np.isfinite(turned)], [published, turned], limit)
    return np.asarray((c / (pole - 1) * (1 - left))[place], dtype=np.float64)
