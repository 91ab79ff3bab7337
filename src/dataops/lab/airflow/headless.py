"""A real Airflow without anybody watching: scheduler, DAG processor, API server and triggerer as processes of our own.

SQLite metadata, LocalExecutor, loopback only, free ports. Each process leads its own group and is stopped by its id;
`stop` leaves nothing behind. Imports nothing of Airflow: it runs its command line and talks to its REST API.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from dataops.declared.errors import PlatformError
from dataops.lab.airflow.rest import Client
from dataops.outlets.refusals import UnconfiguredError

COMMANDS: Mapping[str, Sequence[str]] = {
    "api-server": ("api-server",),
    "dag-processor": ("dag-processor",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTHY = {"dag_processor", "metadatabase", "scheduler", "triggerer"}
STOP_SECONDS = 20
SETTINGS = """# Written by dataops. Tasks are forked from the scheduler, which imports for all of them.
import sys

if "scheduler" in sys.argv:
    import dataops.lab.airflow.preload
"""


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there on loopback, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PlatformError("no free port on 127.0.0.1")


class Headless:
    """One Airflow below `home`/airflow for the project's DAGs. `cron=False`: nothing starts by the clock."""

    def __init__(
        self, project: Path, home: Path, *, environ: Mapping[str, str] | None = None, port: int = 0, cron: bool = False
    ) -> None:
        self.project = project
        self.home = home
        self.folder = home / "airflow"
        self.port = free_port(port)
        self._environ = dict(os.environ if environ is None else environ)
        self._cron = cron
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._secrets = self._kept_secrets()
        self.client = Client(self.url, "admin", self._secrets["password"])
        self.approver = Client(self.url, "approver", self._secrets["approver"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        return self._secrets["password"]

    @property
    def approver_password(self) -> str:
        return self._secrets["approver"]

    @property
    def pids(self) -> Path:
        return self.folder / "pids.json"

    def _kept_secrets(self) -> dict[str, str]:
        """Made once per home and readable by its owner only; all processes must share them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "secrets.json"
        made = {
            "jwt": secrets.token_urlsafe(48),
            "key": secrets.token_urlsafe(24),
            "password": secrets.token_urlsafe(9),
            "approver": secrets.token_urlsafe(9),  # what is critical needs two people
        }
        kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        found = made | kept
        file.touch(mode=0o600)
        file.write_text(json.dumps(found), encoding="utf-8")
        users = self.folder / "users.json"
        users.touch(mode=0o600)
        users.write_text(json.dumps({"admin": found["password"], "approver": found["approver"]}), encoding="utf-8")
        return found

    def environment(self) -> dict[str, str]:
        """What each process is started with."""
        return self._environ | {
            "DATAOPS_PROJECT": str(self.project),
            "DATAOPS_HOME": str(self.home),
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.project / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,approver:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "users.json"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder / 'airflow.db'}",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": self._secrets["key"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets["jwt"],
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__DATAOPS__CRON": "on" if self._cron else "off",
            **self._lineage(),
        }

    def _lineage(self) -> dict[str, str]:
        """Airflow tells of its own runs where a lineage server is configured; the outbox keeps them until told."""
        from dataops.declared import namespaces, project
        from dataops.outlets.lineage import backend

        try:
            backend.configured(self.project, self._environ)
        except UnconfiguredError:
            return {}
        transport = {"type": "dataops.outlets.lineage.transport.OutboxTransport"}
        return {
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": namespaces.load(self.project, project.load(self.project)).jobs,
        }

    def migrate(self) -> None:
        """Creates or migrates the metadata database, and writes Airflow's settings in Python."""
        settings = self.folder / "config" / "airflow_local_settings.py"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(SETTINGS, encoding="utf-8")
        log = self.folder / "migrate.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            ended = subprocess.run(  # noqa: S603  our own command line
                command, env=self.environment(), stdout=out, stderr=out, cwd=self.project, check=False
            )
        if ended.returncode:
            raise PlatformError(f"airflow db migrate failed; its log is {log}:\n{_tail(log)}")

    def start(self, seconds: float = 300, dags: Sequence[str] = (), *, paused: bool = False) -> None:
        """Starts what is not running and waits until all is healthy, `dags` are known and the pool exists.

        Raises PlatformError with the log of the process that ended, or naming what is not healthy yet.
        """
        if not self._processes:
            stop_recorded(self.pids)
            self.migrate()
        for name in COMMANDS:
            self._spawn(name)
        self._until(seconds, "to become healthy", lambda: not HEALTHY - set(self.client.healthy()))
        self.client.ensure_pool("warehouse", 1, "DuckDB has one writer; raise it on PostgreSQL")
        self._until(seconds, f"to know {', '.join(dags)}", lambda: not set(dags) - set(self.client.dags()))
        for dag in dags:
            self.client.pause(dag, paused=paused)

    def _spawn(self, name: str) -> None:
        if name in self._processes:
            return
        with (self.folder / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "airflow", *COMMANDS[name]],
                env=self.environment(),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=self.project,
                start_new_session=True,
            )
        self._record()

    def _record(self) -> None:
        record(self.pids, self.url, {name: process.pid for name, process in self._processes.items()})

    def _until(self, seconds: float, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    log = self.folder / f"{name}.log"
                    raise PlatformError(
                        f"Airflow's {name} ended with {process.returncode}; its log is {log}:\n{_tail(log)}"
                    )
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"waited {seconds:g} s for Airflow {what}; healthy are {', '.join(self.client.healthy())};"
                    f" logs are in {self.folder}"
                )
            time.sleep(0.3)

    def restart(self, name: str, environ: Mapping[str, str]) -> None:
        """Stops one process and starts it with other environment variables on top."""
        _stop([self._processes.pop(name).pid])
        self._environ |= environ
        self._spawn(name)

    def revive(self) -> list[str]:
        """Starts again what has ended, as an operating system's supervisor would; returns what that was."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        for name in ended:
            del self._processes[name]
            self._spawn(name)
        return ended

    def stop(self) -> list[int]:
        """Stops all processes and what they started; returns the ids that had to be killed."""
        killed = _stop([process.pid for process in self._processes.values()])
        for process in self._processes.values():
            process.wait(timeout=STOP_SECONDS)
        self._processes.clear()
        self.pids.unlink(missing_ok=True)
        return killed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def record(pids: Path, url: str, processes: Mapping[str, int]) -> None:
    """Writes process ids with their birth, so that `stop_recorded` never stops somebody else's process."""
    found = {name: process for name, pid in processes.items() if (process := _process(pid))}
    entries = {name: {"pid": process.pid, "born": process.create_time()} for name, process in found.items()}
    pids.write_text(json.dumps(entries | {"url": url}), encoding="utf-8")


