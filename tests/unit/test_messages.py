"""Stories as Slack messages and mails: within the limits, with every text escaped, the same facts in each form."""

from __future__ import annotations

import json
import re
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.slack_double import SlackDouble, texts

from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify import mail, slack
from dataops.outlets.notify.story import Attached, Fact, Link, Para, Picture, Story, Table, clean, plain

pytestmark = pytest.mark.unit
PEOPLE = {"owner@example.org": "U0OWNER", "team@example.org": "S0TEAM"}
HOSTILE = "<!channel> <@U1> <https://evil.example|x> &amp; *b* `c` ```d``` \u202e\r\nBcc: all@evil.example\x00"
texts_of_people = st.text(max_size=4000) | st.sampled_from([HOSTILE * 40, "<" * 4000, "&" * 4000])


def delivery(what: str = "INC-0001/1", whom: str = "a@example.org") -> Delivery:
    now = datetime(2026, 11, 27, 9)
    return Delivery(
        seq=1, kind=NoticeKind.INCIDENT, what=what, subject="INC-0001", channel=Channel.MAIL, whom=whom,
        state=DeliveryState.WAITING, attempts=0, due_at=now, created_at=now,
    )  # fmt: skip


def story(text: str = "text", rows: int = 3, **parts: Any) -> Story:
    return Story(
        **{
            "sentence": text,
            "title": text,
            "paras": (Para(text, text),),
            "facts": (Fact("Owner", "owner@example.org", is_person=True), Fact("Since", datetime(2026, 11, 27, 9))),
            "table": Table(("order", "line"), ((text, "1"),) * rows),
            "notes": (text,),
            "links": (Link("Open", "http://127.0.0.1:8081/index.html"),),
            "run": "dataops incidents show INC-0001",
        }
        | parts
    )


@settings(max_examples=200, deadline=None)
@given(texts_of_people, st.integers(0, 150), st.booleans())
def test_whatever_a_text_holds_slack_takes_the_message_and_nothing_in_it_acts(text: str, rows: int, form: bool) -> None:
    told = story(text, rows, reply=text, mention="owner@example.org")
    body = slack.message(told, PEOPLE, plain=form)
    assert SlackDouble().problem(body) in ({None} if clean(told).sentence else {None, "no_text"})
    assert sum(map(len, texts(body["blocks"]))) <= 13_200
    for found in [*texts(body["blocks"]), body["text"], slack.reply(told, PEOPLE)]:
        for part in re.findall(r"<[^>]*>?", found):
            assert re.fullmatch(r"<@U0OWNER>|<!date\^\d+\^[^>]*>", part) or found in raw(body), (part, found)


def test_a_message_that_is_too_long_as_a_whole_is_made_shorter_and_says_so() -> None:
    long = "word " * 900
    whole = story(
        paras=(Para(long, long),) * 12,
        facts=(Fact("Fact", long),) * 10,
        table=Table(("a", "b", "c", "d", "e"), ((long,) * 5,) * 20),
        notes=(long,) * 5,
    )
    for told in (whole, story(table=Table(("a",) * 15, ((long,) * 15,) * 20))):
        body = slack.message(told, PEOPLE)
        assert SlackDouble().problem(body) is None
        assert sum(map(len, texts(body["blocks"]))) <= slack.BUDGET
        assert re.search(r"open the page|more rows", json.dumps(body))


def raw(body: dict[str, Any]) -> set[str]:
    """Texts that Slack shows as they are, without reading them as markup."""
    found = {cell["text"] for block in body["blocks"] if block["type"] == "table" for r in block["rows"] for cell in r}
    return found | {block["text"]["text"] for block in body["blocks"] if block["type"] == "header"}


def test_more_rows_than_fit_are_counted() -> None:
    body = slack.message(story(rows=400), PEOPLE)
    table = next(block for block in body["blocks"] if block["type"] == "table")
    assert len(table["rows"]) == 1 + slack.ROWS
    assert "… and 380 more rows" in json.dumps(body, ensure_ascii=False)


def test_only_whom_a_message_is_for_is_called_by_name() -> None:
    assert "<@U0OWNER>" not in json.dumps(slack.message(story(), PEOPLE))
    assert "<@U0OWNER>" in json.dumps(slack.message(story(mention="owner@example.org"), PEOPLE))
    team = story(facts=(Fact("Owner", "team@example.org", is_person=True),), mention="team@example.org")
    assert "<!subteam^S0TEAM>" in json.dumps(slack.message(team, PEOPLE))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300) | st.just(HOSTILE))
def test_whatever_a_text_holds_a_mail_has_its_headers_and_nothing_in_it_acts(text: str) -> None:
    letter = mail.message(story(text), delivery(), "Data <data@example.org>", "owner@example.org")
    again = message_from_bytes(letter.as_bytes(), policy=default)
    assert again.keys() == letter.keys()
    assert "Bcc" not in again
    html = again.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "<!channel>" not in html
    assert len(re.findall(r"<a ", html)) == 1


def test_a_mail_says_the_same_as_text_and_as_a_page_and_carries_pictures_and_files() -> None:
    told = story(
        "Orders held",
        pictures=(Picture("chart1", "Revenue by channel", b"\x89PNG\r\n\x1a\n"),),
        attached=(Attached("figures.csv", "text/csv", b"a;b\r\n"),),
    )
    letter = message_from_bytes(
        mail.message(
            told, delivery(), "Data <data@example.org>", "owner@example.org", "<first@example.org>"
        ).as_bytes(),
        policy=default,
    )
    page, text = letter.get_body(("html",)).get_content(), letter.get_body(("plain",)).get_content()
    for part in ("Orders held", "owner@example.org", "2026-11-27 09:00 UTC", "dataops incidents show INC-0001"):
        assert part in page
        assert part in text
    assert 'src="cid:chart1"' in page
    assert 'alt="Revenue by channel"' in page
    pictures = [p for p in letter.walk() if p.get_content_type() == "image/png"]
    assert [p["Content-ID"] for p in pictures] == ["<chart1>"]
    assert [p.get_filename() for p in letter.iter_attachments()] == ["figures.csv"]
    assert letter["In-Reply-To"].strip() == letter["References"].strip() == "<first@example.org>"
    assert letter["List-Unsubscribe"].strip() == "<mailto:owner@example.org?subject=unsubscribe%20from%20incident>"
    assert letter["Auto-Submitted"] == "auto-generated"


def test_a_page_is_made_for_outlook() -> None:
    """Outlook lays out by tables and knows no flexbox, no grid, no position and no picture without a width."""
    page = mail.html(story(pictures=(Picture("chart1", "x", b""),)))
    assert "<!--[if mso" in page
    assert 'role="presentation"' in page
    assert not re.search(r"display:\s*(flex|grid)|position:\s*(absolute|fixed)|<link[^>]+stylesheet|@import", page)
    assert re.search(r'<img[^>]+width="\d+"', page)


def test_a_mail_is_known_by_what_is_told_to_whom() -> None:
    one = mail.message_id(delivery(), "data@example.org")
    assert one == mail.message_id(delivery().model_copy(update={"attempts": 7, "seq": 99}), "data@example.org")
    assert len({one, mail.message_id(delivery("INC-0001/2"), "d@example.org"),
                mail.message_id(delivery(whom="b@example.org"), "d@example.org")}) == 3  # fmt: skip


def test_the_text_form_is_what_a_terminal_shows() -> None:
    assert plain(story("Orders held", rows=1)).splitlines()[0] == "Orders held"
    assert "order        line" in plain(story("Orders held", rows=1))
