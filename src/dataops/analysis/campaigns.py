"""What campaigns did to sales, where that can be told; where not, which check failed, and no number.

A campaign is a special offer on products, or a reason that buyers give. The products sold under an offer are compared,
month by month and as shares of what each sold before, with products of the same channels to which nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from dataops.analysis import campaign_design, effects
from dataops.analysis.campaign_design import Campaign, Catalogue, Check, Design
from dataops.analysis.effects import Panel
from dataops.analysis.likelihood import Array, Whole
from dataops.analysis.market import Lines

CAMPAIGNS = "campaigns"  # campaign, kind, number, start_date, end_date, is_quantity_rule, is_clearance
SALES = "sales"  # order_date, product_id, channel, special_offer_id, revenue: one row per day and these
PRODUCTS = "products"  # product_id, product_subcategory_id, sell_end_date: one row per product
MAIN: effects.Method = "synthetic difference in differences"
PLAIN: effects.Method = "difference in differences"  # must find it as well: then nothing is seldom taken for something
STRUCTURAL = "structural time series"
INSUFFICIENT = "insufficient evidence"
DIGITS = 6
_NUMBER = pa.decimal128(38, DIGITS)
_OUTCOMES = ("effect", "extra_revenue", "before_effect", "sibling_effect", "after_effect")
_RESULTS: list[pa.Field[Any]] = [
    pa.field("campaign", pa.string()), pa.field("conclusion", pa.string()), pa.field("failed_checks", pa.string()),
    pa.field("channels", pa.string()), pa.field("products", pa.int64()), pa.field("controls", pa.int64()),
    pa.field("siblings", pa.int64()), pa.field("months_before", pa.int64()), pa.field("months_during", pa.int64()),
    pa.field("months_after", pa.int64()), pa.field("usual_revenue", _NUMBER),
    *(pa.field(name + end, _NUMBER) for name in _OUTCOMES for end in ("", "_low", "_high")),
    pa.field("placebos_beyond", _NUMBER),
]  # fmt: skip
_ESTIMATES: list[pa.Field[Any]] = [
    pa.field("campaign", pa.string()), pa.field("method", pa.string()), pa.field("effect", _NUMBER),
    pa.field("effect_low", _NUMBER), pa.field("effect_high", _NUMBER), pa.field("standard_error", _NUMBER),
]  # fmt: skip
_PATHS: list[pa.Field[Any]] = [
    pa.field("campaign", pa.string()), pa.field("month_start", pa.date32()), pa.field("phase", pa.string()),
    pa.field("revenue", _NUMBER), pa.field("counterfactual", _NUMBER),
]  # fmt: skip
Interval = tuple[float, float, float]
"""An estimate, and the ends of its 95 % interval."""


@dataclass(frozen=True)
class _Estimate:
    """By one method."""

    method: str
    told: Interval
    error: float


@dataclass(frozen=True)
class _Effects:
    """What was estimated, as shares of what the products sold in an average month before."""

    usual: float
    """that sale, of all of them together"""
    estimates: tuple[_Estimate, ...]
    before: Interval
    siblings: Interval | None
    after: Interval | None
    beyond: float
    """share of placebos that differ from nothing as much as the campaign does"""
    counterfactual: Array

    @property
    def main(self) -> Interval:
        """By the method that decides."""
        return self.by(MAIN)

    def by(self, method: effects.Method) -> Interval:
        """By one of the methods that are always there."""
        return next(estimate.told for estimate in self.estimates if estimate.method == method)


@dataclass(frozen=True)
class _Study:
    """A campaign: the checks that failed, or, where none did, its effects."""

    campaign: Campaign
    failed: tuple[Check, ...]
    design: Design | None = None
    effects: _Effects | None = None

    @property
    def conclusion(self) -> str:
        """In words."""
        if self.effects is None:
            return INSUFFICIENT
        _, low, high = self.effects.main
        _, plain_low, plain_high = self.effects.by(PLAIN)
        both = not low <= 0 <= high and not plain_low <= 0 <= plain_high
        if not both or self.effects.beyond > effects.RARE:
            return "no effect found"
        return "more sold" if low > 0 else "less sold"


def results(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per campaign: whether its effect can be told, why not, and the effect with its interval.

    Effects are shares of what its products sold in an average month before; `extra_revenue` is money, over all months
    of the campaign. The others: of a campaign that never was, in the months before; on other products of the same
    subcategories; in the months after its end.
    """
    return pa.Table.from_pylist([_result(study) for study in _studies(inputs)], pa.schema(_RESULTS))