def recorded_url(pids: Path) -> str:
    """Where the recorded processes answer."""
    return str(json.loads(pids.read_text(encoding="utf-8"))["url"])


def running(pids: Path) -> dict[str, int]:
    """Recorded processes that are alive, by name."""
    if not pids.exists():
        return {}
    recorded = json.loads(pids.read_text(encoding="utf-8"))
    return {name: entry["pid"] for name, entry in recorded.items() if isinstance(entry, dict) and _is_same(entry)}


def stop_recorded(pids: Path) -> list[str]:
    """Stops what an earlier process recorded in `pids`; returns the names of what was stopped."""
    found = running(pids)
    _stop(list(found.values()))
    pids.unlink(missing_ok=True)
    return sorted(found)


def _is_same(entry: dict[str, float]) -> bool:
    try:
        process = psutil.Process(int(entry["pid"]))
        return process.create_time() == entry["born"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _stop(pids: Sequence[int]) -> list[int]:
    """SIGTERM to each leader, then SIGKILL to whatever of their families is left; returns the ids that were killed."""
    leaders = [p for p in map(_process, pids) if p]
    family = {p.pid: p for leader in leaders for p in [leader, *leader.children(recursive=True)]}
    for leader in leaders:
        leader.terminate()
    psutil.wait_procs(leaders, timeout=STOP_SECONDS)
    left = psutil.wait_procs(list(family.values()), timeout=3)[1]
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    return [process.pid for process in left]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
