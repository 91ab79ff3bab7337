"""Channels over Airflow's connections: `slack_default` (a bot's token or a webhook) and `smtp_default`.

The command line uses them as well: a connection is found in the environment (AIRFLOW_CONN_SLACK_DEFAULT) or in
Airflow's secrets backend; in a task also in Airflow's own database. No error repeats a secret: it names the connection.
"""

from __future__ import annotations

import json
import os
import smtplib
from typing import Any

from dataops.ledger.enums import Channel
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.port import Channel as Port
from dataops.outlets.notify.port import Channels, Errand
from dataops.outlets.refusals import LaterError, UnconfiguredError

SLACK, SMTP = "slack_default", "smtp_default"
SECONDS = 10  # that a receiver may take to answer
APP_TOKEN = "app_token"  # noqa: S105  the name under which it is kept
WEBHOOK = "DATAOPS_SLACK_WEBHOOK"


def of(work: Workspace) -> Channels:
    """How each channel is opened in this installation."""
    return {Channel.SLACK: lambda: _slack(work), Channel.MAIL: lambda: _mail(work)}


def _slack(work: Workspace) -> Port:
    from dataops.outlets.notify.by_slack import SlackBot, SlackWebhook

    _take_webhook()
    people = work.settings.project.messages.people
    connection = _connection(SLACK)
    if connection.conn_type == "slackwebhook":
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(slack_webhook_conn_id=SLACK, timeout=SECONDS, retry_handlers=[])
        return SlackWebhook(hook.client, people)
    from airflow.providers.slack.hooks.slack import SlackHook

    hook = SlackHook(slack_conn_id=SLACK, timeout=SECONDS, retry_handlers=[])
    return SlackBot(hook.client, people, interactive=bool(connection.extra_dejson.get(APP_TOKEN)))


def listening(work: Workspace) -> Any:  # noqa: ANN401  a client of Slack's Socket Mode
    """A client that Slack sends to what people press. Raises UnconfiguredError without a bot's and an app's token."""
    from airflow.providers.slack.hooks.slack import SlackHook
    from slack_sdk.socket_mode import SocketModeClient

    from dataops.outlets.notify import listening, relay

    connection = _connection(SLACK)
    token = connection.extra_dejson.get(APP_TOKEN)
    if connection.conn_type != "slack" or not token:
        raise UnconfiguredError(
            f"connection {SLACK} needs a bot's token, and the app's (xapp-…) as {APP_TOKEN} in its extra"
        )
    bot = SlackHook(slack_conn_id=SLACK, timeout=SECONDS, retry_handlers=[]).client
    client = SocketModeClient(app_token=str(token), web_client=bot)
    client.socket_mode_request_listeners.append(listening.listener(work, lambda: relay.relay(work, of(work))))
    return client


def _take_webhook() -> None:
    """The short way to a webhook: one variable, where no connection is set."""
    name = f"AIRFLOW_CONN_{SLACK.upper()}"
    if (url := os.environ.get(WEBHOOK)) and name not in os.environ:
        os.environ[name] = json.dumps({"conn_type": "slackwebhook", "password": url})


def _mail(work: Workspace) -> Port:
    from airflow.providers.smtp.hooks.smtp import SmtpHook
    from airflow.sdk.exceptions import AirflowException

    from dataops.outlets.notify.by_mail import Mail

    connection = _connection(SMTP)
    sender = connection.extra_dejson.get("from_email") or connection.login
    if not sender or "@" not in sender:
        raise UnconfiguredError(f"connection {SMTP} names no sender; set from_email in its extra")
    desk = Desk(work)

    def connect() -> smtplib.SMTP:
        # The hook's own way to send makes mails without a text part; its client is what we need of it.
        hook = SmtpHook(smtp_conn_id=SMTP)
        try:
            client: smtplib.SMTP = hook.get_conn()._smtp_client  # noqa: SLF001
        except AirflowException as error:
            raise LaterError(f"connection {SMTP}: {error}", for_all=True) from None
        return client

    return Mail(connect, str(sender), lambda errand: _owner(desk, errand))


def _owner(desk: Desk, errand: Errand) -> str | None:
    """Whom one asks to get no more of these: who owns the report, or the data that it is about."""
    person = next((fact.value for fact in errand.story.facts if fact.is_person), None)
    name = errand.delivery.subject.partition(" ")[0]
    owner = desk.reports[name].owner if name in desk.reports else person
    return owner if isinstance(owner, str) and "@" in owner else None


def _connection(name: str) -> Any:  # noqa: ANN401  Airflow's connection
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise UnconfiguredError(
            f"there is no connection {name}; set AIRFLOW_CONN_{name.upper()}, or add it in Airflow"
        ) from None
