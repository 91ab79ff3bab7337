"""A stand-in for Slack: a local HTTP server with the shapes of its webhook and Web API, and Slack's limits.

It is no Slack: it knows chat.postMessage, chat.update, conversations.history, .replies and .list, and webhooks. Blocks
are parsed by Slack's own models and held to the documented limits; what it does not know it refuses. `script` holds
what it answers next instead: an HTTP status, "hang", "drop" (takes the message and closes without an answer), or an
error's name.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from slack_sdk.models.blocks import Block

from tests.support.serving import Serving

TOKEN = "xoxb-canary-9471"  # noqa: S105  of nothing
APP_TOKEN = "xapp-canary-3141"  # noqa: S105  of nothing
HOOK = "T0/B0/canary-6110"
LIMITS = {"blocks": 50, "section": 3000, "header": 150, "fields": 10, "field": 2000, "rows": 100, "columns": 20}
ALL_TEXTS = 13_200
PAGE = 3  # messages that it gives at once, however many are asked for


@dataclass
class Message:
    """What a channel shows."""

    channel: str
    ts: str
    body: dict[str, Any]
    thread: str | None = None
    edits: int = 0


@dataclass
class SlackDouble(Serving):
    """One workspace. `channels`: names it has; `knows_tables`: whether the table block was rolled out to it."""

    channels: tuple[str, ...] = ()
    knows_tables: bool = True
    messages: list[Message] = field(default_factory=list)
    script: deque[int | str | None] = field(default_factory=deque)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    retry_after: int = 1
    socket: str = ""
    whispered: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self.serve(_Handler)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bot(self) -> str:
        """The value of AIRFLOW_CONN_SLACK_DEFAULT for a bot."""
        extra = {"base_url": f"{self.url}/api/"} | ({"app_token": APP_TOKEN} if self.socket else {})
        return json.dumps({"conn_type": "slack", "password": TOKEN, "extra": extra})

    @property
    def webhook(self) -> str:
        return json.dumps({"conn_type": "slackwebhook", "password": f"{self.url}/services/{HOOK}"})

    def top(self, channel: str) -> list[Message]:
        """Messages of a channel, without those in threads."""
        return [m for m in self.messages if m.channel == self.id_of(channel) and m.thread is None]

    def thread(self, message: Message) -> list[Message]:
        return [m for m in self.messages if m.thread == message.ts]

    def id_of(self, name: str) -> str:
        return f"C{self.channels.index(name):04d}"

    def answer(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """The Web API."""
        if method == "conversations.list":
            found = [{"id": self.id_of(name), "name": name.lstrip("#")} for name in self.channels]
            return {"ok": True, "channels": found, "response_metadata": {"next_cursor": ""}}
        if method == "apps.connections.open":
            return {"ok": True, "url": self.socket}
        channel = body.get("channel", "")
        channel = self.id_of(channel) if channel in self.channels else channel
        if channel not in map(self.id_of, self.channels):
            return {"ok": False, "error": "channel_not_found"}
        if method in {"conversations.history", "conversations.replies"}:
            return self.history(channel, body, body.get("ts") if method.endswith("replies") else None)
        if method == "chat.postEphemeral":
            self.whispered.append((body["user"], body["text"]))
            return {"ok": True, "message_ts": "1"}
        problem = self.problem(body)
        if problem is None and method == "chat.update":
            problem = self.edit(channel, body)
        elif problem is None:
            body["ts"] = self.keep(channel, body).ts
        return {"ok": False, "error": problem} if problem else {"ok": True, "channel": channel, "ts": body["ts"]}

    def history(self, channel: str, asked: dict[str, Any], thread: str | None) -> dict[str, Any]:
        """A page of at most `PAGE` messages after `oldest`, the newest first; metadata only on request."""
        since, start = float(asked.get("oldest") or 0), int(asked.get("cursor") or 0)
        found = [m for m in self.messages if m.channel == channel and m.thread == thread and float(m.ts) > since][::-1]
        wants = str(asked.get("include_all_metadata", "")).lower() in {"1", "true"}
        page = [
            {"ts": m.ts} | ({"metadata": m.body.get("metadata")} if wants else {}) for m in found[start : start + PAGE]
        ]
        more = f"{start + PAGE}" if start + PAGE < len(found) else ""
        return {"ok": True, "messages": page, "response_metadata": {"next_cursor": more}}

    def edit(self, channel: str, body: dict[str, Any]) -> str | None:
        """What an edit is refused for."""
        message = next((m for m in self.messages if m.channel == channel and m.ts == body.get("ts")), None)
        if message is None:
            return "message_not_found"
        message.body |= {name: body[name] for name in ("text", "blocks") if name in body}
        message.edits += 1
        return None

    def keep(self, channel: str, body: dict[str, Any]) -> Message:
        with self.lock:
            message = Message(channel, f"{time.time():.5f}{len(self.messages) % 10}", body, body.get("thread_ts"))
            self.messages.append(message)
            return message

    def problem(self, body: dict[str, Any]) -> str | None:
        """What Slack would refuse a message for."""
        blocks = body.get("blocks") or []
        if not body.get("text"):
            return "no_text"
        if len(blocks) > LIMITS["blocks"] or sum(map(len, texts(blocks))) > ALL_TEXTS:
            return "msg_blocks_too_long"
        try:
            parsed = Block.parse_all(blocks)
            [block.to_dict() for block in parsed]
        except Exception:  # noqa: BLE001  whatever the models find
            return "invalid_blocks"
        return "invalid_blocks" if any(map(self._is_over, blocks)) or len(parsed) != len(blocks) else None

    def _is_over(self, block: dict[str, Any]) -> bool:
        match block["type"]:
            case "section":
                fields = block.get("fields", [])
                over = len(fields) > LIMITS["fields"] or any(len(f["text"]) > LIMITS["field"] for f in fields)
                return over or len(block.get("text", {}).get("text", "")) > LIMITS["section"]
            case "header":
                return len(block["text"]["text"]) > LIMITS["header"]
            case "table":
                rows = block["rows"]
                many = len(rows) > LIMITS["rows"] or any(len(row) > LIMITS["columns"] for row in rows)
                return not self.knows_tables or many or any(not cell["text"] for row in rows for cell in row)
            case "context":
                return len(block["elements"]) > 10
            case "actions":
                return len(block["elements"]) > 25
            case _:
                return True


def texts(part: Any) -> list[str]:
    """Every text of a payload."""
    if isinstance(part, list):
        return [text for item in part for text in texts(item)]
    if isinstance(part, dict):
        own = [part["text"]] if isinstance(part.get("text"), str) else []
        return own + [text for value in part.values() for text in texts(value)]
    return []


class _Handler(BaseHTTPRequestHandler):
    double: ClassVar[SlackDouble]

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        parts = urlsplit(self.path)
        body = json.loads(raw) if raw.startswith("{") else dict(parse_qsl(raw))
        body |= dict(parse_qsl(parts.query))
        self.double.calls.append((parts.path.rpartition("/")[2], body))
        planned = self.double.script.popleft() if self.double.script else None
        if planned == "hang":
            time.sleep(60)
        if isinstance(planned, int):
            self._say(planned, "", {"Retry-After": str(self.double.retry_after)} if planned == 429 else {})
        elif parts.path == f"/services/{HOOK}":
            self._hook(body, planned)
        else:
            self._api(parts.path.removeprefix("/api/"), body, planned)

    def _hook(self, body: dict[str, Any], planned: str | None) -> None:
        problem = planned if planned not in {None, "drop"} else self.double.problem(body)
        if problem:
            return self._say(400, problem)
        self.double.keep("hook", body)
        return self.connection.close() if planned == "drop" else self._say(200, "ok")

    def _api(self, method: str, body: dict[str, Any], planned: str | None) -> None:
        if self.headers.get("Authorization") not in {f"Bearer {TOKEN}", f"Bearer {APP_TOKEN}"}:
            answer: dict[str, Any] = {"ok": False, "error": "invalid_auth"}
        elif planned not in {None, "drop"}:
            answer = {"ok": False, "error": planned}
        else:
            answer = self.double.answer(method, body)
        return self.connection.close() if planned == "drop" else self._say(200, json.dumps(answer))

    def _say(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


_Handler.do_GET = _Handler.do_POST  # type: ignore[attr-defined]
