"""Warehouses of both kinds, recorded at every step of an undisturbed run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer
from tests.support.crash import run
from tests.support.oracle import Place, Stages, record


@pytest.fixture(scope="session")
def duckdb_stages() -> Iterator[Stages]:
    with tempfile.TemporaryDirectory(prefix="dataops-faults-") as folder:
        home = Path(folder, "run", "home")
        home.mkdir(parents=True)
        yield Stages(run(record, Place(home), Path(folder)).done, None, Path(folder))


@pytest.fixture(scope="session")
def postgres_stages(postgres: PostgresServer) -> Iterator[Stages]:
    with tempfile.TemporaryDirectory(prefix="dataops-faults-") as folder:
        home = Path(folder, "run", "home")
        home.mkdir(parents=True)
        url = postgres.create_database("recorded")
        yield Stages(run(record, Place(home, url), Path(folder)).done, url, Path(folder))


@pytest.fixture(params=["duckdb", "postgres"])
def stages(request: pytest.FixtureRequest) -> Stages:
    found = request.getfixturevalue(f"{request.param}_stages")
    assert isinstance(found, Stages)
    return found
