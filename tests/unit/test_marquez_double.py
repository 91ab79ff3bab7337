"""The double answers as the real server did: every recorded exchange, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.marquez import MarquezDouble, client

pytestmark = pytest.mark.unit

RECORDED = Path(__file__).resolve().parents[2].parent / "shared/marquez/exchanges.jsonl"
VOLATILE = {"createdAt", "updatedAt", "ts", "version", "currentVersion", "datasetVersion", "currentSchemaVersion", "parentJobUuid"}  # fmt: skip  # noqa: E501


def _exchanges() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def double() -> Iterator[MarquezDouble]:
    with MarquezDouble() as server:
        yield server


def _ask(url: str, exchange: dict[str, Any]) -> tuple[int, str | None, Any]:
    request = exchange["request"]
    raw = request.get("raw") if request.get("body") is None else json.dumps(request["body"])
    return client.ask(url, request["method"], request["path"], raw)


def _steady(value: Any, name: str = "") -> Any:
    """Without what a server makes up anew each time; lists that Marquez orders by such things are sorted."""
    if isinstance(value, dict):
        return {key: _steady(item, key) for key, item in value.items()}
    if isinstance(value, list):
        items = [_steady(item) for item in value]
        return sorted(items, key=json.dumps) if name in {"columnLineage", "inputFields"} else items
    if isinstance(value, str) and (name in VOLATILE or "It has been logged" in value):
        return "made up"
    return value


@pytest.mark.parametrize("exchange", _exchanges(), ids=lambda each: f"{each['n']}-{each['what']}")
def test_an_exchange_is_answered_as_recorded(double: MarquezDouble, exchange: dict[str, Any]) -> None:
    status, kind, answer = _ask(double.url, exchange)
    assert (status, kind) == (exchange["status"], exchange["content_type"])
    if kind == "application/json":
        assert _steady(answer) == _steady(exchange["answer"])
    assert double.refused == []


def test_what_was_never_asked_is_refused() -> None:
    with MarquezDouble() as server:
        ask = {"request": {"method": "GET", "path": "/api/v1/stats/lineage-events?period=DAY"}}
        assert _ask(server.url, ask)[0] == 501
        assert server.refused == ["GET /api/v1/stats/lineage-events?period=DAY"]
