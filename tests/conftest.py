"""Fixtures that every kind of test shares: a real PostgreSQL server, started here and stopped here."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

from dataops.ledger.workspace import Workspace
from dataops.warehouse import duckdb_file
from tests.support.shop import workspace

PROJECT = Path(__file__).resolve().parents[1]
SHIPPED_LOG_BYTES = duckdb_file.LOG_BYTES
MARKERS = {"unit", "integration", "e2e", "faults"}
KNOWN_PLACES = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")


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


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class PostgresServer:
    """A server of our own in a temporary folder, run by an unprivileged user, since PostgreSQL refuses root."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)
    fsync: str = "off"  # whoever is killed, the machine's memory stays; on where a test is about the disk

    def start(self) -> None:
        """Starts the postmaster as our own child and waits until it answers."""
        binary = _program("postgres")
        command = [
            binary,
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            f"fsync={self.fsync}",
            "-c",
            "max_connections=50",
        ]
        self.process = subprocess.Popen(
            command,
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **_as_other(),
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill -9 of the postmaster; its children end with it, and it is reaped so that it can start again."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """A fast shutdown."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)

    def url(self, database: str) -> str:
        return f"postgresql://dataops:secret@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A fresh database; returns its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)


def _program(name: str) -> str:
    found = shutil.which(name) or next((f"{p}/{name}" for p in KNOWN_PLACES if Path(p, name).exists()), None)
    if found is None:
        raise RuntimeError(f"{name} is not installed; the tests need a real PostgreSQL (apt-get install postgresql)")
    return found


def _as_other() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def new_postgres() -> PostgresServer:
    """A server with a database cluster of its own, not yet started."""
    folder = Path(tempfile.mkdtemp(prefix="dataops-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    subprocess.run(
        [
            _program("initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "dataops",
            "--pwfile",
            str(secret),
            "-A",
            "scram-sha-256",
            "--locale=C.UTF-8",
            "-E",
            "UTF8",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        **_as_other(),
    )
    return PostgresServer(folder, free_port())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole test session."""
    server = new_postgres()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


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
