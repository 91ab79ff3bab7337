"""Finding a record by what a person types: its id, a unique prefix, its number, or `latest`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from dataops.declared.errors import DeclarationError
from dataops.ledger import batches, incidents, outbox, publications, reports, waivers
from dataops.ledger.schema import version
from dataops.ledger.workspace import Workspace

SHOWN = 5
NOUNS: dict[str, Callable[[Connection], list[str]]] = {
    "batch": batches.ids,
    "delivery": outbox.ids,
    "incident": incidents.ids,
    "publication": publications.ids,
    "report": reports.ids,
    "waiver": waivers.ids,
}


def chosen(typed: str, ids: Sequence[str], noun: str) -> str:
    """The id that `typed` means; `ids` are ordered from oldest to newest.

    Raises DeclarationError when there is none, or several.
    """
    if typed in ids:
        return typed
    if typed == "latest" and ids:
        return ids[-1]
    matching = [i for i in ids if typed.isdigit() and _number(i) == int(typed)]
    matching = matching or [i for i in ids if i.lower().startswith(typed.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise DeclarationError(f"{typed!r} may mean {', '.join(matching[-SHOWN:])}; write more of it")
    newest = ", ".join(reversed(ids[-SHOWN:])) or "none yet"
    raise DeclarationError(f"no {noun} {typed!r}; the newest are: {newest}")


def _number(identifier: str) -> int | None:
    match = re.search(r"-0*([0-9]+)$", identifier)
    return int(match[1]) if match else None


def of(connection: Connection, noun: str, typed: str) -> str:
    """The id of the batch, incident, publication or waiver that `typed` means. Raises DeclarationError."""
    return chosen(typed, NOUNS[noun](connection) if version(connection) is not None else [], noun)


def of_work(work: Workspace, noun: str, typed: str) -> str:
    """As `of`, with a connection of its own."""
    with work.warehouse.reading() as connection:
        return of(connection, noun, typed)


def publication_of(work: Workspace, group: str, typed: str) -> str:
    """The publication of a group that `typed` means."""
    with work.warehouse.reading() as connection:
        ids = publications.ids(connection) if version(connection) is not None else []
    return chosen(typed, [i for i in ids if i.rpartition("-")[0] == group], "publication")
