"""How facts are written for people: numbers, money, times, ages, and data that must not drive a terminal. Pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

WIDTH = 80
CENT = Decimal("0.01")
SMALLEST = 0.0005  # a share below this would be written as nothing
HOUR = 60  # minutes
DAY = 24  # hours
_NEVER = 0xFFFE  # the last two of every plane are no characters, and no XML may hold them
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}


def visible(text: str) -> str:
    """The text with control, bidi and unpaired surrogate characters spelled out: data must not drive a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if _hidden(c) else c for c in text)


def _hidden(character: str) -> bool:
    number = ord(character)
    return unicodedata.category(character) in {"Cc", "Cs"} or number in _BIDI or number & _NEVER == _NEVER


def number(value: int) -> str:
    """`3,126`."""
    return f"{value:,}"


def counted(value: int, noun: str, plural: str = "") -> str:
    """`1 row`, `3,126 rows`."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def money(value: str | Decimal) -> str:
    """3,460,129.77: to the cent for people; documents keep every digit."""
    return f"{Decimal(value).quantize(CENT, ROUND_HALF_EVEN):,}"


def percent(share: float) -> str:
    """34.8 %; a share that is not zero never reads 0.0 %."""
    return "< 0.1 %" if 0 < share < SMALLEST else f"{100 * share:.1f} %"


def day(moment: datetime) -> str:
    """`30 April 2026`."""
    return f"{moment.day} {moment:%B %Y}"


def stamp(moment: datetime) -> str:
    """`2026-05-01 02:06`, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M}"


def iso(moment: datetime | None) -> str | None:
    """2026-05-01T02:06:00Z; every time of the ledger is UTC without a zone."""
    return None if moment is None else moment.replace(microsecond=0, tzinfo=UTC).isoformat().replace("+00:00", "Z")


def age(span: timedelta) -> str:
    """`3m`, `7h`, `12d`."""
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < HOUR:
        return f"{minutes}m"
    return f"{minutes // HOUR}h" if minutes < 48 * HOUR else f"{minutes // (24 * HOUR)}d"


def span(length: timedelta) -> str:
    """`4 min`, `5 h 10 min`, `3 d 4 h`."""
    minutes = max(0, int(length.total_seconds() // 60))
    if minutes < HOUR:
        return f"{minutes} min"
    hours, rest = divmod(minutes, HOUR)
    return f"{hours} h {rest} min" if hours < DAY else f"{hours // DAY} d {hours % DAY} h"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def labelled(label: str, text: str, width: int = 9) -> list[str]:
    """Lines of text beside a label, folded at 80 columns; words such as ids and commands are never broken."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        lines += textwrap.wrap(paragraph, WIDTH - width, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label if n == 0 else '':<{width}}{line}".rstrip() for n, line in enumerate(lines)]
