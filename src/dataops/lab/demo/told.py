"""What is told in the demo: messages as files, to a Slack webhook and a lineage server as well where one is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dataops.ledger.enums import Channel
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import relay
from dataops.outlets.notify.by_file import Files
from dataops.outlets.notify.port import Channel as Port
from dataops.outlets.notify.port import Errand
from dataops.outlets.refusals import Sent, UnconfiguredError

SENDER = "data@demo.example"
WEBHOOK = "DATAOPS_SLACK_WEBHOOK"


class _Both:
    """A file to look at, and the real thing."""

    def __init__(self, files: Files, hook: Port) -> None:
        self._files = files
        self._hook = hook

    def send(self, errand: Errand) -> Sent:
        """Writes the file first: it is there whatever Slack says."""
        written = self._files.send(errand)
        sent = self._hook.send(errand)
        return Sent(remote=sent.remote or written.remote, note=sent.note, was_needless=sent.was_needless)


def folder(work: Workspace) -> Path:
    """Where the messages lie."""
    return work.settings.paths.home / "messages"


def tell(work: Workspace, incident: str, environ: Mapping[str, str] | None = None) -> tuple[list[str], list[str]]:
    """Sends what waits: files of the messages about an incident, as people may open them; and what was not taken."""
    environ = os.environ if environ is None else environ
    people = work.settings.project.messages.people
    files = Files(folder(work), people, SENDER)
    slack: Port = files
    if url := environ.get(WEBHOOK):
        from slack_sdk import WebhookClient

        from dataops.outlets.notify.by_slack import SlackWebhook

        slack = _Both(files, SlackWebhook(WebhookClient(url, timeout=10, retry_handlers=[]), people))
    passed = relay.relay(work, {Channel.SLACK: lambda: slack, Channel.MAIL: lambda: files})
    written = [work.settings.paths.shown(file) for file in sorted(folder(work).glob(f"*-{incident}-*"))]
    return written, [*passed.problems, *_lineage(work)]


def _lineage(work: Workspace) -> list[str]:
    """Tells a lineage server, if there is one, and returns what it did not take."""
    from dataops.outlets.lineage import relaying

    try:
        return relaying.relay_all(work).problems
    except UnconfiguredError:
        return []
