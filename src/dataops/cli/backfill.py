"""The command `backfill`: a long window, piece by piece, each judged and published by itself."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from dataops.cli.listing import Json, window
from dataops.cli.progress import Progress
from dataops.cli.screen import Screen
from dataops.declared.errors import DeclarationError
from dataops.facts.text import counted


def backfill(
    ctx: typer.Context,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="a group that is loaded by windows, such as sales")],
    span: Annotated[str, typer.Option("--window", metavar="A..B", help="from A up to and without B")],
    by: Annotated[str, typer.Option("--by", metavar="DAYS", help="days of one piece")] = "31d",
    source: Annotated[str | None, typer.Option("--source", metavar="URL", help="default: the configured one")] = None,
    again: Annotated[bool, typer.Option("--again", help="also pieces that stand already")] = False,
    as_json: Json = False,
) -> int:
    """Load a long window piece by piece, oldest first; one that was broken off goes on where it was.

    Each piece is judged and published by itself: one that is held keeps no other from going on. Groups may be
    back-filled at the same time; within a group one load follows the other.

    Examples:  dataops backfill sales --window 2026-01-01..2026-07-01  |  dataops backfill sales --window A..B --by 1d
    """
    from dataops.facts import comparison
    from dataops.lab.faulty_source import open_source
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs
    from dataops.sources import Window

    screen: Screen = ctx.obj
    work = open_workspace()
    whole, length = Window.parse(span), _days(by)
    pieces = jobs.to_back_fill(work, group, whole, length, again=again)
    left_out = len(whole.pieces(length)) - len(pieces)
    loads = []
    with screen.working(f"loading {group}") as say, jobs.source_of(work, source, open_source) as opened:
        progress = Progress(say, f"loading {group}", len(pieces))
        for piece in pieces:
            progress.next_piece(f"loading {group} {piece}")
            loads.append((piece, jobs.load(work, group, piece, opened, tell=progress.tell)))
        if loads:
            jobs.renew_copy(work)
        document = comparison.back_filled(group, opened.name, loads, left_out)
    if as_json:
        screen.document(document)
        return document.exit_code
    rows = [(window(w.start, w.end), w.outcome or "", w.batch or "") for w in document.windows]
    screen.table(("window", "outcome", "batch"), rows)
    if left_out:
        screen.hint(f"\n{counted(left_out, 'piece')} stood already; to load them all the same: --again")
    return document.exit_code


def _days(text: str) -> timedelta:
    """31d -> 31 days."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}d", text.strip()):
        raise DeclarationError(f"--by is {text!r}; write a number of days such as 31d")
    return timedelta(days=int(text.strip()[:-1]))
