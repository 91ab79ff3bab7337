"""The outbox as people meet it: digests, commands, the watch over the platform itself, and no secret anywhere."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path

import pytest

from dataops.airflow import channels
from dataops.cli.process import main
from dataops.ledger import clock, heartbeats, incidents, outbox, schema
from dataops.ledger.enums import DeliveryState, IncidentKind, NoticeKind
from dataops.ledger.heartbeats import Beat
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import relay as relaying
from dataops.outlets.outcomes import Passed
from dataops.pipeline import watch_platform
from tests.support.mail_server import MailServer
from tests.support.shop import line, load, small_shop, workspace
from tests.support.slack_double import HOOK, TOKEN, SlackDouble
from tests.support.told import told, told_project

pytestmark = [pytest.mark.integration, pytest.mark.quick]
NOW = clock.now
HOUR = timedelta(hours=1)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return told(tmp_path)


@pytest.fixture
def here(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The command line works on it."""
    monkeypatch.setenv("DATAOPS_HOME", str(work.settings.paths.home))
    monkeypatch.setenv("DATAOPS_PROJECT", str(work.settings.paths.project))
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", work.settings.warehouse_url)
    return work


def _relay(work: Workspace) -> Passed:
    return relaying.relay(work, channels.of(work))


def _held(work: Workspace) -> None:
    shop = small_shop(orders=8)
    load(work, shop, "reference")
    for row in shop.lines:
        row.update(line(row["order_id"], row["line_id"], price="-1.00"))
    for row in shop.orders:
        row["sub_total"] = sum(each["amount"] for each in shop.lines if each["order_id"] == row["order_id"])
    load(work, shop, "sales")


def _later(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW() + span)


def _platform(work: Workspace) -> list[tuple[str, str]]:
    with work.warehouse.reading() as connection:
        found = [i for i in incidents.newest(connection, None, 100) if i.kind is IncidentKind.PLATFORM]
        return [(i.sentence, i.state.value) for i in reversed(found)]


def _look(work: Workspace) -> list[str]:
    with schema.writing(work.warehouse) as connection:
        return watch_platform.look(connection, work.warehouse)


