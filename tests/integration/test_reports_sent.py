"""Reports on their way: what the receivers get is what the archive holds, or an honest word that it waits."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from dataops.airflow import channels
from dataops.cli.process import main
from dataops.declared import settings
from dataops.declared.errors import DataRejected
from dataops.declared.reports import Period, Receiver, ReportFile
from dataops.facts import report, report_list, report_making
from dataops.lab.faulty_source import open_source
from dataops.ledger import clock, outbox, reports
from dataops.ledger.enums import DeliveryState, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.lineage import relaying as telling
from dataops.outlets.lineage import replaying
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.notify import relay as relaying
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.stories import report as told
from dataops.outlets.outcomes import Passed
from dataops.outlets.reports import sending
from dataops.pipeline import jobs
from dataops.sources import Window
from tests.conftest import PROJECT
from tests.support.mail_server import MailServer
from tests.support.marquez import MarquezDouble, client
from tests.support.slack_double import SlackDouble

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("tests/integration/test_reports_sent.py")]
URL = "generator:?scale=0.01&seed=7"
MONTH = "2014-05"
NOW = clock.now


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Everything of the generator published, models built."""
    environ = {"DATAOPS_HOME": str(tmp_path_factory.mktemp("home")), "DATAOPS_SOURCE_URL": URL}
    made = open_workspace(settings.load(environ, project=PROJECT))
    for group in ("reference", "sales", "inventory"):
        _load(made, group)
    for group in made.catalog.built:
        built = jobs.build_candidates(made, group)
        jobs.gate_and_publish(made, built.batch_id)
    return made


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackDouble]:
    names = ("#stock", "#dq-sales", "#dq-curated", "#dq-digest", "#dq-reference", "#dq-inventory", "#dq-operations")
    with SlackDouble(channels=names) as double:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", double.bot)
        yield double


def _load(work: Workspace, group: str, window: Window | None = None, url: str = URL) -> Any:
    with jobs.source_of(work, url, open_source) as source:
        return jobs.load(work, group, window, source)


def _relay(work: Workspace) -> Passed:
    return relaying.relay(work, channels.of(work))


def _parts(mail: EmailMessage) -> dict[str, bytes]:
    return {str(part.get_filename()): part.get_content() for part in mail.iter_attachments()}


def _deliveries(work: Workspace, kind: NoticeKind) -> list[Delivery]:
    with work.warehouse.reading() as connection:
        return outbox.listed(connection, tuple(DeliveryState), 1000, [kind])[::-1]


