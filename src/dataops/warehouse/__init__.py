"""Warehouses behind one port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataops.declared.settings import Settings
from dataops.warehouse.port import CommitUnknownError, Dialect, Warehouse

if TYPE_CHECKING:
    from dataops.warehouse.duckdb_file import OnHealed


def open_warehouse(settings: Settings, on_healed: OnHealed | None = None) -> Warehouse:
    """The warehouse of DATAOPS_WAREHOUSE_URL; connects only when used.

    `on_healed` records that a kill had torn the embedded warehouse's file.
    """
    if settings.warehouse_url.startswith("duckdb"):
        from dataops.warehouse.duckdb import DuckDBWarehouse, file_of

        url, paths = settings.warehouse_url, settings.paths
        published = file_of(url).with_name("published.duckdb")
        layers = settings.project.layers
        return DuckDBWarehouse(url, published, paths.backups, paths.locks, settings.lock_seconds, layers, on_healed)
    from dataops.warehouse.postgres import PostgresWarehouse

    return PostgresWarehouse(settings.warehouse_url, settings.lock_seconds, settings.project.layers)


__all__ = ["CommitUnknownError", "Dialect", "Warehouse", "open_warehouse"]
