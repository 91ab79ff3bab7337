"""A copy of a server's warehouse in a DuckDB file, for what must be tried without writing to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.engine import Connection

from dataops.declared.layers import LEDGER, QUARANTINE, RAW
from dataops.declared.paths import Paths
from dataops.ledger import schema as ledger
from dataops.ledger.workspace import Workspace
from dataops.warehouse import open_warehouse, tables

ROWS = 10_000  # per statement


def copy_tables(work: Workspace, home: Path) -> Workspace:
    """A workspace over the copy: ledger, raw and published rows of one snapshot; the source is only read."""
    paths = Paths(work.settings.paths.project, home)
    settings = replace(work.settings, paths=paths, warehouse_url=f"duckdb:///{paths.warehouse}")
    copy = Workspace(settings, work.catalog, open_warehouse(settings))
    layers = work.catalog.layers
    copied = (LEDGER, RAW, *layers.published, QUARANTINE)
    with work.warehouse.reading() as source, copy.warehouse.transaction() as target:
        ledger.ensure(target, work.catalog.layers)
        tables.ensure(copy.warehouse, target, work.catalog.datasets.values())
        there = _columns(source, copied)
        for (schema, table), columns in _columns(target, copied).items():
            _copy(
                source,
                target,
                f"{schema}.{table}",
                [name for name in columns if name in there.get((schema, table), ())],
            )
    return copy


def _columns(connection: Connection, schemas: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    found: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in connection.exec_driver_sql(
        f"SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({listed})"
    ):
        found.setdefault((str(schema), str(table)), []).append(str(column))
    return found


def _copy(source: Connection, target: Connection, place: str, columns: list[str]) -> None:
    """As text, which loses no digit and which every type can be read from."""
    if not columns:
        return
    target.exec_driver_sql(f"DELETE FROM {place}")
    names = tables.quoted(columns)
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in columns)
    cursor = source.exec_driver_sql(f"SELECT {texts} FROM {place}")
    places = ", ".join("?" for _ in columns)
    while rows := cursor.fetchmany(ROWS):
        target.exec_driver_sql(f"INSERT INTO {place} ({names}) VALUES ({places})", [tuple(row) for row in rows])
