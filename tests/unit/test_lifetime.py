"""Customer lifetime value: known answers, simulated customers, and data that cannot tell."""

from __future__ import annotations

import csv
import datetime as dt
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from dataops.analysis import clv, histories, lifetime, likelihood, purchases, spend
from dataops.analysis.histories import Customers, Orders
from dataops.analysis.purchases import Histories, Model

pytestmark = pytest.mark.unit
Array = NDArray[np.float64]
START = dt.date(2020, 1, 1).toordinal() - dt.date(1970, 1, 1).toordinal()


def cdnow(file: str) -> dict[str, Array]:
    """A table of 2,357 customers of CDNOW that ships with `lifetimes`: 39 weeks of calibration."""
    text = resources.files("lifetimes.datasets").joinpath(file).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def known() -> Histories:
    table = cdnow("cdnow_customers_summary.csv")
    return Histories(table["frequency"], table["recency"], table["T"], np.ones(len(table["ID"])))


def test_the_published_parameters_come_out() -> None:
    """Fader, Hardie & Lee (2005), table 2, and Fader & Hardie (2013)."""
    table = cdnow("cdnow_customers_summary.csv")
    fit = purchases.fit(
        "BG/NBD", Histories(table["frequency"], table["recency"], table["T"], np.ones(len(table["ID"])))
    )
    assert np.round(fit.values, 3).tolist() == [0.243, 4.414, 0.793, 2.426]
    assert round(fit.log_likelihood, 1) == -9582.4
    assert fit.is_inside
    worth = cdnow("cdnow_customers_summary_with_transactions.csv")
    again = worth["x"] > 0
    paid = spend.fit(worth["x"][again], worth["zbar"][again])
    assert np.round(paid.values, 2).tolist() == [6.25, 3.74, 15.45]
    assert round(spend.dependence(worth["x"][again], worth["zbar"][again]), 2) == 0.11


@pytest.mark.parametrize(("model", "fitter"), [("BG/NBD", "BetaGeoFitter"), ("MBG/NBD", "ModifiedBetaGeoFitter")])
def test_estimates_are_those_of_another_implementation(model: Model, fitter: str, known: Histories) -> None:
    import lifetimes

    other = getattr(lifetimes, fitter)()
    other.fit(known.repeats, known.recency, known.age)
    values = np.array([other.params_[name] for name in ("r", "alpha", "a", "b")])
    assert np.allclose(purchases.fit(model, known).values, values, rtol=1e-3)
    arguments = (known.repeats, known.recency, known.age)
    theirs = other.conditional_expected_number_of_purchases_up_to_time(39.0, *arguments)
    assert np.allclose(purchases.expected(model, values, known, 39.0), theirs, rtol=1e-9)
    assert np.allclose(purchases.alive(model, values, known), other.conditional_probability_alive(*arguments))


