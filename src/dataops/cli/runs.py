"""Commands that move data: load, gate, publish, build. Each ends with what became of the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli.screen import Screen

if TYPE_CHECKING:
    from dataops.cli.outcome import Outcome
    from dataops.gate.verdict import Verdict
    from dataops.ledger.workspace import Workspace
    from dataops.pipeline.publish import Publication

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
        str | None, typer.Option("--source", metavar="URL", help="csv:<folder, zip or tar>, generator:?scale=1&seed=7")
    ] = None,
    as_json: Json = False,
) -> int:
    """Bring a group's rows from the source, judge them and publish them.

    What the gate refuses is held: nothing of the batch is published, nothing is lost.

    Examples:  dataops load reference  |  dataops load sales --window 2014-05-01..2014-05-02
    """
    from dataops.lab.faulty_source import open_source
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs
    from dataops.sources import Window

    screen: Screen = ctx.obj
    span = Window.parse(window) if window else None
    work = open_workspace()
    url = source or work.settings.source_url or _found_source(work, screen)
    with screen.working(f"loading {group}"), jobs.source_of(work, url, open_source) as opened:
        done = jobs.load(work, group, span, opened)
    return _report(screen, _outcome(work, "load", done.batch_id, done.verdict, done.publication), as_json=as_json)


def _found_source(work: Workspace, screen: Screen) -> str:
    """Nobody named a source: which one is used is said."""
    from dataops.sources.opening import find_source

    found = find_source(work.settings.paths.project, work.settings.paths.home / "source")
    screen.hint(f"source   {found.sentence}")
    return found.url


def gate(ctx: typer.Context, group: Group, batch: Batch = None, as_json: Json = False) -> int:
    """Judge a landed batch again, with the rules as they are now; publishes nothing.

    Examples:  dataops gate sales  |  dataops gate sales --batch sales-20140501  |  dataops gate run sales
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    batch = _of_group(work, group, batch)
    with screen.working(f"judging {group}"):
        verdict = jobs.run_gate(work, group, batch)
    return _report(screen, _outcome(work, "gate", verdict.batch_id, verdict, None), as_json=as_json)


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

    Examples:  dataops publish sales  |  dataops publish sales --batch sales-20140501 --quota 40% --reason "import"
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    batch = _of_group(work, group, batch)
    if quota is not None:
        from dataops.cli.waivers import told
        from dataops.declared import settings
        from dataops.pipeline import stewards

        wanted = jobs.latest(work, group, batch)
        made = stewards.ask_for_quota(work, group, wanted, by or settings.person(), reason or "", quota)
        told(screen, made, as_json=as_json)
        return 1  # nothing is published before somebody else agrees
    with screen.working(f"publishing {group}"):
        done = jobs.publish(work, group, batch)
    return _report(screen, _outcome(work, "publish", done.batch_id, None, done), as_json=as_json)


def build(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="models to build; default: all")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="build every model whole, not for changed keys only")] = False,
    as_json: Json = False,
) -> int:
    """Build SQL models from the published rows, judge them and publish them.

    Examples:  dataops build  |  dataops build fct_sales --full
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("building curated"):
        built, done = jobs.build(work, "curated", models or (), full=full)
    outcome = _outcome(work, "build", done.batch_id, done.verdict, done.publication)
    return _report(screen, replace(outcome, waiting=built.waiting), as_json=as_json)


def _of_group(work: Workspace, group: str, batch_id: str | None) -> str | None:
    """The batch's id, if it belongs to the group. Raises DeclarationError where it does not."""
    from dataops.declared.errors import DeclarationError
    from dataops.ledger import tables as ledger

    work.catalog.group(group)
    if batch_id is None:
        return None
    with work.warehouse.reading() as connection:
        found = ledger.batch(connection, batch_id) if ledger.version(connection) else None
    if found and found["group_name"] != group:
        raise DeclarationError(f"batch {batch_id} is one of {found['group_name']}, not of {group}")
    return batch_id


def _outcome(
    work: Workspace, verb: str, batch_id: str, verdict: Verdict | None, publication: Publication | None
) -> Outcome:
    """The batch as the ledger knows it now, with what was done to it."""
    import sqlalchemy as sa

    from dataops.cli.outcome import Outcome
    from dataops.ledger import tables as ledger
    from dataops.ledger.incidents import OPEN

    with work.warehouse.reading() as connection:
        batch: dict[str, Any] = ledger.batch(connection, batch_id) or {}
        table = ledger.batch_datasets
        found = ledger.rows(connection, sa.select(table).where(table.c.batch == batch["seq"]))
        standing = ledger.last_publication(connection, batch["group_name"])
        opened = ledger.incidents
        where = (
            (opened.c.group_name == batch["group_name"]) & (opened.c.batch == batch["seq"]) & opened.c.state.in_(OPEN)
        )
        incident = ledger.one(connection, sa.select(opened).where(where).order_by(opened.c.seq.desc()).limit(1))
    quota = work.catalog.group(batch["group_name"]).checkpoint.quota
    return Outcome(
        verb,
        batch,
        {row["table_name"]: row["received"] for row in found},
        verdict,
        publication,
        standing=standing["publication_id"] if standing else None,
        incident=incident["incident_id"] if incident else None,
        quota={"rows": quota.rows, "money": quota.money},
    )


def _report(screen: Screen, outcome: Outcome, *, as_json: bool) -> int:
    from dataops.cli import outcome as outcomes

    if as_json:
        screen.document(outcomes.document(outcome))
    else:
        screen.lines(outcomes.lines(outcome, verbose=screen.verbosity > 0))
        for hint in outcomes.hints(outcome):
            screen.hint("\n" + hint)
    return outcome.exit_code


COMMANDS: tuple[Callable[..., int], ...] = (load, publish, build)  # gate is a command of its own, see gates
