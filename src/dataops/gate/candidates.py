"""What the engines see of a batch: `candidate.<table>` shows its rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected
from dataops.ledger import tables as ledger
from dataops.warehouse import tables


def point_at(connection: Connection, group: Group, batch: dict[str, Any]) -> None:
    """Lets `candidate` show this batch, whatever was landed or built since.

    Raises DataRejected for a build whose candidates a later build has replaced.
    """
    if group.layer == "raw":
        for dataset in group.datasets:
            show(connection, dataset, batch["seq"])
        return
    where = ledger.batches.c.group_name == group.name
    newest = connection.execute(sa.select(sa.func.max(ledger.batches.c.seq)).where(where)).scalar()
    if newest != batch["seq"]:
        raise DataRejected(f"build {batch['batch_id']} was replaced by a later one; run: dataops build")


def show(connection: Connection, dataset: Dataset, seq: int) -> None:
    """Points `candidate.<table>` at the batch's rows."""
    columns = tables.quoted([*dataset.column_names, "_row", "_problems"])
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{dataset.table}")
    connection.exec_driver_sql(
        f"CREATE VIEW candidate.{dataset.table} AS SELECT {columns} FROM raw.{dataset.table} WHERE _batch = {int(seq)}"
    )