@pytest.mark.parametrize("model", lifetime.MODELS)
def test_derivatives_are_those_of_the_likelihood(model: Model, known: Histories) -> None:
    at = np.array([0.4, 5.0, 0.7, 3.0])
    slope = purchases.log_likelihood(model, at, known)[1]
    for place, step in enumerate(np.eye(4) * 1e-6):
        up, down = (purchases.log_likelihood(model, at + sign * step, known)[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("model", lifetime.MODELS)
@pytest.mark.parametrize("a", [3e-4, 0.8, 1.0, 2980.0])
@pytest.mark.parametrize("b", [3e-4, 3.0, 2980.0])
def test_no_history_and_no_parameters_are_too_large(model: Model, a: float, b: float) -> None:
    repeats, age = (part.ravel() for part in np.meshgrid([0.0, 1.0, 5.0, 1000.0], [1.0, 50.0, 1000.0]))
    many = Histories(repeats, np.where(repeats > 0, age * 0.9, 0.0), age, np.ones(len(age)))
    told = np.array(
        [
            purchases.expected(model, np.array([r, 8.0, a, b]), many, weeks)
            for r in (0.04, 4.0)
            for weeks in (13.0, 520.0)
        ]
    )
    assert np.isfinite(told).all()
    assert (told >= 0).all()


def test_a_history_that_many_have_counts_as_many(known: Histories) -> None:
    once, place = known.distinct()
    assert (once.recency[place] == known.recency).all()
    assert once.customers.sum() == 2357
    assert len(once.repeats) < 2357
    at = np.array([0.4, 5.0, 0.7, 3.0])
    one, many = purchases.log_likelihood("BG/NBD", at, once), purchases.log_likelihood("BG/NBD", at, known)
    assert one[0] == pytest.approx(many[0], rel=1e-12)


def test_the_hold_out_of_cdnow_is_predicted_as_well_as_published() -> None:
    """39 weeks of hold-out: correlation at least 0.626, mean absolute error at most 0.785."""
    text = resources.files("lifetimes.datasets").joinpath("CDNOW_sample.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    orders = Orders.of(
        pa.table(
            {
                "customer_id": [int(row[1]) for row in rows],
                "order_date": [dt.date.fromisoformat(row[2]) for row in rows],
                "value": [float(row[4]) for row in rows],
            }
        )
    )
    cut = (dt.date(1997, 9, 30) - dt.date(1970, 1, 1)).days
    before = Customers.of(orders, cut)
    assert len(before) == 2357
    fit = purchases.fit("BG/NBD", before.histories)
    actual, worth = before.bought_later(orders, cut + 39 * 7)
    out = lifetime.HoldOut(before, 39, purchases.expected("BG/NBD", fit.values, before.histories, 39), actual)
    assert actual.sum() == 1882
    assert worth.sum() > 0
    assert out.correlation is not None
    assert round(out.correlation, 3) >= 0.626
    assert round(out.mean_absolute_error, 3) <= 0.785
    assert out.total_error == pytest.approx(-0.122, abs=0.001)


def simulated(customers: int, weeks: int = 156, seed: int = 1, value: float = 50) -> pa.Table:
    """Orders of customers who behave as BG/NBD with r 0.8, alpha 8, a 0.8, b 3 and Gamma-Gamma say."""
    random = np.random.default_rng(seed)
    first = random.integers(0, weeks * 7 // 2, customers)
    rate, leave = random.gamma(0.8, 1 / 8, customers) / 7, random.beta(0.8, 3, customers)
    level = value / random.gamma(4, 1, customers)
    ids, days, worth = [], [], []
    for number in range(customers):
        day, here = float(first[number]), True
        while day < weeks * 7:
            ids.append(number)
            days.append(int(day))
            worth.append(float(random.gamma(6, level[number])))
            here = here and (len(days) < 2 or ids[-2] != number or random.random() > leave[number])
            day = day + random.exponential(1 / rate[number]) if here else np.inf
    dates = (np.array(days) + START).astype(np.int32)
    return pa.table({"customer_id": ids, "order_date": pa.array(dates).cast(pa.date32()), "value": worth})


def test_customers_that_behave_as_the_model_says_are_told_with_their_intervals() -> None:
    orders = Orders.of(simulated(3000))
    judged = lifetime.judge("BG/NBD", orders)
    assert judged.reasons == ()
    assert judged.held_out is not None
    customers = Customers.of(orders, orders.last_day)
    told = lifetime.by_model(judged, customers, 0.1)
    for estimate, (low, high) in ((told.orders, told.orders_interval), (told.value, told.value_interval)):
        assert np.isfinite(estimate).all()
        assert ((low <= estimate) & (estimate <= high)).all()
    assert told.alive is not None
    assert ((told.alive > 0) & (told.alive <= 1)).all()
    undiscounted = lifetime.by_model(judged, customers, 0.0)
    assert 0.9 < told.value.sum() / undiscounted.value.sum() < 1


def test_what_the_same_state_did_before_stands_in_and_is_near_the_truth() -> None:
    """Customers of the simulation a year before its end: what they did is known."""
    whole = Orders.of(simulated(4000, weeks=208))
    then = whole.until(whole.last_day - 365)
    customers = Customers.of(then, then.last_day)
    told = lifetime.cohorts(then, customers, 0.0)
    actual, worth = customers.bought_later(whole, then.last_day + 365)
    assert told is not None
    assert told.orders.sum() == pytest.approx(actual.sum(), rel=0.3)
    assert told.value.sum() == pytest.approx(worth.sum(), rel=0.3)
    assert (told.orders_interval[0] <= told.orders).all()


def few(**changes: Any) -> pa.Table:
    table: dict[str, Any] = {"customer_id": [1], "order_date": [dt.date(2020, 1, 1)], "value": [1.0]}
    return pa.table(table | changes)


HUNDREDS = list(range(200))
DAY = dt.date(2020, 1, 1)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (few(), "few customers"),
        (few(customer_id=HUNDREDS, order_date=[DAY] * 200, value=[1.0] * 200), "nobody came back"),
        (
            few(
                customer_id=HUNDREDS * 2,
                order_date=[DAY] * 200 + [DAY + dt.timedelta(days=30)] * 200,
                value=[1.0] * 400,
            ),
            "no maximum",
        ),
        (
            few(
                customer_id=HUNDREDS * 2,
                order_date=[DAY] * 200 + [DAY + dt.timedelta(days=n) for n in range(30, 230)],
                value=[0.0] * 400,
            ),
            "no value",
        ),
    ],
    ids=["one customer", "one purchase each", "no variance", "worth nothing"],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_told_is_said(table: pa.Table, reason: str) -> None:
    orders = Orders.of(table)
    judged = lifetime.judge("BG/NBD", orders)
    assert reason in judged.reasons
    assert not judged.is_credible
    assert lifetime.cohorts(orders, Customers.of(orders, orders.last_day), 0.1) is None


def test_spending_that_follows_frequency_is_noticed() -> None:
    table = simulated(2000)
    number = np.bincount(table["customer_id"].to_numpy())[table["customer_id"].to_numpy()]
    orders = Orders.of(table.set_column(2, "value", pa.array(number * 10.0)))
    judged = lifetime.judge("BG/NBD", orders)
    assert judged.dependence > 0.9
    assert "spend depends on frequency" in judged.reasons


def test_orders_of_a_day_are_one_purchase_and_later_ones_are_not_known_yet() -> None:
    orders = Orders.of(
        pa.table(
            {
                "customer_id": [2, 1, 1, 1],
                "order_date": [DAY, DAY, DAY, DAY + dt.timedelta(days=7)],
                "value": [5.0, 1.0, 2.0, 4.0],
            }
        )
    )
    now = Customers.of(orders, orders.last_day)
    assert now.purchases.tolist() == [2, 1]
    assert now.worth.tolist() == [7.0, 5.0]
    assert now.repeats_worth[0] == 4.0
    assert np.isnan(now.repeats_worth[1])
    assert now.histories.age.tolist() == [1.0, 1.0]
    before = Customers.of(orders, orders.first_day)
    assert before.purchases.tolist() == [1, 1]
    assert [part.tolist() for part in before.bought_later(orders, orders.last_day)] == [[1.0, 0.0], [4.0, 0.0]]
    assert len(Customers.of(orders, orders.first_day - 1)) == 0
    assert histories.day_of(orders.first_day) == DAY


def test_a_flat_likelihood_has_no_standard_errors() -> None:
    fit = likelihood.maximise(lambda at: (0.0, np.zeros_like(at)), [(1.0, 1.0)])
    assert np.isnan(fit.errors).all()
    assert not fit.is_inside


def tables(purchases_table: pa.Table) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """What is said of the models, of the hold-out and of the customers."""
    inputs = {clv.PURCHASES: purchases_table}
    return (
        clv.models(inputs).to_pylist(),
        clv.hold_out(inputs).to_pylist(),
        clv.customers(inputs, discount_rate=0.1).to_pylist(),
    )


def test_a_model_that_is_believed_is_used_and_its_hold_out_stands_beside_it() -> None:
    models, hold_out, customers = tables(simulated(3000))
    used = [row for row in models if row["is_used"]]
    assert [row["model"] for row in used] == ["BG/NBD"]
    assert used[0]["is_credible"]
    assert used[0]["reasons"] is None
    assert models[2]["hold_out_days"] is None  # three years are too short for it
    for row in models[:2]:
        parts = [part for part in hold_out if part["model"] == row["model"]]
        assert sum(part["actual_purchases"] for part in parts) == row["actual_purchases"]
        assert float(sum(part["expected_purchases"] for part in parts)) == pytest.approx(
            float(row["expected_purchases"])
        )
    assert len(customers) == 3000
    assert {row["model"] for row in customers} == {"BG/NBD"}
    assert {row["segment"] for row in customers} <= set(clv.SEGMENTS)
    assert all(0 <= row["alive"] <= 1 for row in customers)
    assert all(row["expected_value_low"] <= row["expected_value"] <= row["expected_value_high"] for row in customers)
    for score in ("recency_score", "frequency_score", "monetary_score"):
        assert {row[score] for row in customers} <= {1, 2, 3, 4, 5}


def test_customers_who_changed_their_habits_are_told_by_what_others_did_and_nothing_is_believed() -> None:
    """For two years few come back within a year, in the third all do, as when something cheap is launched."""
    everybody, early = list(range(400)), list(range(0, 200, 10))
    first = [DAY + dt.timedelta(days=n * 750 // 400) for n in everybody]
    seldom = [first[n] + dt.timedelta(days=100) for n in early]
    again = [DAY + dt.timedelta(days=800 + n % 300) for n in everybody]
    dates = first + seldom + again
    models, _, customers = tables(
        few(
            customer_id=everybody + early + everybody, order_date=dates, value=[10.0 + n % 7 for n in range(len(dates))]
        )
    )
    assert not any(row["is_credible"] for row in models)
    assert all("missed the hold-out" in row["reasons"] for row in models)
    assert [row["model"] for row in models if row["is_used"]] == ["cohorts"]
    assert {(row["model"], row["is_credible"], row["alive"]) for row in customers} == {("cohorts", False, None)}
    assert all(row["expected_purchases"] is not None for row in customers)


@pytest.mark.filterwarnings("error")
def test_one_customer_or_none_has_segments_and_no_estimates() -> None:
    models, hold_out, customers = tables(few())
    assert [row["reasons"] for row in models] == ["few customers", "few customers", "less than two years"]
    assert hold_out == []
    assert [(row["segment"], row["model"], row["expected_value"], row["spent"]) for row in customers] == [
        ("new", None, None, 1)
    ]
    assert tables(few(customer_id=[], order_date=[], value=[])) == ([], [], [])
