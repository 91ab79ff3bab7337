"""Options that commands share, and how a document is shown as lines and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Screen
from dataops.facts.text import labelled

if TYPE_CHECKING:
    from datetime import datetime

    from dataops.facts.document import Document

Json = Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")]
Group = Annotated[str | None, typer.Argument(metavar="[GROUP]", help="only this group's")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="who acts; default: DATAOPS_PERSON, or the user")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="how many, newest first")]


def window(start: datetime | None, end: datetime | None) -> str:
    """2026-05-01..2026-05-02; empty for a whole delivery."""
    if start is None:
        return "" if end is None else f"until {end:%Y-%m-%d}"
    return f"{start:%Y-%m-%d}..{end:%Y-%m-%d}"


def listed(
    screen: Screen, document: Document, names: tuple[str, ...], rows: Sequence[Sequence[object]], *, as_json: bool
) -> int:
    """Prints a document, or its records as a table."""
    if as_json:
        screen.document(document)
    else:
        screen.table(names, rows)
    return 0


def shown(screen: Screen, document: Document, *, as_json: bool, leave_out: Sequence[str] = ()) -> int:
    """A record: its simple values as lines, each list of records as a table."""
    if as_json:
        screen.document(document)
        return 0
    content = {name: value for name, value in document.content().items() if name not in {"schema", *leave_out}}
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            screen.line()
            screen.table(tuple(value[0]), [tuple(_flat(cell) for cell in row.values()) for row in value])
        elif value not in (None, []):
            screen.lines(labelled(key.replace("_", " "), _flat(value), 14))
    return 0


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_flat(item) for item in value if item is not None)
    return "" if value is None else str(value)
