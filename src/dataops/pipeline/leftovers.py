"""What the ledger and raw need not keep: leftovers of runs that broke off, repeated deliveries that changed nothing."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.ledger import batches
from dataops.ledger.batches import Batch, Condition
from dataops.warehouse.tables import gone


def remove_unfinished(connection: Connection, group: Group, repeated: Condition, *, before: int | None = None) -> None:
    """Removes what runs that broke off left: batches never sealed, and those that are repeated now, unpublished.

    A batch that anybody was told of (held, or with an incident) stays, and so do batch number `before` and later ones.
    """
    for seq in batches.unfinished(connection, group.name, repeated, before):
        if group.is_loaded:
            discard_rows(connection, group, seq)
        for dataset in group.datasets:
            connection.exec_driver_sql(f"DELETE FROM quarantine.{dataset.table} WHERE _batch = {int(seq)}")
        batches.forget(connection, seq)


def forget_repeated(connection: Connection, batch: Batch) -> list[str]:
    """Removes the records of earlier deliveries of the same window that brought no change either; their ids.

    The newest says it all: a platform that finds nothing new every hour must not grow by it.
    """
    repeated = batches.repeated_without_change(connection, batch)
    for earlier in repeated:
        batches.forget(connection, earlier.seq)
    return [earlier.batch_id for earlier in repeated]


def discard_rows(connection: Connection, group: Group, seq: int) -> None:
    """Removes a batch's landed rows."""
    for dataset in group.datasets:
        for table in (f"raw.{dataset.table}", gone(dataset)):
            if table:
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE _batch = {int(seq)}")
