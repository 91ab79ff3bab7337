"""The client of Airflow's API asks again when its token has expired or SQLite was locked, and else says what it got."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from dataops.declared.errors import PlatformError
from dataops.lab.airflow import rest

pytestmark = pytest.mark.unit
LOCKED = '{"detail": {"reason": "Database error", "orig_error": "hidden"}}'


class Airflow(BaseHTTPRequestHandler):
    """Answers from a list, the last one for ever; a login always succeeds."""

    answers: ClassVar[list[tuple[int, str]]] = []
    asked: ClassVar[list[str]] = []

    def _answer(self) -> None:
        login = self.path == "/auth/token"
        self.asked.append("login" if login else self.path)
        code, text = (201, '{"access_token": "x"}') if login else self.answers.pop(0)
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = _answer  # noqa: N815  names that the library looks for

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[rest.Client]:
    monkeypatch.setattr(rest, "PAUSE", 0)
    Airflow.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield rest.Client(f"http://127.0.0.1:{server.server_port}", "admin", "secret")
        server.shutdown()


def test_a_locked_database_is_asked_again(client: rest.Client) -> None:
    Airflow.answers[:] = [(500, LOCKED), (500, LOCKED), (200, json.dumps({"dag_run_id": "r"}))]
    assert client.trigger("sales_etl") == "r"
    assert Airflow.asked == ["login", *["/api/v2/dags/sales_etl/dagRuns"] * 3]


def test_an_expired_token_is_renewed(client: rest.Client) -> None:
    Airflow.answers[:] = [(401, "{}"), (200, json.dumps({"dag_run_id": "r"}))]
    assert client.trigger("sales_etl") == "r"
    assert Airflow.asked.count("login") == 2


@pytest.mark.parametrize(("answer", "times"), [((404, "no such DAG"), 1), ((500, LOCKED), rest.ATTEMPTS)])
def test_what_does_not_pass_is_said(client: rest.Client, answer: tuple[int, str], times: int) -> None:
    Airflow.answers[:] = [answer] * times
    with pytest.raises(PlatformError, match=f"Airflow answered {answer[0]} to POST /dags/sales_etl/dagRuns"):
        client.trigger("sales_etl")
    assert Airflow.answers == []
