"""Buttons in Slack messages, over a real web socket: who is known may acknowledge and take, nobody may publish."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from dataops.airflow import channels
from dataops.ledger import incidents, schema
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import relay
from dataops.outlets.refusals import UnconfiguredError
from tests.support.crash import wait_until
from tests.support.slack_double import SlackDouble
from tests.support.told import told

pytestmark = [pytest.mark.integration, pytest.mark.quick]


class Socket:
    """Slack's end of the socket: sends envelopes, keeps what is acknowledged."""

    def __init__(self) -> None:
        self.outgoing: Queue[dict[str, Any] | None] = Queue()
        self.acknowledged: list[str] = []
        self.server: Server = serve(self._talk, "127.0.0.1", 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/link"

    def _talk(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}))
        while (envelope := self.outgoing.get()) is not None:
            connection.send(json.dumps(envelope))
            self.acknowledged.append(json.loads(connection.recv(timeout=10))["envelope_id"])

    def press(self, action: str, value: str, user: str) -> None:
        payload = {"type": "block_actions", "user": {"id": user}, "channel": {"id": "C0000"},
                   "actions": [{"action_id": action, "value": value}]}  # fmt: skip
        number = f"E{len(self.acknowledged)}{self.outgoing.qsize()}"
        self.outgoing.put({"type": "interactive", "envelope_id": number, "payload": payload})


@pytest.fixture
def socket() -> Iterator[Socket]:
    found = Socket()
    yield found
    found.outgoing.put(None)
    found.server.shutdown()


def _incident(work: Workspace) -> str:
    with schema.writing(work.warehouse) as connection:
        return incidents.open_for(connection, "sales", 0, "a", Detail(), kind=IncidentKind.HELD, cause="a")


def _state(work: Workspace, name: str) -> tuple[str, str | None]:
    with work.warehouse.reading() as connection:
        found = incidents.required(connection, name)
        return found.state.value, found.assignee


def test_a_known_person_acknowledges_and_takes_an_incident_and_a_stranger_does_not(
    tmp_path: Path, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = told(tmp_path)
    name = _incident(work)
    with SlackDouble(channels=("#dq-sales",), socket=socket.url) as slack:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", slack.bot)
        relay.relay(work, channels.of(work))
        [first] = slack.top("#dq-sales")
        assert [e["action_id"] for b in first.body["blocks"] if b["type"] == "actions" for e in b["elements"]][-2:] == [
            "acknowledge",
            "assign",
        ]
        client = channels.listening(work)
        client.connect()
        try:
            for action, user in (("acknowledge", "U0STRANGER"), ("acknowledge", "U0TESTS"), ("acknowledge", "U0TESTS"),
                                 ("publish", "U0TESTS"), ("assign", "U0TESTS")):  # fmt: skip
                socket.press(action, name, user)
            wait_until(lambda: len(slack.whispered) == 4, 30, "four answers")
            wait_until(lambda: len(socket.acknowledged) == 5, 30, "five acknowledgements")
        finally:
            client.close()
        person = "tests@adventure-works.example"
        assert _state(work, name) == ("acknowledged", person)
        assert [text.split(":")[0] for _, text in sorted(slack.whispered, key=lambda w: w[1])] == [
            "INC-0001 is acknowledged by tests@adventure-works.example.",
            "INC-0001 is assigned to tests@adventure-works.example.",
            "Nothing was done",
            "Nothing was done",
        ]
        assert [text for user, text in slack.whispered if user == "U0STRANGER"] == [
            "Nothing was done: you are not known here. Add yourself to project.yml, messages: people."
        ]
        wait_until(lambda: len(slack.thread(first)) == 2, 30, "the message to follow")


def test_without_an_apps_token_nobody_listens_and_no_button_does_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = told(tmp_path)
    _incident(work)
    with SlackDouble(channels=("#dq-sales",)) as slack:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", slack.bot)
        relay.relay(work, channels.of(work))
        [first] = slack.top("#dq-sales")
        assert all("url" in e for b in first.body["blocks"] if b["type"] == "actions" for e in b["elements"])
        with pytest.raises(UnconfiguredError, match="app_token in its extra"):
            channels.listening(work)
