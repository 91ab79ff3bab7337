"""The short lists of the generated world (names, places, currencies), read once from `reference.json`."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def lists() -> dict[str, list[Any]]:
    """Lists by name."""
    found: dict[str, list[Any]] = json.loads((files(__package__) / "reference.json").read_text("utf-8"))
    return found


def column(name: str, position: int) -> list[Any]:
    """One position of every entry of a list."""
    return [entry[position] for entry in lists()[name]]
