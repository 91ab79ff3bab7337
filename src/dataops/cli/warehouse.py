"""Commands on the warehouse as a whole: a copy of it, and back to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json
from dataops.cli.screen import Screen, confirm
from dataops.declared.errors import DeclarationError
from dataops.facts.text import counted, labelled, listed

if TYPE_CHECKING:
    from dataops.declared.paths import Paths
    from dataops.pipeline.backups import Backup, Restored

warehouse = typer.Typer(
    help="The warehouse as a whole: set it up, back it up, and bring a backup back.", no_args_is_help=True
)


@warehouse.command("init")
def init(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the statements; nothing is run")] = False,
) -> int:
    """Make the schemas, roles and rights of a server's warehouse; safe to run again. A DuckDB file has no roles.

    Examples:  dataops warehouse init  |  dataops warehouse init --dry-run | psql warehouse
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    if dry_run:
        screen.lines(f"{statement};" for statement in work.warehouse.init_statements())
        return 0
    made = jobs.initialise(work)
    rights = f"roles and rights are set ({counted(len(made), 'statement')})" if made else "it has no roles"
    screen.lines(labelled("DONE", f"{work.warehouse.name}: ledger and tables are there; {rights}", 8))
    return 0


@warehouse.command("refresh")
def refresh(ctx: typer.Context) -> int:
    """Bring published.duckdb, which notebooks and BI tools open, up to date. On a server there is no such copy.

    Examples:  dataops warehouse refresh
    """
    from dataops.ledger import numbering
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    work.warehouse.refresh_published(numbering.described)
    about = work.warehouse.readers_about()
    if about is None:
        screen.line(f"{work.warehouse.name}: people read it directly, so there is no copy to refresh.")
    else:
        screen.lines(labelled("DONE", f"published.duckdb is as of {about.get('publication') or 'no publication'}", 8))
    return 0


@warehouse.command("backup")
def back_up(
    ctx: typer.Context,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="a new file; default: in var/backups")] = None,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="how many stay in var/backups")] = 7,
    as_json: Json = False,
) -> int:
    """Copy the whole warehouse to one file, proven: every table read, every receipt recomputed.

    Examples:  dataops warehouse backup  |  dataops warehouse backup --to /mnt/safe/monday.duckdb
    """
    from dataops.facts.answers import BackupDocument
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import backups

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("backing up"):
        made = backups.make(work, to, keep)
    paths = work.settings.paths
    if as_json:
        screen.document(BackupDocument.of(made, paths))
        return 0
    screen.lines(labelled("DONE", f"{paths.shown(made.file)}, {_said(made)}", 8))
    if made.removed:
        screen.lines(labelled("", f"removed {listed([file.name for file in made.removed])}: {keep} are kept", 8))
    screen.hint(f"\nBring it back:  dataops warehouse restore {paths.shown(made.file)}")
    return 0


@warehouse.command("restore")
def restore(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="a backup; default: the newest in var/backups")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask; needed where nobody can answer")] = False,
    as_json: Json = False,
) -> int:
    """Bring the whole warehouse back to a backup; what came later is loaded again from the sources.

    Examples:  dataops warehouse restore  |  dataops warehouse restore /mnt/safe/monday.duckdb --yes
    """
    from dataops.facts.answers import RestoreDocument
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import backups

    screen: Screen = ctx.obj
    work = open_workspace()
    paths = work.settings.paths
    wanted = file or backups.latest(work.settings)
    if not wanted.is_file():
        raise DeclarationError(f"there is no file {wanted}")
    screen.hint(f"{work.warehouse.name}: back to {paths.shown(wanted)}; what was published after it goes")
    if not yes:
        confirm("Restore?")
    with screen.working("restoring"):
        done = backups.restore(work, wanted)
    if as_json:
        screen.document(RestoreDocument.of(done, paths))
        return 0
    screen.lines(_lines(done, paths))
    screen.hint("\nLoad what is missing:  dataops load GROUP, then dataops build; see dataops status")
    return 0


def _lines(done: Restored, paths: Paths) -> list[str]:
    found = labelled("DONE", f"as in {paths.shown(done.backup.file)}, {_said(done.backup)}", 8)
    if done.gone is None:
        known = f"; readers' copy was as of {done.before}" if done.before else ""
        found += labelled("", f"which publications are gone is not known: what stood could not be read{known}", 8)
    elif done.gone:
        found += labelled("", f"gone: {listed(list(done.gone))}", 8)
    else:
        found += labelled("", "no publication is gone", 8)
    found += labelled("", done.replaced, 8)
    return found + (labelled("", f"see: dataops incidents show {done.incident}", 8) if done.incident else [])


def _said(made: Backup) -> str:
    as_of = f"as of {made.publication}, " if made.publication else "nothing published yet, "
    return f"{as_of}{counted(made.receipts, 'receipt')} proven, {made.bytes / 2**20:,.1f} MiB, {made.seconds:.1f} s"
