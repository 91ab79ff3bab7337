"""Files as a channel: what would be sent, to be looked at. For the demo and for previews; nobody is told by it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from dataops.ledger.enums import Channel
from dataops.outlets.notify import mail, slack
from dataops.outlets.notify.port import Errand
from dataops.outlets.refusals import Sent


class Files:
    """One file per message below a folder: `.json` as Slack would get it, `.eml` as a mail server would."""

    def __init__(self, folder: Path, people: Mapping[str, str], sender: str) -> None:
        self._folder = folder
        self._people = people
        self._sender = sender

    def send(self, errand: Errand) -> Sent:
        """Writes one file, and over one that is there already."""
        self._folder.mkdir(parents=True, exist_ok=True)
        of = re.sub(r"[^A-Za-z0-9]+", "-", errand.delivery.subject).strip("-")
        name = f"{errand.delivery.seq:04d}-{of}-{re.sub('[^a-z0-9]+', '-', errand.delivery.whom).strip('-')}"
        if errand.delivery.channel is Channel.SLACK:
            body = slack.message(errand.story, self._people)
            text = json.dumps(body | {"channel": errand.delivery.whom}, indent=1, ensure_ascii=False)
            (self._folder / f"{name}.json").write_text(text, encoding="utf-8")
            return Sent(remote=f"{self._folder.name}:{name}.json")
        letter = mail.message(errand.story, errand.delivery, self._sender, opened=errand.opened)
        (self._folder / f"{name}.eml").write_bytes(letter.as_bytes())
        return Sent(remote=str(letter["Message-ID"]))
