"""Positive parameters by maximum likelihood: several starts, bounds, standard errors from the observed information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Likelihood = Callable[[Array], tuple[float, Array]]
"""Of parameters: the log-likelihood, and its derivative by each of them."""
WIDEST = 8.0  # logarithm of the largest parameter that is looked for, and less its sign of the smallest
EDGE = 0.05  # of a logarithm: nearer to a bound the likelihood has no maximum inside
STEP = 1e-4


@dataclass(frozen=True)
class Fit:
    """Estimates, their standard errors (NaN where the likelihood is flat), and whether they can be believed."""

    values: Array
    errors: Array
    covariance: Array
    """of the logarithms of the parameters"""
    log_likelihood: float
    converged: bool
    bounded: tuple[bool, ...]
    """by parameter: it ran to the edge of what was searched, so the data do not tell it"""

    @property
    def is_inside(self) -> bool:
        """A maximum was found, inside, and it is one in every direction."""
        return self.converged and not any(self.bounded) and bool(np.isfinite(self.errors).all())


def maximise(likelihood: Likelihood, starts: Sequence[Sequence[float]]) -> Fit:
    """The best of the maxima found from each start, by L-BFGS-B over the logarithms of the parameters."""
    from scipy.optimize import minimize

    def cost(logs: Array) -> tuple[float, Array]:
        values = np.exp(logs)
        log_likelihood, slope = likelihood(values)
        return -log_likelihood, -slope * values

    bounds = [(-WIDEST, WIDEST)] * len(starts[0])
    tried = [
        minimize(
            cost, np.log(start), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-12}
        )
        for start in starts
    ]
    best = min((one for one in tried if np.isfinite(one.fun)), key=lambda one: float(one.fun))
    values = np.exp(best.x)
    covariance = _covariance(lambda logs: cost(logs)[1], best.x)
    variances = np.diag(covariance)
    errors = values * np.sqrt(np.where(variances > 0, variances, np.nan))
    bounded = tuple(bool(abs(abs(log) - WIDEST) < EDGE) for log in best.x)
    return Fit(values, errors, covariance, -float(best.fun), bool(best.success), bounded)


def _covariance(slope: Callable[[Array], Array], at: Array) -> Array:
    """The inverse of the observed information; NaN where it is no maximum in every direction."""
    steps = np.eye(len(at)) * STEP
    information = np.array([(slope(at + step) - slope(at - step)) / (2 * STEP) for step in steps])
    information = (information + information.T) / 2
    if not np.isfinite(information).all() or np.linalg.eigvalsh(information).min() <= 0:
        return np.full_like(information, np.nan)
    return np.asarray(np.linalg.inv(information), dtype=np.float64)
