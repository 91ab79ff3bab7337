"""Warehouses behind one port."""

from dataops.settings import Settings
from dataops.warehouse.port import CommitUnknownError, Dialect, Warehouse


def open_warehouse(settings: Settings) -> Warehouse:
    """The warehouse of DATAOPS_WAREHOUSE_URL; connects only when used."""
    if settings.warehouse_url.startswith("duckdb"):
        from dataops.warehouse.duckdb import DuckDBWarehouse, file_of

        file = file_of(settings.warehouse_url)
        paths = settings.paths
        published = file.with_name("published.duckdb")
        return DuckDBWarehouse(settings.warehouse_url, file, published, paths.locks, settings.lock_seconds)
    from dataops.warehouse.postgres import PostgresWarehouse

    return PostgresWarehouse(settings.warehouse_url, settings.lock_seconds)


__all__ = ["CommitUnknownError", "Dialect", "Warehouse", "open_warehouse"]
