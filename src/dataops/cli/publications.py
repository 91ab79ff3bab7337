"""Commands on publications: what was published, and the one change among them, going back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Group, Json, Limit, listed, window
from dataops.cli.screen import Screen, confirm
from dataops.declared.errors import DeclarationError
from dataops.facts.text import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from dataops.ledger.workspace import Workspace

publications = typer.Typer(help="What was published, and going back to it.", no_args_is_help=True)


@publications.command("list")
def list_publications(ctx: typer.Context, group: Group = None, limit: Limit = 20, as_json: Json = False) -> int:
    """List publications, newest first.

    Examples:  dataops publications list  |  dataops publications list sales --json
    """
    from dataops.facts import publication as facts
    from dataops.ledger.workspace import open_workspace

    document = facts.listed(open_workspace(), group, limit)
    names = ("publication", "group", "kind", "verdict", "published", "figures", "previous", "reason")
    rows = [
        (
            p.publication,
            p.group,
            p.kind,
            p.verdict,
            stamp(p.published_at),
            window(None, p.window_end),
            p.previous or "",
            p.reason or "",
        )
        for p in document.publications
    ]
    return listed(ctx.obj, document, names, rows, as_json=as_json)


@publications.command("show")
def show_publication(
    ctx: typer.Context,
    publication: Annotated[str, typer.Argument(metavar="ID", help="id, unique prefix or latest")] = "latest",
    as_json: Json = False,
) -> int:
    """Show a publication's receipt: counts and control totals, rules, waivers, and the hash that proves it.

    Examples:  dataops publications show sales-0001  |  dataops publications show latest
    """
    from dataops.cli import receipt
    from dataops.facts import publication as facts
    from dataops.ledger.workspace import open_workspace

    document = facts.shown(open_workspace(), publication)
    screen: Screen = ctx.obj
    if as_json:
        screen.document(document)
        return 0
    screen.lines(receipt.page(document))
    screen.hint(f"\nCheck it: dataops publications verify {document.publication}")
    screen.hint(f'Read it:  dataops query "…" --as-of {document.publication}')
    if document.previous:
        screen.hint(f"Undo it:  {_undo(document.group, document.previous)}")
    return 0


@publications.command("verify")
def verify(
    ctx: typer.Context,
    publication: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="up to this one; default: the whole ledger")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="ID", help="begin here; what is before it is taken as given")
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="a receipt kept elsewhere, or its first 16 digits")
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="also read every value of every published row")] = False,
    as_json: Json = False,
) -> int:
    """Prove that the ledger is as it was written: recompute every receipt, compare its figures with the rows.

    A report or an earlier status shows a receipt; --head proves that nothing up to it was cut off. --rows finds any
    value that was changed, in what stands and in history. Exit 1: not proven.

    Examples:  dataops publications verify --rows  |  dataops publications verify --head 7f3c52d0a1b2c3d4
    |  dataops publications verify --from sales-0041
    """
    from dataops.cli import proof
    from dataops.facts.answers import VerificationDocument
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import verification

    work = open_workspace()
    with work.warehouse.reading() as connection:
        first, last = _numbers(connection, (start, publication))
        datasets = tuple(work.catalog.datasets.values())
        found = verification.verify(connection, datasets, start=first or 0, end=last, head=head, rows=rows)
    screen: Screen = ctx.obj
    if as_json:
        screen.document(VerificationDocument.of(found))
    else:
        screen.lines(proof.lines(found))
        for hint in proof.hints(found):
            screen.hint(hint)
    return 0 if found.proven else 1


def _numbers(connection: Connection, typed: Sequence[str | None]) -> list[int | None]:
    """Numbers of publications. Raises DeclarationError for an unknown one and where there are no receipts yet."""
    from dataops.facts import choosing
    from dataops.ledger import publications as ledger
    from dataops.ledger.schema import is_there

    if not is_there(connection):
        raise DeclarationError("nothing has been published yet.\nRun: dataops load GROUP")
    named = [ledger.find(connection, choosing.of(connection, "publication", t)) if t else None for t in typed]
    return [made.seq if made else None for made in named]


def _undo(group: str, publication: str) -> str:
    return f'dataops publications rollback {group} --to {publication} --reason "…"'


@publications.command("rollback")
def roll_back(
    ctx: typer.Context,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="the group that goes back")],
    to: Annotated[str, typer.Option("--to", metavar="ID", help="the publication whose state comes back")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; kept in the ledger")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask; needed where nobody can answer")] = False,
) -> int:
    """Make a group stand as an earlier publication left it; that is a publication of its own.

    Examples:  dataops publications rollback sales --to sales-0041 --reason "wrong price list"
    """
    from dataops.facts import choosing
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    work.catalog.group(group)
    if not reason.strip():
        raise DeclarationError("--reason is empty; say why, it stands in the ledger for ever")
    wanted = choosing.publication_of(work, group, to)
    before = _standing(work, group)
    screen.line(f"{group}: {before} -> as {wanted} left it")
    if not yes:
        confirm("Go back?")
    done = jobs.roll_back(work, group, wanted, reason)
    jobs.renew_copy(work)
    if done.status == "unchanged":
        screen.line(f"nothing new: {group} stands as {wanted} left it already; nothing was published.")
        return 0
    screen.line(
        f"PUBLISHED  {done.publication_id}: {done.total('new'):,} rows brought back, {done.total('deleted'):,} removed."
    )
    screen.hint(f"\nUndo it:  {_undo(group, before)}")
    screen.hint("What was built from it is older now: dataops status")
    return 0


def _standing(work: Workspace, group: str) -> str:
    from dataops.ledger import publications as ledger

    with work.warehouse.reading() as connection:
        last = ledger.last(connection, group)
    return last.publication_id if last else "nothing"
