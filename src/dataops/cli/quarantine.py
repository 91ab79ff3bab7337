"""Commands on quarantine: which rows are kept back, why, and how they get out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli.listing import Json, Limit, Row
from dataops.cli.screen import Screen, Stdout, plain_text
from dataops.cli.text import iso
from dataops.declared.errors import DeclarationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from dataops.declared.catalog import Dataset
    from dataops.ledger.workspace import Workspace

quarantine = typer.Typer(help="Rows that were kept back, and why.", no_args_is_help=True)
REASONS = {"_rules": "rules", "_fell_with": "fell_with", "_problems": "problems", "_since": "since"}
MASKED = "•••"
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
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    datasets = work.catalog.group(group).datasets if group else tuple(work.catalog.datasets.values())
    with _there(work) as (connection, tables):
        found = [row for d in datasets if d.table in tables for row in _summary(connection, d)]
        tried = _rehearsed(connection, {d.table: d.name for d in datasets})
    if as_json:
        screen.document({"schema": "dataops.quarantine/1", "quarantine": found, "would_pass": tried})
        return 0
    names = ("dataset", "batch", "state", "rows", "broke", "fell with others", "rules", "since")
    screen.table(names, [tuple(row.values()) for row in found])
    for line in _would_pass(tried):
        screen.hint(line)
    screen.hint("\nThe rows:  dataops quarantine show DATASET --csv" if found else "no rows in quarantine")
    return 0


def _rehearsed(connection: Connection, names: dict[str, str]) -> list[Row]:
    """What the nightly dry run of a replay found, per dataset; `would_pass` is None where it could not be judged."""
    import sqlalchemy as sa

    from dataops.ledger import tables as ledger

    if (ledger.version(connection) or 0) < ledger.VERSION:
        return []
    table = ledger.rehearsals
    rows = ledger.rows(connection, sa.select(table).where(table.c.table_name.in_(names)).order_by(table.c.table_name))
    return [
        {
            "dataset": names[r["table_name"]],
            "waiting": r["waiting"],
            "would_pass": r["passing"],
            "tried_at": iso(r["tried_at"]),
        }
        for r in rows
    ]


def _would_pass(tried: list[Row]) -> list[str]:
    if not tried:
        return []
    counts = (
        f"{r['dataset']} " + ("not judged" if r["would_pass"] is None else f"{r['would_pass']:,} of {r['waiting']:,}")
        for r in tried
    )
    return [f"would pass now (tried {tried[0]['tried_at']}): {', '.join(counts)}"]


@quarantine.command("show")
def show_rows(
    ctx: typer.Context,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="sales_order_header or validated.sales_order_header")
    ],
    rule: Annotated[str | None, typer.Option("--rule", metavar="ID", help="only rows that broke this rule")] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", help="only rows of this batch")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="all rows with all columns, for a spreadsheet")] = False,
    limit: Limit = 20,
    with_pii: Pii = False,
    as_json: Json = False,
) -> int:
    """Show the rows of a dataset that are kept back, newest first, each with every rule it broke.

    Examples:  dataops quarantine show sales_order_detail  |  dataops quarantine show sales_order_header --csv
    """
    screen: Screen = ctx.obj
    names, rows = held_rows(dataset, rule, batch, None if as_csv else limit, with_pii=with_pii)
    if as_csv:
        written(Stdout(), names, rows)
    elif as_json:
        items = [dict(zip(names, row, strict=True)) for row in rows]
        screen.document({"schema": "dataops.quarantine-rows/1", "dataset": _published_name(dataset), "rows": items})
    else:
        screen.table(names, rows)
    return 0


def _published_name(dataset: str) -> str:
    from dataops.ledger.workspace import open_workspace

    return open_workspace().catalog.dataset(dataset).name


def held_rows(
    dataset: str, rule: str | None, batch: str | None, limit: int | None, *, with_pii: bool
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and values of a dataset's open entries, newest first; personal data masked unless asked for."""
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    found = work.catalog.dataset(dataset)
    if rule is not None and rule not in {r.id for r in found.rules}:
        raise DeclarationError(f"no rule {rule!r} on {found.name}; see {found.suite_file} and {found.contract_file}")
    with _there(work) as (connection, tables):
        names, rows = _rows(connection, found, rule, batch, limit) if found.table in tables else ([], [])
    return names, rows if with_pii else _masked(names, rows, found)


