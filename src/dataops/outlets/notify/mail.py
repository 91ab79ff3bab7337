"""A story as a mail: HTML made of tables (MJML, so that Outlook shows it too), a text part, inline charts, files.

A mail is known by its Message-ID, a hash of what is told to whom: sent twice, it is the same mail, and whoever keeps
mail can tell. Header values hold no line break, whatever the data hold.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from dataops.ledger.enums import NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify.story import Story, clean, plain, value

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = Path(__file__).parent / "mail.mjml"
LONGEST_SUBJECT = 180


def message(
    story: Story, delivery: Delivery, sender: str, leave: str | None = None, opened: str | None = None
) -> EmailMessage:
    """The whole mail. `leave`: to whom one writes to get no more of these; `opened`: the mail that it follows."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = line(story.title)[:LONGEST_SUBJECT]
    mail["From"] = _address(sender)
    mail["To"] = _address(delivery.whom)
    mail["Date"] = format_datetime(delivery.created_at.replace(tzinfo=UTC, microsecond=0))
    mail["Message-ID"] = message_id(delivery, sender)
    if opened:
        mail["In-Reply-To"] = opened
        mail["References"] = opened
    mail["Auto-Submitted"] = "auto-generated"
    if leave:
        what = quote(f"unsubscribe from {delivery.subject if delivery.kind is NoticeKind.REPORT else delivery.kind}")
        mail["List-Unsubscribe"] = f"<mailto:{leave}?subject={what}>"
    mail.set_content(plain(story))
    mail.add_alternative(html(story), subtype="html")
    page = cast("list[EmailMessage]", mail.get_payload())[1]
    for picture in story.pictures:
        page.add_related(picture.png, "image", "png", cid=f"<{picture.name}>", filename=f"{picture.name}.png")
    for file in story.attached:
        kind, _, subtype = file.mime.partition("/")
        mail.add_attachment(file.content, maintype=kind, subtype=subtype, filename=line(file.name))
    return mail


def message_id(delivery: Delivery, sender: str) -> str:
    """The same for the same notice and receiver, whenever it is sent."""
    return f"<{delivery.key}@{sender.rpartition('@')[2].rstrip('>')}>"


def line(text: str) -> str:
    """One line without control or direction characters: what a header may hold."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    return " ".join(kept.split())


def html(story: Story) -> str:
    """The page of a mail; everything from data is escaped before MJML reads it."""
    import mjml

    story = clean(story)
    columns = zip(*story.table.rows, strict=True) if story.table else ()
    aligned = ["text-align:right" if all(map(_is_number, cells)) else "" for cells in columns]
    return str(mjml.mjml2html(_template().render(story=story, aligned=aligned)))


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-−–]?[\d.,\s  ]*( ?%| [A-Z]{3})?", cell) is not None  # noqa: RUF001  dashes and blanks of languages


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["value"] = value
    return page.from_string(TEMPLATE.read_text("utf-8"))


def _address(text: str) -> Address:
    """Raises ValueError for what is no address."""
    found = re.fullmatch(r"(?:(.*?)\s*<)?([^@<>\s]+@[^@<>\s]+)>?", line(text))
    if found is None:
        raise ValueError(f"{text!r} is no mail address")
    user, _, domain = found[2].rpartition("@")
    return Address(display_name=(found[1] or "").strip('" '), username=user, domain=domain)
