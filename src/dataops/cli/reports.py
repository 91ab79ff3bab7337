"""Commands on reports: which there are, which were made, and making one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json, Limit, listed
from dataops.cli.screen import Screen
from dataops.facts.text import stamp

if TYPE_CHECKING:
    from dataops.facts.report_list import MadeFacts

reports = typer.Typer(help="Reports: what is declared, what was made, and making one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="REPORT", help="a file in reports/")]


@reports.command("list")
def list_reports(
    ctx: typer.Context,
    report: Annotated[str | None, typer.Argument(metavar="[REPORT]", help="only this one")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> int:
    """List the reports that were made, newest first; those never made are listed as such.

    Examples:  dataops reports list  |  dataops reports list profit_monthly --json
    """
    from dataops.facts import report_list
    from dataops.ledger.workspace import open_workspace

    document = report_list.listed(open_workspace(), report, limit)
    rows = [
        (m.report, m.period, m.language, stamp(m.made_at), m.state, ", ".join(f.format for f in m.files), m.id)
        for m in document.made
    ]
    never = [d for d in document.declared if d.newest is None]
    rows += [(d.report, f"every {d.period}", "", "never made", "", ", ".join(d.formats), "") for d in never]
    return listed(
        ctx.obj, document, ("report", "period", "language", "made", "state", "files", "id"), rows, as_json=as_json
    )


@reports.command("show")
def show_report(
    ctx: typer.Context,
    report: Annotated[str, typer.Argument(metavar="ID", help="id, unique prefix or latest")] = "latest",
    as_json: Json = False,
) -> int:
    """Show a report that was made: its headline, what it stands on, its files and their hashes.

    Examples:  dataops reports show latest  |  dataops reports show profit_monthly_2014-05
    """
    from dataops.facts import report_list
    from dataops.ledger.workspace import open_workspace

    document = report_list.shown(open_workspace(), report)
    screen: Screen = ctx.obj
    if as_json:
        screen.document(document)
    else:
        _print(screen, document)
    return 0


@reports.command("build")
def build_report(
    ctx: typer.Context,
    report: Name,
    period: Annotated[
        str | None,
        typer.Option("--period", metavar="P", help="2026-05, 2026-W18 or 2026-05-01; default: the last whole one"),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="en|fr", help="default: the report's own")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="PUBLICATION", help="as it would have been made then")
    ] = None,
    as_json: Json = False,
) -> int:
    """Make a report from what is published and put it into the archive; what is there already is not made again.

    It waits (exit code 1) while what it stands on is held.

    Examples:  dataops reports build profit_monthly --period 2026-05  |  dataops reports build sales_daily --language fr
    """
    from dataops.facts import report_list
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.reports import building

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working(f"making {report}"):
        made, is_new = building.build(work, report_list.required(work, report), period, language, as_of)
    facts = report_list.facts(work, made)
    if as_json:
        screen.document(report_list.MadeDocument(**facts.model_dump()))
        return 0
    _print(screen, facts)
    if not is_new:
        screen.hint("\nIt was there already: the archive is never written twice.")
    return 0


@reports.command("send")
def send_report(
    ctx: typer.Context,
    report: Name,
    period: Annotated[
        str | None,
        typer.Option("--period", metavar="P", help="2026-05, 2026-W18 or 2026-05-01; default: the last whole one"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="ADDRESS", help="only to this receiver, also once more; default: who has it not yet"
        ),
    ] = None,
) -> int:
    """Send a report to its receivers; it is made first where it was not.

    Who has it already gets it again only with --to. It waits (exit code 1) while what it stands on is held.

    Examples:  dataops reports send profit_monthly --period 2026-05
      |  dataops reports send profit_monthly --period 2026-05 --to finance@example.org
    """
    from dataops.facts import report_list
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.reports import sending

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working(f"making {report}"):
        told = sending.send(work, report_list.required(work, report), period, to)
    for line in told:
        screen.line(line)
    screen.hint("It leaves with the next relay: dataops outbox relay")
    return 0


@reports.command("deliveries")
def report_deliveries(
    ctx: typer.Context,
    report: Annotated[str | None, typer.Argument(metavar="[REPORT]", help="only this one")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> int:
    """List who got which report, who waits for one, and why.

    Examples:  dataops reports deliveries  |  dataops reports deliveries profit_monthly --json
    """
    from dataops.facts import outbox, report_list
    from dataops.ledger.enums import DeliveryState, NoticeKind
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    if report is not None:
        report_list.required(work, report)
    kinds = (NoticeKind.REPORT, NoticeKind.REPORT_WAITS)
    document = outbox.listed(work, tuple(DeliveryState), kinds, limit if report is None else 10_000)
    if report is not None:
        own = [d for d in document.deliveries if d.subject.partition(" ")[0] == report][:limit]
        document = document.model_copy(update={"deliveries": tuple(own)})
    rows = [
        (d.subject, d.whom, "waits" if d.kind == "report waits" else "report", d.state, stamp(d.settled_at or d.due_at),
         d.problem or "", d.delivery)
        for d in document.deliveries
    ]  # fmt: skip
    if document.unrouted and not as_json:
        ctx.obj.hint("Some wait for the next relay to find whom they reach: dataops outbox relay")
    return listed(ctx.obj, document, ("report", "to", "what", "state", "when", "problem", "id"), rows, as_json=as_json)


@reports.command("explain")
def explain_figure(
    ctx: typer.Context,
    report: Name,
    figure: Annotated[str, typer.Argument(metavar="FIGURE", help="a metric, as the report names it: gross_profit")],
    period: Annotated[str, typer.Option("--period", metavar="P", help="2026-05, 2026-W18 or 2026-05-01")],
    of: Annotated[
        list[str] | None,
        typer.Option("--of", metavar="COLUMN=VALUE", help="of what: territory=Australia; may be repeated"),
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="PUBLICATION", help="as it stood then")] = None,
    as_json: Json = False,
) -> int:
    """Lead from a figure of a report to the rows that it is made of.

    Examples:  dataops reports explain profit_monthly gross_profit --period 2026-05 --of territory=Australia
    """
    from dataops.declared.errors import DeclarationError
    from dataops.declared.reports import Period
    from dataops.facts import figure_rows, report_list
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    span = Period.of(report_list.required(work, report).period, period)
    chosen = dict(part.partition("=")[::2] for part in of or ())
    if wrong := [part for part in of or () if "=" not in part]:
        raise DeclarationError(f"--of {wrong[0]!r}: write COLUMN=VALUE, such as territory=Australia")
    document = figure_rows.explain(work, figure, span, chosen, as_of)
    screen: Screen = ctx.obj
    if as_json:
        screen.document(document)
        return 0
    named = "".join(f", {name} {value}" for name, value in chosen.items())
    screen.line(
        f"{figure} of {document.period}{named}: {document.value}, {document.formula} over {document.rows:,} rows"
    )
    screen.table(document.columns, document.largest)
    screen.hint(f'\nAll of them: dataops query "{document.query}"')
    screen.hint("Where a row comes from: dataops explain DATASET --key …")
    return 0


@reports.command("restated")
def restated(
    ctx: typer.Context,
    report: Annotated[str | None, typer.Argument(metavar="[REPORT]", help="only this one")] = None,
    as_json: Json = False,
) -> int:
    """Look for figures that were reported and changed since, note them, and list all that were noted.

    Says which figure, before and after, the rows and the publication that changed it, and who had the report.

    Examples:  dataops reports restated  |  dataops reports restated profit_monthly --json
    """
    from dataops.facts import restatement
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.reports import restating

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("comparing reports with what is published"):
        restating.note(work)
    document = restatement.listed(work, report)
    rows = [
        (r.report, r.period, r.figure, r.cell, r.before or "", r.after or "", ", ".join(r.causes), r.rows_changed)
        for r in document.restated
    ]
    names = ("report", "period", "figure", "of", "before", "after", "by", "rows")
    return listed(screen, document, names, rows, as_json=as_json)


def _print(screen: Screen, made: MadeFacts) -> None:
    screen.line(f"{made.report}, {made.period} ({made.language}), made {stamp(made.made_at)}: {made.state}")
    screen.line(made.headline)
    for file in made.files:
        screen.line(f"  {file.path}  {file.bytes:,} bytes  {file.sha256[:16]}")