@contextmanager
def _there(work: Workspace) -> Iterator[tuple[Connection, set[str]]]:
    """A connection, and the datasets that have a quarantine yet."""
    import sqlalchemy as sa

    query = sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'quarantine'")
    with work.warehouse.reading() as connection:
        yield connection, {str(row[0]) for row in connection.execute(query)}


def _summary(connection: Connection, dataset: Dataset) -> list[Row]:
    """Open rows per batch; rows that were delivered again and accepted are out."""
    found = connection.exec_driver_sql(
        "SELECT b.batch_id, b.state, COUNT(*), COUNT(*) FILTER (WHERE q._rules <> ''), MIN(q._since), b.seq,"
        " STRING_AGG(DISTINCT NULLIF(q._rules, ''), ',')"
        f" FROM quarantine.{dataset.table} AS q JOIN ops.batches AS b ON b.seq = q._batch"
        " WHERE q._closed IS NULL GROUP BY b.batch_id, b.state, b.seq ORDER BY b.seq DESC"
    )
    return [
        {
            "dataset": dataset.name,
            "batch": row[0],
            "state": row[1],
            "rows": int(row[2]),
            "broke": int(row[3]),
            "fell": int(row[2]) - int(row[3]),
            "rules": ", ".join(sorted(set((row[6] or "").split(",")) - {""})),
            "since": iso(row[4]),
        }
        for row in found
    ]


def _rows(
    connection: Connection, dataset: Dataset, rule: str | None, batch: str | None, limit: int | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    import sqlalchemy as sa

    from dataops.warehouse.tables import broke, quoted

    columns = quoted(dataset.column_names, "q")
    reasons = ", ".join(f"q.{name} AS {shown}" for name, shown in REASONS.items())
    where, values = ["q._closed IS NULL"], dict[str, str]()
    if rule:
        where, values = [*where, broke("q", ":rule")], values | {"rule": f",{rule},"}
    if batch:
        where, values = [*where, "b.batch_id = :batch"], values | {"batch": batch}
    result = connection.execute(
        sa.text(
            f"SELECT b.batch_id AS batch, {reasons}, {columns} FROM quarantine.{dataset.table} AS q"
            f" JOIN ops.batches AS b ON b.seq = q._batch WHERE {' AND '.join(where)} ORDER BY b.seq DESC, q._row"
            + (f" LIMIT {int(limit)}" if limit else "")
        ),
        values,
    )
    return list(result.keys()), [tuple(row) for row in result]


def _masked(names: list[str], rows: list[tuple[Any, ...]], dataset: Dataset) -> list[tuple[Any, ...]]:
    """A value that breaks a rule is named by its key; who a person is must be asked for."""
    pii = dataset.contract.platform.pii

    def seen(name: str, value: object) -> object:
        if value is None or not pii:
            return value
        return _unread(str(value), dataset) if name == "problems" else MASKED if name in pii else value

    return [tuple(seen(name, value) for name, value in zip(names, row, strict=True)) for row in rows]


def _unread(problems: str, dataset: Dataset) -> str:
    """Which columns could not be read, without what stood there: in a shifted row any column may hold a name."""
    named = [column for column in dataset.column_names if re.search(rf"(?<!\w){column}: ", problems)]
    return "; ".join(f"{column}: {MASKED}" for column in named) or MASKED


def written(file: Any, names: list[str], rows: list[tuple[Any, ...]]) -> None:  # noqa: ANN401  anything to write to
    """Writes rows as CSV that no spreadsheet runs."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> str:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay numbers."""
    text = plain_text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
