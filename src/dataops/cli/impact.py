"""The command `impact`: what stands on a dataset, a group or a batch, and who waits for it."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.listing import Json
from dataops.cli.screen import Screen
from dataops.facts.text import labelled


def impact(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="a dataset, a group or a batch")],
    as_json: Json = False,
) -> int:
    """Show which models, figures, reports and receivers stand on a dataset, a group or a held batch.

    Examples:  dataops impact order_line  |  dataops impact sales  |  dataops impact sales-20260501
    """
    from dataops.facts import impact as facts
    from dataops.ledger.workspace import open_workspace

    document = facts.of_name(open_workspace(), name)
    screen: Screen = ctx.obj
    if as_json:
        screen.document(document)
        return 0
    screen.line(f"On {', '.join(document.of)} stand {document.sentence}.")
    for title, names in (
        ("datasets", document.datasets),
        ("groups", document.groups),
        ("figures", document.metrics),
        ("reports", document.reports),
        ("receivers", document.receivers),
    ):
        if names:
            screen.lines(labelled(title, ", ".join(names), 11))
    return 0
