"""A real SMTP server (aiosmtpd) that answers as a test says and keeps what it took."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller


@dataclass
class MailServer:
    """`refused`: mailbox -> answer to RCPT; `script`: answers to the next DATA: an SMTP line, or "hang".

    `seconds`: for how long a client of its connection waits; few only where it is to hang, since it may be slow itself.
    """

    refused: dict[str, str] = field(default_factory=dict)
    script: deque[str | None] = field(default_factory=deque)
    taken: list[EmailMessage] = field(default_factory=list)
    port: int = 0
    seconds: int = 30

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: ARG002, N802
        """Refuses whom the test named."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802
        """Takes the mail, unless the script says otherwise; "hang" takes it and never answers."""
        planned = self.script.popleft() if self.script else None
        if planned not in {None, "hang"}:
            return str(planned)
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.taken.append(cast("EmailMessage", parsed))
        if planned == "hang":
            await asyncio.sleep(60)
        return "250 taken"

    @property
    def connection(self) -> str:
        """The value of AIRFLOW_CONN_SMTP_DEFAULT."""
        extra = {"from_email": "Data <data@adventure-works.example>", "disable_ssl": True, "disable_tls": True,
                 "timeout": self.seconds, "retry_limit": 0}  # fmt: skip
        return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra})

    def to(self, address: str) -> list[EmailMessage]:
        """What one mailbox got, as somebody whose program drops repeated Message-IDs sees it."""
        return list({str(mail["Message-ID"]): mail for mail in self.taken if str(mail["To"]) == address}.values())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """On a free port of this machine."""
    handler = MailServer()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        handler.port = probe.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=handler.port)
    controller.start()
    try:
        yield handler
    finally:
        controller.stop(no_assert=True)
