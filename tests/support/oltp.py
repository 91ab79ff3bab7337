"""PostgreSQL as the live source of tests: filled from Microsoft's files, written to while it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dataops.declared import catalog
from dataops.declared.paths import Paths
from dataops.lab.live.filling import fill
from dataops.sources.install_csv import InstallCsv
from dataops.sources.install_script import snake_case
from dataops.sources.port import squeezed
from tests.conftest import PROJECT, PostgresServer

FILES = Path(__file__).parents[2] / "../shared/adventureworks/oltp-2014"
UNREADABLE = "Production.ProductReview"
"""Microsoft's file of it has values with line ends, which is refused."""


def camel(name: str) -> str:
    """`sales_order_id` -> `SalesOrderID`, as far as a test needs."""
    parts = name.split("_") if "_" in name or name.islower() else [name]
    return "".join("ID" if part == "id" else part[:1].upper() + part[1:] for part in parts)


SPELLINGS: dict[str, Callable[[str], str]] = {"snake": snake_case, "squeezed": squeezed, "camel": camel}


def filled(server: PostgresServer, database: str, spelling: str = "snake", *, all_tables: bool = False) -> str:
    """A database with the tables that contracts name, or with all that have files; its URL."""
    url, files = server.create_database(database), InstallCsv(FILES)
    contracts = [
        d.contract.platform
        for d in catalog.load(Paths(PROJECT, PROJECT / "var")).datasets.values()
        if d.contract.platform.source
    ]
    named = {str(platform.source): platform.key for platform in contracts}
    tables = [name for name in files.tables() if name != UNREADABLE] if all_tables else list(named)
    fill(url, files, tables, named, SPELLINGS[spelling])
    files.close()
    return url
