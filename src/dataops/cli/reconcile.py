"""The command `reconcile`: what of a group is not as its source has it; and the loads that end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json, window
from dataops.cli.screen import Screen
from dataops.facts.text import counted

if TYPE_CHECKING:
    from dataops.facts.comparison import ComparisonDocument


def reconcile(
    ctx: typer.Context,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="a group that is loaded, such as sales")],
    source: Annotated[
        str | None, typer.Option("--source", metavar="URL", help="to compare with; default: the configured one")
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="read and compare every value, not only keys and stamps")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what differs; load nothing")] = False,
    as_json: Json = False,
) -> int:
    """Compare what was loaded with the source, and load the days that differ.

    It finds what no load sees: rows that became visible late, deletions, a source that was restored. Keys and the
    stamps of changes are compared by sums over ranges, so equal tables cost one scan at each side. Tables that are
    read whole are compared by every load. Exits with 1 when something differs and nothing was loaded, or was held.

    Examples:  dataops reconcile sales --dry-run  |  dataops reconcile sales --values
    """
    from dataops.facts import comparison
    from dataops.lab.faulty_source import open_source
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working(f"comparing {group}"), jobs.source_of(work, source, open_source) as opened:
        found = jobs.differences(work, group, opened, values=values)
        loads = None if dry_run else jobs.load_differences(work, group, opened, found)
        if loads:
            jobs.renew_copy(work)
        document = comparison.of(group, opened.name, found, loads)
    if as_json:
        screen.document(document)
    else:
        _show(screen, document)
    return document.exit_code


def _show(screen: Screen, document: ComparisonDocument) -> None:
    differing = document.differing
    lines = sum(d.lines for d in document.datasets)
    seconds = sum(d.seconds for d in document.datasets)
    took = f"{counted(lines, 'line')} came over, in {seconds:.1f} s"
    if not differing:
        screen.line(f"{document.group} is as {document.source} has it ({took})")
        return
    screen.line(f"{document.group} differs from {document.source} ({took})")
    screen.line()
    screen.table(
        ("dataset", "only there", "only here", "differs"),
        [(d.dataset, d.ahead, d.behind, d.differs) for d in differing],
    )
    screen.line()
    rows = [(window(w.start, w.end), w.outcome or "to be loaded", w.batch or "") for w in document.windows]
    screen.table(("window", "outcome", "batch"), rows)
    if any(w.outcome is None for w in document.windows):
        screen.hint(f"\nto load them: dataops reconcile {document.group}")
    for held in (w for w in document.windows if w.outcome in {"held", "error"}):
        screen.hint(f"\nwhy: dataops batches show {held.batch}")
