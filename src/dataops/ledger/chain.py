"""The chain of receipts: every publication's record, recomputed and compared with the receipt that was made of it.

Reads only, and only the ledger. It shows what was edited, removed or moved; a tail that was cut shows only against a
receipt kept outside the ledger (`head`) or against rows whose publication is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import receipts, row_proof
from dataops.ledger import tables as ledger

What = Literal["edited", "moved or removed", "unsealed", "tail cut"]


@dataclass(frozen=True)
class Break:
    """The first place where the chain does not hold. `expected` is recomputed, `found` is what stands there."""

    what: What
    publication: str
    says: str
    expected: str | None
    found: str | None


@dataclass(frozen=True)
class Mismatch:
    """A figure of the ledger that the published tables contradict."""

    number: int  # of the publication
    publication: str
    dataset: str
    says: str


@dataclass(frozen=True)
class Proof:
    """What was verified. `receipts` were recomputed and hold; `unproven` come after a break; `earlier` have none."""

    receipts: int
    earlier: int
    head: str | None
    broken: Break | None = None
    unproven: int = 0
    mismatches: tuple[Mismatch, ...] = field(default=())

    @property
    def proven(self) -> bool:
        return self.broken is None and not self.mismatches


@dataclass(frozen=True)
class Records:
    """Everything that receipts cover, as the ledger has it now; publications in the order of their numbers."""

    publications: list[dict[str, Any]]
    datasets: Mapping[int, list[dict[str, Any]]]
    batches: Mapping[int, dict[str, Any]]
    first: int = 0  # number of the publication from which on all have a receipt

    def digest(self, publication: Mapping[str, Any]) -> str:
        """What the publication's receipt must be."""
        own = self.datasets.get(publication["seq"], [])
        batch = self.batches.get(publication["batch"])
        return receipts.digest(publication, own, batch)


def records(connection: Connection) -> Records:
    """Reads the ledger, in three queries; also one of an older version, as a backup may hold."""
    publications = sorted(_read(connection, ledger.publications), key=lambda row: int(row["seq"]))
    datasets: dict[int, list[dict[str, Any]]] = {}
    for row in _read(connection, ledger.publication_datasets):
        datasets.setdefault(row["publication"], []).append(row)
    named = sa.select(ledger.batches).where(ledger.batches.c.seq.in_(sa.select(ledger.publications.c.batch)))
    return Records(
        publications,
        datasets,
        {row["seq"]: row for row in ledger.rows(connection, named)},
        _first(connection, publications),
    )


def _read(connection: Connection, table: sa.Table) -> list[dict[str, Any]]:
    """All rows; columns that the ledger's version has not are NULL."""
    there = sa.text("SELECT column_name FROM information_schema.columns WHERE table_schema = 'ops' AND table_name = :t")
    names = {row[0] for row in connection.execute(there, {"t": table.name})}
    missing = dict.fromkeys(c.name for c in table.c if c.name not in names)
    found = ledger.rows(connection, sa.select(*(c for c in table.c if c.name in names)))
    return [missing | row for row in found]


def _first(connection: Connection, publications: Sequence[Mapping[str, Any]]) -> int:
    """As the ledger says; one of an older version, which does not, began with the first receipt."""
    value = sa.select(ledger.settings.c.value).where(ledger.settings.c.name == ledger.RECEIPTS_FROM)
    said = connection.execute(value).scalar()
    if said is not None:
        return int(said)
    sealed = [p["seq"] for p in publications if p["receipt"] is not None]
    older = (ledger.version(connection) or 0) < 4  # noqa: PLR2004  see the ledger's migrations
    return sealed[0] if older and sealed else 0


def walk(found: Records, *, start: int = 0, end: int | None = None, head: str | None = None) -> Proof:
    """Walks the chain from publication number `start` to `end`; `head` is a receipt that must be in it."""
    sealed = [p for p in found.publications if p["receipt"] is not None]
    covered = [p for p in found.publications if p["seq"] >= found.first]
    newest = sealed[-1]["receipt"] if sealed else None
    wanted = [p for p in covered if p["seq"] >= start and (end is None or p["seq"] <= end)]
    before = {p["seq"]: previous for previous, p in zip([None, *covered], covered, strict=False)}
    for number, publication in enumerate(wanted):
        broken = _break_at(found, publication, before[publication["seq"]], given=number == 0 and start > 0)
        if broken:
            unproven = len(covered) - covered.index(publication)
            return Proof(number, len(found.publications) - len(covered), newest, broken, unproven)
    return Proof(len(wanted), len(found.publications) - len(covered), newest, _tail(sealed, head))


def _break_at(
    found: Records, publication: Mapping[str, Any], before: Mapping[str, Any] | None, *, given: bool
) -> Break | None:
    """What is wrong with one link. The first of a part of the chain takes what is before it as `given`."""
    name, receipt, previous = publication["publication_id"], publication["receipt"], publication["previous_receipt"]
    expected = found.digest(publication)
    if receipt is None:
        return Break("unsealed", name, "lost its receipt", expected, None)
    if receipt != expected:
        return Break("edited", name, "is not the record that its receipt was made of", expected, receipt)
    for row in found.datasets.get(publication["seq"], ()):
        if row.get("commitment") and (made := row_proof.commitment(row)) != row["commitment"]:
            says = f"says other rows of {row['table_name']} than its receipt was made of"
            return Break("edited", name, says, made, row["commitment"])
    stands = before["receipt"] if before else None
    if given or previous == stands:
        return None
    return _moved(found, publication, before) or Break("moved or removed", name, _unlinked(before), previous, stands)


def _moved(found: Records, publication: Mapping[str, Any], before: Mapping[str, Any] | None) -> Break | None:
    """The publication that this one was made after, if it is still in the ledger, elsewhere or without its receipt."""
    wanted, name = publication["previous_receipt"], publication["publication_id"]
    stands = before["receipt"] if before else None
    for other in found.publications if wanted else ():
        if other["receipt"] == wanted and other is not before:
            says = f"stands as number {other['seq']} now; {name} was made right after it"
            return Break("moved or removed", other["publication_id"], says, wanted, stands)
        if other["receipt"] is None and found.digest(other) == wanted:
            return Break("unsealed", other["publication_id"], "lost its receipt", wanted, None)
    return None


def _unlinked(before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "is the first with a receipt, but was made after another one: that one was removed"
    return f"was not made right after {before['publication_id']}: one between was removed, or that one was rewritten"


def _tail(sealed: Sequence[Mapping[str, Any]], head: str | None) -> Break | None:
    """Whether the receipt that somebody kept is still in the chain."""
    if head is None or any(p["receipt"] == head for p in sealed):
        return None
    last = sealed[-1] if sealed else None
    name = last["publication_id"] if last else "none"
    says = f"is the last in the ledger, but receipt {head} was made and is not there: the tail was cut or rewritten"
    return Break("tail cut", name, says, head, last["receipt"] if last else None)
