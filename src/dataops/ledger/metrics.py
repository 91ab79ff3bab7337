"""What every gate run remembers of a batch in numbers, and what is to be learnt from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import tables as t

AT_ONCE = 500  # rows per INSERT: one by one is slow, all at once is more than PostgreSQL takes
Name = tuple[str, str | None, str]
"""Table, column (None: of the whole dataset), metric: what a series is of."""


def replace(
    connection: Connection, batch: int, window_end: datetime | None, values: Iterable[tuple[Name, float]], *,
    excluded: bool,
) -> None:  # fmt: skip
    """Replaces a batch's metrics. `excluded`: nothing is to be learnt from it, e.g. because it is held."""
    table = t.metrics
    connection.execute(table.delete().where(table.c.batch == batch))
    fixed = {"batch": batch, "window_end": window_end, "excluded": excluded}
    rows = [
        fixed | {"table_name": name, "column_name": column, "metric": metric, "value": value}
        for (name, column, metric), value in values
    ]
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(table.insert().values(rows[start : start + AT_ONCE]))


def of_batches(connection: Connection, batch: int, before: Sequence[int]) -> dict[int, dict[Name, float]]:
    """Metrics of a batch, and of earlier ones as far as they may be learnt from; by number of the batch."""
    m = t.metrics.c
    asked = sa.select(m.batch, m.table_name, m.column_name, m.metric, m.value).where(
        (m.batch == batch) | (m.batch.in_(before) & m.excluded.is_not(True))
    )
    found: dict[int, dict[Name, float]] = {}
    for seq, table, column, metric, value in connection.execute(asked):
        found.setdefault(int(seq), {})[table, column, metric] = float(value)
    return found


def exclude(connection: Connection, batches: Collection[int]) -> None:
    """Nothing is to be learnt from these batches any more."""
    connection.execute(t.metrics.update().where(t.metrics.c.batch.in_(list(batches))).values(excluded=True))


def exclude_series(connection: Connection, batch: int, table: str, column: str | None, metrics: Sequence[str]) -> None:
    """These series of one column learn nothing from a batch; all others do."""
    m = t.metrics
    where = (m.c.batch == batch) & (m.c.table_name == table) & m.c.metric.in_(metrics)
    own = m.c.column_name.is_not_distinct_from(column)
    connection.execute(m.update().where(where & own).values(excluded=True))
