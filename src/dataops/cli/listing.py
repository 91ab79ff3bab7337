"""How records of the ledger are listed and shown, and the options that those commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli.screen import Screen
from dataops.cli.text import labelled

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection

Json = Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")]
Group = Annotated[str | None, typer.Argument(metavar="[GROUP]", help="only this group's")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="who acts; default: DATAOPS_PERSON, or the user")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="how many, newest first")]
Row = dict[str, Any]


def window(r: Row) -> str:
    """2014-05-01..2014-05-02; empty for a whole delivery."""
    if r.get("window_start") is None:
        return "" if r.get("window_end") is None else f"until {r['window_end']:%Y-%m-%d}"
    return f"{r['window_start']:%Y-%m-%d}..{r['window_end']:%Y-%m-%d}"


def newest(table: sa.Table, group: str | None, limit: int, where: sa.ColumnElement[bool] | None = None) -> list[Row]:
    """The newest records of a ledger table. Raises DeclarationError for an unknown group."""
    import sqlalchemy as sa

    from dataops.cli import records
    from dataops.ledger.workspace import open_workspace

    work = open_workspace()
    statement = sa.select(table).order_by(table.c.seq.desc()).limit(limit)
    if group is not None:
        statement = statement.where(table.c.group_name == work.catalog.group(group).name)
    if where is not None:
        statement = statement.where(where)
    with work.warehouse.reading() as connection:
        return records.many(connection, statement)


def of(connection: Connection, table: sa.Table, column: str, seq: int) -> list[Row]:
    """What belongs to one record, by table."""
    import sqlalchemy as sa

    from dataops.ledger import tables as ledger

    return ledger.rows(connection, sa.select(table).where(table.c[column] == seq).order_by(table.c.table_name))


def listed(
    screen: Screen, name: str, names: tuple[str, ...], rows: list[Any], items: list[Row], *, as_json: bool
) -> int:
    """Prints records as a table, or `items` as a document."""
    if as_json:
        screen.document({"schema": f"dataops.{name}/1", name: items})
    else:
        screen.table(names, rows)
    return 0


def shown(screen: Screen, name: str, content: Row, *, as_json: bool) -> int:
    """A record: its simple values as lines, each list of records as a table."""
    if as_json:
        screen.document({"schema": f"dataops.{name}/1", **content})
        return 0
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            screen.line()
            screen.table(tuple(value[0]), [tuple(_flat(cell) for cell in row.values()) for row in value])
        elif value not in (None, []):
            screen.lines(labelled(key.replace("_", " "), _flat(value), 14))
    return 0


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_flat(item) for item in value if item is not None)
    return "" if value is None else str(value)
