"""Commands on the outbox: what waits to be told, sending it, and deciding about what nobody takes."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.listing import By, Json, Limit, listed, shown
from dataops.cli.screen import Screen
from dataops.facts.text import counted, stamp

outbox = typer.Typer(help="Messages: what waits, what was told, what nobody takes.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="OUT-0007, 7 or latest")]
STATES = ("waiting", "delivered", "parked", "dropped", "needless")


@outbox.command("list")
def list_deliveries(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help=f"one of {', '.join(STATES)}")] = None,
    everything: Annotated[bool, typer.Option("--all", help="those that were delivered as well")] = False,
    limit: Limit = 20,
    as_json: Json = False,
) -> int:
    """List messages that were not delivered yet, newest first.

    Examples:  dataops outbox list  |  dataops outbox list --state parked  |  dataops outbox list --all --json
    """
    from dataops.facts import outbox as facts
    from dataops.ledger.enums import DeliveryState
    from dataops.ledger.outbox import UNSETTLED
    from dataops.ledger.workspace import open_workspace

    states = (facts.state_of(state),) if state else tuple(DeliveryState) if everything else UNSETTLED
    document = facts.listed(open_workspace(), states, limit=limit)
    screen: Screen = ctx.obj
    if not as_json:
        since = f", something since {stamp(document.overdue_since)}" if document.overdue_since else ""
        new = f", {counted(document.unrouted, 'notice')} not looked at" if document.unrouted else ""
        screen.hint(f"{document.waiting} waiting{since}, {document.parked} parked{new}")
    rows = [
        (d.delivery, d.subject, d.whom, d.state, d.attempts, stamp(d.settled_at or d.due_at), d.problem or "")
        for d in document.deliveries
    ]
    names = ("id", "about", "to", "state", "tried", "when", "problem")
    return listed(screen, document, names, rows, as_json=as_json)


@outbox.command("show")
def show_delivery(ctx: typer.Context, delivery: Id = "latest", as_json: Json = False) -> int:
    """Show what became of one message.

    Examples:  dataops outbox show OUT-0007  |  dataops outbox show latest --json
    """
    from dataops.facts import outbox as facts
    from dataops.ledger.workspace import open_workspace

    return shown(ctx.obj, facts.document(facts.required(open_workspace(), delivery)), as_json=as_json)


@outbox.command("relay")
def relay_outbox(ctx: typer.Context) -> int:
    """Send every message that is due, then tell lineage; under Airflow the DAG `outbox` does this every minute.

    What goes by a channel without a connection stays where it is. It ends when nothing is due any more.

    Examples:  dataops outbox relay
    """
    from dataops.cli.sending import channels
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.lineage import relaying
    from dataops.outlets.notify import relay
    from dataops.outlets.refusals import UnconfiguredError

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("sending messages"):
        passed = relay.relay(work, channels(work))
    screen.line(passed.sentence)
    for problem in (*passed.unconfigured.values(), *passed.problems):
        screen.line(f"  {problem}")
    try:
        with screen.working("telling lineage"):
            told = relaying.relay_all(work)
    except UnconfiguredError:
        return 0
    screen.line(f"lineage: {told.sentence}")
    for problem in told.problems:
        screen.line(f"  {problem}")
    return 0


@outbox.command("retry")
def retry_delivery(ctx: typer.Context, delivery: Id, by: By = None) -> int:
    """Let a message be sent by the next relay, whatever it waited for or was parked for.

    Examples:  dataops outbox retry OUT-0007 && dataops outbox relay
    """
    from dataops.declared.settings import person
    from dataops.facts import outbox as facts
    from dataops.ledger import outbox as ledger
    from dataops.ledger.schema import writing
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    found = facts.required(work, delivery)
    with writing(work.warehouse) as connection:
        ledger.retry(connection, found, by or person())
    ctx.obj.line(f"{found.delivery_id} to {found.whom} is due now.")
    ctx.obj.hint("Run: dataops outbox relay")
    return 0


@outbox.command("drop")
def drop_delivery(
    ctx: typer.Context,
    delivery: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="kept with the message")],
    by: By = None,
) -> int:
    """Give a message up; the ledger keeps who did and why.

    Examples:  dataops outbox drop OUT-0007 --reason "the channel was closed"
    """
    from dataops.declared.settings import person
    from dataops.facts import outbox as facts
    from dataops.ledger import outbox as ledger
    from dataops.ledger.schema import writing
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    found = facts.required(work, delivery)
    with writing(work.warehouse) as connection:
        ledger.drop(connection, found, by or person(), reason)
    ctx.obj.line(f"{found.delivery_id} to {found.whom} is given up.")
    return 0
