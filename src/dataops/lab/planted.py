"""What can be planted into a delivery on purpose: the file corruptions/planted.yml, by name.

A fault strikes the rows of one source table: some rows, of which values are set, exchanged or sent otherwise.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, model_validator

from dataops.declared.errors import DeclarationError
from dataops.declared.yaml_files import Strict, read

NAME = "corruptions/planted.yml"


class Among(Strict):
    """Rows whose `column` is found in that column of another source table, in rows where columns have these values."""

    column: str
    of: str
    where: dict[str, str]


class Sharing(Strict):
    """All rows that share the value of one row in this column."""

    sharing: str


class Change(Strict):
    """What becomes of a value: exactly one of these."""

    times: int | None = None
    replace: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _says_one(self) -> Change:
        if (self.times is None) == (self.replace is None):
            raise ValueError("say times or replace")
        return self


class Fault(Strict):
    """One fault. `rows` is `one`, or a number of neighbours; `set` gives a list one value per row."""

    says: str
    table: str
    rows: Literal["one"] | Among | Sharing | None = None
    set: dict[str, Change | list[str] | int | str | None] = Field(default_factory=dict)
    swap: tuple[str, str] | None = None
    send: Literal["twice", "never", "half"] | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if bool(self.set) + bool(self.swap) + bool(self.send) != 1:
            raise ValueError("a fault sets, swaps or sends otherwise, one of them")
        if self.rows is None and self.send != "half":
            raise ValueError("say which rows")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """Columns of its table that must be in the stream for it to work."""
        named = {self.rows.column} if isinstance(self.rows, Among) else set()
        named |= {self.rows.sharing} if isinstance(self.rows, Sharing) else set()
        return frozenset(named | set(self.set) | set(self.swap or ()))


class _File(RootModel[Annotated[dict[str, Fault], Field(min_length=1)]]):
    """The whole file."""


def load(project: Path) -> Mapping[str, Fault]:
    """Faults by name. Raises DeclarationError naming file, line and key."""
    file = project / NAME
    return read(file, _File, NAME).root if file.exists() else {}


def named(faults: Mapping[str, Fault], names: tuple[str, ...], url: str) -> dict[str, Fault]:
    """The faults of these names. Raises DeclarationError naming the nearest one."""
    for name in names:
        if name not in faults:
            close: list[Any] = difflib.get_close_matches(name, faults, n=1, cutoff=0.5)
            meant = f", did you mean '{close[0]}'?" if close else ""
            known = ", ".join(faults) or f"none: there is no {NAME}"
            raise DeclarationError(f"source '{url}': fault '{name}' is unknown{meant}; known: {known}")
    return {name: faults[name] for name in names}
