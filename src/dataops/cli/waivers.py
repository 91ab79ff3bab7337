"""Commands on waivers: who allowed what, why, until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import By, Json, listed, shown
from dataops.cli.screen import Screen

if TYPE_CHECKING:
    from dataops.pipeline.stewards import Standing

waivers = typer.Typer(help="Dated permissions to publish in spite of a rule.", no_args_is_help=True)
Waiver = Annotated[str, typer.Argument(metavar="ID", help="WAI-0003, 3 or latest")]


@waivers.command("add")
def add_waiver(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="the rule's id, e.g. SAL-014")],
    until: Annotated[str, typer.Option("--until", metavar="MOMENT", help="date or time, UTC unless it says a zone")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why publishing in spite of it is right")],
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", help="only for this batch")] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="K[,K]", help="only rows of this key; may be repeated")
    ] = None,
    by: By = None,
    as_json: Json = False,
) -> int:
    """Allow rows that break a rule to be published, for a time. A critical rule needs a second person.

    Examples:  dataops waivers add SAL-014 --until 2026-12-01 --reason "agreed price list"
    """
    from dataops.declared import settings
    from dataops.gate.waivers import Scope, moment
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import stewards

    screen: Screen = ctx.obj
    work = open_workspace()
    keys = tuple(tuple(part.strip() for part in text.split(",")) for text in key or ())
    scope = Scope(work.catalog.group_of_rule(rule).name, rule, batch, keys)
    made = stewards.add_waiver(work, scope, by or settings.person(), reason, moment(until))
    return print_waiver(screen, made, as_json=as_json)


def print_waiver(screen: Screen, standing: Standing, *, as_json: bool) -> int:
    """Prints what a waiver covers, how it stands and what comes next."""
    from dataops.facts import waiver as facts

    made = facts.of(standing)
    if as_json:
        screen.document(made)
        return 0
    screen.lines([f"{made.waiver}  {made.state}: {made.covers}, until {made.until:%Y-%m-%d %H:%M} UTC"])
    if made.state == "waiting for approval":
        screen.hint(f"Somebody else has to agree:  dataops waivers approve {made.waiver}")
    elif made.batch and made.state == "in force":
        batch = f"{made.group_name} --batch {made.batch}"
        screen.hint(f"Next:  dataops gate {batch} && dataops publish {batch}")
    elif made.state == "in force":
        screen.hint(f"Next:  dataops quarantine replay {made.group_name}, or judge a held batch again")
    return 0


@waivers.command("approve")
def approve_waiver(ctx: typer.Context, waiver: Waiver, by: By = None, as_json: Json = False) -> int:
    """Agree as a second person to what somebody else asked for.

    Examples:  dataops waivers approve WAI-0003
    """
    from dataops.declared import settings
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import stewards

    work = open_workspace()
    return print_waiver(ctx.obj, stewards.approve_waiver(work, _id(waiver), by or settings.person()), as_json=as_json)


@waivers.command("revoke")
def revoke_waiver(ctx: typer.Context, waiver: Waiver, by: By = None, as_json: Json = False) -> int:
    """End a waiver now; what was published under it stays and says so.

    Examples:  dataops waivers revoke WAI-0003
    """
    from dataops.declared import settings
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import stewards

    work = open_workspace()
    return print_waiver(ctx.obj, stewards.revoke_waiver(work, _id(waiver), by or settings.person()), as_json=as_json)


def _id(typed: str) -> str:
    from dataops.facts import choosing
    from dataops.ledger.workspace import open_workspace

    return choosing.of_work(open_workspace(), "waiver", typed)


@waivers.command("list")
def list_waivers(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="ended and revoked ones as well")] = False,
    as_json: Json = False,
) -> int:
    """List waivers that hold or wait for approval, those that end first on top.

    Examples:  dataops waivers list  |  dataops waivers list --all --json
    """
    from dataops.facts import waiver as facts
    from dataops.ledger.workspace import open_workspace

    document = facts.listed(open_workspace(), everything=everything)
    names = ("waiver", "covers", "state", "until", "asked by", "approved by", "reason")
    rows = [
        (w.waiver, w.covers, w.state, f"{w.until:%Y-%m-%d %H:%M}", w.owner, w.approver or "", w.reason)
        for w in document.waivers
    ]
    screen: Screen = ctx.obj
    code = listed(screen, document, names, rows, as_json=as_json)
    if not document.waivers and not as_json:
        screen.hint("no waivers" if everything else "no waiver is in force")
    return code


@waivers.command("show")
def show_waiver(ctx: typer.Context, waiver: Waiver = "latest", as_json: Json = False) -> int:
    """Show a waiver: what it covers, who asked, who agreed, until when.

    Examples:  dataops waivers show WAI-0003
    """
    from dataops.facts import waiver as facts
    from dataops.ledger.workspace import open_workspace

    return shown(ctx.obj, facts.shown(open_workspace(), _id(waiver)), as_json=as_json)
