"""A held day as a channel shows it in the end, drawn by a real browser: the picture in the how-to."""

from __future__ import annotations

import copy
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.airflow import channels
from dataops.declared import settings
from dataops.lab.faulty_source import open_source
from dataops.ledger import batches, clock, incidents, schema
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.notify import relay
from dataops.pipeline import jobs, stewards
from dataops.sources import Window
from tests.conftest import PROJECT
from tests.support.mail_server import mail_server
from tests.support.slack_double import SlackDouble
from tests.support.thread_picture import drawn, photograph, spoken

pytestmark = pytest.mark.integration
URL = "generator:?scale=0.01&seed=7"
PICTURES = PROJECT / "docs" / "how-to" / "pictures"


def _load(work: Workspace, group: str, window: str | None = None, url: str = URL) -> Any:
    with jobs.source_of(work, url, open_source) as source:
        return jobs.load(work, group, Window.parse(window) if window else None, source)


def _relay(work: Workspace) -> None:
    relay.relay(work, channels.of(work))


def _in_office_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's clock goes from noon in Los Angeles on: no quiet hours begin while the test runs."""
    now = clock.now
    ahead = now().replace(hour=20, minute=0) + timedelta(days=1) - now()
    monkeypatch.setattr(clock, "now", lambda: now() + ahead)


def test_the_thread_of_a_held_day_is_the_picture_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told, acknowledged, waived by two people, published, edited.

    DATAOPS_TEST_PICTURES=write draws it anew.
    """
    _in_office_hours(monkeypatch)
    work = open_workspace(settings.load({"DATAOPS_HOME": str(tmp_path / "home")}, project=PROJECT))
    _load(work, "reference")
    _load(work, "sales", "2011-05-31..2014-06-02")
    with SlackDouble(channels=("#dq-sales", "#dq-digest", "#dq-operations")) as slack, mail_server() as mails:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", slack.bot)
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mails.connection)
        _load(work, "sales", "2014-06-02..2014-06-09", f"{URL}&faults=price_x100,orphan_customer")
        _relay(work)
        [first] = slack.top("#dq-sales")
        opened = copy.deepcopy(first)
        with schema.writing(work.warehouse) as connection:
            incidents.acknowledge(connection, "INC-0001", "anna", "the vendor sends a corrected price list tonight")
            held = batches.required(connection, None, "sales")
        _relay(work)
        asked = stewards.ask_release(work, held.batch_id, str(held.rules_hash), "anna", "prices are confirmed", "100%")
        stewards.release(work, asked, "boris")
        _relay(work)
        assert slack.top("#dq-sales")[0] is first
        assert first.body["text"].startswith("◪ Sales published under a waiver")
        [kept_back] = slack.top("#dq-sales")[1:]
        page = drawn("#dq-sales", opened, first, slack.thread(first), [kept_back])
    place = PICTURES if os.environ.get("DATAOPS_TEST_PICTURES") == "write" else tmp_path
    place.mkdir(exist_ok=True)
    photograph(page, place / "held-day.png")
    (place / "held-day.txt").write_text(spoken(page), encoding="utf-8")
    assert (place / "held-day.png").stat().st_size > 20_000
    assert (PICTURES / "held-day.txt").read_text("utf-8") == (place / "held-day.txt").read_text("utf-8")
