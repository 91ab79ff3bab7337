"""What the engines see of a batch: `candidate.<table>` shows its rows."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.declared.layers import CANDIDATE
from dataops.ledger.batches import Batch
from dataops.warehouse import tables

VIEWS = sa.text(  # of one group: those of others, whose lock is not held, may be replaced while they are read
    "SELECT viewname, definition FROM pg_catalog.pg_views WHERE schemaname = 'candidate' AND viewname IN :names"
).bindparams(sa.bindparam("names", expanding=True))
COLUMNS = sa.text(
    "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = 'candidate' AND table_name IN :names ORDER BY ordinal_position"
).bindparams(sa.bindparam("names", expanding=True))
MADE = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'candidate' AND table_type = 'BASE TABLE'"
SHOWN = re.compile(r"_batch = (\d+)|\b_(\d+)_")  # rows of a load, the table of a build


def point_at(connection: Connection, group: Group, batch: Batch) -> None:
    """Lets `candidate` show this batch, whatever was landed or built since; nothing is made where it does already.

    Raises DataRejected for a build whose candidates a later build has replaced.
    """
    for dataset in _elsewhere(connection, group, batch):
        show(connection, dataset, batch.seq)


def is_shown(connection: Connection, group: Group, batch: Batch) -> bool:
    """Whether `candidate` shows this batch in the columns of its contracts. May raise as `point_at` does."""
    return not _elsewhere(connection, group, batch)


def require_there(connection: Connection, group: Group, batch: Batch) -> None:
    """Raises DataRejected for a build whose candidates a later build has replaced."""
    if group.is_loaded:
        return
    made = _made(connection)
    if any(tables.landed(dataset, batch.seq) not in made for dataset in group.datasets):
        raise DataRejected(
            f"{batch.batch_id} is not there any more: a later build, or a newer release, took its place.\n"
            f"Nothing was published. Run: dataops build {group.name}"
        )


def _made(connection: Connection) -> set[str]:
    """The tables that builds made."""
    return {f"{CANDIDATE}.{name}" for name in connection.exec_driver_sql(MADE).scalars()}


def _elsewhere(connection: Connection, group: Group, batch: Batch) -> list[Dataset]:
    """The group's datasets of which `candidate` shows another batch, or nothing."""
    require_there(connection, group, batch)
    names = {"names": [dataset.table for dataset in group.datasets]}
    shown = {view: SHOWN.search(definition) for view, definition in connection.execute(VIEWS, names)}
    columns: dict[str, list[str]] = {}
    for view, column in connection.execute(COLUMNS, names):
        columns.setdefault(view, []).append(column)
    return [
        d
        for d in group.datasets
        if not (at := shown.get(d.table))
        or int(at[1] or at[2]) != batch.seq
        or columns[d.table] != tables.landed_columns(d)
    ]


def show(connection: Connection, dataset: Dataset, seq: int) -> None:
    """Points `candidate.<table>` at the batch's rows."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {CANDIDATE}.{dataset.table}")
    connection.exec_driver_sql(
        f"CREATE VIEW {CANDIDATE}.{dataset.table} AS SELECT * FROM {tables.landed_rows(dataset, seq)} AS landed"
    )


def replace_build(connection: Connection, group: Group, seq: int) -> None:
    """Lets `candidate` show what build number `seq` made of a group, and drops what its other builds made."""
    made = _made(connection)
    for dataset in group.datasets:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {CANDIDATE}.{dataset.table}")
        if tables.landed(dataset, seq) in made:
            show(connection, dataset, seq)
    kept = {place(d, seq) for d in group.datasets for place in (tables.landed, tables.affected)}
    own = re.compile(rf"_(keys_)?\d+_({'|'.join(d.table for d in group.datasets)})")
    for place in made - kept:
        if own.fullmatch(place.removeprefix(f"{CANDIDATE}.")):
            connection.exec_driver_sql(f"DROP TABLE {place}")
