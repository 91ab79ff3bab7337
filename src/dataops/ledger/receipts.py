"""Receipts: each publication's record is hashed together with the receipt of the publication before it.

The record is what the ledger says of a publication: its row, its datasets, its batch and its waivers. Publications
of all groups are one chain, in the order of their numbers; whoever keeps the newest receipt, as reports do, can tell
later whether anything before it was edited, removed or put in another place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.ledger import tables as t
from dataops.ledger.exact import difference
from dataops.ledger.reading import Row, mappings
from dataops.ledger.row_proof import UNCOVERED

FORM = "dataops.receipt/1"
RECEIPTS_FROM = "receipts from"
"""Setting: the number of the first publication that has a receipt; all after it must."""
# What of its batch a publication rests on; none of it changes once the batch is settled.
OF_BATCH = ("batch_id", "source", "window_start", "window_end", "rules_hash", "horizon")
_OWN = "receipt"
FEW = 100  # batches that a condition may list
SHORTEST = 16  # digits of a receipt that name it: nobody makes another one that begins so


def begin(connection: Connection) -> None:
    """In a new ledger every publication has a receipt."""
    connection.execute(t.settings.insert().values(name=RECEIPTS_FROM, value="1"))


def canonical(value: object) -> str:
    """One text per value: sorted keys, no spaces, times in UTC to the microsecond, exact numbers as text.

    What is NULL is left out, so that a column that a later release adds changes no older receipt.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.isoformat(timespec="microseconds")
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON columns may give 1.0 back as 1
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def digest(publication: Mapping[str, Any], datasets: Sequence[Row], batch: Row | None) -> str:
    """sha256, hexadecimal, of a publication's record, which names the receipt before it."""
    own = {name: value for name, value in publication.items() if name != _OWN}
    record = {
        "form": FORM,
        "publication": own,
        "datasets": sorted(map(_covered, datasets), key=lambda row: (str(row["table_name"]), canonical(row))),
        "batch": {name: batch[name] for name in OF_BATCH} if batch else None,
    }
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def _covered(dataset: Row) -> Row:
    """Without the digests that its commitment stands for."""
    return {name: value for name, value in dataset.items() if name not in UNCOVERED}


def results(connection: Connection, batches: Collection[int]) -> dict[int, str]:
    """By batch: sha256, hexadecimal, of what both engines and the platform said of it, rule by rule.

    Samples are left out: they hold keys, which may have to be erased.
    """
    table = t.check_results
    lines: dict[int, list[str]] = {batch: [] for batch in batches}
    where = table.c.batch.in_(sorted(batches)) if len(batches) < FEW else sa.true()
    for row in connection.execute(sa.select(*(c for c in table.c if c.name != "sample")).where(where)).mappings():
        if (own := lines.get(row["batch"])) is not None:
            own.append(canonical(dict(row)))
    return {batch: hashlib.sha256("\n".join(sorted(own)).encode()).hexdigest() for batch, own in lines.items()}


def seal(connection: Connection, publication: Row, datasets: Sequence[Row]) -> Row:
    """The publication's row with its receipt and the one before it, for the transaction that writes both."""
    number = publication.get("batch")
    batch = next(iter(mappings(connection, sa.select(t.batches).where(t.batches.c.seq == number))), None)
    said = results(connection, [int(number)])[int(number)] if number is not None else None
    linked = publication | {"previous_receipt": head(connection), "results": said}
    return linked | {_OWN: digest(linked, datasets, batch)}


def head(connection: Connection) -> str | None:
    """The newest publication's receipt: what reports and the status print. None before there is one."""
    table = t.publications.c
    where = table.receipt.is_not(None)
    newest = sa.select(table.receipt).where(where).order_by(table.seq.desc()).limit(1)
    found = connection.execute(newest).scalar()
    return None if found is None else str(found)


def brief(receipt: str | None) -> str:
    """`7f3c52d0a1b2c3d4…`, for people; these digits are enough for a check."""
    return "none" if receipt is None else f"{receipt[:SHORTEST]}…"


def parts(controls: Mapping[str, str], *others: Mapping[str, str]) -> dict[str, str]:
    """What is left of control totals when those of the other parts are taken away, exact."""
    return {name: f"{difference(total, (o.get(name, '0') for o in others)):f}" for name, total in controls.items()}
