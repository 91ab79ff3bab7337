"""The difference between a batch and what is published, and its application; SQL on sets, one dataset at a time.

Work grows with the batch: unchanged rows are compared but never written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.failpoint import failpoint
from dataops.gate import families
from dataops.gate.quarantine import excluded
from dataops.ledger.batches import BatchDataset
from dataops.ledger.publications import Counts
from dataops.warehouse.tables import (
    absent,
    affected,
    controls,
    distinct,
    equal,
    gone,
    gone_keys,
    history,
    keys_table,
    landed_rows,
    place,
    quoted,
)


def scratch(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """The temporary tables that `apply` needs: what differs, and by dataset the keys of what is to go."""
    return (
        "difference (table_name VARCHAR, _row BIGINT, is_new BOOLEAN)",
        *(keys_table(leaving(d), d) for d in datasets),
    )


def leaving(dataset: Dataset) -> str:
    """The temporary table of keys that are to go."""
    return f"gone_{dataset.table}"


def apply(
    connection: Connection,
    group: Group,
    datasets: Sequence[Dataset],
    brought: Mapping[str, BatchDataset],
    batch: int,
    publication: int,
) -> list[Counts]:
    """Writes every dataset's difference; children are deleted before their parents. Counts in the order given."""
    removed = {
        d.table: _delete(connection, group, d, brought[d.table].scope, batch, publication) for d in reversed(datasets)
    }
    found = []
    for dataset in datasets:
        counts = _write(connection, dataset, batch, publication, brought[dataset.table].received)
        held = controls(connection, dataset, f"(SELECT * FROM quarantine.{dataset.table} WHERE _batch = {int(batch)})")
        found.append(_completed(counts, dataset, brought, held, removed[dataset.table]))
        failpoint("dataset_written")
    return found


def _accepted(dataset: Dataset, batch: int) -> str:
    """The batch's rows that are not held, as a relation."""
    held = excluded(dataset, batch)
    return f"(SELECT n.* FROM {landed_rows(dataset, batch)} AS n WHERE {absent('n._row', held)})"


def _write(connection: Connection, dataset: Dataset, batch: int, publication: int, received: int) -> Counts:
    accepted = _accepted(dataset, batch)
    new, changed = _find_difference(connection, dataset, accepted)
    unchanged, unchanged_controls = _unchanged(connection, dataset, accepted, new + changed)
    if changed:
        keys = (
            f"SELECT {quoted(dataset.key, 'n')} FROM {landed_rows(dataset, batch)} AS n"
            f" JOIN {_different(dataset)} AS d ON d._row = n._row WHERE NOT d.is_new"
        )
        supersede(connection, dataset, keys, publication, "changed")
        failpoint("changed_superseded")
    if new or changed:
        columns = quoted(dataset.column_names)
        connection.exec_driver_sql(
            f"INSERT INTO {place(dataset)} ({columns}, _publication)"
            f" SELECT {quoted(dataset.column_names, 'n')}, {publication}"
            f" FROM {landed_rows(dataset, batch)} AS n JOIN {_different(dataset)} AS d ON d._row = n._row"
        )
        failpoint("rows_inserted")
    return Counts(dataset.table, received, new, changed, unchanged, unchanged_controls=unchanged_controls)


def _find_difference(connection: Connection, dataset: Dataset, accepted: str) -> tuple[int, int]:
    """Notes the accepted rows that are new, or differ in any column from the published row of their key; how many."""
    compared = [name for name in dataset.column_names if name not in dataset.key]
    connection.exec_driver_sql(
        f"INSERT INTO difference SELECT '{dataset.table}', n._row, v._publication IS NULL FROM {accepted} AS n"
        f" LEFT JOIN {place(dataset)} AS v ON {equal('n', 'v', dataset.key)}"
        f" WHERE v._publication IS NULL OR {distinct('n', 'v', compared)}"
    )
    counts = "COUNT(*) FILTER (WHERE is_new), COUNT(*) FILTER (WHERE NOT is_new)"
    new, changed = connection.exec_driver_sql(f"SELECT {counts} FROM {_different(dataset)} AS d").one()
    return int(new), int(changed)


def _different(dataset: Dataset) -> str:
    return f"(SELECT _row, is_new FROM difference WHERE table_name = '{dataset.table}')"


def _unchanged(connection: Connection, dataset: Dataset, accepted: str, differing: int) -> tuple[int, dict[str, str]]:
    same = f"(SELECT a.* FROM {accepted} AS a WHERE {absent('a._row', f'SELECT _row FROM {_different(dataset)} AS d')})"
    rows = same if differing else accepted
    return controls(connection, dataset, rows)


