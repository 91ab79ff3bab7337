"""A clean batch in a warehouse of its own, where it is spoilt, judged by the real gate and made clean again.

Works on a warehouse that is thrown away: published rows of the batch's window are removed from it, so that the batch
is judged as on the day it arrived.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.layers import RAW
from dataops.gate import candidates, gate
from dataops.gate.verdict import RuleResult
from dataops.lab.corruptions.catalogue import Corruption
from dataops.ledger import batches
from dataops.ledger.batches import Batch
from dataops.ledger.enums import Outcome
from dataops.ledger.workspace import Workspace
from dataops.warehouse.tables import landed, landed_rows, quoted, sql_type
from dataops.warehouse.tables import place as place_of

SCORED = "scored"
WINDOW = timedelta(days=61)  # how much of a group that is loaded by day counts as the batch: the newest two months
AGAIN = 100_000_000  # added to `_row` of a row that is sent twice
Named = dict[str, frozenset[int]]  # rule -> rows of its dataset that it names


class Bed:
    """The newest clean batch of one group, which can be struck and judged again and again."""

    def __init__(self, work: Workspace, group: Group, batch_id: str | None = None) -> None:
        """Needs a published (or, for models, freshly built) batch of the group in the warehouse of `work`.

        `batch_id`: another than the newest.
        """
        self._work = work
        self.group = group
        self._cut: set[str] = set()
        with self.opened() as connection:
            batch = batches.required(connection, batch_id, group.name)
            connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS clean")
            self._keep_clean(connection, batch)
            self._batch = batches.copied(connection, batch, SCORED)
            self.fill(connection, self.tables)
        self.clean_results = {r.rule.id: r for r in self.judge(self.tables)}
        self.clean = self.named(self.clean_results.values())
        with self.opened() as connection:
            self._flag(connection)

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(d.table for d in self.group.datasets)

    def _place(self, table: str) -> str:
        """Where the rows of the batch lie that are struck."""
        return landed(self.group.dataset(table), self._batch.seq)

    def opened(self) -> AbstractContextManager[Connection]:
        """A transaction to strike in: one for many strikes, since opening costs more than striking."""
        return self._work.warehouse.transaction()

    def _keep_clean(self, connection: Connection, batch: Batch) -> None:
        """Copies the batch's rows to `clean`; of a group whose families are loaded by day only the newest days."""
        since = self._since(connection, batch.seq)
        for dataset in sorted(self.group.datasets, key=lambda d: d.contract.platform.follows is not None):
            table, newest = dataset.table, _newest(self.group, dataset, since)
            connection.exec_driver_sql(
                f"CREATE OR REPLACE TABLE clean.{table} AS SELECT * FROM {landed_rows(dataset, batch.seq)} AS t"
                f" WHERE {newest or 'TRUE'}"
            )
            if newest:
                self._cut.add(table)
                connection.exec_driver_sql(f"DELETE FROM {place_of(dataset)} AS t WHERE {newest}")
            connection.exec_driver_sql(f"DELETE FROM {landed(dataset, batch.seq)}")

    def _since(self, connection: Connection, seq: int) -> Any:  # noqa: ANN401  a datetime or None
        roots = sorted({str(d.contract.platform.follows) for d in self.group.datasets if d.contract.platform.follows})
        if not _by_day(self.group) or not roots:
            return None
        cursor = self.group.dataset(roots[0]).contract.platform.cursor
        newest = f'SELECT MAX("{cursor}") FROM {RAW}.{roots[0]} WHERE _batch = {int(seq)}'
        return connection.exec_driver_sql(newest).scalar_one() - WINDOW

    def fill(self, connection: Connection, tables: Iterable[str]) -> None:
        """Makes datasets clean again."""
        for table in tables:
            columns = quoted(self.group.dataset(table).column_names)
            connection.exec_driver_sql(
                f"CREATE OR REPLACE TABLE {self._place(table)} AS SELECT {columns},"
                f" CAST({self._batch.seq} AS BIGINT) AS _batch, _row, _problems FROM clean.{table}"
            )
            self.show_one(connection, self.group.dataset(table))

    def clear(self, tables: Iterable[str]) -> None:
        """Makes datasets clean again, in a transaction of its own."""
        with self.opened() as connection:
            self.fill(connection, tables)

    def victim(
        self, connection: Connection, corruption: Corruption, used: Collection[int]
    ) -> tuple[int, int | None] | None:
        """A row that the corruption can strike, and its partner; rows that no rule names come first."""
        found = self._one_row(connection, corruption, "c", used)
        if found is None or corruption.partner is None:
            return None if found is None else (found, None)
        partner = self._one_row(connection, corruption, "p", [*used, found], found)
        return None if partner is None else (found, partner)

    def _one_row(
        self, connection: Connection, corruption: Corruption, alias: str, used: Collection[int], struck: int = -1
    ) -> int | None:
        table = corruption.table
        where = [f"({corruption.where})", f"{alias}._row NOT IN ({', '.join(map(str, [-1, *used]))})"]
        source = f"clean.{table} AS c"
        if alias == "p":
            source += f", clean.{table} AS p"
            where += [str(corruption.partner), f"c._row = {int(struck)}", "p._row <> c._row"]
        if corruption.way == "change" and (alias == "p" or corruption.partner is None):
            where.append(f"({self.differs(corruption)})")
        row = connection.exec_driver_sql(
            f"SELECT {alias}._row FROM {source} WHERE {' AND '.join(where)}"
            f" ORDER BY {alias}._row IN (SELECT _row FROM clean.flagged WHERE table_name = '{table}'),"
            f" HASH({alias}._row) LIMIT 1"
        ).first()
        return None if row is None else int(row[0])

    def differs(self, corruption: Corruption) -> str:
        """Condition on `c`: the corruption would change it."""
        given = dict(corruption.values)
        return " OR ".join(
            f'({value} IS DISTINCT FROM c."{name}" AND ({value} IS NOT NULL OR ({given[name]}) IS NULL))'
            for name, value in self.cast(corruption)
        )

    def cast(self, corruption: Corruption) -> list[tuple[str, str]]:
        """The new values, in their columns' types; NULL where one does not fit."""
        types = {column.name: sql_type(column) for column in self.group.dataset(corruption.table).columns}
        return [(name, f"TRY_CAST({value} AS {types.get(name, 'VARCHAR')})") for name, value in corruption.values]

    def strike(
        self, connection: Connection, corruption: Corruption, row: int | None = None, partner: int | None = None
    ) -> int:
        """Plants the corruption into one row, or (without `row`) into all that it can strike; how many were."""
        if corruption.way == "retype":
            return self._retype(connection, corruption.table, *corruption.values[0])
        rows = f"({corruption.where})" if row is None else f"c._row = {int(row)}"
        table, place = corruption.table, self._place(corruption.table)
        names = self.group.dataset(table).column_names
        if corruption.way == "remove":
            sql = f"DELETE FROM {place} WHERE _row IN (SELECT c._row FROM clean.{table} AS c WHERE {rows})"
        elif corruption.way == "repeat":
            sql = (
                f"INSERT INTO {place} ({quoted(names)}, _row, _problems, _batch) SELECT {quoted(names, 'c')},"
                f" c._row + {AGAIN}, c._problems, {self._batch.seq} FROM clean.{table} AS c WHERE {rows}"
            )
        else:
            source = f"clean.{table} AS c" + (f", clean.{table} AS p" if partner is not None else "")
            rows += f" AND p._row = {int(partner)}" if partner is not None else f" AND ({self.differs(corruption)})"
            setting = ", ".join(f'"{name}" = {value}' for name, value in self.cast(corruption))
            sql = f"UPDATE {place} AS t SET {setting} FROM {source} WHERE t._row = c._row AND {rows}"
        return int(connection.exec_driver_sql(sql).rowcount)

    def _retype(self, connection: Connection, table: str, column: str, kind: str) -> int:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{table}")
        change = f'ALTER COLUMN "{column}" TYPE {kind} USING TRY_CAST("{column}" AS {kind})'
        connection.exec_driver_sql(f"ALTER TABLE {self._place(table)} {change}")
        self.show_one(connection, self.group.dataset(table))
        return 1

    def judge(
        self, tables: Collection[str], engines: Sequence[gate.AuditEngine] = ("soda", "gx"), scope: str | None = None
    ) -> list[RuleResult]:
        """What the gate says about a batch that brings these datasets and those that they never come without.

        Engines that were not asked say nothing.
        """
        with self.opened() as connection:
            self._seal(connection, self._together(tables), scope)
        gate.audit(self._work, SCORED, *engines)
        asked = {*engines, "platform"}
        return [r for r in gate.judge(self._work, SCORED).results if r.rule.engine in asked]

    def _together(self, tables: Collection[str]) -> set[str]:
        """With their families; and of a batch by day everything that was taken out of the published rows."""
        found = {*tables, *self._cut}
        for root in self.group.datasets:
            members = {root.table, *(d.table for d, _ in self.group.followers(root))}
            found |= members if members & found else set()
        return found

    def _seal(self, connection: Connection, tables: Collection[str], scope: str | None) -> None:
        batches.empty(connection, self._batch.seq)
        for table in tables:
            count = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {self._place(table)}").scalar_one()
            brought = scope or _scope(self.group, self.group.dataset(table))
            batches.bring(connection, self._batch.seq, table, brought, count, {})
        batches.seal(connection, self._batch.seq)

    def named(self, results: Iterable[RuleResult]) -> Named:
        """Rows that each rule names now, by its own condition; rules that only note are left out."""
        told = [r for r in results if r.predicate and r.outcome in {Outcome.WARNED, Outcome.FAILED}]
        with self.opened() as connection:
            self.show(connection)
            return {r.rule.id: self.rows_of(connection, r) for r in told}

    def rows_of(self, connection: Connection, result: RuleResult) -> frozenset[int]:
        """Rows of `candidate` that a rule's own condition names.

        A rule about change compares them with the clean ones: what was published of them was taken out.
        """
        condition = result.predicate.condition if result.predicate else "FALSE"
        table = result.rule.table
        if result.rule.is_about_change:
            published = re.escape(self.group.dataset(table).published_name)
            condition = re.sub(rf"\b{published}\b", f"clean.{table}", condition)
        sql = f"SELECT _row FROM candidate.{table} WHERE {condition}"
        return frozenset(int(row[0]) for row in connection.exec_driver_sql(sql))

    def show(self, connection: Connection) -> None:
        """Lets `candidate` show the batch."""
        candidates.point_at(connection, self.group, self._batch)

    def show_one(self, connection: Connection, dataset: Dataset) -> None:
        """Lets `candidate` show the batch's rows of one dataset again."""
        candidates.show(connection, dataset, self._batch.seq)

    def _flag(self, connection: Connection) -> None:
        connection.exec_driver_sql("CREATE OR REPLACE TABLE clean.flagged (table_name VARCHAR, _row BIGINT)")
        for rule, rows in self.clean.items():
            if rows:
                table, listed = self.clean_results[rule].rule.table, ", ".join(map(str, sorted(rows)))
                connection.exec_driver_sql(f"INSERT INTO clean.flagged SELECT '{table}', UNNEST([{listed}])")

    def relatives(self, connection: Connection, corruption: Corruption, row: int, other: Dataset) -> frozenset[int]:
        """Rows of another dataset that the struck row referred to, or that referred to it, when all was clean."""
        own = self.group.dataset(corruption.table)
        pairs = [(link.columns, other.key) for link in own.links if link.to == other.table]
        pairs += [(own.key, link.columns) for link in other.links if link.to == own.table]
        found: set[int] = set()
        for mine, theirs in pairs:
            same = " AND ".join(f'o."{b}" = c."{a}"' for a, b in zip(mine, theirs, strict=True))
            sql = f"SELECT o._row FROM clean.{other.table} AS o, clean.{own.table} AS c WHERE c._row = {int(row)}"
            found |= {int(r[0]) for r in connection.exec_driver_sql(f"{sql} AND {same}")}
        return frozenset(found)


def _by_day(group: Group) -> bool:
    return bool(group.checkpoint.family)


def _scope(group: Group, dataset: Dataset) -> str:
    """As the group's daily load brings it."""
    platform = dataset.contract.platform
    if not _by_day(group):
        return "whole"
    return "keys" if platform.follows else "window" if platform.cursor else "whole"


def _newest(group: Group, dataset: Dataset, since: Any) -> str | None:  # noqa: ANN401  a datetime or None
    """Condition on rows `t` of the newest days; None where the dataset comes as a whole."""
    platform = dataset.contract.platform
    if since is None or not (platform.cursor or platform.follows):
        return None
    if platform.cursor:
        return f"t.\"{platform.cursor}\" >= TIMESTAMP '{since}'"
    columns = next(link.columns for link in dataset.links if link.to == platform.follows)
    key = group.dataset(str(platform.follows)).key
    same = " AND ".join(f'h."{k}" = t."{name}"' for k, name in zip(key, columns, strict=True))
    return f"EXISTS (SELECT 1 FROM clean.{platform.follows} AS h WHERE {same})"
