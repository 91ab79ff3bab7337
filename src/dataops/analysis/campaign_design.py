"""Whom a campaign is compared with, and when; and the checks by which its effect can be told or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataops.analysis.effects import Panel
from dataops.analysis.likelihood import Whole
from dataops.analysis.market import NEVER, Lines, Market, market_of, month_of

Check = Literal[
    "a quantity rule",
    "chosen by buyers",
    "not begun",
    "nothing sold under it",
    "its products were ending",
    "no whole month",
    "no months before",
    "its products are new",
    "another campaign at the same time",
    "too few controls",
    "the trend differed before",
    "methods disagree",
]
BEFORE = 12  # months that are looked back at
LEAST_BEFORE = 6
AFTER = 3  # months after the end, in which sales that were only pulled forward are missing
LEAST_CONTROLS = 20  # with fewer, no placebo is rarer than 1 in 20
MOST = 0.5  # of a month's sales on days of the campaign, from which on the month is one of it
OFTEN = 0.5  # of the months before, in which a product must have sold


@dataclass(frozen=True)
class Campaign:
    """A special offer, or a reason that buyers give; the first and the last day as numbers."""

    name: str
    kind: str
    number: int
    start: int
    end: int
    is_quantity_rule: bool
    is_clearance: bool

    @property
    def is_one(self) -> bool:
        """Whether somebody ran it, on some products and for some time."""
        return self.kind == "offer" and not self.is_quantity_rule


@dataclass(frozen=True)
class Catalogue:
    """Of products, by id: their subcategory, and the day on which their sale ended."""

    families: Mapping[int, int | None]
    ends: Mapping[int, int | None]

    @classmethod
    def of(cls, rows: pa.Table) -> Catalogue:
        """Of a table with product_id, product_subcategory_id and sell_end_date."""
        ids = [int(product) for product in rows["product_id"].to_numpy()]
        ends = [_day(value) for value in rows["sell_end_date"].to_pylist()]
        families = rows["product_subcategory_id"].to_pylist()
        return cls(dict(zip(ids, families, strict=True)), dict(zip(ids, ends, strict=True)))

    def family(self, products: Whole) -> Whole:
        """Their subcategories; -1 where there is none."""
        found = (self.families.get(product) for product in products.tolist())
        return np.array([-1 if family is None else family for family in found], dtype=np.int64)

    def end(self, products: Whole) -> Whole:
        """The last days of their sale."""
        found = (self.ends.get(product) for product in products.tolist())
        return np.array([NEVER if end is None else end for end in found], dtype=np.int64)


@dataclass(frozen=True)
class Design:
    """Who is compared with whom, and when: places of products and of months in the market."""

    market: Market
    channels: tuple[str, ...]
    sold: Whole
    """products that were sold under it"""
    treated: Whole
    """those of them that sold before as well"""
    still: Whole
    """those of them that were on sale when it was over"""
    controls: Whole
    siblings: Whole
    before: Whole
    during: Whole
    after: Whole

    def panel(self, units: Whole, months: Whole) -> Panel:
        """Units and controls by months, as shares of what each sold in an average month before."""
        chosen = np.concatenate([units, self.controls])
        usual = self.market.revenue[np.ix_(chosen, self.before)].mean(axis=1)
        outcomes = self.market.revenue[np.ix_(chosen, months)] / usual[:, None]
        return Panel(outcomes, np.arange(len(chosen)) < len(units), len(self.before), usual)


def campaigns_of(rows: pa.Table) -> list[Campaign]:
    """Of a table with campaign, kind, number, start_date, end_date, is_quantity_rule and is_clearance; in order."""
    return [
        Campaign(
            row["campaign"],
            row["kind"],
            row["number"],
            _known(row["start_date"]),
            _known(row["end_date"]),
            bool(row["is_quantity_rule"]),
            bool(row["is_clearance"]),
        )
        for row in sorted(rows.to_pylist(), key=lambda row: (row["kind"], row["number"]))
    ]


def at_once(campaign: Campaign, lines: Lines) -> Check | None:
    """The first check that fails before anything is compared."""
    if campaign.kind != "offer":
        return "chosen by buyers"
    if campaign.is_quantity_rule:
        return "a quantity rule"
    if not len(lines.day) or campaign.start > int(lines.day.max()):
        return "not begun"
    return None if (lines.offer == campaign.number).any() else "nothing sold under it"


def designed(
    campaign: Campaign, listed: Sequence[Campaign], lines: Lines, catalogue: Catalogue
) -> tuple[Design, tuple[Check, ...]]:
    """The design of a campaign under which something was sold, and the checks that it fails.

    Controls sold in the same channels in at least half of the months before, were on sale when the campaign ended, are
    of other subcategories, and had no campaign of their own around it.
    """
    own = lines.offer == campaign.number
    channels = tuple(sorted(set(lines.channel[own].tolist())))
    market = market_of(lines, channels)
    places = np.arange(len(market.products))
    sold = np.searchsorted(market.products, np.unique(lines.product[own]))
    busy, taken = _others(campaign, listed, lines, market, sold)
    during = np.flatnonzero(market.exposure(campaign.start, campaign.end) >= MOST)
    before = np.flatnonzero((market.last < campaign.start) & ~busy)[-BEFORE:]
    after = np.flatnonzero((market.first > campaign.end) & ~busy)[:AFTER]
    often = (market.revenue[:, before] > 0).sum(axis=1) >= max(OFTEN * len(before), 1)
    family, end = catalogue.family(market.products), catalogue.end(market.products)
    near = np.isin(family, family[sold][family[sold] >= 0])
    is_sold = np.isin(places, sold)
    over = market.months[after[-1]] if len(after) else month_of(np.array([min(campaign.end, NEVER)]))[0]
    free = often & (end >= campaign.end) & ~is_sold & ~taken
    treated = is_sold & often
    design = Design(
        market, channels, sold, places[treated], places[treated & (month_of(end) >= over)], places[free & ~near],
        places[free & near], before, during, after,
    )  # fmt: skip
    ending = campaign.is_clearance or bool((end[sold] <= campaign.end).any())
    return design, tuple(_failed(design, is_ending=ending, is_busy=bool(busy[during].any())))


def _failed(design: Design, *, is_ending: bool, is_busy: bool) -> list[Check]:
    """The checks that need no estimate."""
    failed: list[Check] = ["its products were ending"] if is_ending else []
    if not len(design.during):
        failed.append("no whole month")
    if len(design.before) < LEAST_BEFORE:
        failed.append("no months before")
    elif not len(design.treated):
        failed.append("its products are new")
    elif len(design.controls) < max(LEAST_CONTROLS, len(design.treated) + 1):
        failed.append("too few controls")
    return [*failed, "another campaign at the same time"] if is_busy else failed


def _others(
    campaign: Campaign, listed: Sequence[Campaign], lines: Lines, market: Market, sold: Whole
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Months in which other campaigns ran on its products, and products on which others ran around it."""
    busy, taken = np.zeros(len(market.months), dtype=bool), np.zeros(len(market.products), dtype=bool)
    start, end = month_of(np.array([campaign.start, campaign.end]))
    around = (market.months >= start - BEFORE) & (market.months <= end + AFTER)
    for other in listed:
        if other.is_one and other.number != campaign.number:
            theirs = np.isin(market.products, np.unique(lines.product[lines.offer == other.number]))
            when = market.exposure(other.start, other.end) > 0
            busy |= when & theirs[sold].any()
            taken |= theirs & (when & around).any()
    return busy, taken


def _day(value: date | None) -> int | None:
    return None if value is None else value.toordinal() - date(1970, 1, 1).toordinal()


def _known(value: date | None) -> int:
    day = _day(value)
    return NEVER if day is None else day
