"""Batches by their ids, and what they bring."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.declared.errors import DataRejected
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace


def group_of(connection: Connection, work: Workspace, batch: dict[str, Any]) -> Group:
    """The batch's group, narrowed to the datasets that the batch brings."""
    where = ledger.batch_datasets.c.batch == batch["seq"]
    tables_ = {r[0] for r in connection.execute(sa.select(ledger.batch_datasets.c.table_name).where(where))}
    return work.catalog.group(batch["group_name"]).narrowed(frozenset(tables_))


def required(connection: Connection, batch_id: str | None, group: str | None = None) -> dict[str, Any]:
    """The batch, or the group's latest sealed one. Raises DataRejected when there is none."""
    if batch_id is not None:
        found = ledger.batch(connection, batch_id)
    else:
        where = (ledger.batches.c.group_name == group) & ledger.batches.c.sealed_at.is_not(None)
        found = ledger.one(
            connection, sa.select(ledger.batches).where(where).order_by(ledger.batches.c.seq.desc()).limit(1)
        )
    if found is None:
        raise DataRejected(f"no batch {batch_id or 'of ' + str(group)} was landed; see: dataops batches list")
    if found["sealed_at"] is None:
        raise DataRejected(f"batch {found['batch_id']} was not landed completely; load it again")
    return found
