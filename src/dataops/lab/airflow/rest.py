"""A small client of Airflow's REST API on loopback: trigger, look, clear, wait. Imports nothing of Airflow."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dataops.declared.errors import PlatformError

ENDED = ("success", "failed")
POLL_SECONDS = 0.5


ATTEMPTS = 5
PAUSE = 0.5
UNAUTHORIZED = 401
LOCKED = "Database error"


@dataclass(frozen=True)
class Run:
    """A DAG run as it stands: its state and the state of every task, by task id."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]

    @property
    def done(self) -> int:
        return sum(state in {"success", "skipped", "failed", "upstream_failed"} for state in self.tasks.values())

    def in_state(self, *states: str) -> list[str]:
        return sorted(task for task, state in self.tasks.items() if state in states)


class Client:
    """Talks to one API server. Raises PlatformError with the server's own words."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._credentials = {"username": user, "password": password}
        self._token: str | None = None

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        """JSON of `/api/v2<path>`; logs in first, and again when the token has expired.

        A database that was locked (SQLite, while the scheduler wrote) has changed nothing, so it is asked again.
        """
        for left in reversed(range(ATTEMPTS)):
            if self._token is None:
                self._token = self._request("POST", "/auth/token", self._credentials, None)["access_token"]
            try:
                return self._request(method, f"/api/v2{path}", body, self._token)
            except urllib.error.HTTPError as error:
                answer = error.read().decode(errors="replace")[:500]
                expired, locked = error.code == UNAUTHORIZED, LOCKED in answer
                if not left or not (expired or locked):
                    raise PlatformError(f"Airflow answered {error.code} to {method} {path}: {answer}") from error
                self._token = None if expired else self._token
                time.sleep(PAUSE if locked else 0)
        raise AssertionError

    def _request(self, method: str, path: str, body: object, token: str | None) -> Any:  # noqa: ANN401
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310  always http://127.0.0.1
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def healthy(self) -> list[str]:
        """Names of the components that are healthy now; empty while the server does not answer."""
        try:
            found = self._request("GET", "/api/v2/monitor/health", None, None)
        except (OSError, ValueError):
            return []
        return sorted(name for name, part in found.items() if (part or {}).get("status") == "healthy")

    def dags(self) -> list[str]:
        return sorted(dag["dag_id"] for dag in self.call("GET", "/dags?limit=100")["dags"])

    def import_errors(self) -> list[str]:
        return [f"{e['filename']}: {e['stack_trace']}" for e in self.call("GET", "/importErrors")["import_errors"]]

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Creates the pool, or gives it this many slots."""
        pools = {pool["name"]: pool["slots"] for pool in self.call("GET", "/pools?limit=100")["pools"]}
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        if name not in pools:
            self.call("POST", "/pools", body)
        elif pools[name] != slots:
            self.call("PATCH", f"/pools/{quote(name)}", body | {"pool": name})

    def pause(self, dag_id: str, *, paused: bool) -> None:
        self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": paused})

    def trigger(self, dag_id: str, partition: str | None = None, conf: dict[str, Any] | None = None) -> str:
        """Starts a run and returns its id."""
        body = {"logical_date": None, "partition_key": partition, "conf": conf or {}}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[str]:
        """Ids of a DAG's runs, newest first."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return [run["dag_run_id"] for run in found]

    def run(self, dag_id: str, run_id: str) -> Run:
        """The run as it stands."""
        where = f"/dags/{dag_id}/dagRuns/{quote(run_id)}"
        state = self.call("GET", where)["state"]
        tasks = self.call("GET", f"{where}/taskInstances?limit=200")["task_instances"]
        return Run(dag_id, run_id, state, {task["task_id"]: task["state"] or "waiting" for task in tasks})

    def wait(self, dag_id: str, run_id: str, seconds: float, seen: Callable[[Run], None] | None = None) -> Run:
        """Polls until the run has ended. Raises PlatformError naming what still runs when time is up."""
        deadline = time.monotonic() + seconds
        while True:
            run = self.run(dag_id, run_id)
            if seen:
                seen(run)
            if run.state in ENDED:
                return run
            if time.monotonic() > deadline:
                unfinished = run.in_state("running", "queued", "scheduled", "up_for_retry", "waiting")
                raise PlatformError(f"{dag_id} has not ended after {seconds:g} s; unfinished: {', '.join(unfinished)}")
            time.sleep(POLL_SECONDS)

    def questions(self, dag_id: str, run_id: str) -> list[str]:
        """Tasks of a run that wait for a person's answer.

        Only those that are parked: Airflow 3.3 loses an answer given between the question and the parking.
        """
        where = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/hitlDetails?response_received=false"
        asked = [item["task_instance"] for item in self.call("GET", where)["hitl_details"]]
        return [task["task_id"] for task in asked if task["state"] == "awaiting_input"]

    def answer(self, dag_id: str, run_id: str, task: str, choice: str, form: dict[str, Any] | None = None) -> None:
        """Answers a question as this client's user."""
        where = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task}/-1/hitlDetails"
        self.call("PATCH", where, {"chosen_options": [choice], "params_input": form or {}})

    def clear(self, dag_id: str, run_id: str, tasks: list[str], *, downstream: bool = False) -> None:
        """Lets tasks of a run run again."""
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": run_id,
            "task_ids": tasks,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def events(self, asset: str) -> list[dict[str, Any]]:
        """Events of an asset by its name, oldest first: partition_key, extra, source_dag_id and more."""
        found = self.call("GET", f"/assets?name_pattern={quote(asset)}")["assets"]
        ids = [a["id"] for a in found if a["name"] == asset]
        if not ids:
            return []
        where = f"/assets/events?asset_id={ids[0]}&order_by=timestamp&limit=100"
        deadline = time.monotonic() + 60
        while True:
            try:
                return list(self.call("GET", where)["asset_events"])
            except PlatformError as error:
                # Airflow 3.3 cannot list them while a run that one of them started waits for a worker (issue 71360).
                if "answered 500" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)

    def log(self, dag_id: str, run_id: str, task: str, attempt: int = 1) -> str:
        """A task's log as text."""
        where = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task}/logs/{attempt}?full_content=true"
        return json.dumps(self.call("GET", where))
