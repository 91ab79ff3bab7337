"""Rows that are only right together: a parent with the children without which it is not whole.

A held member holds its family. A child that moves to another parent belongs to both: neither may change without the
other, since a total that lost a line, or counts one twice, is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.warehouse.tables import absent, equal, keys_table, quoted


def scratch(group: Group) -> tuple[str, ...]:
    """The temporary tables that `falling` needs: of each family's root, the keys of those that fall."""
    return tuple(keys_table(f"family_{root.table}", root) for root in group.datasets if len(group.family(root)) > 1)


def falling(connection: Connection, group: Group) -> Iterator[tuple[str, str, str]]:
    """(table, query of `_row`, literal that says why) for members of families of which a member is `bad`."""
    for root in group.datasets:
        members = group.family(root)
        if len(members) == 1:
            continue
        family = f"family_{root.table}"
        connection.exec_driver_sql(f"DELETE FROM {family}")
        held = " UNION ".join(
            f"SELECT {_as_key(root)} FROM ({ties}) AS t JOIN bad AS b ON b.table_name = '{d.table}' AND b._row = t._row"
            for d, columns in members
            for ties in _ties(root, d, columns)
        )
        connection.exec_driver_sql(f"INSERT INTO {family} {held}")
        for dataset, columns in members:
            bad = f"SELECT _row FROM bad WHERE table_name = '{dataset.table}'"
            for ties in _ties(root, dataset, columns):
                rows = (
                    f"SELECT t._row FROM ({ties}) AS t JOIN {family} AS f ON {equal('f', 't', root.key)}"
                    f" WHERE {absent('t._row', bad)}"
                )
                yield dataset.table, rows, f"'family of {root.table}'"


def _as_key(root: Dataset) -> str:
    return quoted(root.key, "t")


def _ties(root: Dataset, dataset: Dataset, columns: Sequence[str]) -> Iterator[str]:
    """Queries of (`_row`, key of the root): of which families a candidate is, where it comes from included."""
    yield f"SELECT c._row, {_named('c', columns, root)} FROM candidate.{dataset.table} AS c"
    if can_move(dataset, columns):
        yield f"SELECT m._row, {_named('v', columns, root)} FROM {_moved(dataset, columns)}"


def _named(alias: str, columns: Sequence[str], root: Dataset) -> str:
    return ", ".join(f'{alias}."{column}" AS "{name}"' for column, name in zip(columns, root.key, strict=True))


def can_move(dataset: Dataset, columns: Sequence[str]) -> bool:
    """Whether a row may get another parent and stay the same row: not where the parent is part of its key."""
    return not set(columns) <= set(dataset.key)


def _moved(dataset: Dataset, columns: Sequence[str]) -> str:
    """Candidates `m` whose published version `v` has another parent."""
    changed = " OR ".join(f'm."{name}" IS DISTINCT FROM v."{name}"' for name in columns)
    return (
        f"candidate.{dataset.table} AS m JOIN {dataset.published_layer}.{dataset.table} AS v"
        f" ON {equal('m', 'v', dataset.key)} AND ({changed})"
    )


def left_behind(connection: Connection, group: Group, dataset: Dataset) -> Iterator[tuple[str, str]]:
    """(query of `_row`, literal that says why) for children whose old parent does not come with them.

    The next load asks for it: see `entries.asked_again`.
    """
    for root in group.datasets:
        columns = next((c for d, c in group.family(root)[1:] if d.table == dataset.table), None)
        if columns and can_move(dataset, columns):
            present = " AND ".join(f'v."{name}" IS NOT NULL' for name in columns)
            came = f"SELECT 1 FROM candidate.{root.table} AS r WHERE {equal('r', 'v', root.key, columns)}"
            there = f"SELECT 1 FROM {root.published_layer}.{root.table} AS r WHERE {equal('r', 'v', root.key, columns)}"
            rows = (
                f"SELECT m._row FROM {_moved(dataset, columns)}"
                f" WHERE {present} AND NOT EXISTS ({came}) AND EXISTS ({there})"
            )
            if connection.exec_driver_sql(f"SELECT COUNT(*) FROM ({rows}) AS q").scalar_one():
                yield rows, f"'left a {root.table} that did not come'"


def held(group: Group, dataset: Dataset, seq: int, alias: str) -> str | None:
    """Condition on a published row of `dataset`: a member of its family is held. None where it has no family."""
    for root in group.datasets:
        members = group.family(root)
        own = next((columns for d, columns in members if d.table == dataset.table), None)
        if own and len(members) > 1:
            kept = " UNION ".join(
                f"SELECT {_named('m', columns, root)} FROM quarantine.{d.table} AS m WHERE m._batch = {int(seq)}"
                for d, columns in members
            )
            return f"EXISTS (SELECT 1 FROM ({kept}) AS f WHERE {equal('f', alias, root.key, own)})"
    return None
