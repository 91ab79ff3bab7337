"""A PostgreSQL of our own in a folder: loopback, a free port, run by somebody else than root, which it refuses."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from dataops.declared.errors import PlatformError
from dataops.lab.airflow.headless import free_port

KNOWN_PLACES = tuple(f"/usr/lib/postgresql/{version}/bin" for version in (18, 17, 16, 15))
ACCOUNT = "postgres"  # of the operating system, where we are root
SECONDS = 60


@dataclass
class PostgresServer:
    """A server with a database cluster of its own; its login is `dataops`."""

    folder: Path
    port: int
    password: str
    process: subprocess.Popen[bytes] | None = field(default=None)
    fsync: str = "off"  # whoever is killed, the machine's memory stays; on where a test is about the disk

    def start(self) -> None:
        """Starts the postmaster as our own child and waits until it answers. Raises PlatformError."""
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": self.fsync,
            "max_connections": 50,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603  our own arguments
                [_program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options],
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **_as_other(),
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return
        raise PlatformError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill -9 of the postmaster; its children end with it, and it is reaped so that it can start again."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """A fast shutdown."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=SECONDS)

    def remove(self) -> None:
        """Stops it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, login: str = "dataops") -> str:
        return f"postgresql://{login}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A fresh database; returns its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)


def new_postgres(password: str | None = None) -> PostgresServer:
    """A server, not yet started. Raises PlatformError where PostgreSQL is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="dataops-pg-"))
    password = password or secrets.token_urlsafe(12)
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(ACCOUNT).pw_uid, -1)
    secret = folder / "secret"
    secret.write_text(password, encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(secret, pwd.getpwnam(ACCOUNT).pw_uid, -1)
    secret.chmod(0o600)
    command = [
        _program("initdb"), "-D", str(folder / "data"), "-U", "dataops", "--pwfile", str(secret), "-A", "scram-sha-256",
        "--locale=C.UTF-8", "-E", "UTF8",
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, cwd=folder, check=False, **_as_other())  # noqa: S603
    if made.returncode:
        raise PlatformError(f"initdb failed: {made.stderr.decode(errors='replace').strip()[-500:]}")
    return PostgresServer(folder, free_port(), password)


def _program(name: str) -> str:
    found = shutil.which(name) or next((f"{p}/{name}" for p in KNOWN_PLACES if Path(p, name).exists()), None)
    if found is None:
        raise PlatformError(f"{name} is not installed; a real PostgreSQL is needed here: apt-get install postgresql")
    return found


def _as_other() -> Mapping[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(ACCOUNT)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
