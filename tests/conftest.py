"""Fixtures that every kind of test shares: a real PostgreSQL server, started here and stopped here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from dataops.lab.live import server as servers
from dataops.lab.live.server import PostgresServer
from dataops.ledger.workspace import Workspace
from dataops.warehouse import duckdb_file
from tests.support.shop import workspace

PROJECT = Path(__file__).resolve().parents[1]
SHIPPED_LOG_BYTES = duckdb_file.LOG_BYTES
MARKERS = {"unit", "integration", "e2e", "faults"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An unmarked test is an error: nobody would know when it runs."""
    unmarked = [item.nodeid for item in items if not MARKERS & {mark.name for mark in item.iter_markers()}]
    if unmarked:
        raise pytest.UsageError(f"tests without a marker ({', '.join(sorted(MARKERS))}): {', '.join(unmarked[:5])}")
    for item in items:
        if _shares_a_module(item) and not item.get_closest_marker("xdist_group"):  # some files share more than a module
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares_a_module(item: pytest.Item) -> bool:
    """Whether it uses what is made once for its module; such tests run in one worker."""
    info = getattr(item, "_fixtureinfo", None)
    made = [kind for kinds in info.name2fixturedefs.values() for kind in kinds] if info else []
    return any(kind.scope in {"module", "class", "package"} for kind in made)


def new_postgres() -> PostgresServer:
    """A server of the tests' own, not yet started."""
    return servers.new_postgres("secret")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole test session."""
    server = new_postgres()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A fresh, empty database."""
    return postgres.create_database("warehouse")


@pytest.fixture(autouse=True)
def _log_as_shipped() -> Iterator[None]:
    """A test that wants other checkpoints leaves none to those after it: a log that never ends makes them slow."""
    duckdb_file.LOG_BYTES = SHIPPED_LOG_BYTES
    yield
    duckdb_file.LOG_BYTES = SHIPPED_LOG_BYTES


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """The small project on an empty warehouse, of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return workspace(tmp_path / "home", url)


Fresh = Callable[[], "Workspace"]


@pytest.fixture(params=["duckdb", "postgres"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """Makes an empty warehouse for each example of a property."""
    numbers = count()

    def make() -> Workspace:
        home = tmp_path / str(next(numbers))
        if request.param == "duckdb":
            return workspace(home)
        server: PostgresServer = request.getfixturevalue("postgres")
        return workspace(home, server.create_database("example"))

    return make
