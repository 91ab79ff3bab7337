"""What the engines see of a batch: `candidate.<table>` shows its rows."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import batches
from dataops.ledger.batches import Batch
from dataops.warehouse import tables

VIEWS = sa.text(  # of one group: those of others, whose lock is not held, may be replaced while they are read
    "SELECT viewname, definition FROM pg_catalog.pg_views WHERE schemaname = 'candidate' AND viewname IN :names"
).bindparams(sa.bindparam("names", expanding=True))
COLUMNS = sa.text(
    "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = 'candidate' AND table_name IN :names ORDER BY ordinal_position"
).bindparams(sa.bindparam("names", expanding=True))
SHOWN = re.compile(r"_batch = (\d+)")


def point_at(connection: Connection, group: Group, batch: Batch) -> None:
    """Lets `candidate` show this batch, whatever was landed or built since; nothing is made where it does already.

    Raises DataRejected for a build whose candidates a later build has replaced.
    """
    for dataset in _elsewhere(connection, group, batch):
        show(connection, dataset, batch.seq)


def is_shown(connection: Connection, group: Group, batch: Batch) -> bool:
    """Whether `candidate` shows this batch in the columns of its contracts. May raise as `point_at` does."""
    return not _elsewhere(connection, group, batch)


def _elsewhere(connection: Connection, group: Group, batch: Batch) -> list[Dataset]:
    """The group's datasets of which `candidate` shows another batch, or nothing."""
    if not group.is_loaded:
        if batches.newest_number(connection, group.name) != batch.seq:
            raise DataRejected(f"build {batch.batch_id} was replaced by a later one; run: dataops build")
        return []
    names = {"names": [dataset.table for dataset in group.datasets]}
    shown = {view: SHOWN.search(definition) for view, definition in connection.execute(VIEWS, names)}
    columns: dict[str, list[str]] = {}
    for view, column in connection.execute(COLUMNS, names):
        columns.setdefault(view, []).append(column)
    return [
        d
        for d in group.datasets
        if not (at := shown.get(d.table)) or int(at[1]) != batch.seq or columns[d.table] != _columns(d)
    ]


def _columns(dataset: Dataset) -> list[str]:
    return [*dataset.column_names, "_row", "_problems"]


def show(connection: Connection, dataset: Dataset, seq: int) -> None:
    """Points `candidate.<table>` at the batch's rows."""
    columns = tables.quoted(_columns(dataset))
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{dataset.table}")
    connection.exec_driver_sql(
        f"CREATE VIEW candidate.{dataset.table} AS SELECT {columns} FROM raw.{dataset.table} WHERE _batch = {int(seq)}"
    )
