"""A copy of a server's warehouse in a DuckDB file, for what must be tried without writing to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.layers import LEDGER, QUARANTINE, RAW
from dataops.declared.paths import Paths
from dataops.ledger import numbering
from dataops.ledger import schema as ledger
from dataops.ledger.workspace import Workspace
from dataops.warehouse import open_warehouse, tables


def copy_tables(work: Workspace, home: Path) -> Workspace:
    """A workspace over the copy: ledger, raw and published rows of one snapshot; the source is only read."""
    paths = Paths(work.settings.paths.project, home)
    settings = replace(work.settings, paths=paths, warehouse_url=f"duckdb:///{paths.warehouse}")
    copy = Workspace(settings, work.catalog, open_warehouse(settings))
    layers = work.catalog.layers
    copied = (LEDGER, RAW, *layers.published, *layers.histories, QUARANTINE)
    with work.warehouse.reading() as source, copy.warehouse.transaction() as target:
        ledger.ensure(target, work.catalog.layers)
        tables.ensure(copy.warehouse, target, work.catalog.datasets.values())
        there = _columns(source, copied)
        for (schema, table), columns in _columns(target, copied).items():
            if known := [name for name in columns if name in there.get((schema, table), ())]:
                place = f"{schema}.{table}"
                target.exec_driver_sql(f"DELETE FROM {place}")
                copy.warehouse.stage(target, place, _rows(work, source, place, known))
        for statement in numbering.floors(numbering.given(source), sequences=False):  # the copy has no sequences
            target.exec_driver_sql(statement)
    return copy


def _columns(connection: Connection, schemas: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    found: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in connection.exec_driver_sql(
        f"SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({listed})"
    ):
        found.setdefault((str(schema), str(table)), []).append(str(column))
    return found


def _rows(work: Workspace, connection: Connection, place: str, columns: Sequence[str]) -> pa.Table:
    """As text, which loses no digit and which every type is read from."""
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in columns)
    schema = pa.schema([(name, pa.string()) for name in columns])
    return work.warehouse.fetch(connection, f"SELECT {texts} FROM {place}", schema)
