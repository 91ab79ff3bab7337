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


@notify.command("listen")
def listen_for_buttons(ctx: typer.Context) -> int:
    """Listen for the buttons of Slack messages, acknowledge and assign to me, until it is stopped.

    Needs a bot's token and, as `app_token` in the connection's extra, the app's for Socket Mode. Only people of
    project.yml's `messages: people` are heard; decisions that publish are made in Airflow.

    Examples:  dataops notify listen
    """
    from threading import Event

    from dataops.cli.sending import listening
    from dataops.declared.errors import DeclarationError
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.refusals import UnconfiguredError

    screen: Screen = ctx.obj
    try:
        client = listening(open_workspace())
    except UnconfiguredError as problem:
        raise DeclarationError(str(problem)) from None
    client.connect()
    screen.hint("listening; stop with Ctrl-C")
    try:
        Event().wait()
    finally:
        client.close()
    return 0
