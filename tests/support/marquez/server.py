"""The double's HTTP server."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.marquez import answers
from tests.support.marquez.taking import Fields, RefusedError, Taking, now, parsed
from tests.support.serving import Serving

Asked = dict[str, str]
SCHEMA = Path(__file__).with_name("store.sql").read_text(encoding="utf-8")
DEFAULT = "The default global namespace for dataset, job, and run metadata not belonging to a user-specified namespace."


class UnknownError(Exception):
    """What was never asked of the real server."""


def _namespace(rows: sqlite3.Connection, _: Asked, name: str) -> Fields:
    if rows.execute("SELECT 1 FROM namespaces WHERE name = ?", (name,)).fetchone():
        raise UnknownError
    raise answers.not_found("Namespace", name)


def _run_facets(rows: sqlite3.Connection, asked: Asked, run: str) -> Fields:
    if asked != {"type": "run"}:
        raise UnknownError
    return answers.run_facets(rows, run)


def _limit(asked: Asked) -> int:
    return int(asked.get("limit", 100))


def _columns(rows: sqlite3.Connection, asked: Asked) -> Fields:
    downstream = asked.get("withDownstream") == "true"
    return answers.column_lineage(rows, asked["nodeId"], int(asked.get("depth", 20)), downstream=downstream)


NAMED = "namespaces/([^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Fields]], ...] = (
    ("GET", "namespaces", lambda rows, _: answers.namespaces(rows)),
    ("GET", NAMED, _namespace),
    (
        "GET",
        f"{NAMED}/datasets",
        lambda rows, asked, namespace: answers.datasets(rows, namespace, _limit(asked), int(asked.get("offset", 0))),
    ),
    ("GET", f"{NAMED}/datasets/([^/]+)", lambda rows, _, *name: answers.dataset(rows, *name)),
    ("DELETE", f"{NAMED}/datasets/([^/]+)", lambda rows, _, *name: answers.delete(rows, *name)),
    ("POST", f"{NAMED}/datasets/([^/]+)/tags/([^/]+)", lambda rows, _, *name: answers.tag(rows, *name)),
    ("GET", f"{NAMED}/datasets/([^/]+)/versions", lambda rows, _, *name: answers.versions(rows, *name)),
    ("GET", f"{NAMED}/jobs", lambda rows, asked, namespace: answers.jobs(rows, namespace, _limit(asked))),
    ("GET", f"{NAMED}/jobs/([^/]+)", lambda rows, _, *name: answers.job(rows, *name)),
    ("GET", f"{NAMED}/jobs/([^/]+)/runs", lambda rows, _, *name: answers.runs_of(rows, *name)),
    ("GET", "jobs/runs/([^/]+)", lambda rows, _, run: answers.run_of(rows, run)),
    ("GET", "jobs/runs/([^/]+)/facets", _run_facets),
    ("GET", "lineage", lambda rows, asked: answers.lineage(rows, asked["nodeId"], int(asked.get("depth", 20)))),
    ("GET", "column-lineage", _columns),
    (
        "GET",
        "events/lineage",
        lambda rows, asked: answers.events(
            rows, _limit(asked), asked["sortDirection"], asked["before"], asked["after"]
        ),
    ),
    ("GET", "search", lambda rows, asked: answers.search(rows, asked["q"], _limit(asked))),
)
"""What it was taught: method, path, answer."""


@dataclass
class MarquezDouble(Serving):
    """A server on a free port. `script`: what it answers to the next events instead: a status, "hang" or "drop".

    `key`: the API key that a proxy in front of it would ask for. `poison`: texts; it breaks at an event that has all.
    `refused`: what it was asked and does not know.
    """

    file: str = ":memory:"
    key: str | None = None
    poison: tuple[str, ...] = ()
    script: deque[int | str | None] = field(default_factory=deque)
    refused: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self.store = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None)
        self.store.row_factory = sqlite3.Row
        if not self.store.execute("SELECT 1 FROM sqlite_master").fetchone():
            self.store.executescript(SCHEMA)
            self.store.execute("INSERT INTO namespaces VALUES ('default', ?, ?, ?)", (DEFAULT, now(), now()))
        self.serve(_Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.store.close()

    def take(self, raw: bytes) -> None:
        """Keeps an event; what a refused one had brought before it was refused stays, as it does in a real server."""
        event = parsed(raw)
        with self.lock:
            self.store.execute("BEGIN")
            try:
                Taking(self.store, event).take()
            finally:
                self.store.execute("COMMIT")

    def answer(self, method: str, path: str, asked: dict[str, str], raw: bytes) -> tuple[int, Fields | None]:
        """Status and body. Raises RefusedError, and UnknownError for what was never asked of the real server."""
        if (method, path, asked) == ("POST", "lineage", {}):
            return self._taken(raw)
        for wanted, pattern, of in ROUTES:
            if wanted == method and (found := re.fullmatch(pattern, path)):
                with self.lock:
                    return 200, of(self.store, asked, *map(unquote, found.groups()))
        raise UnknownError

    def _taken(self, raw: bytes) -> tuple[int, None]:
        planned = self.script.popleft() if self.script else None
        if planned == "hang":
            time.sleep(60)
        if isinstance(planned, int):
            raise RefusedError(planned)
        if self.poison and all(text.encode() in raw for text in self.poison):
            raise RefusedError(500)
        self.take(raw)
        if planned == "drop":
            raise ConnectionAbortedError
        return 201, None


class _Handler(BaseHTTPRequestHandler):
    double: ClassVar[MarquezDouble]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._say(*self._answered(raw))
        except RefusedError as refusal:
            self._say(refusal.status, refusal.body, html=refusal.body is None)
        except UnknownError:
            self.double.refused.append(f"{self.command} {self.path}")
            self._say(501, {"message": "the double was never taught this"})
        except ConnectionAbortedError:
            self.close_connection = True

    def _answered(self, raw: bytes) -> tuple[int, Fields | None]:
        if self.double.key and self.headers.get("Authorization") != f"Bearer {self.double.key}":
            return 401, {}
        parts = urlsplit(self.path)
        return self.double.answer(self.command, parts.path.removeprefix("/api/v1/"), dict(parse_qsl(parts.query)), raw)

    def _say(self, status: int, body: Fields | None, *, html: bool = False) -> None:
        content = b"<html></html>" if html else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if content:
            self.send_header("Content-Type", "text/html;charset=iso-8859-1" if html else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""
