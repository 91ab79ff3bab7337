"""What a corruption is: the bad rows it makes out of clean ones, as SQL. Derives nothing and runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["row", "set"]
Way = Literal["change", "repeat", "remove", "retype"]


@dataclass(frozen=True)
class Corruption:
    """Damage to a dataset: one row of it (`row`), or so many that the whole is wrong (`set`).

    `values` are SQL expressions over the clean row `c` and, where `partner` is a condition, over another row `p`.
    `where` says which clean rows can be struck. `history` marks damage that no single batch shows: only a comparison
    with earlier batches can find it.
    """

    kind: str
    table: str
    what: str
    level: Level = "row"
    way: Way = "change"
    values: tuple[tuple[str, str], ...] = ()
    where: str = "TRUE"
    partner: str | None = None
    history: bool = False

    @property
    def name(self) -> str:
        """`missing orders.due_date`: unique within a catalogue."""
        return f"{self.kind} {self.table}{'.' + self.what if self.what else ''}"