def estimates(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per campaign whose effect can be told, and method: the effect, so that readers see whether they agree."""
    rows = [
        {
            "campaign": study.campaign.name,
            "method": estimate.method,
            "standard_error": _number(estimate.error),
            **_columns("effect", estimate.told),
        }
        for study in _studies(inputs)
        if study.effects
        for estimate in study.effects.estimates
    ]
    return pa.Table.from_pylist(rows, pa.schema(_ESTIMATES))


def paths(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Per campaign and month: what its products sold, and what they would have; null where that cannot be told."""
    rows = [row for study in _studies(inputs) for row in _path(study)]
    return pa.Table.from_pylist(rows, pa.schema(_PATHS))


def _studies(inputs: Mapping[str, pa.Table]) -> list[_Study]:
    listed, lines = campaign_design.campaigns_of(inputs[CAMPAIGNS]), Lines.of(inputs[SALES])
    catalogue = Catalogue.of(inputs[PRODUCTS])
    return [_study(campaign, listed, lines, catalogue) for campaign in listed]


def _study(campaign: Campaign, listed: Sequence[Campaign], lines: Lines, catalogue: Catalogue) -> _Study:
    at_once = campaign_design.at_once(campaign, lines)
    if at_once:
        return _Study(campaign, (at_once,))
    design, failed = campaign_design.designed(campaign, listed, lines, catalogue)
    if failed:
        return _Study(campaign, failed, design)
    told = _estimated(design)
    failed = _doubts(told)
    return _Study(campaign, failed, design, None if failed else told)


def _estimated(design: Design) -> _Effects:
    """By all methods; and what must be nothing if the effect is one."""
    panel = design.panel(design.treated, np.concatenate([design.before, design.during]))
    found: list[_Estimate] = []
    beyond, counterfactual = 1.0, np.empty(0)
    for method in effects.METHODS:
        effect, of_placebos = effects.estimate(method, panel), effects.placebos(method, panel)
        low, high = effects.interval(effect, of_placebos, panel)
        error = effects.standard_error(of_placebos)
        if method == PLAIN and np.isfinite(clustered := effects.clustered_error(panel)):
            # Few treated units make clustered errors too small: the wider interval of both is told.
            error = max(error, clustered)
            half = max((high - low) / 2, effects.NORMAL * clustered)
            low, high = effect.estimate - half, effect.estimate + half
        found.append(_Estimate(method, _told(effect.estimate, low, high), error))
        if method == MAIN:
            beyond, counterfactual = effects.beyond(effect, of_placebos), effect.counterfactual
    second = effects.structural(panel)
    if np.isfinite(second).all():
        found.append(_Estimate(STRUCTURAL, _told(*second), (second[2] - second[1]) / (2 * effects.NORMAL)))
    usual = design.market.revenue[np.ix_(design.treated, design.before)].mean(axis=1).sum()
    siblings = _other(design, design.siblings, np.concatenate([design.before, design.during]))
    after = _other(design, design.still, np.concatenate([design.before, design.after])) if len(design.after) else None
    return _Effects(float(usual), tuple(found), _by_main(_earlier(panel)), siblings, after, beyond, counterfactual)


def _doubts(told: _Effects) -> tuple[Check, ...]:
    """The checks that need estimates."""
    failed: list[Check] = []
    if not told.before[1] <= 0 <= told.before[2]:
        failed.append("the trend differed before")
    ends = [estimate.told[1:] for estimate in told.estimates]
    if any((low > 0 and told.main[0] < 0) or (high < 0 and told.main[0] > 0) for low, high in ends):
        failed.append("methods disagree")
    return tuple(failed)


def _earlier(panel: Panel) -> Panel:
    """The placebo in time: as if it had begun when a third of the months before was still to come."""
    return Panel(panel.outcomes[:, : panel.start], panel.treated, panel.start - panel.start // 3, panel.sizes)


def _other(design: Design, units: Whole, months: Whole) -> Interval | None:
    """The effect on other products or in other months; None where there is nothing to tell it from."""
    if not len(units) or len(design.controls) <= len(units) + 1:
        return None
    return _by_main(design.panel(units, months))


def _by_main(panel: Panel) -> Interval:
    effect = effects.estimate(MAIN, panel)
    return _told(effect.estimate, *effects.interval(effect, effects.placebos(MAIN, panel), panel))


def _told(estimate: float, low: float, high: float) -> Interval:
    """As it is published, by which it is judged: products that all sell alike differ by less than that."""
    return round(estimate, DIGITS), round(low, DIGITS), round(high, DIGITS)


def _result(study: _Study) -> dict[str, Any]:
    row: dict[str, Any] = {"campaign": study.campaign.name, "conclusion": study.conclusion}
    row |= {"failed_checks": "; ".join(study.failed) or None}
    design, told = study.design, study.effects
    if design:
        row |= {"channels": "; ".join(design.channels), "products": len(design.treated)}
        row |= {"controls": len(design.controls), "siblings": len(design.siblings)}
        row |= {f"months_{name}": len(getattr(design, name)) for name in ("before", "during", "after")}
    if design and told:
        row |= {"usual_revenue": _number(told.usual), "placebos_beyond": _number(told.beyond)}
        money = [part * told.usual * len(design.during) for part in told.main]
        for name, interval in zip(_OUTCOMES, (told.main, money, told.before, told.siblings, told.after), strict=True):
            row |= _columns(name, interval)
    return row


def _path(study: _Study) -> Iterator[dict[str, Any]]:
    design, told = study.design, study.effects
    if design is None:
        return
    known: dict[int, float] = {}
    if told:
        places = [*design.before.tolist(), *design.during.tolist()]
        known = dict(zip(places, (told.counterfactual * told.usual).tolist(), strict=True))
    own = design.market.revenue[design.treated if told else design.sold].sum(axis=0)
    for phase in ("before", "during", "after"):
        for place in getattr(design, phase).tolist():
            year, month = divmod(int(design.market.months[place]), 12)
            yield {
                "campaign": study.campaign.name,
                "month_start": date(1970 + year, month + 1, 1),
                "phase": phase,
                "revenue": _number(own[place]),
                "counterfactual": _number(known.get(place)),
            }


def _columns(name: str, told: Sequence[float] | None) -> dict[str, Decimal | None]:
    """A column each for the estimate and the ends of its interval."""
    parts = told or (None, None, None)
    return {name + end: _number(part) for end, part in zip(("", "_low", "_high"), parts, strict=True)}


def _number(value: float | None) -> Decimal | None:
    """Rounded to what is published; None for what is none, or no number."""
    return Decimal(f"{value:.{DIGITS}f}") if value is not None and np.isfinite(value) else None
