"""What every gate run remembers of a batch: rows, null shares, distinct counts, extremes, means, age, category shares.

Two scans of a dataset's candidate, in the caller's transaction: one for the columns, one for the values of those that
have few. Personal data leaves no values behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.declarations import Column
from dataops.ledger import metrics
from dataops.ledger.batches import Batch
from dataops.warehouse.tables import quoted

CATEGORIES = 20  # a column of at most so many values has shares
NUMBERS = {"integer", "smallint", "bigint", "numeric"}
COUNTED = {"integer", "smallint", "bigint", "boolean", "date", "varchar"}  # distinct amounts and instants say nothing
Metric = tuple[str | None, str, float | None]
"""Column (None: of the dataset), name of the metric, value."""


def store(connection: Connection, group: Group, batch: Batch, *, excluded: bool) -> None:
    """Replaces the batch's metrics. `excluded`: nothing is to be learnt from it, e.g. because it is held."""
    values = (
        ((dataset.table, column, name), value)
        for dataset in group.datasets
        for column, name, value in measured(connection, dataset, batch)
        if value is not None
    )
    metrics.replace(connection, batch.seq, batch.window_end, list(values), excluded=excluded)


def measured(connection: Connection, dataset: Dataset, batch: Batch) -> list[Metric]:
    """The metrics of the dataset's candidate."""
    columns = dataset.columns
    cursor = dataset.contract.platform.cursor
    asked = ["COUNT(*)", f"MAX({quoted([cursor])})" if cursor else "NULL"]
    # A sketch where there is one: a fifth of the time of an exact count, and a metric needs no more.
    distinct_of = "APPROX_COUNT_DISTINCT({})" if connection.dialect.name == "duckdb" else "COUNT(DISTINCT {})"
    asked += [text for column in columns for text in _aggregates(column, distinct_of)]
    row = list(connection.exec_driver_sql(f"SELECT {', '.join(asked)} FROM candidate.{dataset.table}").one())
    count, newest = int(row[0]), row[1]
    found: list[Metric] = [(None, "rows", float(count))]
    if newest is not None and batch.window_end is not None:
        found.append((cursor, "age_hours", (batch.window_end - newest).total_seconds() / 3600))
    if not count:
        return found
    pii, categories = set(dataset.contract.platform.pii), []
    for number, column in enumerate(columns):
        filled, distinct, *numbers = row[2 + 5 * number : 7 + 5 * number]
        found.append((column.name, "null_share", 1 - filled / count))
        if distinct is not None:
            found.append((column.name, "distinct", float(distinct)))
        if column.name in pii:
            continue
        found += [(column.name, name, value) for name, value in zip(("min", "max", "mean"), numbers, strict=True)]
        if distinct is not None and 1 <= distinct <= CATEGORIES:
            categories.append(column.name)
    return [*found, *_shares(connection, dataset, categories, count)]


def _aggregates(column: Column, distinct_of: str) -> Iterator[str]:
    name = quoted([column.name])
    yield f"COUNT({name})"
    yield distinct_of.format(name) if column.data_type in COUNTED else "NULL"
    for aggregate in ("MIN", "MAX", "AVG"):
        yield f"{aggregate}(CAST({name} AS DOUBLE PRECISION))" if column.data_type in NUMBERS else "NULL"


def _shares(connection: Connection, dataset: Dataset, names: Sequence[str], count: int) -> Iterator[Metric]:
    """Share of every value of columns of few; one scan for all of them. NULL has a share of its own, null_share."""
    if not names:
        return
    asked = ", ".join(f"CAST({quoted([n])} AS VARCHAR), GROUPING({quoted([n])})" for n in names)
    sets = ", ".join(f"({quoted([n])})" for n in names)
    rows = connection.exec_driver_sql(
        f"SELECT {asked}, COUNT(*) FROM candidate.{dataset.table} GROUP BY GROUPING SETS ({sets})"
    )
    for *cells, rows_with in rows:
        for number, name in enumerate(names):
            value, elsewhere = cells[2 * number], cells[2 * number + 1]
            if not elsewhere and value is not None:
                yield name, f"share:{value}", rows_with / count
