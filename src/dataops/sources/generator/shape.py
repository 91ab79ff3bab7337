"""How much there is of everything, and when: counts by scale, series of dated things, the days they fall on."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from dataops.declared.errors import DeclarationError
from dataops.sources.generator.columns import Ints

START = (date(2011, 5, 31) - date(1970, 1, 1)).days
"""First order date, in days since 1970-01-01, as in Microsoft's sample."""
MOST_LINES = 32
"""No order has more lines; line ids leave room for so many."""
_LARGEST_SCALE = 500  # beyond it transaction ids no longer fit 32 bits


@dataclass(frozen=True)
class Shape:
    """What a user may ask of the generator. `delta` = shares of new and of changed orders: only those are delivered."""

    scale: Decimal = Decimal(1)
    seed: int = 7
    days: int = 1127
    delta: tuple[Decimal, Decimal] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale <= _LARGEST_SCALE:
            raise DeclarationError(f"generator: scale={self.scale} is not above 0 and at most {_LARGEST_SCALE}")
        if not 0 < self.days <= 36_500:  # noqa: PLR2004 - a hundred years
            raise DeclarationError(f"generator: days={self.days} is not between 1 and 36500")
        if self.delta is not None and not all(0 <= share <= 1 for share in self.delta):
            raise DeclarationError("generator: delta= takes two shares between 0 and 1, e.g. delta=0.01,0.002")

    @property
    def name(self) -> str:
        """As printed: only what differs from the default, besides scale and seed."""
        parts = [f"scale={self.scale}", f"seed={self.seed}"]
        parts += [f"days={self.days}"] if self.days != Shape.days else []
        parts += [f"delta={self.delta[0]},{self.delta[1]}"] if self.delta else []
        return "generator:" + ",".join(parts)

    def scaled(self, count: int) -> int:
        """A count of Microsoft's sample at this scale, at least one."""
        return max(1, round(count * self.scale))

    @property
    def orders(self) -> "Series":
        """Sales orders; every year brings more of them."""
        return Series(self.scaled(31_465), self.days, grows=True)

    @property
    def work_orders(self) -> "Series":
        """Work orders, evenly spread."""
        return Series(self.scaled(72_591), self.days)

    @property
    def purchases(self) -> "Series":
        """Purchase orders, evenly spread."""
        return Series(self.scaled(4_012), self.days)

    @property
    def stores(self) -> int:
        """Stores, which are also the first customers."""
        return self.scaled(701)

    @property
    def contacts(self) -> int:
        """People who buy for a store; contact k works for store k."""
        return min(self.scaled(635), self.stores)

    @property
    def individuals(self) -> int:
        """People who buy online."""
        return self.scaled(18_484)


@dataclass(frozen=True)
class Series:
    """`total` things in the order they happen within `days`; whole-number arithmetic, so cuts are exact."""

    total: int
    days: int
    grows: bool = False

    def day(self, index: Ints) -> Ints:
        """Day (0 is the first) of each thing; those beyond `total` happen the day after the last."""
        if self.grows:
            day = np.sqrt(index * self.days**2 // self.total).astype(np.int64)
        else:
            day = index * self.days // self.total
        return np.minimum(day, self.days)

    def before(self, day: int) -> int:
        """How many of the `total` happen before this day."""
        day = min(max(day, 0), self.days)
        if self.grows:
            return -(-(day**2) * self.total // self.days**2)
        return -(-day * self.total // self.days)
