"""`make demo-clean`: removes what the demo and the platform wrote. Standard library only; .venv stays (`rm -rf .venv`).

Only names that the platform writes are removed, so a DATAOPS_HOME that holds other things too loses none of them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[4]
WRITTEN = (
    "airflow",
    "backups",
    "data_docs",
    "demo.json",
    "demo.tmp",
    "gate",
    "lineage",
    "locks",
    "log",
    "messages",
    "published.duckdb",
    "reports",
    "site-pids.json",
    "source",
    "warehouse.duckdb",
    "warehouse.duckdb.healed",
    "warehouse.duckdb.rescue",
    "warehouse.duckdb.swap",
    "warehouse.duckdb.tmp",
    "warehouse.duckdb.wal",
)
KEPT = {"README.md", ".gitignore"}


def main() -> int:
    """Removes and says what."""
    home = Path(os.environ.get("DATAOPS_HOME") or PROJECT / "var")
    site = PROJECT / "data_docs" if home.resolve() == PROJECT / "var" else home / "data_docs"
    found = [path for path in (*_written(home), *_content(site)) if path.exists() or path.is_symlink()]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()
    print(f"removed {len(found)} files and folders; .venv stays (rm -rf .venv)" if found else "nothing to remove")  # noqa: T201
    return 0


def _written(home: Path) -> Iterator[Path]:
    for name in WRITTEN:
        yield home / name


def _content(site: Path) -> Iterator[Path]:
    if site.is_dir():
        yield from (path for path in site.iterdir() if path.name not in KEPT)


if __name__ == "__main__":
    sys.exit(main())
