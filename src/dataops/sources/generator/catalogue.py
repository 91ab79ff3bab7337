"""The products and offers of the generated world, small enough to hold: what is sold when, at which price.

Sold products have one list price and one cost per price year; a product may come later or leave early. The rest are
components: bought or made, never sold, without price.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dataops.sources.generator.columns import Ints, below

COMPONENTS = 209
BOUGHT = 150  # of the components; the others are made
SOLD = 295
FIRST_SOLD = 680  # product id
YEAR = 365  # days a price stands
PERIODS = 3
VENDORS = 104
SUPPLIED = 4  # products per vendor
VOLUME = np.array([[1, 0], [2, 2], [3, 5], [4, 10]])
"""Offer id and discount in percent by band of quantity."""
_BANDS = np.array([11, 15, 25])  # first quantity of bands 2, 3 and 4


@dataclass(frozen=True)
class Catalogue:
    """Arrays over the sold products; prices in ten-thousandths, one column per price year.

    `pools[k, :sizes[k]]` are the products on sale in price year k, `made_pools` those among them that are made.
    """

    first: Ints
    last: Ints
    list_price: npt.NDArray[np.int64]
    cost: npt.NDArray[np.int64]
    made: npt.NDArray[np.bool_]
    pools: npt.NDArray[np.int64]
    sizes: Ints
    made_pools: npt.NDArray[np.int64]
    made_sizes: Ints


@cache
def catalogue(seed: int) -> Catalogue:
    """The catalogue of this seed."""
    number = np.arange(SOLD)
    first = np.array([0, 0, 1, 0, 0, 2])[number % 6]
    last = np.array([2, 1, 2, 2, 0, 2])[number % 6]
    base = (below(180_000, seed, "price", number) + 1_000) * np.where(number % 4 == 0, 10, 1)
    raised = base[:, None] * (100 + 3 * np.arange(PERIODS)) // 100
    list_price = raised // 100 * 100 + 99  # in cents: prices end on .99
    made = number % 4 < 2  # noqa: PLR2004 - categories 1 and 2 are made in the house
    pools, sizes = _pools(first, last, np.ones(SOLD, bool))
    made_pools, made_sizes = _pools(first, last, made)
    cost = list_price * 55 // 100
    return Catalogue(first, last, list_price * 100, cost * 100, made, pools, sizes, made_pools, made_sizes)


def _pools(first: Ints, last: Ints, eligible: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Ints]:
    members = [np.flatnonzero((first <= year) & (year <= last) & eligible) for year in range(PERIODS)]
    pools = np.zeros((PERIODS, max(map(len, members))), np.int64)
    for year, products in enumerate(members):
        pools[year, : len(products)] = products
    return pools, np.array([len(products) for products in members])


def price_year(day: Ints) -> Ints:
    """Which of the price years a day (0 is the first) falls in; the last one never ends."""
    return np.minimum(day // YEAR, PERIODS - 1)


def volume_band(quantity: Ints) -> Ints:
    """Row of `VOLUME` for each quantity."""
    return np.searchsorted(_BANDS, quantity, side="right")


def supplied(vendor: Ints, place: Ints) -> Ints:
    """Product id of the `place`-th component (below SUPPLIED) that this vendor delivers."""
    return (vendor * 3 + place) % BOUGHT + 1


def supply_price(product: Ints) -> Ints:
    """What a component costs from its vendors, in ten-thousandths."""
    return (product * 7919 % 600 + 20) * 1_000
