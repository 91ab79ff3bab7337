"""Commands that move data: load, gate, publish, build. Each ends with what became of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.progress import Progress
from dataops.cli.screen import Screen
from dataops.declared.errors import VerdictError

if TYPE_CHECKING:
    from dataops.facts.outcome import OutcomeDocument
    from dataops.ledger.workspace import Workspace
    from dataops.sources import Source

Group = Annotated[str, typer.Argument(metavar="GROUP", help="reference, sales, inventory, …: a file in checkpoints/")]
Batch = Annotated[str | None, typer.Option("--batch", metavar="ID", help="a batch; default: the group's newest")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")]


def load(
    ctx: typer.Context,
    group: Group,
    window: Annotated[
        str | None, typer.Option("--window", metavar="A..B", help="from A up to and without B, dates or times in UTC")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="URL",
            help="csv:<folder>, files:<folder>, postgresql://…, mssql://…, generator:…",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Bring a group's rows from the source, judge them and publish them.

    What the gate refuses is held: nothing of the batch is published, nothing is lost.

    Examples:  dataops load reference  |  dataops load sales --window 2026-05-01..2026-05-02
    """
    from dataops.facts import outcome
    from dataops.lab.faulty_source import open_source
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs
    from dataops.sources import Window

    screen: Screen = ctx.obj
    span = Window.parse(window) if window else None
    work = open_workspace()
    url = source or work.settings.source_url or _found_source(work, screen)
    with screen.working(f"loading {group}") as say, jobs.source_of(work, url, open_source) as opened:
        progress = Progress(say, f"loading {group}", total=_expected(work, group, opened) if span is None else None)
        done = jobs.load(work, group, span, opened, tell=progress.tell)
        jobs.renew_copy(work)
    return _report(
        screen, work, outcome.of(work, "load", done.batch_id, done.verdict, done.publication), as_json=as_json
    )


def _expected(work: Workspace, group: str, source: Source) -> int | None:
    """Rows of a whole load, as far as the source knows."""
    from dataops.sources.port import Server

    if not isinstance(source, Server):
        return None
    tables = [str(dataset.contract.platform.source) for dataset in work.catalog.group(group).datasets]
    return sum(source.estimated_rows(table) or 0 for table in tables) or None


def _found_source(work: Workspace, screen: Screen) -> str:
    """Nobody named a source: which one is used is said."""
    from dataops.sources.opening import find_source

    found = find_source(work.settings.paths.project, work.settings.paths.home / "source")
    screen.hint(f"source   {found.sentence}")
    return found.url


def gate(ctx: typer.Context, group: Group, batch: Batch = None, as_json: Json = False) -> int:
    """Judge a landed batch again, with the rules as they are now; publishes nothing.

    Examples:  dataops gate sales  |  dataops gate sales --batch sales-20260501  |  dataops gate run sales
    """
    from dataops.facts import outcome
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    batch = _of_group(work, group, batch)
    jobs.refuse_settled(work, group, batch)
    with screen.working(f"judging {group}"):
        verdict = jobs.run_gate(work, group, batch)
    return _report(screen, work, outcome.of(work, "gate", verdict.batch_id, verdict, None), as_json=as_json)


def publish(
    ctx: typer.Context,
    group: Group,
    batch: Batch = None,
    quota: Annotated[
        str | None, typer.Option("--quota", metavar="SHARE", help="ask to publish a held batch's good rows, e.g. 40%")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="with --quota: why")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="with --quota: who asks")] = None,
    as_json: Json = False,
) -> int:
    """Publish a batch that the gate has passed.

    A held batch's good rows can be published by raising its quota, which a second person has to approve.

    Examples:  dataops publish sales  |  dataops publish sales --batch sales-20260501 --quota 40% --reason "import"
    """
    from dataops.facts import outcome
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    batch = _of_group(work, group, batch)
    if quota is not None:
        from dataops.cli.waivers import print_waiver
        from dataops.declared import settings
        from dataops.pipeline import stewards

        wanted = jobs.latest(work, group, batch)
        made = stewards.ask_for_quota(work, group, wanted, by or settings.person(), reason or "", quota)
        print_waiver(screen, made, as_json=as_json)
        return 1  # nothing is published before somebody else agrees
    with screen.working(f"publishing {group}"):
        done = jobs.publish(work, group, batch)
        jobs.renew_copy(work)
    return _report(screen, work, outcome.of(work, "publish", done.batch_id, None, done), as_json=as_json)


def build(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[GROUP|MODEL]...", help="groups or models to build; default: all")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="build every model whole, not for changed keys only")] = False,
    as_json: Json = False,
) -> int:
    """Build models from the published rows, judge them and publish them, group by group.

    Examples:  dataops build  |  dataops build curated  |  dataops build fct_orders --full
    """
    from dataops.facts import outcome
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    documents, lacking = [], []
    for group, models in jobs.to_build(work.catalog, names or ()).items():
        with screen.working(f"building {group}"):
            try:
                built, done = jobs.build(work, group, models, full=full)
            except VerdictError as error:  # other groups may have what they need
                lacking.append(error)
                continue
            jobs.renew_copy(work)
        documents.append(outcome.of(work, "build", done.batch_id, done.verdict, done.publication, built.waiting))
    if lacking and (names or not documents):
        raise lacking[0]
    for reason in lacking:
        screen.hint(str(reason))
    if as_json and len(documents) != 1:
        screen.document(outcome.OutcomesDocument(outcomes=tuple(documents)))
        return max(document.exit_code for document in documents)
    return max(_report(screen, work, document, as_json=as_json) for document in documents)


def _of_group(work: Workspace, group: str, batch_id: str | None) -> str | None:
    """The batch's id, if it belongs to the group. Raises DeclarationError where it does not."""
    from dataops.declared.errors import DeclarationError
    from dataops.ledger import batches
    from dataops.ledger.schema import is_there

    work.catalog.group(group)
    if batch_id is None:
        return None
    with work.warehouse.reading() as connection:
        batch = batches.find(connection, batch_id) if is_there(connection) else None
    if batch and batch.group != group:
        raise DeclarationError(f"batch {batch_id} is one of {batch.group}, not of {group}")
    return batch_id


def _report(screen: Screen, work: Workspace, document: OutcomeDocument, *, as_json: bool) -> int:
    from dataops.cli import outcome as pages

    if as_json:
        screen.document(document)
    else:
        screen.lines(pages.lines(document, work.settings.project.currency, verbose=screen.verbosity > 0))
        for hint in pages.hints(document):
            screen.hint("\n" + hint)
    return document.exit_code


COMMANDS: tuple[Callable[..., int], ...] = (load, publish, build)  # gate is a command of its own, see gates
