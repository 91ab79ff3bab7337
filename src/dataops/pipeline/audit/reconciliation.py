"""What is published against what the source has: rows that only one of them has, and rows that differ.

The source is read as a load reads it, into a temporary table, for all windows that were loaded; rows that wait in
quarantine are known and no difference. Nothing of it is landed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.ledger import batches, entries
from dataops.ledger.audits import Finding
from dataops.ledger.enums import FindingKind
from dataops.ledger.workspace import Workspace
from dataops.pipeline.audit.consistency import counted
from dataops.pipeline.intake import known, landing
from dataops.sources.port import Source, Window
from dataops.warehouse.tables import controls, distinct, equal, place, quoted, sql_type

STAGED = "audit_source"


@dataclass(frozen=True)
class Totals:
    """Rows, and sums of the control columns, of both sides; `waiting` rows are in quarantine.

    `days` are those on which something differs, of datasets that windows choose from.
    """

    dataset: Dataset
    source: tuple[int, dict[str, str]]
    published: tuple[int, dict[str, str]]
    waiting: int
    days: frozenset[date] = frozenset()


def compare(work: Workspace, source: Source, group: Group) -> Iterator[tuple[Totals, list[Finding]]]:
    """One dataset after another. Raises what the source raises when it is away or has another shape."""
    with work.warehouse.reading() as connection:
        loaded = batches.loaded_windows(connection, group.name)
    if loaded == []:
        return  # nothing of it was ever loaded
    with source.snapshot([str(d.contract.platform.source) for d in group.datasets]):
        drifts = landing.agreed(source, group)
        for dataset in group.datasets:
            with work.warehouse.transaction(scratch=[_staged(dataset)]) as connection:
                for window in [None] if loaded is None or not known.is_windowed(dataset) else loaded:
                    selection = landing.Selection(window)
                    for batch in landing.read(source, group, drifts[dataset.table], selection):
                        rows = pa.Table.from_batches([batch]).select(dataset.column_names)
                        work.warehouse.stage(connection, STAGED, rows)
                yield _compared(connection, group, dataset, loaded)


def _staged(dataset: Dataset) -> str:
    columns = ", ".join(f'"{column.name}" {sql_type(column)}' for column in dataset.columns)
    return f"{STAGED} ({columns})"


def _compared(
    connection: Connection, group: Group, dataset: Dataset, loaded: Sequence[Window] | None
) -> tuple[Totals, list[Finding]]:
    waits = f"(SELECT 1 FROM ({entries.waiting(dataset)}) AS w WHERE {equal('w', 'c', dataset.key)})"
    stands = f"(SELECT 1 FROM {place(dataset)} AS p WHERE {equal('p', 'c', dataset.key)})"
    there = f"(SELECT 1 FROM {STAGED} AS s WHERE {equal('s', 'c', dataset.key)})"
    both = f"FROM {STAGED} AS c JOIN {place(dataset)} AS p ON {equal('p', 'c', dataset.key)}"
    others = [name for name in dataset.column_names if name not in dataset.key]
    covered = known.covered(group, dataset, loaded)
    keyed = " AND ".join(f'c."{name}" IS NOT NULL' for name in dataset.key)
    relations = {
        FindingKind.AHEAD: (
            "rows that the source has and that are neither published nor held",
            f"FROM {STAGED} AS c WHERE NOT EXISTS {stands} AND NOT EXISTS {waits} AND {keyed}",
        ),
        FindingKind.BEHIND: (
            "published rows that the source has no more",
            f"FROM {place(dataset)} AS c WHERE {covered} AND NOT EXISTS {there}",
        ),
        FindingKind.DIFFERS: (
            "rows that the source has with other values",
            f"{both} WHERE ({distinct('c', 'p', others) or 'FALSE'}) AND NOT EXISTS {waits}",
        ),
    }
    found = [f for kind, (says, rel) in relations.items() for f in counted(connection, dataset, kind, says, rel)]
    waiting = int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM ({entries.waiting(dataset)}) AS w").scalar_one())
    published = f"(SELECT * FROM {place(dataset)} AS c WHERE {covered})"
    days = frozenset[date]().union(*(_days(connection, group, dataset, relations[f.kind][1]) for f in found))
    sums = controls(connection, dataset, STAGED), controls(connection, dataset, published)
    return Totals(dataset, *sums, waiting, days), found


def _days(connection: Connection, group: Group, dataset: Dataset, relation: str) -> set[date]:
    """The days of a relation of rows `c` (FROM … AS c … WHERE …): their own, or those of published parents.

    A parent that is not published differs itself, on its own day.
    """
    platform = dataset.contract.platform
    if platform.cursor:
        sides = ["c", *(["p"] if " AS p ON " in relation else [])]
        queries = [f'SELECT {side}."{platform.cursor}" AS moment {relation}' for side in sides]
    elif platform.follows:
        parent = group.dataset(platform.follows)
        columns = next(link.columns for link in dataset.links if link.to == parent.table)
        keys = f"SELECT {quoted(columns, 'c')} {relation}"
        moment = f'f."{parent.contract.platform.cursor}"'
        queries = [f"SELECT {moment} AS moment FROM {place(parent)} AS f WHERE ({quoted(parent.key, 'f')}) IN ({keys})"]
    else:
        return set()
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT CAST(q.moment AS DATE) FROM ({' UNION ALL '.join(queries)}) AS q WHERE q.moment IS NOT NULL"
    )
    return set(rows.scalars())
