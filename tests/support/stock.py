"""Loads that a test begins with and says nothing about: done once per process and shop, then copied."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from dataops.ledger.workspace import Workspace
from tests.support.oracle import copy_database
from tests.support.shop import Shop, load

_LEFT: dict[str, tuple[Path, str | None]] = {}
"""What was loaded where -> the folder and the database that it left."""
_NUMBERS = count()
_FOLDER = tempfile.TemporaryDirectory(prefix="dataops-stock-")
"""Of this process; goes with it."""


def stock(work: Workspace, shop: Shop, *groups: str) -> None:
    """Lets an empty warehouse hold these groups of the shop, as `load` leaves it; into another they are loaded."""
    home, url = work.settings.paths.home, work.settings.warehouse_url
    server = None if url.startswith("duckdb") else url
    key = _key(work, shop, groups, server)
    if not _is_empty(work, home, server):
        _load(work, shop, groups)
    elif key not in _LEFT:
        _load(work, shop, groups)
        name = f"stock{next(_NUMBERS)}"
        kept = Path(shutil.copytree(home, Path(_FOLDER.name) / name))
        _LEFT[key] = kept, copy_database(server, _name(server), name) if server else None
    else:
        kept, database = _LEFT[key]
        shutil.copytree(kept, home, dirs_exist_ok=True)
        if server:
            copy_database(server, _name(str(database)), _name(server))


def _load(work: Workspace, shop: Shop, groups: tuple[str, ...]) -> None:
    for group in groups:
        load(work, shop, group)


def _is_empty(work: Workspace, home: Path, server: str | None) -> bool:
    if home.exists() and any(home.iterdir()):
        return False
    if server is None:
        return True
    with work.warehouse.reading() as connection:
        return connection.exec_driver_sql("SELECT to_regnamespace('ops') IS NULL").scalar_one() is True


def _key(work: Workspace, shop: Shop, groups: tuple[str, ...], server: str | None) -> str:
    digest = hashlib.sha256()
    project = work.settings.paths.project
    for file in sorted(file for file in project.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(project)}\n".encode() + file.read_bytes())
    where = urlsplit(server)._replace(path="").geturl() if server else "duckdb"
    digest.update(repr((where, shop, groups)).encode())
    return digest.hexdigest()


def _name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
