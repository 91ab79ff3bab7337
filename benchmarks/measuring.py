"""What benchmarks of the ledger share: seconds, bytes, memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

from dataops.ledger.workspace import Workspace


def timed(do: Callable[[], object]) -> float:
    """Seconds that it took."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def ledger_bytes(work: Workspace) -> int:
    """Size of the ledger: of the file, where that is the warehouse."""
    if work.warehouse.dialect == "duckdb":
        return sum(file.stat().st_size for file in work.settings.paths.home.glob("warehouse.duckdb*"))
    with work.warehouse.reading() as connection:
        sizes = (
            "SELECT SUM(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        )
        return int(connection.exec_driver_sql(f"{sizes} WHERE n.nspname = 'ops' AND c.relkind = 'r'").scalar() or 0)


def peak() -> float:
    """MiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
