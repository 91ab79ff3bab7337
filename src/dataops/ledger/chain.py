"""The chain of receipts: every publication's record, recomputed and compared with the receipt that was made of it.

Reads only, and only the ledger. It shows what was edited, removed or moved; a tail that was cut shows only against a
receipt kept outside the ledger (`head`) or against rows whose publication is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import receipts, row_proof, schema
from dataops.ledger import tables as t
from dataops.ledger.reading import Row, mappings

WITH_SETTING = 4
"""Since this version the ledger says from which publication on all have a receipt."""
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
class Claim:
    """What a publication's record says of one dataset, as it stands in the ledger, whoever wrote it."""

    table: str
    new: int
    changed: int
    deleted: int
    published_controls: Mapping[str, str]
    digests: Mapping[str, str]  # written, superseded, standing
    commitment: str | None
    made: str | None  # the commitment recomputed


@dataclass(frozen=True)
class Link:
    """A publication's record, and what its receipt must be: `expected`, recomputed from the record."""

    seq: int
    publication: str
    batch: int | None
    receipt: str | None
    previous: str | None  # the receipt that it was made after
    results: str | None
    expected: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Records:
    """Everything that receipts cover, as the ledger has it now; links in the order of their numbers."""

    links: tuple[Link, ...]
    orphans: tuple[tuple[int, Claim], ...]  # by number: counted for a publication that is gone
    first: int = 0  # number of the publication from which on all have a receipt


def records(connection: Connection) -> Records:
    """Reads the ledger, in three queries; also one of an older version, as a backup may hold."""
    publications = sorted(_read(connection, t.publications), key=lambda row: int(row["seq"]))
    datasets: dict[int, list[Row]] = {}
    for row in _read(connection, t.publication_datasets):
        datasets.setdefault(row["publication"], []).append(row)
    of_them = t.batches.c.seq.in_(sa.select(t.publications.c.batch))
    batches = {row["seq"]: row for row in _read(connection, t.batches, of_them)}
    links = tuple(_link(row, datasets.get(row["seq"], []), batches.get(row["batch"])) for row in publications)
    known = {link.seq for link in links}
    orphans = tuple((seq, _claim(r)) for seq, rows in sorted(datasets.items()) if seq not in known for r in rows)
    return Records(links, orphans, _first(connection, links))


def _link(row: Row, datasets: list[Row], batch: Row | None) -> Link:
    return Link(
        int(row["seq"]),
        str(row["publication_id"]),
        row["batch"],
        row["receipt"],
        row["previous_receipt"],
        row["results"],
        receipts.digest(row, datasets, batch),
        tuple(map(_claim, datasets)),
    )


def _claim(row: Row) -> Claim:
    commitment = row["commitment"]
    return Claim(
        str(row["table_name"]),
        int(row["new"]),
        int(row["changed"]),
        int(row["deleted"]),
        row["published_controls"] or {},
        {name: str(row[name]) for name in row_proof.DIGESTS},
        commitment,
        row_proof.commitment(row) if commitment else None,
    )


def _read(connection: Connection, table: sa.Table, where: sa.ColumnElement[bool] | None = None) -> list[Row]:
    """All rows; columns that the ledger's version has not are NULL."""
    there = sa.text("SELECT column_name FROM information_schema.columns WHERE table_schema = 'ops' AND table_name = :t")
    names = {row[0] for row in connection.execute(there, {"t": table.name})}
    missing = dict.fromkeys(c.name for c in table.c if c.name not in names)
    query = sa.select(*(c for c in table.c if c.name in names))
    return [missing | row for row in mappings(connection, query if where is None else query.where(where))]


def _first(connection: Connection, links: Sequence[Link]) -> int:
    """As the ledger says; one of an older version, which does not, began with the first receipt."""
    value = sa.select(t.settings.c.value).where(t.settings.c.name == receipts.RECEIPTS_FROM)
    stated = connection.execute(value).scalar()
    if stated is not None:
        return int(stated)
    sealed = [link.seq for link in links if link.receipt is not None]
    older = (schema.version(connection) or 0) < WITH_SETTING
    return sealed[0] if older and sealed else 0


def walk(records: Records, *, start: int = 0, end: int | None = None, head: str | None = None) -> Proof:
    """Walks the chain from publication number `start` to `end`; `head` is a receipt that must be in it."""
    sealed = [link for link in records.links if link.receipt is not None]
    covered = [link for link in records.links if link.seq >= records.first]
    newest = sealed[-1].receipt if sealed else None
    asked = [link for link in covered if link.seq >= start and (end is None or link.seq <= end)]
    before = {link.seq: previous for previous, link in zip([None, *covered], covered, strict=False)}
    for number, link in enumerate(asked):
        broken = _break_at(records, link, before[link.seq], given=number == 0 and start > 0)
        if broken:
            unproven = len(covered) - covered.index(link)
            return Proof(number, len(records.links) - len(covered), newest, broken, unproven)
    return Proof(len(asked), len(records.links) - len(covered), newest, _tail(sealed, head))


def _break_at(records: Records, link: Link, before: Link | None, *, given: bool) -> Break | None:
    """What is wrong with one link. The first of a part of the chain takes what is before it as `given`."""
    name = link.publication
    if link.receipt is None:
        return Break("unsealed", name, "lost its receipt", link.expected, None)
    if link.receipt != link.expected:
        return Break("edited", name, "is not the record that its receipt was made of", link.expected, link.receipt)
    for claim in link.claims:
        if claim.made != claim.commitment:
            says = f"says other rows of {claim.table} than its receipt was made of"
            return Break("edited", name, says, claim.made, claim.commitment)
    stands = before.receipt if before else None
    if given or link.previous == stands:
        return None
    moved = _moved(records, link, before)
    return moved or Break("moved or removed", name, _unlinked(before), link.previous, stands)


def _moved(records: Records, link: Link, before: Link | None) -> Break | None:
    """The publication that this one was made after, if it is still in the ledger, elsewhere or without its receipt."""
    stands = before.receipt if before else None
    for other in records.links if link.previous else ():
        if other.receipt == link.previous and other is not before:
            says = f"stands as number {other.seq} now; {link.publication} was made right after it"
            return Break("moved or removed", other.publication, says, link.previous, stands)
        if other.receipt is None and other.expected == link.previous:
            return Break("unsealed", other.publication, "lost its receipt", link.previous, None)
    return None


def _unlinked(before: Link | None) -> str:
    if before is None:
        return "is the first with a receipt, but was made after another one: that one was removed"
    return f"was not made right after {before.publication}: one between was removed, or that one was rewritten"


def _tail(sealed: Sequence[Link], head: str | None) -> Break | None:
    """Whether the receipt that somebody kept is still in the chain."""
    if head is None or any(link.receipt == head for link in sealed):
        return None
    last = sealed[-1] if sealed else None
    name = last.publication if last else "none"
    says = f"is the last in the ledger, but receipt {head} was made and is not there: the tail was cut or rewritten"
    return Break("tail cut", name, says, head, last.receipt if last else None)
