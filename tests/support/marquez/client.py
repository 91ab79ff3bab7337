"""Asks a Marquez, the double or a real one."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit


def ask(url: str, method: str, path: str, raw: str | None = None) -> tuple[int, str | None, Any]:
    """Status, type of the content, content."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text, kind = answer.read().decode(), answer.getheader("Content-Type")
    finally:
        connection.close()
    return answer.status, kind, json.loads(text) if kind == "application/json" else text


def get(url: str, path: str, **asked: str) -> Any:
    """What it knows. Fails for anything but an answer."""
    status, _, answer = ask(url, "GET", f"/api/v1/{path}" + (f"?{urlencode(asked)}" if asked else ""))
    assert status == 200, (path, asked, answer)
    return answer


def send(url: str, event: dict[str, Any]) -> None:
    """An event that it must take."""
    status, _, answer = ask(url, "POST", "/api/v1/lineage", json.dumps(event))
    assert status == 201, (event, answer)


def send_all(url: str, events: list[dict[str, Any]]) -> None:
    """Events that it must take, in order."""
    for event in events:
        send(url, event)
