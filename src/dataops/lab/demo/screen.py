"""Where the acts are printed: finished lines on stdout, what goes on meanwhile on stderr; standard library only.

On a terminal the line of a running step is rewritten; elsewhere only finished lines appear.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 80
INDENT = " " * 6


def seconds(value: float) -> str:
    """As in `3.8 s`."""
    return f"{value:.1f} s"


class Screen:
    """Prints acts. Holds the streams it was made with: libraries may redirect sys.stdout while they work."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._shown = ""

    def line(self, text: str = "") -> None:
        self._erase()
        print(text, file=self._out, flush=True)

    def act(self, number: int, title: str) -> None:
        self.line(f"[{number}/6] {title}")

    def note(self, text: str) -> None:
        """A line, or several, below an act."""
        for part in text.splitlines():
            self.line(INDENT + part)

    def timed(self, text: str, took: float, indent: str = INDENT) -> None:
        """A line with its duration at the right margin."""
        right = seconds(took)
        self.line(f"{indent + text:<{WIDTH - len(right) - 1}} {right}")

    def meanwhile(self, text: str) -> None:
        """What goes on now; rewritten on a terminal, not shown elsewhere."""
        if not self._err.isatty():
            return
        self._erase()
        self._shown = (INDENT + text)[:WIDTH]
        self._err.write(self._shown)
        self._err.flush()

    def _erase(self) -> None:
        if self._shown:
            self._err.write("\r" + " " * len(self._shown) + "\r")
            self._err.flush()
            self._shown = ""


class Watch:
    """Measures a step; `already` seconds went by before it was made."""

    def __init__(self, already: float = 0.0) -> None:
        self._start = time.monotonic() - already

    @property
    def took(self) -> float:
        return time.monotonic() - self._start
