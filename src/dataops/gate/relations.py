"""What `{other_table}` means in a rule: the dataset as it would be if the batch were published."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.layers import Layers
from dataops.ledger import batches
from dataops.warehouse.tables import equal, quoted


def relations(connection: Connection, group: Group, seq: int, layers: Layers) -> dict[str, str]:
    """Table -> relation, for every dataset that a rule of the group may name.

    A whole delivery stands for itself; so does a family that travels together, which keeps a daily gate's cost with
    the day. Any other dataset of the group is its batch laid over what is published. Other groups: what is published.
    """
    brought = batches.datasets(connection, seq)
    found = {}
    for schema, name in _published(connection, layers):
        found[name] = f"{schema}.{name}"
    for dataset in group.datasets:
        if dataset.table in brought:
            alone = brought[dataset.table].scope == "whole" or _in_family(group, dataset)
            found[dataset.table] = f"candidate.{dataset.table}" if alone else overlaid(dataset)
    return found


def _published(connection: Connection, layers: Layers) -> list[tuple[str, str]]:
    listed = ", ".join(f"'{layer}'" for layer in layers.published)
    query = f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({listed})"
    return [(row[0], row[1]) for row in connection.exec_driver_sql(query)]


def _in_family(group: Group, dataset: Dataset) -> bool:
    follows = {d.contract.platform.follows for d in group.datasets}
    return group.is_loaded and (dataset.table in follows or dataset.contract.platform.follows is not None)


def overlaid(dataset: Dataset) -> str:
    """The batch's rows over the published ones of other keys."""
    columns, table = quoted(dataset.column_names), dataset.table
    return (
        f"(SELECT {columns} FROM candidate.{table} UNION ALL SELECT {quoted(dataset.column_names, 'v')}"
        f" FROM {dataset.published_layer}.{table} AS v WHERE NOT EXISTS"
        f" (SELECT 1 FROM candidate.{table} AS c WHERE {equal('c', 'v', dataset.key)}))"
    )
