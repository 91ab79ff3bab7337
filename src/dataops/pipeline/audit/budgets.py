"""Error budgets: how much of what a dataset's promise allows to go wrong has gone wrong, and when it runs out.

A promise (`slo` in the contract) allows a share of rows to be held, and a share of the time to be late, over a number
of days. What it allows is the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset
from dataops.ledger import batches
from dataops.pipeline.audit import punctuality
from dataops.pipeline.audit.punctuality import Span

PACE = 7  # days, by which the pace is taken
TOLD = 0.75  # of the budget spent: somebody is told
SOON = 7  # days until it runs out: somebody is told


@dataclass(frozen=True)
class Budget:
    """Of one promise: rows or hours that were to go wrong at most, that did, and that did in the last days."""

    dataset: Dataset
    promise: Literal["valid", "on time"]
    target: float
    days: int
    whole: float
    """all rows received, or all hours"""
    wrong: float
    wrong_lately: float
    at: datetime

    @property
    def allowed(self) -> float:
        """Rows or hours that may go wrong."""
        return (1 - self.target) * self.whole

    @property
    def spent(self) -> float:
        """Share of the budget, above 1 where the promise is broken; all of it where nothing may go wrong and did."""
        if not self.wrong:
            return 0.0
        return self.wrong / self.allowed if self.allowed > 0 else float("inf")

    @property
    def is_broken(self) -> bool:
        """More went wrong than was promised."""
        return self.wrong > self.allowed

    @property
    def runs_out(self) -> datetime | None:
        """When, at the pace of the last days; None: not, or it has."""
        pace = self.wrong_lately / PACE
        if self.is_broken or pace <= 0:
            return None
        return self.at + timedelta(days=min((self.allowed - self.wrong) / pace, 3650))

    @property
    def is_told(self) -> bool:
        """Whether somebody must act before it is spent."""
        soon = self.runs_out is not None and self.runs_out - self.at <= timedelta(days=SOON)
        return self.is_broken or self.spent >= TOLD or (soon and self.spent > 0)


def of_all(connection: Connection, catalog: Catalog, at: datetime) -> list[Budget]:
    """Of every promise in the contracts, by dataset."""
    return [budget for dataset in catalog.datasets.values() for budget in _of(connection, catalog, dataset, at)]


def _of(connection: Connection, catalog: Catalog, dataset: Dataset, at: datetime) -> Iterator[Budget]:
    promised = dataset.contract.platform.slo
    if promised is None:
        return
    span, lately = Span.before(at, promised.over), Span.before(at, PACE)
    if promised.valid is not None:
        received, held = batches.rows_since(connection, dataset, span.start)
        _, held_lately = batches.rows_since(connection, dataset, lately.start)
        yield Budget(dataset, "valid", promised.valid, promised.over, received, held, held_lately, at)
    if promised.on_time is not None:
        group = catalog.groups[dataset.group]
        late, whole = punctuality.hours(connection, group, span) or (0.0, 0.0)
        late_lately, _ = punctuality.hours(connection, group, lately) or (0.0, 0.0)
        yield Budget(dataset, "on time", promised.on_time, promised.over, whole, late, late_lately, at)
