"""Proof that the ledger is as it was written: the chain of receipts, and what the published tables say to it.

Reads only. The chain shows what was edited, removed or moved; a tail that was cut shows only against a receipt kept
outside the ledger (`head`) or against rows whose publication is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops import ledger, receipts
from dataops.catalog import Dataset
from dataops.delta import history, place
from dataops.errors import DeclarationError

What = Literal["edited", "moved or removed", "unsealed", "tail cut"]
SHORTEST = 8  # digits of a receipt that name it


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

    def digest(self, publication: Mapping[str, Any]) -> str:
        """What the publication's receipt must be."""
        own = self.datasets.get(publication["seq"], [])
        batch = self.batches.get(publication["batch"])
        return receipts.digest(publication, own, batch)


def records(connection: Connection) -> Records:
    """Reads the ledger, in three queries."""
    publications = ledger.rows(connection, sa.select(ledger.publications).order_by(ledger.publications.c.seq))
    datasets: dict[int, list[dict[str, Any]]] = {}
    for row in ledger.rows(connection, sa.select(ledger.publication_datasets)):
        datasets.setdefault(row["publication"], []).append(row)
    named = sa.select(ledger.batches).where(ledger.batches.c.seq.in_(sa.select(ledger.publications.c.batch)))
    return Records(publications, datasets, {row["seq"]: row for row in ledger.rows(connection, named)})


def verify(
    connection: Connection,
    datasets: Sequence[Dataset],
    *,
    start: int = 0,
    end: int | None = None,
    head: str | None = None,
) -> Proof:
    """The chain from publication number `start` to `end`, and the figures of those publications.

    Raises DeclarationError for a `head` that is no receipt or may mean several.
    """
    found = records(connection)
    proof = chain(found, start=start, end=end, head=_named(found, head) if head else None)
    wrong = figures(connection, found, datasets)
    return replace(proof, mismatches=tuple(m for m in wrong if start <= m.number <= (m.number if end is None else end)))


def _named(found: Records, head: str) -> str:
    """The receipt that `head` begins, or `head` itself if there is none."""
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", head.lower()):
        raise DeclarationError(f"{head!r} is no receipt: {SHORTEST} to 64 hexadecimal digits are expected")
    named = {p["receipt"] for p in found.publications if str(p["receipt"]).startswith(head.lower())}
    if len(named) > 1:
        raise DeclarationError(f"{head} begins {len(named)} receipts; write more of it")
    return str(named.pop()) if named else head.lower()


def chain(found: Records, *, start: int = 0, end: int | None = None, head: str | None = None) -> Proof:
    """Walks the chain from publication number `start` to `end`; `head` is a receipt that must be in it."""
    sealed = [p for p in found.publications if p["receipt"] is not None]
    first = sealed[0]["seq"] if sealed else None
    covered = [p for p in found.publications if first is not None and p["seq"] >= first]
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


def figures(connection: Connection, found: Records, datasets: Sequence[Dataset]) -> list[Mismatch]:
    """Where published and superseded rows contradict the ledger: one grouped query per dataset, over all of it."""
    there = connection.execute(sa.text("SELECT table_schema || '.' || table_name FROM information_schema.tables"))
    places = {str(row[0]) for row in there}
    names = {p["seq"]: p["publication_id"] for p in found.publications}
    wrong = _unpublished(connection, found, names)
    for dataset in (d for d in datasets if place(d) in places):
        claims = {p: r for p, rows in found.datasets.items() for r in rows if r["table_name"] == dataset.table}
        wrong += _contradictions(connection, dataset, claims, names)
    return wrong


def _unpublished(connection: Connection, found: Records, names: Mapping[int, str]) -> list[Mismatch]:
    """What the ledger knows of publications that are not there."""
    known = {p["batch"] for p in found.publications}
    last = max(names, default=0)
    table = ledger.batches.c
    settled = sa.select(table.seq, table.batch_id).where(table.state == "published").order_by(table.seq)
    says = "was published, but no publication of it is in the ledger"
    wrong = [Mismatch(last, "none", f"batch {n}", says) for seq, n in connection.execute(settled) if seq not in known]
    lost = sorted((seq, r["table_name"]) for seq, rows in found.datasets.items() if seq not in names for r in rows)
    return wrong + [Mismatch(s, f"number {s}", table, "is counted, the publication is gone") for s, table in lost]


def _contradictions(
    connection: Connection, dataset: Dataset, claims: Mapping[int, Mapping[str, Any]], names: Mapping[int, str]
) -> list[Mismatch]:
    written, left = _written(connection, dataset), _superseded(connection, dataset)
    wrong = []
    for seq in sorted(claims.keys() | written.keys() | left.keys()):
        claim = claims.get(seq, {})
        for says in _differences(dataset, claim, written.get(seq, (0, {})), left.get(seq, 0)):
            wrong.append(Mismatch(seq, names.get(seq, f"number {seq}"), dataset.name, says))  # noqa: PERF401  two loops
    return wrong


def _differences(
    dataset: Dataset, claim: Mapping[str, Any], written: tuple[int, dict[str, Decimal]], left: int
) -> list[str]:
    if not claim:
        return [f"{written[0]} rows say that it published them, and {left} that it replaced them; the ledger does not"]
    rows, gone = claim["new"] + claim["changed"], claim["changed"] + claim["deleted"]
    wrong = [f"{rows} rows were published, {written[0]} are there"] if rows != written[0] else []
    wrong += [f"{gone} rows were superseded, {left} are in history"] if gone != left else []
    for name, total in (claim["published_controls"] or {}).items():
        there = written[1].get(name, Decimal(0))
        if name in dataset.control and Decimal(total) != there:
            wrong.append(f"{name} of the rows published is {total} in the ledger, {there:f} in the rows")
    return wrong


def _written(connection: Connection, dataset: Dataset) -> dict[int, tuple[int, dict[str, Decimal]]]:
    """Per publication: rows it wrote, wherever they are now, and their control totals."""
    columns = ", ".join(["_publication", *(f'"{name}"' for name in dataset.control)])
    sums = "".join(f', CAST(COALESCE(SUM("{name}"), 0) AS VARCHAR)' for name in dataset.control)
    rows = f"SELECT {columns} FROM {place(dataset)} UNION ALL SELECT {columns} FROM {history(dataset)}"
    found = connection.exec_driver_sql(
        f"SELECT _publication, COUNT(*){sums} FROM ({rows}) AS q WHERE _publication IS NOT NULL GROUP BY _publication"
    )
    return {
        int(row[0]): (int(row[1]), {n: Decimal(v) for n, v in zip(dataset.control, row[2:], strict=True)})
        for row in found
    }


def _superseded(connection: Connection, dataset: Dataset) -> dict[int, int]:
    """Per publication: rows that it moved to history."""
    found = connection.exec_driver_sql(
        f"SELECT _superseded, COUNT(*) FROM {history(dataset)} WHERE _superseded IS NOT NULL GROUP BY _superseded"
    )
    return {int(row[0]): int(row[1]) for row in found}
