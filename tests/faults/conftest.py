"""Warehouses of both kinds, recorded at every step of an undisturbed run.

They lie on a file system in memory: each case copies a whole warehouse, and a real disk would spend most of the
suite's time on fsync of copies. What a disk does wrong is injected where a test is about disks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer, new_postgres
from tests.support.crash import run
from tests.support.oracle import Place, Stages, record


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory; on a machine that allows no mount, a plain one."""
    folder = Path(tempfile.mkdtemp(prefix="dataops-faults-"))
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4g,mode=755", "dataops-faults", str(folder)], check=False
        ).returncode
    )
    yield folder
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def duckdb_stages(memory: Path) -> Stages:
    folder = memory / "duckdb"
    return Stages(run(record, _place(folder), folder).done, None, folder)


@pytest.fixture(scope="session")
def quick_postgres(memory: Path) -> Iterator[PostgresServer]:
    """A server of this folder's tests."""
    before, tempfile.tempdir = tempfile.tempdir, str(memory)
    try:
        server = new_postgres()
    finally:
        tempfile.tempdir = before
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_stages(memory: Path, quick_postgres: PostgresServer) -> Stages:
    folder, url = memory / "postgres", quick_postgres.create_database("recorded")
    return Stages(run(record, _place(folder, url), folder).done, url, folder)


def _place(folder: Path, url: str | None = None) -> Place:
    home = folder / "run" / "home"
    home.mkdir(parents=True)
    return Place(home, url)


@pytest.fixture(params=["duckdb", "postgres"])
def stages(request: pytest.FixtureRequest) -> Stages:
    found = request.getfixturevalue(f"{request.param}_stages")
    assert isinstance(found, Stages)
    return found
