"""A message before it is written for Slack, for a mail or for a terminal: one sentence, facts, links, a command.

Plain text throughout: whoever writes it out escapes it. Values of personal columns never come this far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any

from dataops.facts.text import visible


@dataclass(frozen=True)
class Para:
    """A paragraph; `lead` is what is read by those who read no further."""

    text: str
    lead: str = ""


@dataclass(frozen=True)
class Fact:
    """A short fact with its name. A moment is UTC; a person is a mail address."""

    label: str
    value: str | datetime
    is_person: bool = False


@dataclass(frozen=True)
class Table:
    """A few rows; `more` were left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Link:
    """Where somebody acts or looks further."""

    label: str
    url: str


@dataclass(frozen=True)
class Button:
    """What may be done from the message itself, where somebody listens."""

    label: str
    action: str
    value: str


@dataclass(frozen=True)
class Picture:
    """A chart as PNG, and what it shows in one sentence."""

    name: str
    says: str
    png: bytes


@dataclass(frozen=True)
class Attached:
    """A file of a mail."""

    name: str
    mime: str
    content: bytes


@dataclass(frozen=True)
class Story:
    """One message.

    `mention`: whom it calls by name; `reply`: what is said in its thread when it changes, and whether that calls them
    once more; `is_step`: it neither opens nor ends the matter.
    """

    sentence: str
    title: str
    paras: tuple[Para, ...] = ()
    facts: tuple[Fact, ...] = ()
    table: Table | None = None
    notes: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    buttons: tuple[Button, ...] = ()
    run: str | None = None
    mention: str | None = None
    reply: str | None = None
    reply_mentions: bool = False
    is_step: bool = False
    pictures: tuple[Picture, ...] = ()
    attached: tuple[Attached, ...] = ()
    language: str = "en"


def clean(story: Story) -> Story:
    """The same with every text in one line, and control and direction characters spelled out."""
    cleaned: Story = _clean(story)
    return cleaned


def _clean(part: Any) -> Any:  # noqa: ANN401  a part of a story
    if isinstance(part, str):
        return visible(" ".join(part.split()) if not part.isprintable() else part)
    if isinstance(part, tuple):
        return tuple(_clean(item) for item in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: _clean(getattr(part, field.name)) for field in fields(part)})
    return part


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], at_most: int) -> Table | None:
    """The first rows; None without any."""
    if not rows:
        return None
    kept = tuple(tuple(row) for row in rows[:at_most])
    return Table(tuple(columns), kept, len(rows) - len(kept))


def plain(story: Story) -> str:
    """The message as text: of a mail, and for a terminal."""
    story = clean(story)
    parts = [story.title, ""]
    for para in story.paras:
        parts += [f"{para.lead} {para.text}".strip(), ""]
    if story.facts:
        width = max(len(fact.label) for fact in story.facts) + 2
        parts += [f"{fact.label + ':':<{width}}{value(fact)}" for fact in story.facts] + [""]
    if story.table:
        parts += [*lines(story.table), ""]
    if story.run:
        parts += [f"Run: {story.run}", ""]
    parts += [f"{link.label}: {link.url}" for link in story.links]
    if story.links:
        parts.append("")
    parts += story.notes
    return "\n".join(parts).rstrip() + "\n"


def value(fact: Fact) -> str:
    """Its value as text."""
    return f"{fact.value:%Y-%m-%d %H:%M} UTC" if isinstance(fact.value, datetime) else fact.value


def lines(table: Table) -> list[str]:
    """The table in columns, for a fixed-width font."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.columns))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, f"… and {table.more:,} more"] if table.more else lines


__all__ = [
    "Attached",
    "Button",
    "Fact",
    "Link",
    "Para",
    "Picture",
    "Story",
    "Table",
    "clean",
    "lines",
    "plain",
    "table_of",
    "value",
]
