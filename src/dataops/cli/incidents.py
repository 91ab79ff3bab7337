"""Commands on incidents: what went wrong, why it matters, what to do, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import By, Group, Json, Limit, listed
from dataops.cli.screen import Screen
from dataops.facts.text import money, span, stamp

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from dataops.facts.incident import IncidentFacts, Summary
    from dataops.ledger.incidents import Incident

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
    from dataops.facts import incident as facts
    from dataops.ledger.enums import UNSOLVED, IncidentState
    from dataops.ledger.workspace import open_workspace

    work, screen = open_workspace(), ctx.obj
    states = (facts.state_of(state),) if state else tuple(IncidentState) if everything else UNSOLVED
    owner = None if assignee == "none" else assignee
    document = facts.listed(work, group, limit, states, owner=owner, any_owner=assignee is None)
    names = ("incident", "sentence", "state", "kind", "group", "owner", "since", "seen", "rows", "money")
    if not as_json:
        screen.hint(_summed_up(facts.summary(work, group)))
    code = listed(screen, document, names, [_line(i) for i in document.incidents], as_json=as_json)
    if not document.incidents and not as_json:
        screen.hint("no incidents" if everything or state or assignee else "no open incidents")
    return code


def _summed_up(summary: Summary) -> str:
    """`2 open, 1 without owner, median time to solve in 30 days: 5 h`."""
    median = span(summary.median) if summary.median else "none solved"
    return f"{summary.open} open, {summary.without_owner} without owner, median time to solve in 30 days: {median}"


def _line(incident: IncidentFacts) -> tuple[str, ...]:
    return (
        incident.incident,
        incident.sentence,
        incident.state,
        incident.kind or "held",
        incident.group,
        incident.assignee or "none",
        stamp(incident.opened_at),
        f"{incident.times} times",
        str(incident.rows_held),
        money(incident.money_held) if incident.money_held else "",
    )


@incidents.command("show")
def show_incident(ctx: typer.Context, incident: Id = "latest", as_json: Json = False) -> int:
    """Show an incident: what is wrong, why it matters, what is held, what to do, what was done.

    Examples:  dataops incidents show 7  |  dataops incidents show latest
    """
    from dataops.cli import incident_page
    from dataops.facts import incident as facts
    from dataops.ledger.workspace import open_workspace

    work, screen = open_workspace(), ctx.obj
    document = facts.shown(work, incident)
    if as_json:
        screen.document(document)
    else:
        screen.lines(incident_page.lines(document, work.settings.project.currency))
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
        group = groups.get(records.required(connection, found).group)
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
    from dataops.declared.settings import person
    from dataops.facts import choosing
    from dataops.ledger import incidents as records
    from dataops.ledger.schema import writing
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    with writing(open_workspace().warehouse) as connection:
        named = choosing.of(connection, "incident", typed)
        before = records.required(connection, named)
        step(connection, named, person() if by is None else by)
        after = records.required(connection, named)
        last = records.history(connection, after)[-1]
    screen.line(f"{named}: {_standing(before)} -> {_standing(after)}")
    screen.line(f"{last.action} by {last.who}{': ' + last.text if last.text else ''}")
    for hint in _undo(before, after):
        screen.hint(f"\nUndo it:  {hint}")
    return 0


def _standing(incident: Incident) -> str:
    return f"{incident.state}, owner {incident.assignee or 'none'}"


def _undo(before: Incident, after: Incident) -> Sequence[str]:
    name = after.incident_id
    if after.state == "resolved" != before.state:
        return [f'dataops incidents reopen {name} --comment "…"']
    if before.assignee and before.assignee != after.assignee:
        return [f"dataops incidents assign {name} --to {before.assignee}"]
    return []
