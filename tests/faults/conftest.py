"""Warehouses of both kinds, recorded at every step of an undisturbed run; once for all workers of a test run.

They lie on a file system in memory: each case copies a whole warehouse, and a real disk would spend most of the
suite's time on fsync of copies. What a disk does wrong is injected where a test is about disks.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests.conftest import PostgresServer, new_postgres
from tests.support.crash import run
from tests.support.oracle import Place, Stages, record


class Shared:
    """A folder in memory that all workers of a test run use; the last one that leaves takes it away."""

    def __init__(self, run_id: str, worker: str) -> None:
        self.folder = Path(tempfile.gettempdir()) / f"dataops-faults-{run_id[:12]}"
        self.worker = worker
        self.lock = FileLock(f"{self.folder}.lock")
        self._users = self.folder / "users"
        self._server = self.folder / "server"

    def enter(self) -> None:
        with self.lock:
            if not self.folder.exists():
                self.folder.mkdir()
                size = ["mount", "-t", "tmpfs", "-o", "size=6g,mode=755", "dataops-faults", str(self.folder)]
                if os.geteuid() == 0:  # on a machine that allows no mount, a plain folder
                    subprocess.run(size, check=False)
            self._users.write_text(str(self._count() + 1))

    def leave(self) -> None:
        with self.lock:
            self._users.write_text(str(self._count() - 1))
            if self._count():
                return
            if self._server.exists():
                _stop(int(self._server.read_text().split()[0]))
            if os.path.ismount(self.folder):
                subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
            shutil.rmtree(self.folder, ignore_errors=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def _count(self) -> int:
        return int(self._users.read_text()) if self._users.exists() else 0

    def once(self, name: str, make: Callable[[], object]) -> object:
        """What the first worker made under this name."""
        file = self.folder / f"{name}.pickle"
        with self.lock:
            if not file.exists():
                file.write_bytes(pickle.dumps(make()))
            return pickle.loads(file.read_bytes())  # noqa: S301  our own

    def server(self) -> PostgresServer:
        """The server of this test run; the first worker starts it."""
        with self.lock:
            if not self._server.exists():
                before, tempfile.tempdir = tempfile.tempdir, str(self.folder)
                try:
                    started = new_postgres()
                finally:
                    tempfile.tempdir = before
                started.start()
                assert started.process
                self._server.write_text(f"{started.process.pid} {started.port} {started.folder}")
            _, port, folder = self._server.read_text().split()
        return PostgresServer(Path(folder), int(port), "secret")


def _stop(pid: int) -> None:
    """A fast shutdown of a server that any worker may have started."""
    with_deadline = time.monotonic() + 60
    os.kill(pid, signal.SIGINT)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > with_deadline:
            raise RuntimeError(f"PostgreSQL, PID {pid}, did not stop")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def shared(testrun_uid: str, worker_id: str) -> Iterator[Shared]:
    place = Shared(testrun_uid, worker_id)
    place.enter()
    yield place
    place.leave()


@pytest.fixture(scope="session")
def memory(shared: Shared) -> Path:
    """A folder in memory of this worker's own."""
    folder = shared.folder / shared.worker
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def quick_postgres(shared: Shared) -> PostgresServer:
    """A server in memory, shared by the workers; nobody stops it or takes another's databases."""
    return shared.server()


@pytest.fixture(scope="session")
def duckdb_stages(shared: Shared, memory: Path) -> Stages:
    folder = shared.folder / "duckdb"
    stages = shared.once("duckdb", lambda: run(record, _place(folder), folder).done)
    return Stages(stages, None, memory / "duckdb", shared.worker)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgres_stages(shared: Shared, memory: Path, quick_postgres: PostgresServer) -> Stages:
    folder, url = shared.folder / "postgres", quick_postgres.url("recorded")

    def make() -> object:
        return run(record, _place(folder, quick_postgres.create_database("recorded")), folder).done

    return Stages(shared.once("postgres", make), url, memory / "postgres", shared.worker)  # type: ignore[arg-type]


def _place(folder: Path, url: str | None = None) -> Place:
    home = folder / "run" / "home"
    home.mkdir(parents=True)
    return Place(home, url)


@pytest.fixture(params=["duckdb", "postgres"])
def stages(request: pytest.FixtureRequest) -> Stages:
    found = request.getfixturevalue(f"{request.param}_stages")
    assert isinstance(found, Stages)
    return found
