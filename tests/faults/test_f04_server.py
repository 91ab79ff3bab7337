"""F04, F28: the PostgreSQL server dies while a publication is written; the next run finds a whole one and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from dataops.declared.errors import PlatformError
from tests.conftest import PostgresServer, new_postgres
from tests.support.crash import Child, run, wait_until
from tests.support.crash_tracing import injected, struck
from tests.support.oracle import STEPS, Place, Stages, published, standing, take

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that the tests of this file may kill."""
    server = new_postgres()
    server.fsync = "on"
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def place(own: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A warehouse on it, with `sales` judged and not yet published."""
    found = Place(tmp_path_factory.mktemp("f04") / "home", own.create_database("warehouse"))
    run(_take_until, found, "publish sales").done  # noqa: B018  fails when a step raised
    return found


def _take_until(place: Place, last: str, first: str = "extract reference") -> None:
    names = list(STEPS)
    for step in names[names.index(first) : names.index(last)]:
        take(place, step)


def _kill(server: PostgresServer) -> None:
    """Kill -9 of the postmaster and its backends."""
    assert server.process
    backends = psutil.Process(server.process.pid).children(recursive=True)
    server.kill()
    for backend in backends:
        if backend.is_running():
            backend.kill()
    psutil.wait_procs(backends, timeout=20)


def test_a_server_killed_in_the_middle_of_a_publication_is_a_platform_error_and_the_next_run_publishes(
    own: PostgresServer, place: Place, postgres_stages: Stages, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    impatient = Place(place.home, place.url, lock_seconds=1)
    for point in ("rows_inserted", "before_commit"):
        child = Child(take, impatient, "publish sales", failpoint=f"{point}=wait:{go}")
        child.reach()
        _kill(own)
        go.touch()
        found = child.outcome()
        assert PlatformError.__name__ in found.raised, found.trace
        own.start()
        go.unlink()
        assert published(standing(place)) == published(postgres_stages["publish sales"].previous)
    assert run(take, place, "publish sales").done == "published"
    assert standing(place) == postgres_stages["publish sales"].next


def test_a_server_that_cannot_write_its_log_panics_and_the_ledger_tells_after_its_restart(
    place: Place, postgres_stages: Stages, tmp_path: Path
) -> None:
    """EIO on the backend's fsync of COMMIT: PostgreSQL restarts itself, the run waits for it and reads the ledger."""
    run(_take_until, place, "publish build", "build").done  # noqa: B018  fails when a step raised
    stage, go, log = postgres_stages["publish build"], tmp_path / "go", tmp_path / "trace"
    patient = Place(place.home, place.url, lock_seconds=30)
    child = Child(take, patient, "publish build", failpoint=f"before_commit=wait:{go}")
    child.reach()
    with injected(_backend(place, child.pid), "fsync,fdatasync", "error=EIO", log):
        go.touch()
        found = child.outcome()
    assert struck(log)
    made = published(standing(place)) == published(stage.next)
    assert made == (found.value == "published"), found.trace
    assert made or PlatformError.__name__ in found.raised, found.trace
    wait_until(lambda: run(take, place, "publish build").value in {"published", "already"}, 30, "the restart")
    assert standing(place) == stage.next


def _backend(place: Place, pid: int) -> int:
    """The server process that writes the publication of the client `pid`."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND state = 'idle in transaction'"
    with psycopg.connect(str(place.url)) as connection:
        row = connection.execute(query, (f"dataops pid {pid}",)).fetchone()
    assert row
    return int(row[0])


def test_only_infrastructure_is_a_platform_error(stages: Stages) -> None:
    """A mistake in a statement would come back for ever; a retry must not hide it."""
    work = stages.before("publish days").open()
    with pytest.raises(sa.exc.DBAPIError) as caught, work.warehouse.transaction() as connection:
        connection.exec_driver_sql("SELECT * FROM validated.no_such_table")
    assert not isinstance(caught.value, PlatformError)
