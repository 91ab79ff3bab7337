"""Effects of what happened to some units: published results, what must not matter, and data without an answer."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dataops.analysis import effects
from dataops.analysis.effects import METHODS, Method, Panel

pytestmark = pytest.mark.unit
SMOKING = Path(__file__).resolve().parents[3] / "shared/estimators/california_prop99.csv"


@pytest.fixture(scope="module")
def california() -> Panel:
    """Packs of cigarettes per head in 39 states, 1970 to 2000; a law in California from 1989 on."""
    rows = list(csv.DictReader(SMOKING.read_text(encoding="utf-8").splitlines(), delimiter=";"))
    states, years = (sorted({row[name] for row in rows}) for name in ("State", "Year"))
    outcomes = np.array([float(row["PacksPerCapita"]) for row in sorted(rows, key=lambda r: (r["State"], r["Year"]))])
    return Panel(
        outcomes.reshape(len(states), len(years)),
        np.array([state == "California" for state in states]),
        years.index("1989"),
    )


@pytest.mark.parametrize(("method", "published"), list(zip(METHODS, (-27.3, -19.6, -15.6), strict=True)))
def test_the_effect_on_california_is_the_published_one(method: Method, published: float, california: Panel) -> None:
    """Arkhangelsky et al. (2021), table 1."""
    effect = effects.estimate(method, california)
    assert effect.estimate == pytest.approx(published, abs=0.1)
    assert effect.units.min() >= 0
    assert effect.units.sum() == pytest.approx(1)
    difference = california.of_treated - effect.counterfactual
    assert difference[california.start :].mean() == pytest.approx(effect.estimate)


@pytest.mark.parametrize(("method", "published"), list(zip(METHODS, (17.7, 9.9, 8.4), strict=True)))
def test_placebos_err_about_as_much_as_published(method: Method, published: float, california: Panel) -> None:
    """Theirs are drawn at random, these are each control once."""
    of_placebos = effects.placebos(method, california)
    assert len(of_placebos) == 38
    assert effects.standard_error(of_placebos) == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_an_effect_is_found_whatever_the_scale_and_order_of_units(method: Method, california: Panel) -> None:
    rest = Panel(california.controls, np.arange(38) == 5, california.start)
    nothing = effects.estimate(method, rest).estimate
    changed = rest.outcomes.copy()
    changed[5, rest.start :] += 25
    assert effects.estimate(method, Panel(changed, rest.treated, rest.start)).estimate == pytest.approx(nothing + 25)
    turned = Panel(rest.outcomes[::-1] * 1e6, rest.treated[::-1], rest.start)
    assert effects.estimate(method, turned).estimate == pytest.approx(nothing * 1e6, rel=1e-4)


def test_units_that_do_not_vary_have_an_effect_of_nothing() -> None:
    flat = Panel(np.full((5, 10), 3.0), np.arange(5) == 0, 5)
    for method in METHODS:
        assert effects.estimate(method, flat).estimate == pytest.approx(0, abs=1e-9)
        assert effects.standard_error(effects.placebos(method, flat)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("treated", "start"),
    [((), 5), ((0, 1, 2), 5), ((0,), 0), ((0,), 10)],
    ids=["nobody", "everybody", "no period before", "no period after"],
)
def test_without_anything_to_compare_with_there_is_no_effect(treated: tuple[int, ...], start: int) -> None:
    panel = Panel(np.zeros((3, 10)), np.isin(np.arange(3), treated), start)
    with pytest.raises(ValueError, match="needs treated units, controls, and periods before and after"):
        effects.estimate("difference in differences", panel)


def test_too_few_controls_have_no_placebos_and_no_standard_error() -> None:
    panel = Panel(np.ones((2, 10)), np.array([True, False]), 5)
    assert len(effects.placebos("difference in differences", panel)) == 0
    assert np.isnan(effects.standard_error(effects.placebos("difference in differences", panel)))


@pytest.mark.parametrize("truth", [0.0, 10.0])
def test_intervals_hold_the_truth_and_nothing_is_seldom_taken_for_something(truth: float) -> None:
    """60 simulated campaigns on units with a common course of their own; 500 in `make bench-analysis`."""
    covered, random = dict.fromkeys(METHODS, 0), np.random.default_rng(11)
    for _ in range(60):
        panel = simulated_campaign(random, truth)
        for method in METHODS:
            effect = effects.estimate(method, panel)
            low, high = effects.interval(effect, effects.placebos(method, panel), panel)
            covered[method] += low <= truth <= high
    assert all(count >= 52 for count in covered.values()), covered


def simulated_campaign(random: np.random.Generator, truth: float, units: int = 20, periods: int = 40) -> Panel:
    """Two courses that every unit follows in its own measure, errors that last, and an effect on the first unit."""
    level, load = random.normal(100, 20, (units, 1)), random.normal(1, 0.5, (units, 2))
    common = np.cumsum(random.normal(0, 2, (2, periods)), axis=1)
    errors = random.normal(0, 4, (units, periods))
    for period in range(1, periods):
        errors[:, period] += errors[:, period - 1] / 2
    outcomes = level + load @ common + errors
    outcomes[0, 30:] += truth
    return Panel(outcomes, np.arange(units) == 0, 30)
