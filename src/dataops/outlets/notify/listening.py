"""What people press in a message, by Slack's Socket Mode: they acknowledge an incident, or take it.

Nothing that publishes can be decided here: that needs Airflow's login. Who presses is known by project.yml's `people`;
anybody else is told so, and nothing happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dataops.declared.errors import DataopsError
from dataops.ledger import incidents
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace

if TYPE_CHECKING:
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

ACKNOWLEDGE, ASSIGN = "acknowledge", "assign"


def pressed(work: Workspace, action: str, incident: str, slack_id: str) -> str:
    """Does what a button says, in the name of who pressed it; what is answered to them alone."""
    people = work.settings.project.messages.people
    who = next((address for address, known in people.items() if known == slack_id), None)
    if who is None:
        return "Nothing was done: you are not known here. Add yourself to project.yml, messages: people."
    try:
        with writing(work.warehouse) as connection:
            if action == ACKNOWLEDGE:
                incidents.acknowledge(connection, incident, who)
                return f"{incident} is acknowledged by {who}."
            incidents.assign(connection, incident, who, who)
            return f"{incident} is assigned to {who}."
    except DataopsError as problem:
        return f"Nothing was done: {problem}"


def listener(work: Workspace, relay: Callable[[], object]) -> Callable[[BaseSocketModeClient, SocketModeRequest], None]:
    """Answers what Slack sends; `relay` lets the message follow what was done.

    Slack is answered at once, from a thread of its own each time; what was pressed is done one after the other.
    """
    one_at_a_time = threading.Lock()

    def answer(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        from slack_sdk.socket_mode.response import SocketModeResponse

        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        payload: Mapping[str, Any] = request.payload or {}
        if request.type != "interactive" or payload.get("type") != "block_actions":
            return
        for action in payload.get("actions") or ():
            if action.get("action_id") in {ACKNOWLEDGE, ASSIGN}:
                user = str(payload["user"]["id"])
                with one_at_a_time:
                    text = pressed(work, action["action_id"], str(action.get("value")), user)
                    channel = str(payload["channel"]["id"])
                    client.web_client.chat_postEphemeral(channel=channel, user=user, text=text)
                    relay()

    return answer
