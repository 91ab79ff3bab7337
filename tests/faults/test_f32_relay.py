"""F31 to F33: a relay that is killed, receivers that ask to wait, fail, hang up or refuse: told once, in order."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from dataops.airflow import channels
from dataops.ledger import incidents, outbox, schema
from dataops.ledger.enums import DeliveryState, IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.workspace import Workspace
from dataops.outlets import outcomes
from dataops.outlets.notify import relay
from tests.support.crash import Child, wait_until
from tests.support.mail_server import MailServer, mail_server
from tests.support.shop import workspace
from tests.support.slack_double import SlackDouble
from tests.support.told import told_project

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("DATAOPS_TEST_KILLS", "40"))
POINTS = ("", "", "", "delivery_sent=kill", "delivery_tried=kill")  # where most can go wrong, and anywhere
STEPS = ("looking", "found it", "asked the vendor")
MAILBOXES = tuple(f"{name}@adventure-works.example" for name in ("tests", "second", "third"))


def send(home: str, url: str | None, project: str) -> str:
    """What a child does: one pass, without waiting between attempts."""
    outcomes.wait = lambda *_: 0.0  # type: ignore[assignment]
    work = workspace(Path(home), url, Path(project))
    return relay.relay(work, channels.of(work)).sentence


def _tell(work: Workspace, first: int, number: int) -> list[str]:
    """Incidents with a few steps each; returns their ids."""
    made = []
    with schema.writing(work.warehouse) as connection:
        for n in range(first, first + number):
            detail = Detail()
            name = incidents.open_for(
                connection, "sales", 0, f"cause {n}", detail, kind=IncidentKind.HELD, cause=f"{n}"
            )
            for text in STEPS:
                incidents.comment(connection, name, text, "anna")
            made.append(name)
    return made


def _left(work: Workspace) -> Counter[DeliveryState]:
    with work.warehouse.reading() as connection:
        return Counter(outbox.counts(connection)) + Counter({DeliveryState.WAITING: outbox.unrouted_count(connection)})


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.timeout(300 + KILLS * 20)
def test_a_relay_killed_at_random_tells_everybody_once_and_in_order(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed = int(os.environ.get("DATAOPS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"DATAOPS_TEST_SEED={seed} kills={KILLS}")  # noqa: T201  to repeat it
    dice = random.Random(seed)  # noqa: S311  a test's dice
    url = request.getfixturevalue("postgres_url") if engine == "postgres" else None
    project = told_project(tmp_path / "project")
    work = workspace(tmp_path / "home", url, project)
    names, killed = _tell(work, 0, 5), 0
    with SlackDouble(channels=("#dq-sales", "#dq-digest", "#ops"), retry_after=0) as slack, mail_server() as mails:
        environ = {"AIRFLOW_CONN_SLACK_DEFAULT": slack.bot, "AIRFLOW_CONN_SMTP_DEFAULT": mails.connection}
        call = (send, str(tmp_path / "home"), url, str(project))
        while killed < KILLS:
            if not _left(work)[DeliveryState.WAITING]:
                names += _tell(work, len(names), 5)
            _disturb(dice, slack, mails)
            child = Child(*call, failpoint=dice.choice(POINTS), environ=environ)
            wait_until(child.started, 60, "the child to begin")
            child.process.join(dice.uniform(0, 2.5))
            if child.process.is_alive():
                child.signal(signal.SIGKILL)
            killed += child.code() == -signal.SIGKILL
        slack.script.clear()
        mails.script.clear()
        while _left(work)[DeliveryState.WAITING]:
            Child(*call, environ=environ).outcome()
    assert set(_left(work)) == {DeliveryState.DELIVERED}
    _require_once(names, slack, mails)
    repeated = len(mails.taken) - sum(len(mails.to(mailbox)) for mailbox in MAILBOXES)
    print(f"{killed} kills, {len(names)} incidents; {repeated} mails came twice under one Message-ID")  # noqa: T201


def _disturb(dice: random.Random, slack: SlackDouble, mails: MailServer) -> None:
    """Now and then an answer that is none, or one that asks to wait."""
    slack.script.clear()
    mails.script.clear()
    slack.script.extend(dice.choice([None, None, None, 429, 500, "drop", "internal_error"]) for _ in range(20))
    mails.script.extend(dice.choice([None, None, None, "451 4.7.1 later", "421 4.3.0 closing"]) for _ in range(20))


def _require_once(names: list[str], slack: SlackDouble, mails: MailServer) -> None:
    """Where the receiver can tell: one message per incident, each step once and in order below it, one mail each."""
    first = {message.body["text"].rpartition(" ")[2]: message for message in slack.top("#dq-sales")}
    assert Counter(m.body["text"].rpartition(" ")[2] for m in slack.top("#dq-sales")) == Counter(names)
    for name in names:
        told = [message.body["text"] for message in slack.thread(first[name])]
        assert told == [f"Commented by anna: {text}" for text in STEPS], name
    for mailbox in MAILBOXES:
        assert len(mails.to(mailbox)) == len(names)


@pytest.mark.parametrize("point", ["notices_routed", "delivery_tried", "delivery_sent"])
def test_a_relay_killed_at_each_point_goes_on(point: str, tmp_path: Path) -> None:
    project = told_project(tmp_path / "project")
    work = workspace(tmp_path / "home", None, project)
    names = _tell(work, 0, 2)
    with SlackDouble(channels=("#dq-sales",)) as slack, mail_server() as mails:
        environ = {"AIRFLOW_CONN_SLACK_DEFAULT": slack.bot, "AIRFLOW_CONN_SMTP_DEFAULT": mails.connection}
        call = (send, str(tmp_path / "home"), None, str(project))
        for _ in range(3):
            child = Child(*call, failpoint=f"{point}=kill", environ=environ)
            assert child.code() == -signal.SIGKILL
        Child(*call, environ=environ).outcome()
    _require_once(names, slack, mails)
