"""Probes of the channels that messages leave by: what this process finds in its environment; nothing is sent."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from dataops.declared.settings import Settings
from dataops.lab.doctor import Finding

SECONDS = 2.0
HERE = "messages stay in the outbox, unless Airflow has a connection of its own"


def slack(_: Settings, environ: Mapping[str, str] | None = None) -> Finding:
    """Whether messages can be edited in place, added only, or not sent at all."""
    environ = os.environ if environ is None else environ
    kind = _connection(environ, "SLACK_DEFAULT").get("conn_type")
    if kind is None and environ.get("DATAOPS_SLACK_WEBHOOK"):
        kind = "slackwebhook"
    if kind is None:
        return Finding("off", "slack", f"no connection slack_default here; {HERE}")
    if kind == "slackwebhook":
        said = "webhook set, no bot token: messages cannot be edited in place"
        return Finding("warn", "slack", said, "docs/how-to/tell-people.md")
    return Finding("ok", "slack", "bot token set; not tried (dataops notify test)")


def mail(_: Settings, environ: Mapping[str, str] | None = None) -> Finding:
    """Whether the mail server accepts a connection."""
    environ = os.environ if environ is None else environ
    known = _connection(environ, "SMTP_DEFAULT")
    if not known:
        return Finding("off", "mail", f"no connection smtp_default here; {HERE}")
    host, port = str(known.get("host") or ""), int(str(known.get("port") or 465))
    try:
        with socket.create_connection((host, port), SECONDS):
            pass
    except OSError as error:
        said = f"{host}:{port} does not answer: {error.strerror or type(error).__name__}"
        return Finding("warn", "mail", said, "mails wait in the outbox: dataops outbox list")
    return Finding("ok", "mail", f"{host}:{port} accepts; test not sent (dataops notify test)")


def lineage(settings: Settings, environ: Mapping[str, str] | None = None) -> Finding:
    """Whether a lineage server is configured, and accepts a connection where it is one of HTTP."""
    from dataops.outlets.lineage import backend
    from dataops.outlets.refusals import UnconfiguredError

    try:
        server = backend.configured(settings.paths.project, environ)
    except UnconfiguredError:
        return Finding("off", "lineage", "no server configured; events are kept for one (dataops lineage status)")
    host, _, port = server.name.partition(":")
    if not port.isdigit():
        return Finding("ok", "lineage", f"goes to {server.name}")
    try:
        with socket.create_connection((host, int(port)), SECONDS):
            pass
    except OSError as error:
        said = f"{server.name} does not answer: {error.strerror or type(error).__name__}"
        return Finding("warn", "lineage", said, "events wait for it: dataops lineage status")
    return Finding("ok", "lineage", f"{server.name} accepts")


def _connection(environ: Mapping[str, str], name: str) -> dict[str, object]:
    """What a connection in the environment says of itself, as Airflow writes it: JSON or a URL. Never its secrets."""
    text = environ.get(f"AIRFLOW_CONN_{name}", "").strip()
    if text.startswith("{"):
        found = json.loads(text)
        return {key: found.get(key) for key in ("conn_type", "host", "port")}
    parts = urlsplit(text)
    return {"conn_type": parts.scheme, "host": parts.hostname, "port": parts.port} if parts.scheme else {}
