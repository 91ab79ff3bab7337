"""How far a load is, in one line: what comes, how fast, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dataops.facts.text import counted

OFTEN = 0.5  # seconds between two lines
MINUTE = 60


@dataclass
class Progress:
    """Tells by `say`. `pieces`: how many loads there are; `total`: rows that are expected, if anybody knows."""

    say: Callable[[str], None]
    what: str
    pieces: int = 1
    total: int | None = None
    piece: int = 0
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _said: float = 0.0
    _rows: dict[str, int] = field(default_factory=dict)
    _before: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def next_piece(self, what: str) -> None:
        """Another load begins."""
        self._before += sum(self._rows.values())
        self._rows = {}
        self.piece, self.what, self._said = self.piece + 1, what, 0.0

    def tell(self, table: str, rows: int) -> None:
        """So many rows of the table have come."""
        self._rows[table] = rows
        now = self.clock()
        if now - self._said >= OFTEN:
            self._said = now
            self.say(self.line(table, now - self._began))

    def line(self, table: str, seconds: float) -> str:
        """`loading sales 2026-06-01..2026-07-01 (3 of 37): order_line, 120,000 rows, 45,000 rows/s, 4 min left`."""
        here, rows = sum(self._rows.values()), self._before + sum(self._rows.values())
        of = f" ({self.piece} of {self.pieces})" if self.pieces > 1 else ""
        rate = f", {rows / seconds:,.0f} rows/s" if seconds >= 1 else ""
        left = self._left(here, seconds)
        remaining = f", {_span(left)} left" if left is not None else ""
        return f"{self.what}{of}: {table}, {counted(here, 'row')}{rate}{remaining}"

    def _left(self, rows: int, seconds: float) -> float | None:
        """By the pieces that are done, else by the rows that are expected."""
        if self.pieces > 1:
            done = self.piece - 1
            return seconds / done * (self.pieces - done) if done > 0 else None
        if not self.total or not rows:
            return None
        return max(self.total / rows - 1, 0) * seconds


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MINUTE else f"{seconds / MINUTE:.0f} min"
