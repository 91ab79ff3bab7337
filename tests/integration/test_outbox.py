"""What must be told is told, once, in order, whatever the receivers do: Slack's double and a real SMTP server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from dataops.airflow import channels
from dataops.lab.demo import told as demo
from dataops.ledger import clock, incidents, outbox, schema
from dataops.ledger.enums import Channel, DeliveryState, IncidentKind
from dataops.ledger.outbox import Delivery
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import relay as relaying
from dataops.outlets.outcomes import Passed
from tests.support.mail_server import MailServer
from tests.support.shop import Shop, line, load, small_shop
from tests.support.slack_double import HOOK, SlackDouble
from tests.support.told import told

pytestmark = [pytest.mark.integration, pytest.mark.quick]
NOW = clock.now
OWNER, SECOND, THIRD = (f"{name}@adventure-works.example" for name in ("tests", "second", "third"))


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return told(tmp_path, url)


def relay(work: Workspace) -> Passed:
    return relaying.relay(work, channels.of(work))


def held(work: Workspace) -> Shop:
    """A delivery whose prices are negative: it is held."""
    shop = small_shop(orders=8)
    load(work, shop, "reference")
    _price(shop, "-1.00")
    assert load(work, shop, "sales").verdict.name == "FAILED"
    return shop


def mended(shop: Shop) -> Shop:
    return _price(shop, "10.00")


def _price(shop: Shop, price: str) -> Shop:
    for row in shop.lines:
        row.update(line(row["order_id"], row["line_id"], price=price))
    for row in shop.orders:
        row["sub_total"] = sum(each["amount"] for each in shop.lines if each["order_id"] == row["order_id"])
    return shop


def step(work: Workspace, what: str, incident: str, *more: str) -> None:
    with schema.writing(work.warehouse) as connection:
        getattr(incidents, what)(connection, incident, *more)


def deliveries(work: Workspace) -> list[Delivery]:
    with work.warehouse.reading() as connection:
        return outbox.listed(connection, tuple(DeliveryState), 1000)[::-1]


def later(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW() + span)


def test_a_held_day_is_told_acknowledged_and_solved_in_one_message_that_is_edited(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    shop = held(work)
    assert relay(work).delivered == 4
    [first] = slack.top("#dq-sales")
    assert first.body["text"].startswith("■ Sales held: ")
    assert "INC-0001" in first.body["text"]
    assert "<@U0TESTS>" in json.dumps(first.body["blocks"])
    step(work, "acknowledge", "INC-0001", "anna", "looking")
    relay(work)
    assert first.edits == 1
    assert [m.body["text"] for m in slack.thread(first)] == ["Acknowledged by anna: looking"]
    load(work, mended(shop), "sales")
    relay(work)
    assert slack.top("#dq-sales") == [first]
    assert first.body["text"].startswith("● Solved: ")
    assert slack.thread(first)[-1].body["text"].startswith("Resolved: delivered again, published as sales-0001")
    for address in (OWNER, SECOND, THIRD):
        opened, ended = mails.to(address)
        assert ended["In-Reply-To"] == opened["Message-ID"]
        assert "● Solved: " in ended["Subject"]
        assert opened["Auto-Submitted"] == "auto-generated"
        assert opened["List-Unsubscribe"].strip().startswith(f"<mailto:{OWNER}?subject=")
    assert relay(work).delivered == 0


@pytest.mark.usefixtures("slack")
def test_who_was_told_of_the_beginning_is_told_of_the_end_whoever_took_it(work: Workspace, mails: MailServer) -> None:
    shop = held(work)
    relay(work)
    step(work, "assign", "INC-0001", "anna", "boris")
    load(work, mended(shop), "sales")
    relay(work)
    assert len(mails.to(OWNER)) == 2


def test_a_repeat_only_counts(work: Workspace, slack: SlackDouble, mails: MailServer) -> None:
    shop = held(work)
    relay(work)
    load(work, shop, "sales")
    relay(work)
    [first] = slack.top("#dq-sales")
    assert "2 times" in json.dumps(first.body["blocks"])
    assert slack.thread(first) == []
    assert len(mails.to(OWNER)) == 1


@pytest.mark.usefixtures("mails")
def test_a_webhook_tells_openings_and_endings_only(
    work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", slack.webhook)
    shop = held(work)
    relay(work)
    step(work, "acknowledge", "INC-0001", "anna")
    relay(work)
    load(work, mended(shop), "sales")
    relay(work)
    assert [m.body["text"][:6] for m in slack.messages] == ["■ Sale", "● Solv"]
    states = [d.state.value for d in deliveries(work) if d.channel is Channel.SLACK]
    assert states == ["delivered", "needless", "delivered"]


@pytest.mark.parametrize("address", ["hooks.slack.example/{}", "http://127.0.0.1:9/ {}", "ftp://slack.example/{}"])
def test_a_webhook_whose_address_is_no_url_delays_messages_and_is_not_repeated(work: Workspace, address: str) -> None:
    """As in the demo, which writes its files all the same."""
    held(work)
    files, problems = demo.tell(work, "INC-0001", {demo.WEBHOOK: address.format(HOOK)})
    assert len(files) > 1
    assert [problem.partition(": ")[2] for problem in problems] == ["the webhook's address is no URL"]
    assert HOOK not in problems[0]
    assert {d.state.value for d in deliveries(work) if d.channel is Channel.SLACK} == {"waiting"}


@pytest.mark.parametrize("answer", ["no_service", "invalid_token"])
def test_a_webhook_that_was_revoked_delays_messages_and_parks_none(
    work: Workspace, slack: SlackDouble, answer: str
) -> None:
    held(work)
    slack.script.append(answer)
    _, problems = demo.tell(work, "INC-0001", {demo.WEBHOOK: f"{slack.url}/services/{HOOK}"})
    assert [problem.partition(": ")[2] for problem in problems] == [f"Slack refuses the webhook: {answer}"]
    assert {d.state.value for d in deliveries(work) if d.channel is Channel.SLACK} == {"waiting"}


def test_what_slack_does_not_take_now_is_tried_again_and_what_it_asks_is_obeyed(
    work: Workspace, slack: SlackDouble, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(work)
    slack.script.extend([429])
    slack.retry_after = 90
    assert (relay(work).put_off, len(mails.taken)) == (1, 3)
    assert relay(work).delivered == 0
    later(monkeypatch, timedelta(seconds=80))
    assert relay(work).delivered == 0
    later(monkeypatch, timedelta(seconds=100))
    slack.script.extend([500])
    assert relay(work).put_off == 1
    later(monkeypatch, timedelta(seconds=300))
    assert relay(work).delivered == 1
    assert len(slack.top("#dq-sales")) == 1


def test_what_arrived_without_an_answer_is_found_and_not_sent_again(
    work: Workspace, slack: SlackDouble, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(work)
    slack.script.append("drop")
    mails.script.append("hang")
    mails.seconds = 2
    with monkeypatch.context() as hasty:
        hasty.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mails.connection)
        passed = relay(work)
    assert passed.put_off == 2
    for minutes in (5, 10):
        later(monkeypatch, timedelta(minutes=minutes))
        relay(work)
    assert len(slack.top("#dq-sales")) == 1
    assert all(len(mails.to(address)) == 1 for address in (OWNER, SECOND, THIRD))
    assert {d.state for d in deliveries(work)} == {DeliveryState.DELIVERED}


@pytest.mark.usefixtures("mails")
def test_it_is_found_behind_many_others(work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    held(work)
    slack.script.append("drop")
    relay(work)
    for number in range(10):
        slack.keep(slack.id_of("#dq-sales"), {"text": f"small talk {number}"})
    later(monkeypatch, timedelta(minutes=5))
    relay(work)
    assert len(slack.top("#dq-sales")) == 11


@pytest.mark.usefixtures("mails")
def test_blocks_that_slack_does_not_know_are_sent_in_plain_form(work: Workspace, slack: SlackDouble) -> None:
    slack.knows_tables = False
    held(work)
    relay(work)
    [first] = slack.top("#dq-sales")
    assert "table" not in [block["type"] for block in first.body["blocks"]]
    assert "```" in json.dumps(first.body["blocks"])


def test_one_receiver_who_refuses_stops_nobody_and_opens_an_incident_that_ends_when_he_takes_mail_again(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    mails.refused[SECOND] = "550 5.1.1 no such mailbox"
    shop = held(work)
    passed = relay(work)
    assert (passed.delivered, passed.parked) == (3, 1)
    assert [len(mails.to(address)) for address in (OWNER, SECOND, THIRD)] == [1, 0, 1]
    relay(work)
    [told] = slack.top("#ops")
    assert f"{SECOND} takes no messages by mail: the mail server refuses the mail: 550" in told.body["text"]
    mails.refused.clear()
    load(work, mended(shop), "sales")
    relay(work)
    with work.warehouse.reading() as connection:
        [incident] = [i for i in incidents.newest(connection, None, 10) if i.kind is IncidentKind.PLATFORM]
    assert incident.state == "resolved"
    [parked] = [d for d in deliveries(work) if d.state is DeliveryState.PARKED]
    with schema.writing(work.warehouse) as connection:
        outbox.retry(connection, parked, "anna")
    assert relay(work).delivered >= 1
    assert len(mails.to(SECOND)) == 2


def test_an_incident_about_messages_that_nobody_takes_opens_no_other(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    slack.channels = ("#dq-digest",)
    mails.refused["ops@adventure-works.example"] = "550 no"
    held(work)
    for _ in range(3):
        relay(work)
    with work.warehouse.reading() as connection:
        kinds = [i.kind for i in incidents.newest(connection, None, 10)]
    assert kinds.count(IncidentKind.PLATFORM) == 1  # of #dq-sales; not of #ops, nor of the operator's mailbox


def test_without_a_connection_everything_stays_in_the_outbox(work: Workspace, mails: MailServer) -> None:
    held(work)
    passed = relay(work)
    assert passed.unconfigured == {
        Channel.SLACK: "there is no connection slack_default; set AIRFLOW_CONN_SLACK_DEFAULT, or add it in Airflow"
    }
    assert [(d.state.value, d.attempts) for d in deliveries(work) if d.channel is Channel.SLACK] == [("waiting", 0)]
    assert len(mails.taken) == 3


def test_nobody_is_told_twice_however_often_a_relay_runs(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    held(work)
    with schema.writing(work.warehouse) as connection:
        [notice] = outbox.unrouted(connection)
        assert not outbox.tell(connection, notice.kind, notice.what, notice.subject)
    for _ in range(3):
        relay(work)
    assert len(slack.messages) == 1
    assert len(mails.taken) == 3


def test_who_does_not_acknowledge_is_reminded_and_somebody_else_is_told(
    work: Workspace, slack: SlackDouble, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(work)
    relay(work)
    later(monkeypatch, timedelta(hours=5))
    for _ in range(2):
        relay(work)
    [first] = slack.top("#dq-sales")
    assert [m.body["text"] for m in slack.thread(first)] == [
        "<@U0TESTS> Reminded: nobody has acknowledged it for 4 h",
        "<@U0TESTS> Escalated: to head@adventure-works.example, not acknowledged for 4 h",
    ]
    assert len(mails.to("head@adventure-works.example")) == 1
    later(monkeypatch, timedelta(hours=25))
    relay(work)
    assert slack.thread(first)[-1].body["text"] == "<@U0TESTS> Reminded: nobody has acknowledged it for 24 h"


def test_what_hostile_data_say_is_inert(work: Workspace, slack: SlackDouble, mails: MailServer) -> None:
    held(work)
    evil = "<!channel> <https://evil.example|x> & *b* `c`\r\nBcc: all@evil.example\u202e"
    step(work, "comment", "INC-0001", evil, "<@U1>")
    step(work, "assign", "INC-0001", evil.replace("@", " "), "eve")
    relay(work)
    [first] = slack.top("#dq-sales")
    told = json.dumps([m.body for m in slack.messages])
    assert "<!channel>" not in told
    assert "<https://evil" not in told
    assert "<@U1>" not in told
    assert first.edits == 2
    for mail in mails.taken:
        assert "Bcc" not in mail
        assert "<!channel>" not in mail.get_body(("html",)).get_content()


def test_the_publish_path_never_waits_for_a_receiver(work: Workspace, slack: SlackDouble, mails: MailServer) -> None:
    """A load, held or published, speaks to nobody: it cannot wait for them either."""
    load(work, mended(held(work)), "sales")
    assert slack.calls == []
    assert mails.taken == []


@pytest.mark.usefixtures("mails")
def test_warnings_wait_until_quiet_hours_are_over_and_what_is_critical_does_not(
    work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = NOW().replace(year=2026, month=11, day=27, hour=22, minute=0)  # eleven in the evening in Berlin
    monkeypatch.setattr(clock, "now", lambda: night)
    with schema.writing(work.warehouse) as connection:
        for kind in (IncidentKind.HELD, IncidentKind.LATE):
            incidents.open_for(connection, "sales", 0, f"{kind} it is", incidents.Detail(), kind=kind, cause="x")
    relay(work)
    assert [m.body["text"].rpartition(" ")[2] for m in slack.top("#dq-sales")] == ["INC-0001"]
    monkeypatch.setattr(clock, "now", lambda: night + timedelta(hours=8))
    relay(work)
    assert [m.body["text"].rpartition(" ")[2] for m in slack.top("#dq-sales")] == ["INC-0001", "INC-0002"]
