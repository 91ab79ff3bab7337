"""Commands on batches: what was received, and what the rules said of it."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.listing import Group, Json, Limit, listed, shown, window
from dataops.facts.text import stamp

batches = typer.Typer(help="What was received: one batch per load or build.", no_args_is_help=True)


@batches.command("list")
def list_batches(ctx: typer.Context, group: Group = None, limit: Limit = 20, as_json: Json = False) -> int:
    """List batches, newest first.

    Examples:  dataops batches list  |  dataops batches list sales --limit 5
    """
    from dataops.facts import batch as facts
    from dataops.ledger.workspace import open_workspace

    document = facts.listed(open_workspace(), group, limit)
    names = ("batch", "group", "state", "verdict", "window", "source", "created", "reason")
    rows = [
        (b.batch, b.group, b.state, b.verdict or "", window(*b.window), b.source, stamp(b.created_at), b.reason or "")
        for b in document.batches
    ]
    return listed(ctx.obj, document, names, rows, as_json=as_json)


@batches.command("show")
def show_batch(
    ctx: typer.Context,
    batch: Annotated[str, typer.Argument(metavar="ID", help="id, unique prefix or latest")] = "latest",
    as_json: Json = False,
) -> int:
    """Show a batch: what came, what the rules said, what is held.

    Examples:  dataops batches show latest  |  dataops batches show sales-20260501
    """
    from dataops.facts import batch as facts
    from dataops.ledger.workspace import open_workspace

    return shown(ctx.obj, facts.shown(open_workspace(), batch), as_json=as_json, leave_out=("passed",))
