"""The command `query`: published rows as a table, CSV or JSON; no digit is lost on the way."""

from __future__ import annotations

import csv
import itertools
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Row, Screen, Stdout, plain, plain_text

if TYPE_CHECKING:
    from dataops.pipeline.query import Answer

ON_SCREEN = 200


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    csv = "csv"
    json = "json"


def query(
    ctx: typer.Context,
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="one SELECT in PostgreSQL's dialect; - reads standard input")
    ],
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="PUBLICATION", help="as it stood after e.g. sales-0041")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", metavar="table|csv|json", help="a table is TSV when piped")
    ] = Format.table,
) -> int:
    """Read published rows: validated, curated, marts.

    Examples:  dataops query "select count(*), sum(line_total) from curated.fct_orders"
    |  dataops query "select * from dim_item" --format csv  |  dataops query "…" --as-of sales-0001
    """
    from dataops.facts import choosing
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import query as queries

    screen: Screen = ctx.obj
    work = open_workspace()
    text = sys.stdin.read() if sql == "-" else sql
    wanted = choosing.of_work(work, "publication", as_of) if as_of else None
    with queries.run(work, text, wanted) as answer:
        _print(screen, answer, form)
    return 0


def _print(screen: Screen, answer: Answer, form: Format) -> None:
    if form is Format.json:
        from dataops.facts.answers import QueryDocument

        rows_ = tuple(tuple(_json(value) for value in row) for row in answer.rows)
        screen.document(QueryDocument(columns=tuple(answer.columns), rows=rows_))
    elif form is Format.csv:
        writer = csv.writer(Stdout(), lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([plain_text(value) for value in row] for row in answer.rows)
    elif screen.on_terminal:
        rows: list[Row] = list(itertools.islice(answer.rows, ON_SCREEN + 1))
        screen.table(answer.columns, rows[:ON_SCREEN])
        if len(rows) > ON_SCREEN:
            screen.hint(f"the first {ON_SCREEN} rows; all of them: --format csv")
    else:
        screen.table(answer.columns, answer.rows)


def _json(value: object) -> object:
    """Numbers that JSON holds exactly stay numbers; a float that is none (NaN) is null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  NaN
    return plain(value)
