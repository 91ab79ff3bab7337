"""Commands on incidents: what went wrong, why it matters, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Group, Json, Limit, Row, listed, newest, window
from dataops.cli.screen import Screen
from dataops.cli.text import day, iso, labelled, money, stamp

if TYPE_CHECKING:
    from dataops.workspace import Workspace

incidents = typer.Typer(help="What went wrong and who must act.", no_args_is_help=True)


@incidents.command("list")
def list_incidents(
    ctx: typer.Context,
    group: Group = None,
    limit: Limit = 20,
    everything: Annotated[bool, typer.Option("--all", help="solved ones as well")] = False,
    as_json: Json = False,
) -> int:
    """List open incidents, newest first.

    Examples:  dataops incidents list  |  dataops incidents list sales --all
    """
    from dataops import ledger

    found = newest(ledger.incidents, group, limit, None if everything else ledger.incidents.c.state == "open")
    names = ("incident", "sentence", "state", "group", "since", "seen", "rows")
    rows = [
        (
            r["incident_id"],
            r["sentence"],
            r["state"],
            r["group_name"],
            stamp(r["opened_at"]),
            f"{r['times']} times",
            str(r["detail"].get("rows_held", 0)),
        )
        for r in found
    ]
    screen: Screen = ctx.obj
    code = listed(screen, "incidents", names, rows, [_incident(r) for r in found], as_json=as_json)
    if not found and not as_json:
        screen.hint("no open incidents" if not everything else "no incidents")
    return code


@incidents.command("show")
def show_incident(
    ctx: typer.Context,
    incident: Annotated[str, typer.Argument(metavar="ID", help="INC-0007, 7 or latest")] = "latest",
    as_json: Json = False,
) -> int:
    """Show an incident: what is wrong, why it matters, how much is held, what to do.

    Examples:  dataops incidents show 7  |  dataops incidents show latest
    """
    import sqlalchemy as sa

    from dataops import ledger
    from dataops.cli import records
    from dataops.workspace import open_workspace

    work = open_workspace()
    with work.warehouse.reading() as connection:
        found = records.one(connection, ledger.incidents, "incident_id", incident, "incident")
        where = ledger.batches.c.seq == found["batch"]
        batch = ledger.one(connection, sa.select(ledger.batches).where(where)) or {}
    screen: Screen = ctx.obj
    if as_json:
        screen.document(
            {"schema": "dataops.incident/1", **_incident(found), "batch": batch["batch_id"], "detail": found["detail"]}
        )
        return 0
    screen.lines(_incident_lines(work, found, batch))
    if found["state"] == "open":
        screen.hint("\n" + "\n".join(_what_to_do(found, batch)))
    return 0


def _incident(r: Row) -> Row:
    return {
        "incident": r["incident_id"],
        "group": r["group_name"],
        "state": r["state"],
        "sentence": r["sentence"],
        "opened_at": iso(r["opened_at"]),
        "last_seen_at": iso(r["last_seen_at"]),
        "times": r["times"],
        "resolved_at": iso(r["resolved_at"]),
        "resolution": r["resolution"],
        "rows_held": r["detail"].get("rows_held", 0),
    }


def _incident_lines(work: Workspace, r: Row, batch: Row) -> list[str]:
    detail = r["detail"]
    shape = "■" if r["state"] == "open" else "●"
    rules = {rule.id: rule for group in work.catalog.groups.values() for rule in group.rules}
    since = f"{day(r['opened_at'])} {r['opened_at']:%H:%M} UTC"
    found = [f"{r['incident_id']}   {shape} {r['state']} · {r['group_name']} · since {since}"]
    found += labelled("", r["sentence"][:1].upper() + r["sentence"][1:], 0)
    for item in detail.get("rules", []):
        amount = f"{item['failing']:,} rows" if item["failing"] is not None else f"observed {item['observed']}"
        found += labelled(item["rule"], f"{item['table']}: {item['says']}; {amount}", 18)
        if rule := rules.get(item["rule"]):
            found += labelled("", rule.why, 18)
    found += labelled("Held", _held(detail), 18)
    for text in detail.get("reasons", []):
        found += labelled("Because", text, 18)
    found += labelled("Batch", f"{batch['batch_id']} from {batch['source']}, seen {r['times']} times", 18)
    if r["resolution"]:
        found += labelled("Solved", f"{stamp(r['resolved_at'])} UTC: {r['resolution']}", 18)
    return found


def _held(detail: Row) -> str:
    paid = detail.get("money") or {}
    worth = f", USD {money(paid['held'])} of {money(paid['received'])}" if paid else ""
    return f"{detail.get('rows_held', 0):,} of {detail.get('rows_received', 0):,} rows{worth}; nothing is lost"


def _what_to_do(r: Row, batch: Row) -> list[str]:
    group, span = r["group_name"], window(batch)
    again = "dataops build" if batch["source"] == "published layers" else f"dataops load {group}"
    again += f" --window {span}" if span and batch["window_start"] and again != "dataops build" else ""
    return [
        f"Source is wrong: fix it, then     {again}",
        f"Rule is wrong: edit it, then      dataops gate {group} --batch {batch['batch_id']}",
        f"The rows:                         dataops quarantine list {group}",
    ]