def test_a_report_reaches_each_receiver_once_in_their_language_as_the_archive_has_it(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    monthly = report_list.required(work, "profit_monthly")
    assert len(sending.send(work, monthly, MONTH, None)) == 2
    assert all("before" in line for line in sending.send(work, monthly, MONTH, None))
    _relay(work)
    _relay(work)
    assert slack.messages == [] or all("profit" not in m.body["text"] for m in slack.messages)
    for receiver in monthly.receivers:
        [mail] = mails.to(receiver.to)
        language = receiver.language or monthly.language
        with work.warehouse.reading() as connection:
            made = next(m for m in reports.of(connection, "profit_monthly") if m.language == language)
        attached = _parts(mail)
        assert {name.rpartition(".")[2] for name in attached} == set(receiver.formats)
        for file in made.files:
            if file.name in attached:
                assert hashlib.sha256(_bytes(attached[file.name])).hexdigest() == file.sha256
        _require_tie(work, made, attached, mail)
        assert mail["List-Unsubscribe"].strip().startswith(f"<mailto:{monthly.owner}?")
        assert mail["Subject"].startswith(monthly.title.of(language))


@pytest.mark.usefixtures("slack")
def test_lineage_knows_the_report_and_everybody_who_got_it(work: Workspace, mails: MailServer) -> None:
    """From the notes in the ledger, and again from a replay."""
    monthly = report_list.required(work, "profit_monthly")
    sending.send(work, monthly, MONTH, None)
    _relay(work)
    got = [receiver.to for receiver in monthly.receivers if mails.to(receiver.to)]
    with MarquezDouble() as marquez, MarquezDouble() as again:
        telling.relay(work, Backend({"type": "http", "url": marquez.url}))
        replaying.replay(work, Backend({"type": "http", "url": again.url}))
        for server in (marquez, again):
            node = "dataset:adventureworks:report.profit_monthly"
            graph = client.get(server.url, "lineage", nodeId=node, depth="20")["graph"]
            nodes = {node["id"].rpartition(":")[2] for node in graph}
            assert {f"receiver.{whom}" for whom in got} <= nodes
            assert {"curated.fct_sales", "raw.sales_order_detail"} & nodes
            assert server.refused == []


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else str(content).encode()


def _require_tie(work: Workspace, made: Any, attached: dict[str, bytes], mail: EmailMessage) -> None:
    """The key figure is the same in the archive, the text, the page, the workbook and the paper."""
    file = next(f for f in made.files if f.format == "json")
    page = report.read((work.settings.paths.archive / made.period / file.name).read_text("utf-8"))
    revenue = next(f for f in page.figures if f.metric == "revenue").value
    shown = f"{revenue:,.2f}" if made.language == "en" else None
    text, html = mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()
    assert " ".join(page.headline.split()) in " ".join(text.split())
    if shown:
        assert shown in text
        assert shown in html
    assert len(html) < 100_000
    assert not re.search(r"<script|<svg|javascript:", html)
    assert set(re.findall(r'src="(cid:[^"]+)"', html)) == {
        f"cid:{str(part['Content-ID']).strip('<>')}" for part in mail.walk() if part.get_content_type() == "image/png"
    }
    for name, content in attached.items():
        if name.endswith("xlsx"):
            book = load_workbook(io.BytesIO(content))
            values = [cell.value for sheet in book for row in sheet.iter_rows() for cell in row]
            assert any(isinstance(v, float | int) and abs(v - float(revenue)) < 0.01 for v in values)
        if name.endswith("pdf"):
            pages = "".join(part.extract_text() for part in PdfReader(io.BytesIO(content)).pages)
            assert page.title.split()[0] in pages


@pytest.mark.usefixtures("slack")
def test_what_is_too_large_is_linked_and_the_link_leads_to_the_file(work: Workspace, mails: MailServer) -> None:
    project = work.settings.project
    small = project.model_copy(update={"messages": project.messages.model_copy(update={"largest_attachments": 10})})
    tight = open_workspace(_with_project(work, small))
    monthly = report_list.required(work, "profit_monthly")
    sending.send(tight, monthly, MONTH, "boss@adventure-works.example")
    _relay(tight)
    [mail] = mails.to("boss@adventure-works.example")
    assert _parts(mail) == {}
    links = re.findall(r'href="(http[^"]+/reports/[^"]+)"', mail.get_body(("html",)).get_content())
    assert len(links) == 4
    _require_resolved(work, links)


def _with_project(work: Workspace, project: Any) -> Any:
    import dataclasses

    return dataclasses.replace(work.settings, project=project)


def _require_resolved(work: Workspace, links: list[str]) -> None:
    """Each leads to a file of the built site, or to Airflow's own pages."""
    site = work.settings.paths.data_docs
    for link in links:
        if link.startswith(work.settings.airflow_url):
            assert urlsplit(link).path == "/required_actions"
        else:
            assert link.startswith(work.settings.site_url), link
            assert (site / urlsplit(link).path.lstrip("/")).is_file(), link


@pytest.mark.usefixtures("mails")
def test_a_channel_gets_the_rows_and_unchanged_ones_only_on_mondays(
    work: Workspace, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = report_list.required(work, "stock_daily")
    [receiver] = stock.receivers
    last = report_making.reaches(work, stock.reaches)
    assert last is not None
    saturday = last - timedelta(days=(last.weekday() - 5) % 7 + 7)
    days = [f"{saturday + timedelta(days=n)}" for n in range(3)]
    for day in days:
        sending.send(work, stock, day, None)
    _relay(work)
    assert slack.top("#stock") == []
    monkeypatch.setattr(clock, "now", lambda: NOW() + timedelta(days=1))  # 07:00 in the office has come
    _relay(work)
    found = _deliveries(work, NoticeKind.REPORT)
    states = {d.what.split("_")[2]: d.state for d in found if d.whom == receiver.to}
    # The first one; Sunday's is read on Monday; Monday's says nothing new.
    assert [states[day] for day in days] == ["delivered", "delivered", "needless"]
    posted = slack.top("#stock")
    assert len(posted) == 2
    assert "at zero" in posted[0].body["text"]
    table = next(block for block in posted[0].body["blocks"] if block["type"] == "table")
    assert [cell["text"] for cell in table["rows"][0]][:2] == ["Product", "On hand"]
    _require_resolved(work, _links(posted[0].body))


def _links(body: dict[str, Any]) -> list[str]:
    return re.findall(r'"url": "([^"]+)"', json.dumps(body))


def test_a_held_report_is_replaced_by_word_that_it_waits_and_follows_when_the_gate_opens(
    work: Workspace, slack: SlackDouble, mails: MailServer
) -> None:
    faults = "price_x100,orphan_customer,duplicate_order"
    _load(work, "sales", Window.parse("2014-05-01..2014-06-01"), f"{URL}&faults={faults}")
    weekly = report_list.required(work, "sales_weekly")
    day, period = "2014-05-12", "2014-W20"
    assert report_making.is_held(work, weekly, Period.of("week", period))
    assert sending.tell_waiting(work, weekly, period, day)
    assert not sending.tell_waiting(work, weekly, period, day)
    _relay(work)
    [mail] = mails.to(weekly.receivers[0].to)
    assert mail["Subject"].startswith("◔ Waiting: Sales and stock of the week, ")
    assert "sales is held (INC-" in mail["Subject"]
    assert "Last good figures: sales " in mail.get_body(("plain",)).get_content()
    _require_resolved(work, re.findall(r'href="(http[^"]+)"', mail.get_body(("html",)).get_content()))
    with pytest.raises(DataRejected):
        sending.send(work, weekly, period, None)
    _load(work, "sales", Window.parse("2014-05-01..2014-06-01"))
    sending.send(work, weekly, period, None)
    _relay(work)
    waits, follows = mails.to(weekly.receivers[0].to)
    assert waits is mail or waits["Message-ID"] == mail["Message-ID"]
    assert follows["In-Reply-To"] == mail["Message-ID"]
    assert _parts(follows)
    for message in slack.messages:
        _require_resolved(work, _links(message.body))
    for sent in mails.taken:
        _require_resolved(work, re.findall(r'href="(http[^"]+)"', sent.get_body(("html",)).get_content()))


def test_word_that_a_report_waits_is_needless_once_it_was_made(work: Workspace, mails: MailServer) -> None:
    weekly = report_list.required(work, "sales_weekly")
    sending.tell_waiting(work, weekly, "2014-W19", "2014-05-05")
    _relay(work)
    [delivery] = [d for d in _deliveries(work, NoticeKind.REPORT_WAITS) if "W19" in d.subject]
    assert (delivery.state, delivery.problem) == (DeliveryState.NEEDLESS, "nothing holds it back any more")
    assert all("Waiting" not in mail["Subject"] for mail in mails.taken)


def test_a_file_of_the_archive_that_was_changed_is_never_sent(work: Workspace, mails: MailServer) -> None:
    weekly = report_list.required(work, "sales_weekly")
    sending.send(work, weekly, "2014-W18", "one@adventure-works.example")
    with work.warehouse.reading() as connection:
        made = next(m for m in reports.of(connection, "sales_weekly") if m.period == "2014-W18")
    file = work.settings.paths.archive / made.period / made.files[0].name
    content = file.read_bytes()
    try:
        file.write_bytes(content + b" ")
        passed = _relay(work)
        assert passed.parked == 1
        assert "is not what was kept in the archive" in passed.problems[0]
        assert mails.to("one@adventure-works.example") == []
    finally:
        file.write_bytes(content)


def test_a_receiver_gets_it_at_their_own_time_of_day(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    morning = {"to": "x@adventure-works.example", "at": "07:00", "zone": "America/Los_Angeles"}
    receiver = Receiver.model_validate(morning)
    desk = Desk(work)
    weekly = report_list.required(work, "sales_weekly").model_copy(update={"receivers": (receiver,)})
    desk.reports = {"sales_weekly": weekly}
    from dataops.outlets.notify.addressing import _subscribed

    monkeypatch.setattr(clock, "now", lambda: NOW().replace(year=2026, month=11, day=27, hour=16, minute=0))
    [to] = _subscribed(desk, "sales_weekly", "en")
    assert f"{to.due_at:%m-%d %H:%M}" == "11-28 15:00"  # seven o'clock in winter there
    monkeypatch.setattr(clock, "now", lambda: NOW().replace(year=2026, month=6, day=27, hour=13, minute=0))
    [to] = _subscribed(desk, "sales_weekly", "en")
    assert f"{to.due_at:%m-%d %H:%M}" == "06-27 14:00"  # and in summer


def test_figures_are_the_same_when_a_report_is_read_from_its_archive(work: Workspace) -> None:
    for declared in report_list.load(work).values():
        made = _newest(work, declared)
        if made is not None:
            text = (work.settings.paths.archive / made.period / made.files[-1].name).read_text("utf-8")
            assert report.read(text).text() == text
            assert told.figures_of(report.read(text))
            values = [v for section in report.read(text).sections for row in section.rows for v in row]
            assert not [v for v in values if isinstance(v, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", v)]


def _newest(work: Workspace, declared: ReportFile) -> Any:
    with work.warehouse.reading() as connection:
        return next(iter(reports.of(connection, declared.report)), None)


def test_the_command_line_says_who_got_what(
    work: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAOPS_HOME", str(work.settings.paths.home))
    monkeypatch.chdir(PROJECT)
    assert main(["reports", "deliveries", "profit_monthly"]) == 0
    out = capsys.readouterr().out
    assert "profit_monthly 2014-05" in out
    assert "delivered" in out
    assert main(["reports", "deliveries", "nothing"]) == 2
    assert main(["reports", "send", "sales_weekly", "--period", "2014-W18", "--to", "nobody"]) == 2
    assert "is no address" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["slack", "html", "text"])
def test_a_message_can_be_seen_before_it_is_sent(
    work: Workspace, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAOPS_HOME", str(work.settings.paths.home))
    monkeypatch.chdir(Path(PROJECT))
    assert main(["notify", "preview", "day", "--as", name]) == 0
    out = capsys.readouterr().out
    assert {"slack": '"blocks"', "html": "<!doctype html>", "text": "Batches published:"}[name] in out
