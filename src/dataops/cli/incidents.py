"""Commands on incidents: what went wrong, why it matters, what to do, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import By, Group, Json, Limit, Row, listed, newest
from dataops.cli.screen import Screen
from dataops.cli.text import iso, money, span, stamp
from dataops.declared.errors import DeclarationError

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection

incidents = typer.Typer(help="What went wrong and who must act.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="INC-0007, 7 or latest")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="kept in the incident's history")]
STATES = ("open", "acknowledged", "resolved", "waived")


@incidents.command("list")
def list_incidents(
    ctx: typer.Context,
    group: Group = None,
    limit: Limit = 20,
    everything: Annotated[bool, typer.Option("--all", help="solved ones as well")] = False,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help=f"one of {', '.join(STATES)}")] = None,
    assignee: Annotated[str | None, typer.Option("--assignee", metavar="NAME", help="none: without owner")] = None,
    as_json: Json = False,
) -> int:
    """List incidents in which somebody must act, newest first.

    Examples:  dataops incidents list  |  dataops incidents list sales --all
      |  dataops incidents list --assignee none
    """
    from dataops.ledger import tables as ledger

    found = newest(ledger.incidents, group, limit, _wanted(everything, state, assignee))
    names = ("incident", "sentence", "state", "kind", "group", "owner", "since", "seen", "rows", "money")
    screen: Screen = ctx.obj
    if not as_json:
        screen.hint(_summary(group))
    code = listed(screen, "incidents", names, [_line(r) for r in found], [document(r) for r in found], as_json=as_json)
    if not found and not as_json:
        screen.hint("no incidents" if everything or state or assignee else "no open incidents")
    return code


def _wanted(everything: bool, state: str | None, assignee: str | None) -> sa.ColumnElement[bool]:
    import sqlalchemy as sa

    from dataops.ledger.incidents import OPEN
    from dataops.ledger.tables import incidents as table

    if state is not None and state not in STATES:
        raise DeclarationError(f"no state {state!r} of an incident; there are {', '.join(STATES)}")
    states = (state,) if state else STATES if everything else OPEN
    owned = sa.true() if assignee is None else table.c.assignee.is_not_distinct_from(_nobody(assignee))
    return table.c.state.in_(states) & owned


def _nobody(assignee: str) -> str | None:
    return None if assignee == "none" else assignee


def _summary(group: str | None) -> str:
    """`2 open, 1 without owner, median time to solve in 30 days: 5 h`."""
    import statistics
    from datetime import timedelta

    from dataops.ledger import tables as ledger
    from dataops.ledger.incidents import OPEN

    table = ledger.incidents.c
    recent = table.resolved_at > ledger.now() - timedelta(days=30)
    found = newest(ledger.incidents, group, 10_000, table.state.in_(OPEN) | recent)
    standing = [r for r in found if r["state"] in OPEN]
    took = [r["resolved_at"] - r["opened_at"] for r in found if r["state"] not in OPEN]
    nobodys = sum(r["assignee"] is None for r in standing)
    median = span(statistics.median(took)) if took else "none solved"
    return f"{len(standing)} open, {nobodys} without owner, median time to solve in 30 days: {median}"


def _line(r: Row) -> tuple[str, ...]:
    paid = r["detail"].get("money") or {}
    return (
        r["incident_id"],
        r["sentence"],
        r["state"],
        r["kind"] or "held",
        r["group_name"],
        r["assignee"] or "none",
        stamp(r["opened_at"]),
        f"{r['times']} times",
        str(r["detail"].get("rows_held", 0)),
        money(paid["held"]) if paid else "",
    )


@incidents.command("show")
def show_incident(ctx: typer.Context, incident: Id = "latest", as_json: Json = False) -> int:
    """Show an incident: what is wrong, why it matters, what is held, what to do, what was done.

    Examples:  dataops incidents show 7  |  dataops incidents show latest
    """
    from dataops.cli import incident_page, records
    from dataops.ledger import tables as ledger
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    screen: Screen = ctx.obj
    with work.warehouse.reading() as connection:
        found = records.one(connection, ledger.incidents, "incident_id", incident, "incident")
        facts = incident_page.read(connection, found)
    if as_json:
        screen.document({"schema": "dataops.incident/1", **document(found), **incident_page.document(facts)})
    else:
        screen.lines(incident_page.lines(work.catalog, facts))
    return 0


@incidents.command("acknowledge")
def acknowledge(ctx: typer.Context, incident: Id, by: By = None, comment: Comment = "") -> int:
    """Say that you have seen an incident and act.

    Examples:  dataops incidents acknowledge 7 --comment "asked the ERP team"
    """
    from dataops.ledger import incidents as records

    return _step(ctx, incident, by, lambda c, found, who: records.acknowledge(c, found, who, comment or None))


@incidents.command("assign")
def assign(
    ctx: typer.Context,
    incident: Id,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="its new owner")],
    by: By = None,
) -> int:
    """Give an incident an owner.

    Examples:  dataops incidents assign 7 --to anna
    """
    from dataops.ledger import incidents as records

    return _step(ctx, incident, by, lambda c, found, who: records.assign(c, found, to, who))


@incidents.command("comment")
def add_comment(
    ctx: typer.Context,
    incident: Id,
    text: Annotated[str, typer.Option("--comment", metavar="TEXT", help="kept in the incident's history")],
    by: By = None,
) -> int:
    """Add a comment to an incident's history.

    Examples:  dataops incidents comment 7 --comment "the price list of May was not loaded"
    """
    from dataops.ledger import incidents as records

    return _step(ctx, incident, by, lambda c, found, who: records.comment(c, found, text, who))


@incidents.command("resolve")
def resolve(
    ctx: typer.Context,
    incident: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="REASON", help="source-fixed, rule-fixed, …; see below")],
    text: Annotated[str, typer.Option("--comment", metavar="TEXT", help="what was done; kept")],
    by: By = None,
) -> int:
    """Close an incident with a reason of its checkpoint and a comment.

    Unless checkpoints/<group>.yml lists others: source-fixed, rule-fixed, expected-change, duplicate, false-positive.
    A batch closed as false-positive or expected-change is left out of what anomalies are measured by.

    Examples:  dataops incidents resolve 7 --reason source-fixed --comment "price list reloaded"
    """
    from dataops.ledger import incidents as records
    from dataops.ledger.workspace import open_workspace

    groups = open_workspace().catalog.groups

    def close(connection: Connection, found: str, who: str) -> None:
        group = groups.get(records.required(connection, found)["group_name"])
        reasons = {"reasons": group.checkpoint.reasons} if group else {}
        records.close(connection, found, reason, text, who, **reasons)

    return _step(ctx, incident, by, close)


@incidents.command("reopen")
def reopen(
    ctx: typer.Context,
    incident: Id,
    text: Annotated[str, typer.Option("--comment", metavar="TEXT", help="why; kept")],
    by: By = None,
) -> int:
    """Open a closed incident again.

    Examples:  dataops incidents reopen 7 --comment "the next delivery had it again"
    """
    from dataops.ledger import incidents as records

    return _step(ctx, incident, by, lambda c, found, who: records.reopen(c, found, text, who))


def _step(ctx: typer.Context, typed: str, by: str | None, step: Callable[[Connection, str, str], None]) -> int:
    """Takes one step in a transaction of its own; prints before -> after, and what takes it back."""
    from dataops.cli.records import chosen, ids
    from dataops.declared.settings import person
    from dataops.ledger import incidents as records
    from dataops.ledger import tables as ledger
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    with ledger.writing(open_workspace().warehouse) as connection:
        found = chosen(typed, ids(connection, ledger.incidents, "incident_id"), "incident")
        before = records.required(connection, found)
        step(connection, found, person() if by is None else by)
        after = records.required(connection, found)
        last = records.history(connection, found)[-1]
    screen.line(f"{found}: {_standing(before)} -> {_standing(after)}")
    screen.line(f"{last['action']} by {last['who']}{': ' + last['text'] if last['text'] else ''}")
    for hint in _undo(before, after):
        screen.hint(f"\nUndo it:  {hint}")
    return 0


def _standing(r: Row) -> str:
    return f"{r['state']}, owner {r['assignee'] or 'none'}"


def _undo(before: Row, after: Row) -> Sequence[str]:
    name = after["incident_id"]
    if after["state"] == "resolved" != before["state"]:
        return [f'dataops incidents reopen {name} --comment "…"']
    if before["assignee"] and before["assignee"] != after["assignee"]:
        return [f"dataops incidents assign {name} --to {before['assignee']}"]
    return []


def document(r: Row) -> Row:
    """The fields that `incidents list` and `incidents show` share."""
    return {
        "incident": r["incident_id"],
        "group": r["group_name"],
        "kind": r["kind"],
        "state": r["state"],
        "assignee": r["assignee"],
        "sentence": r["sentence"],
        "opened_at": iso(r["opened_at"]),
        "last_seen_at": iso(r["last_seen_at"]),
        "times": r["times"],
        "resolved_at": iso(r["resolved_at"]),
        "resolution": r["resolution"],
        "resolution_reason": r["resolution_reason"],
        "rows_held": r["detail"].get("rows_held", 0),
    }
