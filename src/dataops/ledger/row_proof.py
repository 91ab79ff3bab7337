"""What a publication's receipt says of its rows: digests of those it wrote, superseded and left standing.

The receipt covers a commitment, sha256 over a salt and the digests, not the digests themselves: where personal data
has to be erased, salt and digests of a publication can go as well, and its receipt still holds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.ledger import tables as t
from dataops.warehouse import digest
from dataops.warehouse.tables import history, place, quoted

DIGESTS = ("written", "superseded", "standing")
UNCOVERED = (*DIGESTS, "salt")  # columns that the receipt covers by their commitment


def of_publication(connection: Connection, datasets: Iterable[Dataset], seq: int) -> dict[str, dict[str, str]]:
    """By table: the columns of a publication's record that prove its rows. Work grows with what it wrote."""
    found = {}
    for dataset in datasets:
        written = digest.of(
            connection, dataset.columns, f"(SELECT * FROM {place(dataset)} WHERE _publication = {int(seq)})"
        )
        superseded = _superseded(connection, dataset, f"_superseded = {int(seq)}").get(seq, digest.EMPTY)
        before = last_standing(connection, dataset.table)
        if before is None and not _others(connection, dataset, seq):
            before = digest.EMPTY
        standing = (
            digest.after(before, written, removed_content(connection, dataset, seq))
            if before
            else standing_now(connection, dataset)
        )
        found[dataset.table] = sealed({"written": written, "superseded": superseded, "standing": standing})
    return found


def _others(connection: Connection, dataset: Dataset, seq: int) -> bool:
    """Whether rows of other publications stood there: written before publications had digests."""
    query = f"SELECT 1 FROM {place(dataset)} WHERE _publication <> {int(seq)} LIMIT 1"
    earlier = f"SELECT 1 FROM {history(dataset)} WHERE _superseded = {int(seq)} LIMIT 1"
    return any(connection.exec_driver_sql(sql).first() is not None for sql in (query, earlier))


def sealed(digests: Mapping[str, str]) -> dict[str, str]:
    """The digests with a fresh salt and their commitment."""
    salted = {**digests, "salt": secrets.token_hex(16)}
    return {**salted, "commitment": commitment(salted)}


def commitment(row: Mapping[str, Any]) -> str:
    """sha256, hexadecimal, of a record's salt and digests."""
    text = "|".join(str(row[name]) for name in ("salt", "written", "superseded", "standing"))
    return hashlib.sha256(text.encode()).hexdigest()


def last_standing(connection: Connection, table: str) -> str | None:
    """Digest of a table's rows as its newest publication left them; None before one has it."""
    d = t.publication_datasets.c
    query = sa.select(d.standing).where(d.table_name == table).order_by(d.publication.desc()).limit(1)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def standing_now(connection: Connection, dataset: Dataset) -> str:
    """Digest of all rows that stand; reads the whole table."""
    return digest.of(connection, dataset.columns, place(dataset))


def removed_content(connection: Connection, dataset: Dataset, seq: int) -> str:
    """Digest of the rows that a publication moved to history, as they stood."""
    return digest.of(connection, dataset.columns, f"(SELECT * FROM {history(dataset)} WHERE _superseded = {int(seq)})")


def written_by(connection: Connection, dataset: Dataset) -> dict[int, str]:
    """Digests of the rows that each publication wrote, wherever they are now; reads the whole table and its history."""
    columns = ", ".join(["_publication", quoted(dataset.column_names)])
    rows = f"SELECT {columns} FROM {place(dataset)} UNION ALL SELECT {columns} FROM {history(dataset)}"
    text = digest.expression(dataset.columns, "q", connection.dialect.name)
    return digest.by(connection, "_publication", text, f"({rows})")


def superseded_by(connection: Connection, dataset: Dataset) -> dict[int, str]:
    """Digests of the versions that each publication moved to history, with who wrote them and how they ended."""
    return _superseded(connection, dataset, "TRUE")


def _superseded(connection: Connection, dataset: Dataset, where: str) -> dict[int, str]:
    ending = "CAST(q._publication AS VARCHAR) || '>' || q._operation"
    text = f"CONCAT({digest.expression(dataset.columns, 'q', connection.dialect.name)}, {ending})"
    rows = f"(SELECT * FROM {history(dataset)} WHERE {where})"
    return digest.by(connection, "_superseded", text, rows)
