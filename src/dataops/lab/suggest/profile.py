"""What the published rows of a dataset are like, column by column; read from a copy of the warehouse in DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared import select
from dataops.declared.catalog import BATCH, Catalog, Dataset
from dataops.declared.declarations import Column
from dataops.declared.rendering import render
from dataops.lab.suggest.proposal import Claim, Proposal
from dataops.ledger.workspace import Workspace

FEW = 12  # values of a column that sorts rows into kinds
AT_ONCE = 150  # claims that are counted in one statement
NUMBERS = ("numeric", "integer", "smallint", "bigint")
MOMENTS = ("timestamp", "date")


@dataclass(frozen=True)
class ColumnProfile:
    """One column: rows where it is filled, distinct values, the least and the greatest; all values where few.

    Values of a person's column are never kept, since proposals would show them.
    """

    column: Column
    filled: int
    distinct: int
    low: Any
    high: Any
    values: tuple[tuple[Any, int], ...] = ()  # with how often each occurs, most frequent first

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def type(self) -> str:
        return self.column.data_type


@dataclass(frozen=True)
class Profile:
    """A dataset's published rows."""

    dataset: Dataset
    rows: int
    columns: dict[str, ColumnProfile]

    @property
    def ids(self) -> frozenset[str]:
        """Columns that name things rather than measure them: keys, references and what is called an id."""
        linked = {name for link in self.dataset.links for name in link.columns}
        return frozenset({*self.dataset.key, *linked, *(n for n in self.columns if n.endswith(("_id", "guid")))})

    def of(self, *types: str, ids: bool = False) -> list[ColumnProfile]:
        """Columns of these types that are filled at all; ids only where asked for."""
        return [c for c in self.columns.values() if c.filled and c.type in types and (ids or c.name not in self.ids)]

    @property
    def kinds(self) -> list[ColumnProfile]:
        """Columns that sort rows into a few kinds, whose values may be shown and stand in a rule's SQL."""
        few = [c for c in self.of("boolean", "smallint", "integer", "varchar") if len(c.values) > 1]
        return [c for c in few if not any("{" in str(value) for value, _ in c.values)]

    def has(self, type_: str, *columns: str) -> bool:
        """Whether a rule of this type on these columns is declared."""
        return any(rule.type == type_ and set(rule.columns) == set(columns) for rule in self.dataset.rules)


def read(connection: Connection, dataset: Dataset) -> Profile:
    """One pass over the published rows, and one more over each column of few values."""
    place = dataset.published_name
    parts = [
        f'COUNT("{c.name}"), COUNT(DISTINCT "{c.name}"),'
        + (f' MIN("{c.name}"), MAX("{c.name}")' if c.data_type != "boolean" else " NULL, NULL")
        for c in dataset.columns
    ]
    rows, *found = connection.exec_driver_sql(f"SELECT COUNT(*), {', '.join(parts)} FROM {place}").one()
    columns = {}
    for column, facts in zip(dataset.columns, zip(*[iter(found)] * 4, strict=True), strict=True):
        profile = ColumnProfile(column, *facts)
        if profile.distinct <= FEW and column.name not in dataset.contract.platform.pii:
            profile = replace(profile, values=tuple(_values(connection, place, column.name)))
        columns[column.name] = profile
    return Profile(dataset, int(rows), columns)


def _values(connection: Connection, place: str, name: str) -> Iterator[tuple[Any, int]]:
    sql = f'SELECT "{name}", COUNT(*) FROM {place} WHERE "{name}" IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1'
    yield from (tuple(row) for row in connection.exec_driver_sql(sql))


def true(work: Workspace, dataset: Dataset, claims: Iterable[Claim]) -> list[Proposal]:
    """Proposals of the claims that all published rows keep, each with the rows that it speaks about."""
    by_joins: dict[str, list[Claim]] = {}
    for claim in claims:
        by_joins.setdefault(claim.joins, []).append(claim)
    chunks = [same[n : n + AT_ONCE] for same in by_joins.values() for n in range(0, len(same), AT_ONCE)]
    return [proposal for chunk in chunks for proposal in _true(work, dataset, chunk)]


def _true(work: Workspace, dataset: Dataset, claims: Sequence[Claim]) -> list[Proposal]:
    """Of claims with the same joins. One that cannot be computed for every row is none; the others stay."""
    sql = _counting(work.catalog, dataset, claims)
    try:
        with work.warehouse.reading() as connection:
            counts = [int(n) for n in connection.exec_driver_sql(sql.replace("%", "%%")).one()]
    except sa.exc.DBAPIError:
        half = len(claims) // 2
        parts = (claims[:half], claims[half:]) if half else ()
        return [proposal for part in parts for proposal in _true(work, dataset, part)]
    counted = zip(claims, counts[::2], counts[1::2], strict=True)
    return [
        replace(claim.proposal, rows=speaks)
        for claim, speaks, broken in counted
        if not broken and speaks >= claim.least
    ]


def _counting(catalog: Catalog, dataset: Dataset, claims: Sequence[Claim]) -> str:
    """Written as rules are, so that what cannot be a rule fails here, and rendered as rules are."""
    counted = ", ".join(
        f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS c{n}"
        for n, condition in enumerate(c for claim in claims for c in (claim.applies, claim.broken))
    )
    text = _placed(catalog, dataset, f"SELECT {counted} FROM {{batch}} b {claims[0].joins}")
    return render(select.parse(text), "duckdb", catalog.schema)


def _placed(catalog: Catalog, dataset: Dataset, sql: str) -> str:
    """`{customer}` where it is published, as is `{batch}`."""
    for table, other in {**catalog.datasets, BATCH: dataset}.items():
        sql = sql.replace("{" + table + "}", other.published_name)
    return sql
