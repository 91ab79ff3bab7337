"""Is a value unusual for its series? Median and MAD, over a seasonal-trend decomposition (STL) where there is a week.

Pure. STL: Cleveland et al. 1990, Journal of Official Statistics 6(1); MAD as scale: Rousseeuw and Croux 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

LEAST_HISTORY = 8
LEAST_PERIODS = 3
NORMAL = 1.4826  # MAD of a normal distribution times this is its standard deviation
TAIL, TAIL_SIGMAS = 0.9, 1.645  # nine tenths of a normal distribution lie within so many standard deviations
EXPLAINS = 1 / 3  # a season is believed when it leaves a third of the spread: by chance it explains some of any noise
SMALL_SAMPLE = 4  # with few points the MAD is often far too small: at 8 it counts half again as much


@dataclass(frozen=True)
class Expected:
    """What a series makes likely: `value`, give or take `scale` (a robust standard deviation, above zero)."""

    value: float
    scale: float

    def surprise(self, value: float) -> float:
        """How many standard deviations away, with its sign."""
        return (value - self.value) / self.scale


def expected(
    steps: Sequence[int], values: Sequence[float], at: int, period: int | None, floor: float
) -> Expected | None:
    """The value that a series lets expect at step `at`, which is after all of `steps`; None with too little history.

    `steps` are ascending places of the values in time; `period` is the number of steps of a season, None without one.
    `floor` is the least standard deviation worth knowing: what chance or rounding alone does.
    """
    if len(values) < LEAST_HISTORY:
        return None
    centre = median(values)
    spread = _spread([value - centre for value in values], len(values))
    if period is not None and steps[-1] - steps[0] + 1 >= LEAST_PERIODS * period and len(values) > 2 * period:
        forecast, rest, unsure = _seasonal(steps, values, at, period)
        if (seasonal := _spread(rest, len(values)) * unsure) < EXPLAINS * spread:
            centre, spread = forecast, seasonal
    return Expected(centre, max(spread, floor))


def _spread(rest: Sequence[float], count: int) -> float:
    """A robust standard deviation. The MAD alone is blind to a weekend, two sevenths that lie far from the middle."""
    middle = median(rest)
    away = sorted(abs(r - middle) for r in rest)
    tail = away[min(len(away) - 1, round(TAIL * len(away)))]
    return max(NORMAL * median(away), tail / TAIL_SIGMAS) * (1 + SMALL_SAMPLE / count)


def _seasonal(steps: Sequence[int], values: Sequence[float], at: int, period: int) -> tuple[float, list[float], float]:
    """Forecast for `at`, what trend and season do not explain of the values, and how much more they hide.

    The season is the same in every period and the trend is stiff: with few periods, what is free to follow the values
    follows their noise, and then every next value is a surprise. What is left over is corrected for what was fitted.
    """
    import numpy as np
    from statsmodels.tsa.seasonal import STL

    every = np.arange(steps[0], steps[-1] + 1)
    series = np.interp(every, steps, values)  # windows without a batch
    stiff = 2 * (len(every) // 2) + 2 * period + 1  # odd, and longer than the series
    found = STL(series, period=period, seasonal=10 * stiff + 1, seasonal_deg=0, trend=stiff, robust=True).fit()
    place = len(every) - period + (at - steps[-1] - 1) % period
    rest = found.resid[np.isin(every, steps)]
    fitted = period + 1
    unsure = sqrt(len(values) / (len(values) - fitted)) * sqrt(1 + fitted / len(values))
    return float(found.trend[-1] + found.seasonal[place]), [float(r) for r in rest], unsure
