"""Finding a record of the ledger by what a person types: its id, a unique prefix, its number, or `latest`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dataops.declared.errors import DeclarationError
from dataops.ledger import tables as ledger

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from dataops.ledger.workspace import Workspace

SHOWN = 5


def chosen(typed: str, ids: Sequence[str], noun: str) -> str:
    """The id that `typed` means; `ids` are ordered from oldest to newest.

    Raises DeclarationError when there is none, or several.
    """
    if typed in ids:
        return typed
    if typed == "latest" and ids:
        return ids[-1]
    found = [i for i in ids if typed.isdigit() and _number(i) == int(typed)]
    found = found or [i for i in ids if i.lower().startswith(typed.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeclarationError(f"{typed!r} may mean {', '.join(found[-SHOWN:])}; write more of it")
    newest = ", ".join(reversed(ids[-SHOWN:])) or "none yet"
    raise DeclarationError(f"no {noun} {typed!r}; the newest are: {newest}")


def _number(identifier: str) -> int | None:
    match = re.search(r"-0*([0-9]+)$", identifier)
    return int(match[1]) if match else None


def ids(connection: Connection, table: sa.Table, column: str) -> list[str]:
    """All ids of a ledger table, oldest first; none before the first run."""
    if ledger.version(connection) is None:
        return []
    return [str(row[0]) for row in connection.execute(sa.select(table.c[column]).order_by(table.c.seq))]


def one(connection: Connection, table: sa.Table, column: str, typed: str, noun: str) -> dict[str, Any]:
    """The record that `typed` means. Raises DeclarationError."""
    wanted = chosen(typed, ids(connection, table, column), noun)
    return ledger.one(connection, sa.select(table).where(table.c[column] == wanted)) or {}


def many(connection: Connection, statement: sa.Select[Any]) -> list[dict[str, Any]]:
    """Rows of the ledger; none before the first run."""
    return [] if ledger.version(connection) is None else ledger.rows(connection, statement)


def publication_id(work: Workspace, typed: str, group: str | None = None) -> str:
    """The publication that `typed` means, of `group` if one is named."""
    with work.warehouse.reading() as connection:
        found = ids(connection, ledger.publications, "publication_id")
    return chosen(typed, [i for i in found if group is None or i.rpartition("-")[0] == group], "publication")
