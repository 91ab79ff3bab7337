"""The effect of what happened to some units from some period on, with the others as what would have been.

Difference in differences; synthetic control (Abadie, Diamond & Hainmueller, JASA 105, 2010); synthetic difference
in differences (Arkhangelsky, Athey, Hirshberg, Imbens & Wager, American Economic Review 111, 2021). Standard errors
come from placebos: the same estimate for units to which nothing happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataops.analysis.likelihood import Array

Method = Literal["difference in differences", "synthetic control", "synthetic difference in differences"]
METHODS: tuple[Method, ...] = (
    "difference in differences", "synthetic control", "synthetic difference in differences",
)  # fmt: skip
PLACEBOS = 200  # at most
SEED = 20_211_201
SMALL = 1e-6  # share of the noise: makes the weights unique
RARE = 0.05  # by chance
NORMAL = 1.96  # standard errors on both sides hold 95 %
HEAVY = 1e3  # by how much "weights add up to one" counts more than any outcome


@dataclass(frozen=True)
class Panel:
    """Outcomes of units by periods, all known. To `treated` units something happened from period `start` on."""

    outcomes: Array
    treated: NDArray[np.bool_]
    start: int
    sizes: Array | None = None
    """of units, by which the treated are averaged; None: all alike"""

    @property
    def controls(self) -> Array:
        return self.outcomes[~self.treated]

    @property
    def of_treated(self) -> Array:
        """Their mean, by period."""
        sizes = None if self.sizes is None else self.sizes[self.treated]
        return np.asarray(np.average(self.outcomes[self.treated], axis=0, weights=sizes), dtype=np.float64)


@dataclass(frozen=True)
class Effect:
    """Mean effect per treated unit and period since the start, with what it was computed by."""

    method: Method
    estimate: float
    units: Array
    """weights of the controls"""
    periods: Array
    """weights of the periods before the start"""
    counterfactual: Array
    """what the treated would have been on average, by period"""


def estimate(method: Method, panel: Panel) -> Effect:
    """The effect by one method. Raises ValueError without a treated unit, a control, or a period on both sides."""
    before = panel.outcomes[:, : panel.start]
    if not panel.treated.any() or panel.treated.all() or not 0 < panel.start < panel.outcomes.shape[1]:
        raise ValueError("an effect needs treated units, controls, and periods before and after")
    known, own = before[~panel.treated], panel.of_treated[: panel.start]
    many, long = known.shape
    units, periods = np.full(many, 1 / many), np.full(long, 1 / long)
    if method == "synthetic control":
        units, periods = _weights(known.T, own, SMALL * _noise(known), centred=False), np.zeros(long)
    elif method == "synthetic difference in differences":
        after = panel.outcomes.shape[1] - panel.start
        size = (int(panel.treated.sum()) * after) ** 0.25
        later = panel.controls[:, panel.start :].mean(axis=1)
        units = _weights(known.T, own, size * _noise(known), centred=True)
        periods = _weights(known, later, SMALL * _noise(known), centred=True)
    path = units @ panel.controls
    path = path + periods @ (own - path[: panel.start])
    return Effect(method, float((panel.of_treated - path)[panel.start :].mean()), units, periods, path)


def placebos(method: Method, panel: Panel) -> Array:
    """Estimates for controls as if they had been treated, as many at a time as there are treated units.

    Fewer than two when there are not more controls than that.
    """
    controls, size = panel.controls, int(panel.treated.sum())
    sizes = None if panel.sizes is None else panel.sizes[~panel.treated]
    if len(controls) <= size:
        return np.empty(0)
    random = np.random.default_rng(SEED)
    groups = (
        [[place] for place in range(len(controls))]
        if size == 1
        else [random.choice(len(controls), size, replace=False) for _ in range(PLACEBOS)]
    )
    told = []
    for group in groups[:PLACEBOS]:
        treated = np.zeros(len(controls), dtype=bool)
        treated[group] = True
        told.append(estimate(method, Panel(controls, treated, panel.start, sizes)).estimate)
    return np.array(told)


def standard_error(of_placebos: Array) -> float:
    """NaN with fewer than two placebos."""
    return float(of_placebos.std(ddof=1)) if len(of_placebos) > 1 else float("nan")


def clustered_error(panel: Panel) -> float:
    """Of the difference in differences, errors of one unit dependent over time and those of two units not.

    Before and after are collapsed to one number per unit, which is the same (Bertrand, Duflo & Mullainathan, Quarterly
    Journal of Economics 119, 2004). NaN with fewer than two units on a side.
    """
    change = panel.outcomes[:, panel.start :].mean(axis=1) - panel.outcomes[:, : panel.start].mean(axis=1)
    parts = []
    for side in (panel.treated, ~panel.treated):
        many = int(side.sum())
        if many < 2:  # noqa: PLR2004
            return float("nan")
        shares = np.full(many, 1 / many)
        if panel.sizes is not None and side is panel.treated:
            shares = panel.sizes[side] / panel.sizes[side].sum()
        apart = change[side] - shares @ change[side]
        parts.append(float(shares**2 @ apart**2) * many / (many - 1))
    return float(np.sqrt(sum(parts)))


def structural(panel: Panel) -> tuple[float, float, float]:
    """A second opinion: a structural time series of the treated, with the controls' mean as regressor.

    A level that wanders (Harvey 1989; Brodersen et al., Annals of Applied Statistics 9, 2015), estimated before the
    start and forecast after it. Returns the mean effect per period and a 95 % interval, for which the errors of the
    forecast are taken to be all of one sign; NaN where the model cannot be estimated.
    """
    import warnings

    from statsmodels.tsa.statespace.structural import UnobservedComponents

    start, own = panel.start, panel.of_treated
    along = panel.controls.mean(axis=0).reshape(-1, 1)
    if start < 4 or np.ptp(own[:start]) == 0:  # noqa: PLR2004  as many as it has parameters
        return (float("nan"),) * 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of starts that it then leaves
            model = UnobservedComponents(own[:start], level="local level", exog=along[:start])
            ahead = model.fit(disp=False).get_forecast(len(own) - start, exog=along[start:])
    except (ValueError, np.linalg.LinAlgError):
        return (float("nan"),) * 3
    effect = float((own[start:] - ahead.predicted_mean).mean())
    half = NORMAL * float(np.asarray(ahead.se_mean).mean())
    return effect, effect - half, effect + half


def interval(effect: Effect, of_placebos: Array, panel: Panel) -> tuple[float, float]:
    """Holds the effect in 95 of 100 cases: Student's distribution, for a standard error that few controls told."""
    from scipy.stats import t

    half = float(t.ppf(0.975, max(len(panel.controls) - 1, 1))) * standard_error(of_placebos)
    return effect.estimate - half, effect.estimate + half


