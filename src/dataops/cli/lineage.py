"""The commands `lineage`: where a number comes from, and what is made of it, without any server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json
from dataops.cli.screen import Screen
from dataops.facts.text import counted, stamp, visible

if TYPE_CHECKING:
    from dataops.declared.column_lineage import How
    from dataops.facts.lineage import LineageDocument
    from dataops.facts.lineage_status import LineageStatusDocument

URL = "DATAOPS_LINEAGE_URL"
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"]
lineage = typer.Typer(help="Where figures come from, and what is made of them.", no_args_is_help=True)


class Format(StrEnum):
    """How a graph is shown."""

    TEXT = "text"
    MERMAID = "mermaid"
    JSON = "json"


@lineage.command("show")
def show_lineage(
    ctx: typer.Context,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET[.COLUMN]", help='a dataset or a column of one; "report NAME" as well')
    ],
    down: Annotated[bool, typer.Option("--down", help="what is made of it")] = False,
    up: Annotated[bool, typer.Option("--up", help="what it is made from; the default")] = False,
    shape: Annotated[Format, typer.Option("--format", metavar="FORMAT", help="text, mermaid or json")] = Format.TEXT,
    as_json: Json = False,
) -> int:
    """Show what a dataset or a column is made from, or what is made of it, each with how it stands now.

    Examples:  dataops lineage show fct_order  |  dataops lineage show marts.daily.revenue --up
    |  dataops lineage show order_line --down  |  dataops lineage show "report monthly" --format mermaid
    """
    from dataops.declared.errors import DeclarationError
    from dataops.facts import lineage as facts
    from dataops.ledger.workspace import open_workspace

    if up and down:
        raise DeclarationError("--up and --down exclude each other; ask twice")
    document = facts.shown(open_workspace(), dataset, "down" if down else "up")
    screen: Screen = ctx.obj
    if as_json or shape is Format.JSON:
        screen.document(document)
    elif shape is Format.MERMAID:
        from dataops.outlets.lineage import mermaid

        screen.lines(mermaid.of_document(document).splitlines())
    else:
        screen.lines(list(_tree(document)))
    return 0


@lineage.command("replay")
def replay_lineage(
    ctx: typer.Context,
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="TIME", formats=TIMES, help="only what happened from then on, UTC"),
    ] = None,
    batch: Annotated[str | None, typer.Option("--run", metavar="BATCH", help="only what became of this batch")] = None,
) -> int:
    """Tell a lineage server (DATAOPS_LINEAGE_URL, else lineage/openlineage.yml) what happened, with the times of then.

    Examples:  dataops lineage replay  |  dataops lineage replay --since 2026-05-01
    |  dataops lineage replay --run sales-20260501
    """
    from dataops.declared.errors import DeclarationError
    from dataops.facts import choosing
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.lineage import backend, replaying
    from dataops.outlets.refusals import UnconfiguredError

    work = open_workspace()
    try:
        server = backend.configured(work.settings.paths.project)
    except UnconfiguredError as error:
        raise DeclarationError(str(error)) from None
    name = choosing.of_work(work, "batch", batch) if batch else None
    told = replaying.replay(work, server, since, name)
    server.close()
    screen: Screen = ctx.obj
    screen.line(f"{counted(told.events, 'event')} of {counted(told.runs, 'run')} told to {server.name}")
    for problem in told.refused:
        screen.line(f"refused: {problem}")
    return 3 if told.refused else 0


@lineage.command("relay")
def relay_lineage(ctx: typer.Context) -> int:
    """Tell the lineage server everything that it does not know yet; `dataops outbox relay` does this as well.

    Examples:  dataops lineage relay
    """
    from dataops.declared.errors import DeclarationError
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.lineage import relaying
    from dataops.outlets.refusals import UnconfiguredError

    screen: Screen = ctx.obj
    work = open_workspace()
    try:
        with screen.working("telling lineage"):
            passed = relaying.relay_all(work)
    except UnconfiguredError as error:
        raise DeclarationError(f"{error}; until then everything is kept") from None
    screen.line(passed.sentence)
    for problem in passed.problems:
        screen.line(f"  {problem}")
    return 0


@lineage.command("status")
def lineage_status(ctx: typer.Context, as_json: Json = False) -> int:
    """Say what the lineage server does not know yet, and what it refuses.

    Examples:  dataops lineage status  |  dataops lineage status --json
    """
    from dataops.facts import lineage_status as facts
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.lineage import backend, spool
    from dataops.outlets.refusals import UnconfiguredError

    work = open_workspace()
    try:
        server = backend.configured(work.settings.paths.project).name
    except UnconfiguredError:
        server = None
    paths = work.settings.paths
    document = facts.status(work, server, len(spool.waiting(paths)), len(spool.unreadable(paths)))
    screen: Screen = ctx.obj
    if as_json:
        screen.document(document)
    else:
        screen.lines(list(_status(document)))
    return 0


def _status(found: LineageStatusDocument) -> Iterator[str]:
    yield f"Server   {found.server or f'none; set {URL}, and everything that is kept is told'}"
    since = f" since {stamp(found.untold_since)}" if found.untold_since else ""
    yield f"Kept     {counted(found.untold, 'happening')}{since}" if found.untold else "Kept     nothing"
    if found.spooled:
        yield f"Spooled  {counted(found.spooled, 'event')} of Airflow's own"
    if found.unreadable:
        yield f"Spooled  {counted(found.unreadable, 'file')} (*.bad in var/lineage) that hold no event"
    stuck = f", one not taken since {stamp(found.stuck_since)}" if found.stuck_since else ""
    yield f"Waiting  {counted(found.waiting, 'event')}{stuck}"
    yield f"Taken    {f'last {stamp(found.last_taken)}' if found.last_taken else 'nothing within a week'}"
    tried = stamp(found.relayed_at) if found.relayed_at else "never; under Airflow the DAG outbox does, else cron"
    yield f"Relay    ran last {tried}" if found.relayed_at else f"Relay    ran {tried}"
    if found.parked:
        yield f"Refused  {counted(found.parked, 'event')}; see: dataops outbox list --state parked"


At = tuple[str, str | None]
"""A node, and the column of it that is meant, if one is."""


def _tree(document: LineageDocument) -> Iterator[str]:
    """One line per node or column, below that from which it was reached; the second time without what follows."""
    nodes = {node.name: node for node in document.nodes}
    links = _links(document)
    seen: set[At] = set()

    def below(at: At, how: str, before: str, lead: str) -> Iterator[str]:
        again = at in seen and at in links
        standing = ", ".join(nodes[at[0]].standing(document.at))
        parts = (".".join(filter(None, at)), standing, f"({how})" if how else "", "…" if again else "")
        yield visible(before + lead + "  ".join(filter(None, parts)))
        if again:
            return
        seen.add(at)
        inner = before + {"": "", "└─ ": "   ", "├─ ": "│  "}[lead]
        children = links.get(at, [])
        for number, (child, how_) in enumerate(children, start=1):
            yield from below(child, how_, inner, "└─ " if number == len(children) else "├─ ")

    yield from below((document.dataset, document.column), "", "", "")


def _links(document: LineageDocument) -> dict[At, list[tuple[At, str]]]:
    """What each node or column leads to, and how it goes into it."""
    pairs: list[tuple[At, At, str]] = [
        ((pair.of, pair.column), (pair.made, pair.made_column), pair.says or _word(pair.how))
        for pair in document.columns
    ]
    if document.column is None:
        pairs = [((edge.of, None), (edge.made, None), "") for edge in document.edges]
    links: dict[At, list[tuple[At, str]]] = {}
    for of, made, how in pairs:
        start, end = (made, of) if document.direction == "up" else (of, made)
        links.setdefault(start, []).append((end, how))
    return links


def _word(how: How) -> str:
    return "" if how.value == "identity" else how.value
