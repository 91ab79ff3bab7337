"""A delta as one writes it by hand: difference, history, delete, insert; one transaction, no checks."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group


def stage(connection: Connection, group: Group) -> None:
    """Copies the batch into staging tables of its own, as a hand-written load would have landed it. Not timed."""
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS by_hand")
    for dataset in group.datasets:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS by_hand.{dataset.table}")
        connection.exec_driver_sql(f"CREATE TABLE by_hand.{dataset.table} AS SELECT * FROM candidate.{dataset.table}")
        connection.exec_driver_sql(f"ANALYZE by_hand.{dataset.table}")


def apply_by_hand(connection: Connection, group: Group, seq: int) -> int:
    """Applies the staged rows to the published tables as publication `seq`; returns new and changed rows."""
    return sum(_apply(connection, dataset, seq) for dataset in group.datasets)


def _apply(connection: Connection, dataset: Dataset, seq: int) -> int:
    table, columns = dataset.table, ", ".join(f'"{name}"' for name in dataset.column_names)
    key = ", ".join(f'"{name}"' for name in dataset.key)
    same = " AND ".join(f'n."{name}" = v."{name}"' for name in dataset.key)
    others = [name for name in dataset.column_names if name not in dataset.key]
    differs = " OR ".join(f'n."{name}" IS DISTINCT FROM v."{name}"' for name in others)
    run = connection.exec_driver_sql
    run(
        f"CREATE TEMPORARY TABLE todo_{table} AS SELECT n.*, v._publication AS was FROM by_hand.{table} AS n"
        f" LEFT JOIN validated.{table} AS v ON {same} WHERE v._publication IS NULL OR {differs}"
    )
    gone = f"SELECT {key} FROM todo_{table} WHERE was IS NOT NULL"
    if follows := dataset.contract.platform.follows:
        # Lines and reasons that an order delivered again does not bring any more.
        scope = f"sales_order_id IN (SELECT sales_order_id FROM by_hand.{follows})"
        gone = f"WITH v AS MATERIALIZED (SELECT {key} FROM validated.{table} WHERE {scope}) {gone} UNION ALL"
        gone += f" SELECT {key} FROM v WHERE NOT EXISTS (SELECT 1 FROM by_hand.{table} AS n WHERE {same})"
    run(f"CREATE TEMPORARY TABLE gone_{table} AS {gone}")
    match = f"({key}) IN (SELECT {key} FROM gone_{table})"
    run(
        f"INSERT INTO validated_history.{table} ({columns}, _publication, _superseded, _operation)"
        f" SELECT {columns}, _publication, {seq}, 'changed' FROM validated.{table} WHERE {match}"
    )
    run(f"DELETE FROM validated.{table} WHERE {match}")
    done = run(f"INSERT INTO validated.{table} ({columns}, _publication) SELECT {columns}, {seq} FROM todo_{table}")
    run(f"DROP TABLE todo_{table}")
    return int(done.rowcount)
