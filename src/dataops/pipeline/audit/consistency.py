"""Published rows against what their contracts promise: keys once, required values there, parents found.

The gate saw to it when they were published; what is found here came about behind the platform's back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset
from dataops.ledger.audits import Finding
from dataops.ledger.enums import FindingKind
from dataops.warehouse.tables import dangling, place, quoted

SAMPLED = 5  # keys of each finding


def findings(connection: Connection, catalog: Catalog, dataset: Dataset, waived: Collection[str]) -> Iterator[Finding]:
    """What is wrong with one dataset; rules that were ever waived are left out, as rows may break them rightly."""
    yield from _duplicates(connection, dataset)
    yield from _missing(connection, dataset, waived)
    for link in dataset.links:
        parent = catalog.datasets[link.to]
        if link.rule.severity != "critical" or link.rule.id in waived:
            continue
        where = f"FROM {place(dataset)} AS c WHERE {dangling(link.columns, place(parent), parent.key)}"
        says = f"rows whose {', '.join(link.columns)} is in no row of {parent.published_name}"
        yield from counted(connection, dataset, FindingKind.ORPHAN, says, where)


def _duplicates(connection: Connection, dataset: Dataset) -> Iterator[Finding]:
    key = quoted(dataset.key)
    twice = f"(SELECT {key} FROM {place(dataset)} GROUP BY {key} HAVING COUNT(*) > 1) AS c"
    says = f"keys ({', '.join(dataset.key)}) that are there more than once"
    yield from counted(connection, dataset, FindingKind.DUPLICATE, says, f"FROM {twice}")


def _missing(connection: Connection, dataset: Dataset, waived: Collection[str]) -> Iterator[Finding]:
    required = {
        column
        for rule in dataset.rules
        if rule.type == "missing" and rule.severity == "critical" and rule.id not in waived
        for column in rule.columns
    }
    for column in sorted({*required, *dataset.key}):
        says = f"rows without {column}"
        where = f'FROM {place(dataset)} AS c WHERE c."{column}" IS NULL'
        yield from counted(connection, dataset, FindingKind.MISSING, says, where)


def counted(
    connection: Connection, dataset: Dataset, kind: FindingKind, says: str, relation: str, alias: str = "c"
) -> Iterator[Finding]:
    """A finding of the rows of `relation` (FROM … AS alias WHERE …), if there are any, with the first few keys."""
    rows = int(connection.exec_driver_sql(f"SELECT COUNT(*) {relation}").scalar_one())
    if rows:
        yield Finding(
            kind=kind, table=dataset.name, says=says, rows=rows, sample=_keys(connection, dataset, relation, alias)
        )


def _keys(connection: Connection, dataset: Dataset, relation: str, alias: str) -> Sequence[tuple[str, ...]]:
    """Keys of a few rows; none where a key is personal: what is kept here outlives the row."""
    if set(dataset.key) & set(dataset.contract.platform.pii):
        return ()
    key = quoted(dataset.key, alias)
    found = connection.exec_driver_sql(f"SELECT DISTINCT {key} {relation} ORDER BY {key} LIMIT {SAMPLED}")
    return tuple(tuple(str(value) for value in row) for row in found)
