"""Campaigns on simulated sales: effects that are known, and each check by which one cannot be told."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dataops.analysis import campaigns, effects
from dataops.analysis.effects import Panel

pytestmark = pytest.mark.unit
PRODUCTS = 30
START, END = dt.date(2020, 1, 1), dt.date(2021, 3, 31)
NUMBER = pa.decimal128(38, 6)


@dataclass(frozen=True)
class Shop:
    """Fifteen months of sales of 30 products, 2 to 6 of which have an offer in January 2021."""

    lift: float = 0.0
    before_lift: float = 0.0
    sibling_lift: float = 0.0
    after_lift: float = 0.0
    seed: int = 3
    start: dt.date = dt.date(2021, 1, 1)
    end: dt.date = dt.date(2021, 1, 31)
    new: bool = False
    products: int = PRODUCTS
    more: tuple[dict[str, Any], ...] = ()
    of_offer: dict[str, Any] = field(default_factory=dict)
    ends: dt.date | None = None

    def inputs(self) -> dict[str, pa.Table]:
        random = np.random.default_rng(self.seed)
        months = [dt.date(2020 + m // 12, m % 12 + 1, 1) for m in range(15)]
        usual = random.uniform(500, 2000, self.products)
        season = 1 + 0.2 * np.sin(np.arange(15) / 2)
        sold = usual[:, None] * season * random.normal(1, 0.08, (self.products, 15))
        sold[1:6, 12] *= 1 + self.lift
        sold[1:6, 8:12] *= 1 + self.before_lift
        sold[6:8, 12] *= 1 + self.sibling_lift
        sold[1:6, 13:] *= 1 + self.after_lift
        if self.new:
            sold[1:6, :11] = 0
        rows = []
        for product in range(1, self.products + 1):
            for place, month in enumerate(months):
                day = month.replace(day=15)
                inside = self.start <= day <= self.end and 2 <= product <= 6
                rows.append((day, product, "store", 7 if inside else 1, sold[product - 1, place]))
        offer = {"campaign": "offer 7", "kind": "offer", "number": 7, "start_date": self.start, "end_date": self.end}
        offer |= {"is_quantity_rule": False, "is_clearance": False} | self.of_offer
        for other in self.more:  # an offer on products, with a row of its own on one of its days
            rows += [(other["start_date"], p, "store", other["number"], 1.0) for p in other["products"]]
        listed = [offer, *({k: v for k, v in o.items() if k != "products"} for o in self.more)]
        day, product, channel, number, revenue = zip(*[row for row in rows if row[4] > 0], strict=True)
        return {
            "campaigns": pa.Table.from_pylist(listed),
            "sales": pa.table(
                {
                    "order_date": pa.array(day, pa.date32()),
                    "product_id": pa.array(product, pa.int32()),
                    "channel": channel,
                    "special_offer_id": pa.array(number, pa.int32()),
                    "revenue": pa.array([Decimal(f"{value:.6f}") for value in revenue], NUMBER),
                }
            ),
            "products": pa.Table.from_pylist(
                [
                    {"product_id": p, "product_subcategory_id": 1 if p < 9 else p, "sell_end_date": None}
                    | ({"sell_end_date": self.ends} if 2 <= p <= 6 else {})
                    for p in range(1, self.products + 1)
                ],
                pa.schema(
                    [("product_id", pa.int32()), ("product_subcategory_id", pa.int32()), ("sell_end_date", pa.date32())]
                ),
            ),
        }


def result(shop: Shop) -> dict[str, Any]:
    return next(row for row in campaigns.results(shop.inputs()).to_pylist() if row["campaign"] == "offer 7")


OTHER = {"campaign": "offer 8", "kind": "offer", "number": 8, "is_quantity_rule": False, "is_clearance": False}


def test_an_effect_is_found_with_its_size_in_sales_and_money() -> None:
    told = result(Shop(lift=0.5))
    assert (told["conclusion"], told["failed_checks"]) == ("more sold", None)
    assert told["effect_low"] < Decimal("0.6") < told["effect_high"]  # half of January's season
    assert told["effect_low"] > Decimal("0.3")
    assert (told["products"], told["controls"], told["siblings"]) == (5, 22, 3)
    assert (told["months_before"], told["months_during"], told["months_after"]) == (12, 1, 2)
    assert told["extra_revenue"] == pytest.approx(told["effect"] * told["usual_revenue"], abs=Decimal("0.01"))
    assert told["sibling_effect_low"] < 0 < told["sibling_effect_high"]
    assert told["placebos_beyond"] == 0


def test_less_is_an_effect_as_well() -> None:
    assert result(Shop(lift=-0.5))["conclusion"] == "less sold"


def test_no_effect_is_seldom_taken_for_one_and_its_interval_holds_nothing() -> None:
    told = [result(Shop(seed=seed)) for seed in range(10)]
    assert all(row["failed_checks"] in {None, "the trend differed before"} for row in told)
    assert sum(row["conclusion"] in {"more sold", "less sold"} for row in told) <= 1


def test_sales_taken_from_siblings_and_from_the_months_after_are_told() -> None:
    told = result(Shop(lift=0.5, sibling_lift=-0.5, after_lift=-0.4))
    assert told["sibling_effect_high"] < 0
    assert told["after_effect_high"] < 0


@pytest.mark.parametrize(
    ("shop", "failed"),
    [
        (Shop(of_offer={"is_quantity_rule": True}), "a quantity rule"),
        (Shop(of_offer={"kind": "reason"}), "chosen by buyers"),
        (Shop(of_offer={"number": 9}), "nothing sold under it"),
        (Shop(of_offer={"number": 9, "start_date": dt.date(2030, 1, 1)}), "not begun"),
        (Shop(of_offer={"start_date": None, "end_date": None}), "not begun"),
        (Shop(of_offer={"is_clearance": True}), "its products were ending"),
        (Shop(ends=dt.date(2021, 1, 20)), "its products were ending"),
        (Shop(new=True), "its products are new"),
        (Shop(products=24), "too few controls"),
        (Shop(start=dt.date(2020, 3, 1), end=dt.date(2020, 3, 31)), "no months before"),
        (Shop(of_offer={"start_date": dt.date(2021, 1, 16)}), "no whole month"),
        (Shop(before_lift=0.6), "the trend differed before"),
        (
            Shop(more=({**OTHER, "start_date": dt.date(2021, 1, 3), "end_date": END, "products": (3,)},)),
            "another campaign at the same time",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_told_names_the_check_and_gives_no_number(shop: Shop, failed: str) -> None:
    told = result(shop)
    assert (told["conclusion"], told["failed_checks"]) == ("insufficient evidence", failed)
    known = {"campaign", "conclusion", "failed_checks", "channels", "products", "controls", "siblings"}
    assert not {name for name, value in told.items() if value is not None} - known - {
        "months_before", "months_during", "months_after",
    }  # fmt: skip
    assert not [r for r in campaigns.estimates(shop.inputs()).to_pylist() if r["campaign"] == "offer 7"]
    assert all(row["counterfactual"] is None for row in campaigns.paths(shop.inputs()).to_pylist())


def test_a_campaign_of_a_single_day_is_judged_by_what_was_sold_on_it() -> None:
    """Stores order on one day of a month: a campaign on that day is one of the month."""
    day = dt.date(2021, 1, 15)
    assert result(Shop(lift=0.5, start=day, end=day))["conclusion"] == "more sold"


def test_an_earlier_campaign_on_the_same_products_shortens_the_months_before() -> None:
    earlier = {**OTHER, "start_date": dt.date(2020, 2, 1), "end_date": dt.date(2020, 3, 31), "products": (3,)}
    told = result(Shop(lift=0.5, more=(earlier,)))
    assert (told["conclusion"], told["months_before"]) == ("more sold", 10)


def test_products_of_other_campaigns_around_it_are_no_controls() -> None:
    other = {**OTHER, "start_date": dt.date(2020, 12, 1), "end_date": dt.date(2020, 12, 31), "products": (20, 21)}
    assert result(Shop(lift=0.5, more=(other,)))["controls"] == 20


def test_the_picture_is_of_the_number() -> None:
    shop = Shop(lift=0.5)
    during = [row for row in campaigns.paths(shop.inputs()).to_pylist() if row["phase"] == "during"]
    told = sum(row["revenue"] - row["counterfactual"] for row in during)
    assert told == pytest.approx(result(shop)["extra_revenue"], abs=Decimal("0.01"))
    methods = {row["method"]: row["effect"] for row in campaigns.estimates(shop.inputs()).to_pylist()}
    assert set(methods) == {*effects.METHODS, campaigns.STRUCTURAL}
    assert max(methods.values()) - min(methods.values()) < Decimal("0.15")


def test_methods_that_contradict_each_other_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "structural", lambda _: (-0.5, -0.6, -0.4))
    assert result(Shop(lift=0.5))["failed_checks"] == "methods disagree"


def test_without_campaigns_or_sales_there_is_nothing_to_tell() -> None:
    empty = {name: table.slice(0, 0) for name, table in Shop().inputs().items()}
    for function in (campaigns.results, campaigns.estimates, campaigns.paths):
        assert function(empty).num_rows == 0
    unsold = Shop().inputs() | {"sales": empty["sales"]}
    assert campaigns.results(unsold)["failed_checks"].to_pylist() == ["not begun"]


def test_errors_clustered_by_unit_are_those_of_a_regression() -> None:
    """Difference in differences as a regression with effects of units and periods, by statsmodels."""
    import statsmodels.api as sm

    random = np.random.default_rng(5)
    panel = Panel(random.normal(size=(14, 9)).cumsum(axis=1), np.arange(14) < 5, 6)
    unit, period = (index.ravel() for index in np.indices((14, 9)))
    after = (period >= 6).astype(float)
    is_treated = panel.treated[unit].astype(float)
    columns = np.column_stack([is_treated * after, is_treated, after, np.ones_like(after)])
    fit = sm.OLS(panel.outcomes.ravel(), columns).fit(cov_type="cluster", cov_kwds={"groups": unit})
    own = effects.estimate("difference in differences", panel)
    assert own.estimate == pytest.approx(fit.params[0])
    assert effects.clustered_error(panel) == pytest.approx(fit.bse[0], rel=0.15)  # another correction for few units
    assert np.isnan(effects.clustered_error(replace(panel, treated=np.arange(14) == 0)))


def test_a_structural_time_series_finds_a_step_and_says_when_it_cannot() -> None:
    random = np.random.default_rng(8)
    course = random.normal(size=30).cumsum() + 50
    outcomes = course + random.normal(0, 0.3, (12, 30))
    outcomes[0, 24:] += 5
    effect, low, high = effects.structural(Panel(outcomes, np.arange(12) == 0, 24))
    assert low < 5 < high
    assert abs(effect - 5) < 1
    assert np.isnan(effects.structural(Panel(np.ones((3, 9)), np.arange(3) == 0, 6))).all()