def supersede(connection: Connection, dataset: Dataset, keys: str, publication: int, operation: str) -> int:
    """Moves the published rows of the given keys (a query of key columns) to history; returns how many."""
    columns = quoted(dataset.column_names)
    # By IN, which is a plain semi-join on both warehouses; DuckDB makes more of a correlated EXISTS.
    match = f"({quoted(dataset.key)}) IN ({keys})"
    connection.exec_driver_sql(
        f"INSERT INTO {history(dataset)} ({columns}, _publication, _superseded, _operation)"
        f" SELECT {columns}, _publication, {publication}, '{operation}' FROM {place(dataset)} AS v WHERE {match}"
    )
    failpoint("history_written")
    done = connection.exec_driver_sql(f"DELETE FROM {place(dataset)} AS v WHERE {match}")
    return int(done.rowcount)


def _delete(
    connection: Connection, group: Group, dataset: Dataset, scope: str, batch: int, publication: int
) -> tuple[int, int]:
    """(deleted, retained): published rows that the delivery should have brought and did not.

    Rows that other rows refer to, published or about to be, are retained: a figure must not lose its parent.
    """
    missing = _missing(group, dataset, scope, batch)
    if missing is None:
        return 0, 0
    going = leaving(dataset)
    connection.exec_driver_sql(f"INSERT INTO {going} {missing}")
    if not connection.exec_driver_sql(f"SELECT COUNT(*) FROM {going}").scalar_one():
        return 0, 0
    retained = 0
    for rows, columns in _children(group, dataset, batch):
        match = equal("c", "g", columns, dataset.key)
        done = connection.exec_driver_sql(
            f"DELETE FROM {going} AS g WHERE EXISTS (SELECT 1 FROM {rows} AS c WHERE {match})"
        )
        retained += int(done.rowcount)
    deleted = supersede(connection, dataset, f"SELECT * FROM {going}", publication, "deleted")
    return deleted, retained


def _missing(group: Group, dataset: Dataset, scope: str, batch: int) -> str | None:
    """Query of published keys in the delivery's scope that it does not bring; None where it speaks for no others.

    A family that is held is held with its deletions, so that its older version stands whole.
    """
    absent = f"NOT EXISTS (SELECT 1 FROM {landed_rows(dataset, batch)} AS c WHERE {equal('c', 'v', dataset.key)})"
    if held := families.held(group, dataset, batch, "v"):
        absent += f" AND NOT {held}"
    if scope == "whole":
        return f"SELECT {quoted(dataset.key, 'v')} FROM {place(dataset)} AS v WHERE {absent}"
    if scope.startswith("keys"):
        # The few rows in scope first, by IN: DuckDB would otherwise look up every published row in the batch.
        columns, keys = _scope_keys(group, dataset, scope, batch)
        inside = f"({quoted(columns)}) IN (SELECT {quoted(keys[1])} FROM {keys[0]} AS k)"
        rows = f"WITH v AS MATERIALIZED (SELECT * FROM {place(dataset)} WHERE {inside})"
        return f"{rows} SELECT {quoted(dataset.key, 'v')} FROM v WHERE {absent}"
    if scope == "window" and gone(dataset):
        there = f"({quoted(dataset.key, 'v')}) IN ({gone_keys(dataset, batch)})"
        return f"SELECT {quoted(dataset.key, 'v')} FROM {place(dataset)} AS v WHERE {there} AND {absent}"
    return None


def _scope_keys(
    group: Group, dataset: Dataset, scope: str, batch: int
) -> tuple[tuple[str, ...], tuple[str, tuple[str, ...]]]:
    """Columns of the dataset, and the relation with its columns, that say which keys a delivery speaks for."""
    follows = dataset.contract.platform.follows
    if follows:
        parent = group.dataset(follows)
        columns = next(link.columns for link in dataset.links if link.to == follows)
        keys = f"SELECT {quoted(parent.key)} FROM {landed_rows(parent, batch)} AS p"
        parents = f"({keys} UNION ALL {gone_keys(parent, batch)})" if gone(parent) else landed_rows(parent, batch)
        return columns, (parents, parent.key)
    columns = tuple(scope.removeprefix("keys:").split(","))
    return columns, (affected(dataset, batch), columns)


def _children(group: Group, dataset: Dataset, batch: int) -> list[tuple[str, tuple[str, ...]]]:
    """Rows that refer to this dataset by a critical rule, standing or about to be written, with their columns."""
    return [
        (rows, link.columns)
        for child in (*group.datasets, *group.inside)
        for link in child.links
        if link.to == dataset.table and link.rule.severity == "critical"
        for rows in ([place(child), _accepted(child, batch)] if child.table in group.tables else [place(child)])
    ]


def _completed(
    counts: Counts,
    dataset: Dataset,
    brought: Mapping[str, BatchDataset],
    held: tuple[int, dict[str, str]],
    gone: tuple[int, int],
) -> Counts:
    return replace(
        counts,
        quarantined=held[0],
        quarantined_controls=held[1],
        deleted=gone[0],
        retained=gone[1],
        controls=brought[dataset.table].controls,
    )
