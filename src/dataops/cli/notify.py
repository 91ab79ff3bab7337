"""Commands on messages: trying a channel, and seeing a message before anybody gets it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dataops.cli.screen import Screen

notify = typer.Typer(help="Messages: try a channel, see one before it is sent.", no_args_is_help=True)
Form = Literal["text", "slack", "html"]


@notify.command("test")
def try_channels(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ADDRESS", help='"#channel" or a mail address; default: the operators'),
    ] = None,
) -> int:
    """Send a sample of each kind of message, with invented content that says so.

    Examples:  dataops notify test  |  dataops notify test --to "#dq-sales"
    """
    from dataops.cli.sending import channels
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.notify import samples
    from dataops.outlets.notify.desk import Desk

    screen: Screen = ctx.obj
    desk = Desk(open_workspace())
    opened = channels(desk.work)
    failed = 0
    for receiver in samples.receivers(desk, to):
        for kind, how in samples.send(desk, opened, receiver):
            failed += not how.startswith("delivered")
            screen.line(f"{receiver.whom}  {kind.value}: {how}")
    return 3 if failed else 0


@notify.command("preview")
def preview_message(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="an incident, a publication, a report that was made, or day or week")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="ADDRESS", help="as this receiver would get it; default: a channel")
    ] = "#preview",
    form: Annotated[Form, typer.Option("--as", metavar="text|slack|html", help="how it is printed")] = "text",
) -> int:
    """Print a message as it would be sent now; nobody gets it.

    Examples:  dataops notify preview INC-0001  |  dataops notify preview week --as slack
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.notify import previewing

    screen: Screen = ctx.obj
    for line in previewing.preview(open_workspace(), what, to, form).splitlines():
        screen.line(line)
    return 0
