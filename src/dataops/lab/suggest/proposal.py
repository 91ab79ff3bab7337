"""A rule that is proposed, and the claim about the data that it rests on. Pure; runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IN_SQL = "unexpected_rows_expectation"
REFERENCE = "reference"
COLUMN_CHECKS = {"missing"}
CONTRACT_CHECKS = {"schema", "row_count", "duplicate"}
LEAST = 30  # rows that a claim must speak about: of fewer nearly anything is true


@dataclass(frozen=True)
class Proposal:
    """A rule without an id.

    `type` is that of a check of the contract, of an expectation, or `reference`; `detail` are its settings there.
    `rows`: how many published rows it speaks about.
    """

    kind: str
    table: str
    columns: tuple[str, ...]
    says: str
    type: str
    detail: dict[str, Any] = field(hash=False, default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class Claim:
    """Something that may be true of every published row `b`; where it is, its proposal is made.

    `broken` and `applies` are conditions in PostgreSQL's dialect over `b` and what `joins` adds, where `{table}` is
    another dataset. It must speak about `least` rows.
    """

    proposal: Proposal
    broken: str
    applies: str = "TRUE"
    joins: str = ""
    least: int = LEAST


def in_sql(
    kind: str, table: str, columns: tuple[str, ...], says: str, broken: str, applies: str, joins: str = ""
) -> Claim:
    """A claim that becomes a rule in SQL."""
    select = "SELECT DISTINCT b._row" if joins else "SELECT b._row"
    lines = [select, "FROM {batch} b", *([joins] if joins else []), f"WHERE {broken}"]
    detail = {"unexpected_rows_query": "\n".join(lines) + "\n"}
    return Claim(Proposal(kind, table, columns, says, IN_SQL, detail), broken, applies, joins)


def words(*names: str) -> str:
    """Columns' names for people: `order date`."""
    return " and ".join(name.replace("_", " ") for name in names)


def literal(value: object) -> str:
    """A text or a number as SQL writes it."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