@pytest.mark.usefixtures("mails")
def test_a_digest_is_told_once_a_week_and_not_before_anything_was_published(
    work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    with schema.writing(work.warehouse):
        pass
    _later(monkeypatch, timedelta(days=8))
    _relay(work)
    assert slack.messages == []
    monkeypatch.setattr(clock, "now", NOW)
    _held(work)
    _later(monkeypatch, timedelta(days=8))
    for _ in range(3):
        _relay(work)
    [digest] = slack.top("#dq-digest")
    assert digest.body["text"].startswith("■ Week ")
    assert "Sales is held" in digest.body["text"]
    assert "INC-0001 (sales):" in json.dumps(digest.body)
    _later(monkeypatch, timedelta(days=15))
    _relay(work)
    assert len(slack.top("#dq-digest")) == 2


def test_what_a_person_decides_about_a_message_is_kept_with_name_and_reason(
    here: Workspace, mails: MailServer, slack: SlackDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    mails.refused["second@adventure-works.example"] = "550 no such mailbox"
    slack.script.append("not_in_channel")
    _held(here)
    assert main(["outbox", "relay"]) == 0
    assert "2 delivered, 2 refused for good" in capsys.readouterr().out
    assert main(["outbox", "list"]) == 0
    out = capsys.readouterr()
    assert out.out.count("parked") == 2
    assert "2 parked, 2 notices not looked at" in out.err  # what the two refusals opened
    assert main(["outbox", "list", "--state", "parked", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["schema"] == "dataops.outbox/1"
    slack_id, mail_id = sorted((d["delivery"] for d in listed["deliveries"]), key=lambda name: name)
    assert main(["outbox", "drop", mail_id, "--reason", " "]) == 2
    assert main(["outbox", "drop", mail_id, "--reason", "left the company", "--by", "anna"]) == 0
    assert main(["outbox", "retry", slack_id, "--by", "anna"]) == 0
    assert main(["outbox", "relay"]) == 0
    capsys.readouterr()
    assert main(["outbox", "show", mail_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["who"], shown["reason"]) == ("dropped", "anna", "left the company")
    assert main(["outbox", "drop", mail_id, "--reason", "again"]) == 2
    assert "is dropped; nothing can become of it" in capsys.readouterr().err
    assert main(["outbox", "show", "OUT-0099"]) == 2
    assert main(["outbox", "list", "--state", "lost"]) == 2
    assert len(slack.top("#dq-sales")) == 1


def test_samples_of_each_kind_are_sent_on_request(
    here: Workspace, slack: SlackDouble, mails: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notify", "test"]) == 0
    assert (
        len(slack.top("#ops"))
        == len(mails.to("ops@adventure-works.example"))
        == len(set(NoticeKind) - {NoticeKind.LINEAGE})
    )
    assert all("Test: " in message.body["text"] for message in slack.messages)
    assert main(["notify", "test", "--to", "#nowhere"]) == 3
    assert "channel_not_found" in capsys.readouterr().out
    assert main(["notify", "test", "--to", "nobody"]) == 2
    with here.warehouse.reading() as connection:
        assert not schema.is_there(connection)


def test_a_relay_that_stands_still_is_told_by_the_watch_and_the_messages_leave(
    here: Workspace, slack: SlackDouble, mails: MailServer, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _held(here)
    assert main(["watch"]) == 0
    assert _platform(here) == []
    _later(monkeypatch, 2 * HOUR)
    assert main(["watch"]) == 1
    assert "messages wait since" in capsys.readouterr().out
    assert [state for _, state in _platform(here)] == ["open"]
    assert len(slack.top("#dq-sales")) == 1
    [told] = slack.top("#ops")
    assert "the relay never ran" in told.body["text"]
    assert len(mails.to("ops@adventure-works.example")) == 1
    assert main(["watch"]) == 0
    assert [state for _, state in _platform(here)] == ["resolved"]
    _relay(here)
    assert told.body["text"].startswith("● Solved: ")


@pytest.mark.usefixtures("mails")
def test_a_watchdog_that_stands_still_is_told_by_the_relay(
    work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    _held(work)
    _relay(work)
    assert _look(work) == []
    _later(monkeypatch, 2 * HOUR)
    _relay(work)
    assert "nobody has watched since" in slack.top("#ops")[0].body["text"]
    _look(work)
    _relay(work)
    assert slack.top("#ops")[0].body["text"].startswith("● Solved: ")


def test_a_disk_that_is_nearly_full_is_told_once(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _held(work)
    monkeypatch.setattr(type(work.warehouse), "free_bytes", lambda _: 5 * 2**20)
    for _ in range(2):
        assert _look(work) == ["the disk has 5 MiB left"]
    assert _platform(work) == [("the disk has 5 MiB left", "open")]
    monkeypatch.undo()
    assert _look(work) == []
    assert _platform(work) == [("the disk has 5 MiB left", "resolved")]


def test_heartbeats_say_when_something_ran_last(work: Workspace) -> None:
    _held(work)
    with schema.writing(work.warehouse) as connection:
        assert heartbeats.last(connection, Beat.RELAY) is None
        heartbeats.note(connection, Beat.RELAY)
        heartbeats.note(connection, Beat.RELAY)
        last = heartbeats.last(connection, Beat.RELAY)
    assert last is not None
    assert NOW() - last < HOUR


@pytest.mark.parametrize("kind", ["bot", "webhook"])
@pytest.mark.parametrize("answer", [None, "drop", 500, "invalid_auth", "channel_not_found"])
def test_a_secret_is_nowhere(
    here: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch, kind: str, answer: int | str | None,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Canaries in every connection; looked for in outputs, logs and everything that was written."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", getattr(slack, kind))
    mailing = {"conn_type": "smtp", "host": "127.0.0.1", "port": 9, "login": "robot", "password": "canary-7777",
               "extra": {"from_email": "data@adventure-works.example", "disable_ssl": True, "timeout": 1}}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mailing))
    _held(here)
    slack.script.extend([answer] * 3)
    commands = ("outbox relay", "-vv outbox relay", "outbox list --json", "watch", "notify test",
                "notify preview INC-0001", "incidents show INC-0001")  # fmt: skip
    for command in commands:
        main(command.split())
    said = capsys.readouterr()
    home = here.settings.paths.home
    written = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    for canary in (TOKEN, HOOK.rpartition("/")[2], "canary-7777"):
        assert canary not in said.out + said.err + caplog.text
        assert canary.encode() not in written


def test_a_ledger_that_was_restored_sends_nothing_that_arrived_again(
    tmp_path: Path, slack: SlackDouble, mails: MailServer
) -> None:
    """The backup knows of messages that wait; since then they were sent."""
    from dataops.pipeline import backups

    work = workspace(tmp_path / "home", None, told_project(tmp_path / "project"))
    _held(work)
    backups.make(work)
    _relay(work)
    backups.restore(work)
    _relay(work)
    assert len(slack.top("#dq-sales")) == 1
    assert len(mails.to("tests@adventure-works.example")) == 1
    with work.warehouse.reading() as connection:
        found = [d for d in outbox.of_subject(connection, "INC-0001") if d.channel == "slack"]
    assert found[0].problem == "had arrived at an earlier attempt"
    assert {d.state for d in found} == {DeliveryState.DELIVERED}
