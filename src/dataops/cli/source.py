"""Commands on a source, which say whether it can be loaded from."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.doctor import lines
from dataops.cli.listing import Json
from dataops.cli.screen import Screen
from dataops.cli.secrets import masked
from dataops.facts.text import counted, labelled

source = typer.Typer(help="Where rows come from: try it before it is used.", no_args_is_help=True)
BROKEN = 3


@source.command("test")
def try_source(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="postgresql://user@host/database, …; default: the configured one"),
    ] = None,
    as_json: Json = False,
) -> int:
    """Look at a source: connection, rights, isolation, clock, its tables against the contracts, and how fast it reads.

    Writes nothing, here or there. Exits with 3 when something would stop a load.

    Examples:  dataops source test  |  dataops source test postgresql://reader@127.0.0.1/shop
    """
    from dataops.lab.documents import Probed, SourceTestDocument
    from dataops.lab.faulty_source import open_source
    from dataops.lab.source_probe import probe
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("looking"), jobs.source_of(work, url, open_source) as opened:
        name, found = opened.name, list(probe(opened, work.catalog))
    failed = [finding for finding in found if finding.level == "FAIL"]
    code = BROKEN if failed else 0
    conclusion = f"{counted(len(failed), 'thing')} would stop a load" if failed else f"{name} can be loaded from"
    if as_json:
        items = tuple(
            Probed(level=f.level, subject=f.subject, fact=masked(f.fact), advice=masked(f.advice)) for f in found
        )
        screen.document(SourceTestDocument(source=name, findings=items, conclusion=conclusion, exit_code=code))
        return code
    for finding in found:
        screen.lines(lines(finding))
    screen.line()
    screen.lines(labelled("", conclusion, 0))
    return code
