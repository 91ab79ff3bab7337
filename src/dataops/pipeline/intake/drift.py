"""The columns of a source against those of its contract: what is new, missing, renamed, re-typed or moved. Pure.

Columns are read by name. What becomes of a difference is the contract's policy (`drift` in its x-dataops block).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dataops.declared.arrow_types import ARROW, arrow_type
from dataops.declared.catalog import Dataset
from dataops.declared.errors import DataRejected
from dataops.ledger.enums import VerdictName
from dataops.ledger.incidents import Detail
from dataops.ledger.incidents import Difference as DifferenceKept

ALIKE = 0.6  # difflib's own threshold for a close match
WORDS = {kind: word for word, kind in ARROW.items()}


def in_words(kind: pa.DataType) -> str:
    """A type as contracts write it; Arrow's word where they have none."""
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return WORDS.get(kind, str(kind))


@dataclass(frozen=True)
class Difference:
    """One column that is not as agreed. `agreed` and `found` are types, names (renamed) or places (reordered)."""

    what: str  # new, missing, renamed, retyped, reordered
    column: str
    agreed: str = ""
    found: str = ""

    def __str__(self) -> str:
        return {
            "new": f"new         {self.column} ({self.found})",
            "missing": f"missing     {self.column} ({self.agreed})",
            "renamed": f"renamed?    {self.agreed} -> {self.found}",
            "retyped": f"re-typed    {self.column}: agreed {self.agreed}, found {self.found}",
            "reordered": f"moved       {self.column}: agreed {self.agreed}, found {self.found}",
        }[self.what]


@dataclass(frozen=True)
class Drift:
    """How a source's table, `found` now, differs from its contract, and which of it stops the load."""

    dataset: Dataset
    found: pa.Schema
    differences: tuple[Difference, ...]
    blocking: tuple[Difference, ...]

    @property
    def sentence(self) -> str:
        """`Sales.OrderLine lacks price (renamed to unit_price?)`: short, for a list."""
        table, first = self.dataset.contract.platform.source, self.blocking[0]
        more = f" and {len(self.blocking) - 1} more" if len(self.blocking) > 1 else ""
        return f"{table} is not as agreed: {' '.join(str(first).split())}{more}"

    def lines(self) -> list[str]:
        """The whole diff, a line per column; what does not stop the load says so."""
        return [f"{d}{'' if d in self.blocking else '  (ignored)'}" for d in self.differences]

    @property
    def readable(self) -> pa.Schema:
        """What can be read of the agreed columns, as the source types them."""
        names = [name for name in self.dataset.column_names if name in self.found.names]
        return pa.schema([(name, self.found.field(name).type) for name in names])

    def detail(self) -> Detail:
        """The facts that an incident keeps."""
        return Detail(
            verdict=VerdictName.FAILED,
            table=self.dataset.table,
            differences=tuple(
                DifferenceKept(what=d.what, column=d.column, agreed=d.agreed, found=d.found) for d in self.differences
            ),
            diff=tuple(self.lines()),
            files=(self.dataset.contract_file,),
        )

    def notes(self) -> list[str]:
        """What to tell of a batch that is loaded all the same."""
        file = self.dataset.contract_file
        sentences = {
            "new": lambda d: (
                f"column {d.column} of the source is not in the contract and was ignored; to take it, add"
                f" it to {file}: {d.column}, {d.found}"
            ),
            "missing": lambda d: f"column {d.column} is missing at the source and was filled with NULL",
            "retyped": lambda d: f"column {d.column} is {d.found} at the source and was read as {d.agreed}",
            "reordered": lambda d: f"column {d.column} stands elsewhere at the source; columns are read by name",
        }
        return [sentences[d.what](d) for d in self.differences if d.what in sentences]


class DriftRejectedError(DataRejected):
    """A source whose columns no contract agreed on; nothing was loaded. `found` holds the datasets concerned."""

    def __init__(self, source: str, found: Sequence[Drift]) -> None:
        self.found = tuple(found)
        parts = []
        for drift in found:
            table, file = drift.dataset.contract.platform.source, drift.dataset.contract_file
            body = "".join(f"\n  {line}" for line in drift.lines())
            parts.append(f"{table} at {source} is not as agreed in {file}:{body}")
        super().__init__("\n".join(parts) + "\nNothing was loaded. Fix the source, or amend the contract.")


def compare(dataset: Dataset, found: pa.Schema) -> Drift:
    """Every difference, and those that the contract's policy does not let pass."""
    agreed = {column.name: arrow_type(column) for column in dataset.columns}
    there = {name: found.field(name).type for name in found.names}
    missing, new = [n for n in agreed if n not in there], [n for n in there if n not in agreed]
    renamed = dict(_renamed(missing, new, agreed, there))
    differences = [
        *(Difference("renamed", old, old, f"{to} ({in_words(agreed[old])})") for old, to in renamed.items()),
        *(Difference("missing", n, agreed=in_words(agreed[n])) for n in missing if n not in renamed),
        *(
            Difference("retyped", n, in_words(agreed[n]), in_words(there[n]))
            for n in agreed
            if n in there and agreed[n] != there[n]
        ),
        *(Difference("new", n, found=in_words(there[n])) for n in new if n not in renamed.values()),
        *_moved([n for n in agreed if n in there], [n for n in there if n in agreed]),
    ]
    return Drift(dataset, found, tuple(differences), tuple(d for d in differences if _blocks(dataset, d)))


def _blocks(dataset: Dataset, difference: Difference) -> bool:
    """A renamed column is a missing one; what selects or identifies rows can never be done without."""
    platform = dataset.contract.platform
    if difference.what == "renamed":
        return True
    if difference.what == "missing" and difference.column in {*platform.key, platform.cursor, *_linking(dataset)}:
        return True
    return bool(getattr(platform.drift, difference.what) == "block")


def _linking(dataset: Dataset) -> set[str]:
    """Columns by which rows follow those of another dataset."""
    follows = dataset.contract.platform.follows
    return {name for link in dataset.links if link.to == follows for name in link.columns}


def _renamed(
    missing: Sequence[str], new: Sequence[str], agreed: dict[str, pa.DataType], there: dict[str, pa.DataType]
) -> Iterator[tuple[str, str]]:
    """Pairs of the same type whose place or name fits, names before places; each column at most once."""
    old_place, new_place = list(agreed), list(there)
    pairs = []
    for old in missing:
        for to in (n for n in new if there[n] == agreed[old]):
            alike = difflib.SequenceMatcher(None, old, to).ratio()
            same_place = old_place.index(old) == new_place.index(to)
            if same_place or alike >= ALIKE:
                pairs.append((alike >= ALIKE, same_place + alike, old, to))
    taken: set[str] = set()
    for *_, old, to in sorted(pairs, reverse=True):
        if not {f"-{old}", f"+{to}"} & taken:
            taken |= {f"-{old}", f"+{to}"}
            yield old, to


def _moved(agreed: Sequence[str], found: Sequence[str]) -> Iterator[Difference]:
    """Columns that stand elsewhere; those around which they moved are not named."""
    if list(agreed) == list(found):
        return
    stayed = {
        name
        for block in difflib.SequenceMatcher(None, agreed, found, autojunk=False).get_matching_blocks()
        for name in agreed[block.a : block.a + block.size]
    }
    for name in agreed:
        if name not in stayed:
            yield Difference("reordered", name, f"place {agreed.index(name) + 1}", f"place {found.index(name) + 1}")
