"""A channel with a thread, drawn as Slack shows it: blocks as HTML, then as a picture by a real browser."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.slack_double import Message

STYLE = """
body { margin: 0; padding: 18px 24px; width: 720px; background: #fff; color: #1d1c1d; font: 15px/22px Lato, "DejaVu Sans", sans-serif }
.channel { font-weight: 900; border-bottom: 1px solid #ddd; padding-bottom: 8px; margin-bottom: 12px }
.message { margin: 0 0 14px 0 } .who { font-weight: 900 } .app { background: #e8e8e8; font-size: 10px; padding: 1px 4px }
.thread { margin-left: 22px; border-left: 3px solid #ddd; padding-left: 14px } .edited, .context { color: #616061; font-size: 13px }
h3 { margin: 4px 0; font-size: 18px } p { margin: 5px 0 } .fields { display: grid; grid-template-columns: 1fr 1fr; gap: 6px 18px }
table { border-collapse: collapse; margin: 6px 0; font-size: 13px } td, th { border: 1px solid #ddd; padding: 3px 9px; text-align: left }
.button { display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: 3px 10px; margin: 4px 6px 4px 0; font-weight: 700; font-size: 13px }
code { background: #f6f6f6; border: 1px solid #ddd; color: #c01343; font-size: 12px; padding: 1px 3px } .mention { background: #fff3cd; color: #1264a3 }
"""  # noqa: E501  a stylesheet


def drawn(channel: str, opened: Message, first: Message, thread: list[Message], later: list[Message]) -> str:
    """The page: a message when it opened, the same in the end with its thread, and what came later."""
    replies = "".join(_message(message, edited=False) for message in thread)
    parts = (
        f"<p class=context>When it opened:</p>{_message(opened, edited=False)}<hr>",
        f"<p class=context>In the end:</p>{_message(first, edited=True)}<div class=thread>{replies}</div>",
        *(_message(message, edited=False) for message in later),
    )
    body = f"<div class=channel>{html.escape(channel)}</div>{''.join(parts)}"
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>{body}"


def spoken(page: str) -> str:
    """What the picture says, for those who do not see it; numbers as 0, since they differ from day to day."""
    body = page.partition("</style>")[2]
    lines = (html.unescape(re.sub(r"<[^>]+>", " ", part)) for part in re.split(r"</(?:p|h3|div|tr|span)>", body))
    texts = [" ".join(re.sub(r"\d+", "0", line).split()) for line in lines]
    return "\n".join(text for text in texts if text) + "\n"


def photograph(page: str, picture: Path) -> None:
    """The page as PNG, by headless Chromium."""
    source = picture.with_suffix(".html")
    source.write_text(page, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=768,1560",
               f"--screenshot={picture}", f"file://{source}"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    source.unlink()


def _message(message: Message, *, edited: bool) -> str:
    blocks = message.body.get("blocks")
    content = "".join(map(_block, blocks)) if blocks else f"<p>{_markup(message.body['text'])}</p>"
    mark = " <span class=edited>(edited)</span>" if edited else ""
    return f"<div class=message><span class=who>data platform</span> <span class=app>APP</span>{mark}{content}</div>"


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "header":
            return f"<h3>{html.escape(block['text']['text'])}</h3>"
        case "section" if "fields" in block:
            fields = "".join("<p>" + _markup(part["text"]) + "</p>" for part in block["fields"])
            return f"<div class=fields>{fields}</div>"
        case "section":
            return f"<p>{_markup(block['text']['text'])}</p>"
        case "table":
            rows = ["".join(f"<td>{html.escape(cell['text'])}</td>" for cell in row) for row in block["rows"]]
            return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        case "actions":
            return "".join(f"<span class=button>{html.escape(e['text']['text'])}</span>" for e in block["elements"])
        case _:
            return f"<p class=context>{'<br>'.join(_markup(e['text']) for e in block['elements'])}</p>"


def _markup(text: str) -> str:
    """Slack's mrkdwn: what it escapes is escaped already."""
    text = re.sub(r"<!date\^\d+\^[^|]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<@(\w+)>", r"<span class=mention>@\1</span>", text)
    text = re.sub(r"\*([^*\n]+)\*", r"<b>\1</b>", text)
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", text).replace("\n", "<br>")
