"""What the ledger and raw need not keep: leftovers of runs that broke off, repeated deliveries that changed nothing."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.ledger import tables as ledger
from dataops.sources.port import Window


def same_window(window: Window | None) -> sa.ColumnElement[bool]:
    """Condition on batches: those that a delivery of this window repeats."""
    table = ledger.batches.c
    start, end = (window.start, window.end) if window else (None, None)
    return table.window_start.is_not_distinct_from(start) & table.window_end.is_not_distinct_from(end)


def remove_unfinished(connection: Connection, group: Group, repeated: sa.ColumnElement[bool]) -> None:
    """Removes what runs that broke off left: batches never sealed, and those that are repeated now, unpublished.

    A batch that anybody was told of (held, or with an incident) stays.
    """
    table = ledger.batches.c
    told = sa.select(ledger.incidents.c.batch)
    unpublished = table.state.in_(["sealed", "passed"]) & repeated & table.seq.not_in(told)
    where = (table.group_name == group.name) & ((table.state == "open") | unpublished)
    for seq in connection.execute(sa.select(table.seq).where(where)).scalars().all():
        if group.layer == "raw":
            discard_rows(connection, group, seq)
        for dataset in group.datasets:
            connection.exec_driver_sql(f"DELETE FROM quarantine.{dataset.table} WHERE _batch = {int(seq)}")
        _forget(connection, seq)


def _forget(connection: Connection, seq: int) -> None:
    """Removes what the ledger says of a batch."""
    for child in (ledger.batch_datasets, ledger.check_results, ledger.metrics):
        connection.execute(child.delete().where(child.c.batch == seq))
    connection.execute(ledger.batches.delete().where(ledger.batches.c.seq == seq))


def forget_repeated(connection: Connection, batch: dict[str, Any]) -> list[str]:
    """Removes the records of earlier deliveries of the same window that brought no change either; their ids.

    The newest says it all: a platform that finds nothing new every hour must not grow by it.
    """
    table = ledger.batches.c
    told = sa.select(ledger.incidents.c.batch)
    window = Window(batch["window_start"], batch["window_end"]) if batch["window_start"] else None
    where = (table.group_name == batch["group_name"]) & (table.state == "unchanged") & (table.seq < batch["seq"])
    found = ledger.rows(
        connection, sa.select(table.seq, table.batch_id).where(where & same_window(window) & table.seq.not_in(told))
    )
    for row in found:
        _forget(connection, row["seq"])
    return [str(row["batch_id"]) for row in found]


def discard_rows(connection: Connection, group: Group, seq: int) -> None:
    """Removes a batch's landed rows."""
    for dataset in group.datasets:
        connection.exec_driver_sql(f"DELETE FROM raw.{dataset.table} WHERE _batch = {int(seq)}")
