"""Proof that the ledger is as it was written: the chain of receipts, and what the published tables say to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.declared.errors import DeclarationError
from dataops.ledger import batches, publications, receipts, row_proof
from dataops.ledger.chain import Claim, Mismatch, Proof, Records, records, walk
from dataops.ledger.receipts import SHORTEST
from dataops.warehouse import digest
from dataops.warehouse.tables import history, place

SAYS = {
    "written": "rows that it wrote are not as it wrote them",
    "superseded": "versions that it replaced are not as they were replaced",
    "standing": "what stands is not what it left",
}


def verify(
    connection: Connection,
    datasets: Sequence[Dataset],
    *,
    start: int = 0,
    end: int | None = None,
    head: str | None = None,
    rows: bool = False,
) -> Proof:
    """The chain from publication number `start` to `end`, and the figures and rule results of those publications.

    With `rows` every value of every published and superseded row is compared with what the receipts say of it.

    Raises DeclarationError for a `head` that is no receipt or may mean several.
    """
    read = records(connection)
    proof = walk(read, start=start, end=end, head=_named(read, head) if head else None)
    wrong = figures(connection, read, datasets) + _results(connection, read)
    if rows:
        wrong += contents(connection, read, there(connection, datasets))
    return replace(proof, mismatches=tuple(m for m in wrong if start <= m.number <= (m.number if end is None else end)))


def _named(read: Records, head: str) -> str:
    """The receipt that `head` begins, or `head` itself if there is none."""
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", head.lower()):
        raise DeclarationError(f"{head!r} is no receipt: {SHORTEST} to 64 hexadecimal digits are expected")
    named = {link.receipt for link in read.links if link.receipt and link.receipt.startswith(head.lower())}
    if len(named) > 1:
        raise DeclarationError(f"{head} begins {len(named)} receipts; write more of it")
    return str(named.pop()) if named else head.lower()


def figures(connection: Connection, read: Records, datasets: Sequence[Dataset]) -> list[Mismatch]:
    """Where published and superseded rows contradict the ledger: one grouped query per dataset, over all of it."""
    names = {link.seq: link.publication for link in read.links}
    wrong = _unpublished(connection, read, names)
    for dataset in there(connection, datasets):
        claims = {seq: claim for seq, claim in _claims(read) if claim.table == dataset.table}
        wrong += _contradictions(connection, dataset, claims, names)
    return wrong


def _claims(read: Records) -> list[tuple[int, Claim]]:
    """All claims with the number of their publication, also where that is gone."""
    return [(link.seq, claim) for link in read.links for claim in link.claims] + list(read.orphans)


def _number(numbered: tuple[int, Claim]) -> int:
    return numbered[0]


def lost_from_quarantine(connection: Connection, datasets: Sequence[Dataset]) -> list[tuple[str, str]]:
    """Datasets of which fewer or more rows are in quarantine than a publication says were held, and what is wrong."""
    wrong = []
    for dataset in there(connection, datasets):
        counts = publications.quarantined(connection, dataset.table)
        if not counts or not dataset.is_loaded:
            continue
        query = f"SELECT _batch, COUNT(*) FROM quarantine.{dataset.table} GROUP BY _batch"
        kept = {int(batch): int(rows) for batch, rows in connection.exec_driver_sql(query)}
        wrong += [
            (dataset.name, f"{name}: {rows} rows were held, {kept.get(batch, 0)} are in quarantine")
            for batch, (name, rows) in counts.items()
            if kept.get(batch, 0) != rows
        ]
    return wrong


def there(connection: Connection, datasets: Sequence[Dataset]) -> list[Dataset]:
    """The datasets that have tables yet."""
    there = connection.execute(sa.text("SELECT table_schema || '.' || table_name FROM information_schema.tables"))
    places = {str(row[0]) for row in there}
    return [d for d in datasets if place(d) in places]


def _results(connection: Connection, read: Records) -> list[Mismatch]:
    """Publications of which the rules' results are not those that they were published with."""
    claims = {link.batch: link for link in read.links if link.results and link.batch is not None}
    stored = receipts.results(connection, claims.keys())
    says = "its rules' results are not those it passed with"
    return [
        Mismatch(link.seq, link.publication, f"batch {batch}", says)
        for batch, link in claims.items()
        if stored[batch] != link.results
    ]


def contents(connection: Connection, read: Records, datasets: Sequence[Dataset]) -> list[Mismatch]:
    """Where the rows themselves contradict a receipt: a value, a version, an interval was changed."""
    names = {link.seq: link.publication for link in read.links}
    wrong = []
    for dataset in datasets:
        claims = {seq: c for seq, c in sorted(_claims(read), key=_number) if c.table == dataset.table and c.commitment}
        if not claims:
            continue
        parts = {
            "written": row_proof.written_by(connection, dataset),
            "superseded": row_proof.superseded_by(connection, dataset),
            "standing": {max(claims): row_proof.standing_now(connection, dataset)},
        }
        wrong += [
            Mismatch(p, names.get(p, f"number {p}"), dataset.name, SAYS[part])
            for part, digests in parts.items()
            for p, claim in claims.items()
            if (part != "standing" or p == max(claims)) and digests.get(p, digest.EMPTY) != claim.digests[part]
        ]
    return wrong


def _unpublished(connection: Connection, read: Records, names: Mapping[int, str]) -> list[Mismatch]:
    """What the ledger knows of publications that are not there."""
    lost = batches.published_without_publication(connection, {link.batch for link in read.links})
    says = "was published, but no publication of it is in the ledger"
    wrong = [Mismatch(max(names, default=0), "none", f"batch {name}", says) for name in lost]
    gone = "is counted, the publication is gone"
    orphans = sorted((seq, claim.table) for seq, claim in read.orphans)
    return wrong + [Mismatch(seq, f"number {seq}", table, gone) for seq, table in orphans]


def _contradictions(
    connection: Connection, dataset: Dataset, claims: Mapping[int, Claim], names: Mapping[int, str]
) -> list[Mismatch]:
    written, left = _written(connection, dataset), _superseded(connection, dataset)
    wrong = []
    for seq in sorted(claims.keys() | written.keys() | left.keys()):
        claim = claims.get(seq)
        for says in _differences(dataset, claim, written.get(seq, (0, {})), left.get(seq, 0)):
            wrong.append(Mismatch(seq, names.get(seq, f"number {seq}"), dataset.name, says))  # noqa: PERF401  two loops
    return wrong


def _differences(
    dataset: Dataset, claim: Claim | None, written: tuple[int, dict[str, Decimal]], left: int
) -> list[str]:
    if claim is None:
        return [f"{written[0]} rows say that it published them, and {left} that it replaced them; the ledger does not"]
    rows, gone = claim.new + claim.changed, claim.changed + claim.deleted
    wrong = [f"{rows} rows were published, {written[0]} are there"] if rows != written[0] else []
    wrong += [f"{gone} rows were superseded, {left} are in history"] if gone != left else []
    for name, total in claim.published_controls.items():
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
