"""Commands on quarantine: which rows are kept back, why, and how they get out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli.listing import Json, Limit
from dataops.cli.screen import Screen, Stdout, plain_text
from dataops.facts.text import iso

if TYPE_CHECKING:
    from dataops.facts.quarantine import WouldPass

quarantine = typer.Typer(help="Rows that were kept back, and why.", no_args_is_help=True)
Pii = Annotated[bool, typer.Option("--with-pii", help="personal data in clear text")]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@quarantine.command("list")
def list_rows(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Argument(metavar="[GROUP]", help="only this group's datasets")] = None,
    as_json: Json = False,
) -> int:
    """List how many rows of which dataset and batch are kept back, and the rules they broke.

    Rows of a held batch are listed with it; its other rows are not published either.

    Examples:  dataops quarantine list  |  dataops quarantine list sales
    """
    from dataops.facts import quarantine as facts
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    document = facts.listed(open_workspace(), group)
    if as_json:
        screen.document(document)
        return 0
    names = ("dataset", "batch", "state", "verdict", "rows", "broke", "fell with others", "rules", "since")
    rows = [
        (h.dataset, h.batch, h.state, h.verdict or "", h.rows, h.broke, h.fell, h.rules, iso(h.since))
        for h in document.quarantine
    ]
    screen.table(names, rows)
    for line in _would_pass(document.would_pass):
        screen.hint(line)
    screen.hint("\nThe rows:  dataops quarantine show DATASET --csv" if rows else "no rows in quarantine")
    return 0


def _would_pass(tried: Sequence[WouldPass]) -> list[str]:
    if not tried:
        return []
    counts = (
        f"{t.dataset} " + ("not judged" if t.would_pass is None else f"{t.would_pass:,} of {t.waiting:,}")
        for t in tried
    )
    return [f"would pass now (tried {iso(tried[0].tried_at)}): {', '.join(counts)}"]


@quarantine.command("show")
def show_rows(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="orders or validated.orders")],
    rule: Annotated[str | None, typer.Option("--rule", metavar="ID", help="only rows that broke this rule")] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", help="only rows of this batch")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="all rows with all columns, for a spreadsheet")] = False,
    limit: Limit = 20,
    with_pii: Pii = False,
    as_json: Json = False,
) -> int:
    """Show the rows of a dataset that are kept back, newest first, each with every rule it broke.

    Examples:  dataops quarantine show order_lines  |  dataops quarantine show orders --csv
    """
    from dataops.facts import quarantine as facts
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    limit_ = None if as_csv else limit
    found, names, rows = facts.rows(open_workspace(), dataset, rule, batch, limit_, clear=with_pii)
    if as_csv:
        written(Stdout(), names, rows)
    elif as_json:
        screen.document(facts.document(found, names, rows))
    else:
        screen.table(names, rows)
    return 0


def written(file: Any, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:  # noqa: ANN401  anything to write to
    """Writes rows as CSV that no spreadsheet runs."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> str:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay numbers."""
    text = plain_text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
