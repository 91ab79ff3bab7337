"""What `{other_table}` means in a rule: the dataset as it would be if the batch were published."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.ledger import tables as ledger
from dataops.warehouse.tables import equal, quoted


def relations(connection: Connection, group: Group, seq: int) -> dict[str, str]:
    """Table -> relation, for every dataset that a rule of the group may name.

    A whole delivery stands for itself; so does a family that travels together, which keeps a daily gate's cost with
    the day. Any other dataset of the group is its batch laid over what is published. Other groups: what is published.
    """
    table = ledger.batch_datasets
    scopes = {
        r["table_name"]: r["scope"] for r in ledger.rows(connection, sa.select(table).where(table.c.batch == seq))
    }
    found = {}
    for schema, name in _published(connection):
        found[name] = f"{schema}.{name}"
    for dataset in group.datasets:
        alone = scopes.get(dataset.table) == "whole" or _in_family(group, dataset)
        if dataset.table in scopes:
            found[dataset.table] = f"candidate.{dataset.table}" if alone else overlaid(dataset)
    return found


def _published(connection: Connection) -> list[tuple[str, str]]:
    query = (
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema IN ('validated', 'curated', 'marts')"
    )
    return [(row[0], row[1]) for row in connection.exec_driver_sql(query)]


def _in_family(group: Group, dataset: Dataset) -> bool:
    follows = {d.contract.platform.follows for d in group.datasets}
    return group.layer == "raw" and (dataset.table in follows or dataset.contract.platform.follows is not None)


def overlaid(dataset: Dataset) -> str:
    """The batch's rows over the published ones of other keys."""
    columns, table = quoted(dataset.column_names), dataset.table
    return (
        f"(SELECT {columns} FROM candidate.{table} UNION ALL SELECT {quoted(dataset.column_names, 'v')}"
        f" FROM {dataset.published_layer}.{table} AS v WHERE NOT EXISTS"
        f" (SELECT 1 FROM candidate.{table} AS c WHERE {equal('c', 'v', dataset.key)}))"
    )
