"""What several files of these tests look at: Microsoft's data, loaded and built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataops.sources import open_source
from tests.conftest import PostgresServer
from tests.support.agreement import Outcomes, deliver, edition_url
from tests.support.mail_server import MailServer, mail_server
from tests.support.slack_double import SlackDouble


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Outcomes:
    """The 2014 edition, one full load per warehouse. Tests that use it stand in the group `edition`, for one worker."""
    return deliver(tmp_path_factory.mktemp("edition"), postgres, [open_source(edition_url())])


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackDouble]:
    """A workspace that the connection of this process leads to."""
    with SlackDouble(channels=("#dq-sales", "#dq-digest", "#ops")) as double:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", double.bot)
        yield double


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that the connection of this process leads to."""
    with mail_server() as server:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection)
        yield server
