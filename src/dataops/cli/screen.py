"""Where a command writes: data on stdout, progress and hints on stderr; tables for people, TSV for pipes, JSON.

Knows terminals and formats, nothing of what it prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from dataops.cli.secrets import masked
from dataops.declared.errors import DeclarationError
from dataops.facts.text import visible

if TYPE_CHECKING:
    from dataops.facts.document import Document

Row = Sequence[object]


@dataclass(frozen=True)
class Screen:
    """The terminal or pipe of one command. `verbosity`: -1 quiet, 0, 1 statements and timings, 2 tracebacks."""

    verbosity: int = 0

    @property
    def quiet(self) -> bool:
        return self.verbosity < 0

    @property
    def on_terminal(self) -> bool:
        return sys.stdout.isatty()

    def line(self, text: str = "") -> None:
        """A line of data."""
        write(visible(text) + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def hint(self, text: str = "") -> None:
        """What helps a person and no program: progress, where to look, what to run next."""
        if not self.quiet:
            tell(text)

    def document(self, document: Document) -> None:
        """A JSON document; exact numbers are strings, times are UTC ISO 8601."""
        write(document.text() + "\n")

    def table(self, names: Sequence[str], rows: Iterable[Row]) -> None:
        """A table on a terminal, else TSV with one line of names."""
        if self.on_terminal:
            self._drawn(names, [[plain_text(value) for value in row] for row in rows])
            return
        write("\t".join(names) + "\n")
        for row in rows:
            write("\t".join(_field(value) for value in row) + "\n")

    def _drawn(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
        for position, name in enumerate(names):
            numeric = all(_is_number(row[position]) for row in rows) and bool(rows)
            table.add_column(
                Text(name.upper()), no_wrap=position == 0 or numeric, justify="right" if numeric else "left"
            )
        for row in rows:
            table.add_row(*(Text(visible(value)) for value in row))
        Console(no_color="NO_COLOR" in os.environ, highlight=False).print(table)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Shows on a terminal that something is being done; what is yielded changes the words."""
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield lambda _: None
            return
        from rich.console import Console

        with Console(stderr=True, no_color="NO_COLOR" in os.environ).status(what) as status:
            yield status.update


def confirm(question: str) -> None:
    """Asks on a terminal. Raises DeclarationError where nobody can answer, Abort for a no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise DeclarationError("nobody can be asked here, so nothing was changed; add --yes")
    if not typer.confirm(question, err=True):
        raise typer.Abort


def write(text: str) -> None:
    """Writes data. A reader that went away (`| head`) ends the command without an error."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        # Nothing more can be said there; the interpreter must not try again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


class Stdout:
    """Standard output as the csv module wants it."""

    def write(self, text: str) -> int:
        write(text)
        return len(text)


def tell(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(masked("\n".join(visible(line) for line in text.split("\n"))) + "\n")
    sys.stderr.flush()


def plain(value: object) -> object:
    """The JSON form of a value: exact numbers as text, times as ISO 8601."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def plain_text(value: object) -> str:
    """A value as text; NULL is empty, no digit is lost."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(plain(value))


def _field(value: object) -> str:
    """A TSV field: what would end it is written as an escape."""
    text = plain_text(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return visible(text)


def _is_number(text: str) -> bool:
    bare = text.replace(",", "").replace(".", "", 1).removeprefix("-")
    return not bare or bare.isdigit()
