"""Forecasts of demand and stock policy, against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dataops.analysis import demand

pytestmark = pytest.mark.unit
WEEKS = 60


def steady(value: float) -> np.ndarray:
    return np.full((1, WEEKS), value)


@pytest.mark.parametrize("method", list(demand.METHODS))
def test_every_method_follows_a_demand_that_never_changes(method: str) -> None:
    made = demand.METHODS[method](steady(7.0))
    expected = {"SBA": 7 * (1 - demand.RATES[0] / 2)}.get(method, 7.0)
    assert made.next_week[0] == pytest.approx(expected)


def test_croston_is_the_mean_demand_over_the_interval_and_sba_takes_off_its_bias() -> None:
    """A demand of 10 every fifth week is 2 per week."""
    series = np.zeros((1, WEEKS))
    series[0, ::5] = 10
    assert demand.croston(series).next_week[0] == pytest.approx(2.0, abs=0.05)
    assert demand.sba(series).next_week[0] < demand.croston(series).next_week[0]


def test_tsb_forgets_what_is_not_sold_any_more_and_croston_does_not() -> None:
    series = np.zeros((1, WEEKS))
    series[0, :20] = 10
    assert demand.tsb(series).next_week[0] < 2
    assert demand.croston(series).next_week[0] == pytest.approx(10)


@pytest.mark.parametrize(
    ("series", "label"),
    [
        (np.full(WEEKS, 5.0), "smooth"),
        (np.tile([1.0, 40.0], WEEKS // 2), "erratic"),
        (np.tile([5.0, 0.0, 0.0], WEEKS // 3), "intermittent"),
        (np.tile([1.0, 0.0, 40.0, 0.0, 0.0], WEEKS // 5), "lumpy"),
        (np.concatenate([np.zeros(WEEKS - 5), np.full(5, 3.0)]), "new"),
        (np.zeros(WEEKS), "new"),
    ],
)
def test_demand_is_classed_by_how_often_and_how_evenly_it_comes(series: np.ndarray, label: str) -> None:
    assert demand.classify(series[None, :])[0] == label


def test_the_method_of_a_class_errs_no_more_than_any_other() -> None:
    rng = np.random.default_rng(5)
    series = rng.poisson(rng.uniform(0.1, 8, size=(80, 1)), size=(80, 120)).astype(float)
    choice = demand.choose(series)
    for label, method in choice.methods.items():
        tried = {name: error for (of, name), error in choice.errors.items() if of == label}
        if tried:
            assert tried[method] == min(tried.values())
    assert (choice.per_week >= 0).all()
    assert np.isfinite(choice.deviation).all()


def test_weeks_before_the_first_demand_do_not_make_a_product_look_uncertain() -> None:
    series = np.zeros((1, WEEKS))
    series[0, 30:] = 7
    assert demand.choose(series).deviation[0] == 0
