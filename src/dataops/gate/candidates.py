"""What the engines see of a batch: `candidate.<table>` shows its rows."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import batches
from dataops.ledger.batches import Batch
from dataops.warehouse import tables


def point_at(connection: Connection, group: Group, batch: Batch) -> None:
    """Lets `candidate` show this batch, whatever was landed or built since.

    Raises DataRejected for a build whose candidates a later build has replaced.
    """
    if group.is_loaded:
        for dataset in group.datasets:
            show(connection, dataset, batch.seq)
        return
    if batches.newest_number(connection, group.name) != batch.seq:
        raise DataRejected(f"build {batch.batch_id} was replaced by a later one; run: dataops build")


def show(connection: Connection, dataset: Dataset, seq: int) -> None:
    """Points `candidate.<table>` at the batch's rows."""
    columns = tables.quoted([*dataset.column_names, "_row", "_problems"])
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{dataset.table}")
    connection.exec_driver_sql(
        f"CREATE VIEW candidate.{dataset.table} AS SELECT {columns} FROM raw.{dataset.table} WHERE _batch = {int(seq)}"
    )
