"""Commands that get rows out of quarantine: replay what passes now, discard what never will, export for its owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import By, Json
from dataops.cli.quarantine import Pii, quarantine, written
from dataops.cli.screen import Screen
from dataops.declared.errors import DeclarationError

if TYPE_CHECKING:
    from dataops.facts.answers import ReplayedGroup

__all__ = ["quarantine"]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="orders or validated.orders")]
Rule = Annotated[str | None, typer.Option("--rule", metavar="ID", help="only rows that broke this rule")]
Batch = Annotated[str | None, typer.Option("--batch", metavar="ID", help="only rows of this batch")]


@quarantine.command("replay")
def replay_rows(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Argument(metavar="[GROUP]", help="default: every group that loads")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would pass now; publish nothing")] = False,
    as_json: Json = False,
) -> int:
    """Send the rows that wait through the gate again and publish those that pass now.

    Useful after a rule was corrected or waived; a corrected delivery closes its entries by itself.

    Examples:  dataops quarantine replay --dry-run  |  dataops quarantine replay sales
    """
    from dataops.facts.answers import ReplayDocument, ReplayedGroup
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    screen: Screen = ctx.obj
    work = open_workspace()
    groups = [work.catalog.group(group)] if group else list(work.catalog.groups.values())
    if group and not groups[0].is_loaded:
        raise DeclarationError(
            f"{group} is built, not loaded: correct its models or inputs, then run: dataops build {group}"
        )
    replayed = []
    for item in (g for g in groups if g.is_loaded):
        with screen.working(f"replaying {item.name}"):
            replayed.append(ReplayedGroup.of(jobs.replay(work, item.name, dry_run=dry_run)))
    jobs.renew_copy(work)
    if as_json:
        screen.document(ReplayDocument(dry_run=dry_run, groups=tuple(replayed)))
    else:
        screen.lines(line for r in replayed for line in _lines(r, dry_run=dry_run))
    return 3 if any(r.verdict == "ERROR" for r in replayed) else 0


def _lines(r: ReplayedGroup, *, dry_run: bool) -> list[str]:
    waiting, passing = sum(r.waiting.values()), sum(r.passing.values())
    if not waiting:
        return [f"{r.group:<11} nothing waits in quarantine"]
    if r.verdict == "ERROR":
        return [f"{r.group:<11} could not be judged: {r.reason}", f"{'':<11} {waiting:,} rows go on waiting"]
    verb = "would pass now" if dry_run else "passed"
    lines = [f"{r.group:<11} {passing:,} of {waiting:,} waiting rows {verb}"]
    lines += [f"{'':<11} {table}: {r.passing[table]:,} of {count:,}" for table, count in r.waiting.items() if count]
    if r.publication:
        lines.append(f"{'':<11} published as {r.publication}; the others go on waiting")
    return lines


@quarantine.command("discard")
def discard_rows(
    ctx: typer.Context,
    dataset: Dataset,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why nobody will want these rows")],
    rule: Rule = None,
    batch: Batch = None,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how many")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: Json = False,
) -> int:
    """Close entries for good: these rows will not be replayed. They are kept, with who decided and why.

    Where a family is held whole, all its members are discarded together.

    Examples:  dataops quarantine discard orders --rule SAL-020 --reason "test orders" --yes
    """
    from dataops.declared import settings
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import stewards

    screen: Screen = ctx.obj
    if rule is None and batch is None:
        raise DeclarationError("say which rows: --rule ID, --batch ID or both")
    if not reason.strip():
        raise DeclarationError("a discard says why: --reason")
    work = open_workspace()
    found = work.catalog.dataset(dataset)
    count = sum(stewards.discard(work, found.table, rule, batch, None, reason).values())
    if dry_run or not count:
        screen.lines([f"{count:,} rows would be discarded"])
        return 0
    if not yes and not (screen.on_terminal and typer.confirm(f"discard {count:,} rows of {found.name}?")):
        raise DeclarationError(f"{count:,} rows would be discarded; say so: --yes")
    done = stewards.discard(work, found.table, rule, batch, by or settings.person(), reason)
    if as_json:
        from dataops.facts.answers import DiscardDocument

        screen.document(DiscardDocument(discarded=done))
    else:
        screen.lines(f"{table}: {rows:,} rows discarded; they are kept" for table, rows in done.items())
    return 0


@quarantine.command("export")
def export_rows(
    ctx: typer.Context,
    dataset: Dataset,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="the CSV file to write")],
    rule: Rule = None,
    batch: Batch = None,
    with_pii: Pii = False,
) -> int:
    """Write the rows that wait to a file, with all columns and every rule they broke, for the source's owner.

    Examples:  dataops quarantine export order_lines --rule SAL-031 --to bad-lines.csv
    """
    from dataops.facts import quarantine as facts
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    _, names, rows = facts.rows(open_workspace(), dataset, rule, batch, None, clear=with_pii)
    with to.open("w", encoding="utf-8", newline="") as file:
        written(file, names, rows)
    screen.lines([f"{len(rows):,} rows written to {to}"])
    return 0