def beyond(effect: Effect, of_placebos: Array) -> float:
    """The share of placebos that differ from nothing as much as the effect does, so how rare it would be by chance."""
    return float((np.abs(of_placebos) >= abs(effect.estimate)).mean()) if len(of_placebos) else 1.0


def _noise(known: Array) -> float:
    """Standard deviation of the change from one period to the next."""
    changes = np.diff(known, axis=1)
    return float(changes.std(ddof=1)) if changes.size > 1 else 0.0


def _weights(columns: Array, target: Array, penalty: float, *, centred: bool) -> Array:
    """Weights above zero that add up to one, with which the columns come nearest to the target.

    Minimises mean squared distance plus squared penalty times squared weights; `centred` allows for a constant between
    them. Solved as non-negative least squares (Lawson & Hanson), the sum of weights as one more, heavy, equation.
    """
    from scipy.optimize import nnls

    if centred:
        columns, target = columns - columns.mean(axis=0), target - target.mean()
    long, many = columns.shape
    scale = float(np.abs(columns).max(initial=0.0)) or 1.0
    columns, target, penalty = columns / scale, target / scale, penalty / scale
    rows = np.vstack([columns, np.sqrt(long) * penalty * np.eye(many), np.full((1, many), HEAVY)])
    weights, _ = nnls(rows, np.concatenate([target, np.zeros(many), [HEAVY]]))
    return np.asarray(weights / weights.sum(), dtype=np.float64)
