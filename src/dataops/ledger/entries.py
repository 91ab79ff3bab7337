"""Entries of quarantine after they were written: which wait, which keys a load asks for again, how they close.

An entry waits while it is open and its batch is published; entries of a held batch belong to that batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, DeclarationError
from dataops.ledger import batches, clock
from dataops.ledger.batches import Batch
from dataops.ledger.enums import BatchState, VerdictName
from dataops.sources.port import Also
from dataops.warehouse.tables import broke, equal, landed_rows, quoted

OPEN = "_closed IS NULL"
REASONS = {"_rules": "rules", "_fell_with": "fell_with", "_problems": "problems", "_since": "since"}


def waiting(dataset: Dataset, horizon: int | None = None) -> str:
    """Query of the entries that wait; with `horizon` only those published up to that publication."""
    published = "SELECT batch FROM ops.publications WHERE batch IS NOT NULL"
    if horizon is not None:
        published += f" AND seq <= {int(horizon)}"
    return f"SELECT * FROM quarantine.{dataset.table} WHERE {OPEN} AND _batch IN ({published})"


def asked_again(connection: Connection, group: Group) -> dict[str, Also]:
    """Keys of waiting rows per dataset with a cursor, by table: they are read again whatever the window is."""
    found = {}
    for root in group.datasets:
        if root.contract.platform.cursor is None:
            continue
        keys = tuple(tuple(row) for row in connection.exec_driver_sql(asked(group, root)))
        if keys:
            found[root.table] = Also(root.key, keys)
    return found


def asked(group: Group, root: Dataset) -> str:
    """Query of the root's keys that are read again: of its own rows that wait, and of the parents of others that do."""
    members = [(root, root.key), *group.followers(root)]
    return " UNION ".join(query for member, columns in members for query in _keys(member, columns))


def _keys(dataset: Dataset, columns: Sequence[str]) -> Iterator[str]:
    """Queries of the parents of what waits: the new ones, and those it has as published."""
    present = " AND ".join(f'q."{name}" IS NOT NULL' for name in columns)
    yield f"SELECT DISTINCT {quoted(columns, 'q')} FROM ({waiting(dataset)}) AS q WHERE {present}"
    if not set(columns) <= set(dataset.key):
        published = f"{dataset.published_layer}.{dataset.table} AS p ON {equal('p', 'q', dataset.key)}"
        present = " AND ".join(f'p."{name}" IS NOT NULL' for name in columns)
        yield f"SELECT DISTINCT {quoted(columns, 'p')} FROM ({waiting(dataset)}) AS q JOIN {published} WHERE {present}"


def close(connection: Connection, group: Group, dataset: Dataset, batch: Batch, publication: int) -> None:
    """Closes earlier entries that the published batch settles.

    released: the row came and was accepted; replaced: it came and is held anew; gone: the source has it no more.
    """
    seq = batch.seq
    earlier = f"{OPEN} AND _batch < {seq}"
    numbers = connection.exec_driver_sql(f"SELECT DISTINCT _batch FROM quarantine.{dataset.table} WHERE {earlier}")
    open_in = [int(row[0]) for row in numbers]
    if not open_in:
        return
    held = f"SELECT 1 FROM quarantine.{dataset.table} AS h WHERE h._batch = {seq} AND {equal('h', 'q', dataset.key)}"
    came = f"SELECT 1 FROM {landed_rows(dataset, seq)} AS c WHERE {equal('c', 'q', dataset.key)}"
    _mark(connection, dataset, f"{earlier} AND EXISTS ({held})", "replaced", publication)
    _mark(connection, dataset, f"{earlier} AND EXISTS ({came})", "released", publication)
    if gone := _gone(connection, group, dataset, batch, open_in):
        _mark(connection, dataset, f"{earlier} AND ({gone})", "gone", publication)


def reopen(connection: Connection, dataset: Dataset, goal: int) -> int:
    """Opens entries again whose rows were released after publication number `goal`, which is gone back to.

    What they held stands no more. Returns how many.
    """
    done = connection.exec_driver_sql(
        f"UPDATE quarantine.{dataset.table} SET _closed = NULL, _released = NULL, _closed_at = NULL"
        f" WHERE _closed = 'released' AND _released > {int(goal)}"
    )
    return int(done.rowcount)


def _mark(connection: Connection, dataset: Dataset, where: str, how: str, publication: int) -> None:
    connection.execute(
        sa.text(
            f"UPDATE quarantine.{dataset.table} AS q SET _closed = :how, _released = :publication, _closed_at = :now"
            f" WHERE {where}"
        ),
        {"how": how, "publication": publication, "now": clock.now()},
    )


def _gone(connection: Connection, group: Group, dataset: Dataset, batch: Batch, open_in: Sequence[int]) -> str | None:
    """Condition on open entries that did not come: the batch would have brought them if the source had them."""
    if batch.is_replay:
        return None
    brought = batches.datasets(connection, batch.seq).get(dataset.table)
    if brought and brought.scope == "whole":
        return "TRUE"
    if not group.is_loaded:  # a model built for some keys says nothing of the others
        return None
    parts = []
    if covered := batches.within(connection, batch, open_in):
        parts.append(f"q._batch IN ({', '.join(str(n) for n in covered)})")
    if batch.horizon is not None:
        asked = f"SELECT _batch FROM ({waiting(dataset, batch.horizon)}) AS w"
        present = " AND ".join(f'q."{name}" IS NOT NULL' for name in dataset.key)
        parts.append(f"(q._batch IN ({asked}) AND {present})")
    return " OR ".join(parts) or None


def require_open(connection: Connection, group: Group, batch: Batch) -> None:
    """Raises DataRejected when rows that a replay brings back were settled since it was made."""
    for dataset in group.datasets:
        columns = quoted(dataset.key)
        count = connection.exec_driver_sql(
            f"SELECT COUNT(*) FROM (SELECT {columns} FROM {landed_rows(dataset, batch.seq)} AS c"
            f" EXCEPT SELECT {columns} FROM ({waiting(dataset)}) AS w) AS q"
        ).scalar_one()
        if count:
            raise DataRejected(
                f"{count} rows of {dataset.name} in {batch.batch_id} wait no more: a newer delivery settled them.\n"
                f"Nothing was published. Run: dataops quarantine replay {group.name}"
            )


def discard(
    connection: Connection,
    group: Group,
    dataset: Dataset,
    rule: str | None,
    batch: str | None,
    by: str | None,
    reason: str,
) -> dict[str, int]:
    """Closes the open entries that match, and their families where these are held whole; rows per dataset.

    They are kept, with who and why. Without `by` they are only counted.
    """
    chosen = f"SELECT _batch, _row FROM quarantine.{dataset.table} AS q WHERE {OPEN}"
    values = {"now": clock.now(), "by": by, "reason": " ".join(reason.split())}
    if rule:
        chosen += f" AND {broke('q._rules', ':rule')}"
        values["rule"] = f",{rule},"
    if batch:
        chosen += " AND q._batch = (SELECT seq FROM ops.batches WHERE batch_id = :batch)"
        values["batch"] = batch
    own = f"(q._batch, q._row) IN ({chosen})"
    members = _members(group, dataset, chosen) or {dataset.table: own}
    # Relatives first: they are found through entries that are still open.
    matching = {t: where for t, where in members.items() if t != dataset.table}
    matching[dataset.table] = f"({own} OR {members[dataset.table]})"
    return {table: _discard(connection, table, f"{OPEN} AND {where}", values) for table, where in matching.items()}


def require_rule(connection: Connection, group: Group, rule: str) -> None:
    """Raises DeclarationError for an id that is no rule of the group and that no open entry names either."""
    if rule in {known.id for known in group.rules}:
        return
    named: set[str] = set()
    for dataset in group.datasets:
        found = connection.exec_driver_sql(f"SELECT DISTINCT _rules FROM quarantine.{dataset.table} WHERE {OPEN}")
        named |= {part for row in found for part in str(row[0]).split(",")} - {""}
    if rule not in named:
        there = f"; rows wait for {', '.join(sorted(named))}" if named else "; no row waits"
        raise DeclarationError(f"group {group.name} has no rule {rule!r}{there}")


def _members(group: Group, dataset: Dataset, chosen: str) -> dict[str, str]:
    """Per member of the dataset's family: the condition on entries of the chosen ones' families; empty without one."""
    for root in group.datasets:
        members = group.family(root)
        own = next((columns for d, columns in members if d.table == dataset.table), None)
        if own is None or len(members) == 1:
            continue
        keys = f"SELECT {quoted(own, 'o')} FROM quarantine.{dataset.table} AS o WHERE (o._batch, o._row) IN ({chosen})"
        return {d.table: f"({quoted(columns, 'q')}) IN ({keys})" for d, columns in members}
    return {}


def _discard(connection: Connection, table: str, where: str, values: Mapping[str, object]) -> int:
    if values["by"] is None:
        return int(
            connection.execute(
                sa.text(f"SELECT COUNT(*) FROM quarantine.{table} AS q WHERE {where}"), values
            ).scalar_one()
        )
    done = connection.execute(
        sa.text(
            f"UPDATE quarantine.{table} AS q SET _closed = 'discarded', _closed_at = :now, _closed_by = :by,"
            f" _closed_reason = :reason WHERE {where}"
        ),
        values,
    )
    return int(done.rowcount)


@dataclass(frozen=True)
class OpenByBatch:
    """Open entries of one dataset and batch: how many, how many broke a rule themselves, which rules, since when."""

    batch: str
    state: BatchState
    verdict: VerdictName | None
    rows: int
    broke: int
    rules: tuple[str, ...]
    since: datetime


def open_by_batch(connection: Connection, dataset: Dataset) -> list[OpenByBatch]:
    """Open entries per batch, newest first; rows that were delivered again and accepted are out."""
    found = connection.exec_driver_sql(
        "SELECT b.batch_id, b.state, b.verdict, COUNT(*), COUNT(*) FILTER (WHERE q._rules <> ''), MIN(q._since), b.seq,"
        " STRING_AGG(DISTINCT NULLIF(q._rules, ''), ',')"
        f" FROM quarantine.{dataset.table} AS q JOIN ops.batches AS b ON b.seq = q._batch"
        f" WHERE q.{OPEN} GROUP BY b.batch_id, b.state, b.verdict, b.seq ORDER BY b.seq DESC"
    )
    return [
        OpenByBatch(
            batch=row[0],
            state=BatchState(row[1]),
            verdict=VerdictName(row[2]) if row[2] else None,
            rows=int(row[3]),
            broke=int(row[4]),
            rules=tuple(sorted(set((row[7] or "").split(",")) - {""})),
            since=row[5],
        )
        for row in found
    ]


def open_rows(
    connection: Connection, dataset: Dataset, rule: str | None, batch: str | None, limit: int | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and values of open entries, newest first: batch, reasons, then the dataset's own columns."""
    columns = quoted(dataset.column_names, "q")
    reasons = ", ".join(f"q.{name} AS {shown}" for name, shown in REASONS.items())
    where, values = [f"q.{OPEN}"], dict[str, str]()
    if rule:
        where, values = [*where, broke("q._rules", ":rule")], values | {"rule": f",{rule},"}
    if batch:
        where, values = [*where, "b.batch_id = :batch"], values | {"batch": batch}
    result = connection.execute(
        sa.text(
            f"SELECT b.batch_id AS batch, {reasons}, {columns} FROM quarantine.{dataset.table} AS q"
            f" JOIN ops.batches AS b ON b.seq = q._batch WHERE {' AND '.join(where)} ORDER BY b.seq DESC, q._row"
            + (f" LIMIT {int(limit)}" if limit else "")
        ),
        values,
    )
    return list(result.keys()), [tuple(row) for row in result]


@dataclass(frozen=True)
class Entry:
    """One entry of a key, open or closed."""

    batch: str
    state: BatchState
    verdict: VerdictName | None
    rules: str | None
    fell_with: str | None
    since: datetime
    released: int | None  # the publication that closed it
    closed: str | None  # how
    reason: str | None


def of_key(connection: Connection, dataset: Dataset, where: str, key: Mapping[str, str]) -> list[Entry]:
    """Entries of one key, newest first; `where` is a condition on `q` with the key's columns as parameters."""
    found = connection.execute(
        sa.text(
            "SELECT b.batch_id, b.state, b.verdict, q._rules, q._fell_with, q._since, q._released, q._closed,"
            f" q._closed_reason FROM quarantine.{dataset.table} AS q JOIN ops.batches AS b ON b.seq = q._batch"
            f" WHERE {where} ORDER BY b.seq DESC"
        ),
        dict(key),
    )
    return [Entry(row[0], BatchState(row[1]), VerdictName(row[2]) if row[2] else None, *row[3:]) for row in found]


def waiting_rows(connection: Connection, tables: Collection[str]) -> dict[str, tuple[int, datetime | None]]:
    """By table: rows that are kept back from published batches, and since when."""
    there = set(
        connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'quarantine'"
        ).scalars()
    )
    found = {}
    for table in sorted(set(tables) & there):
        row = connection.exec_driver_sql(
            f"SELECT COUNT(*), MIN(_since) FROM quarantine.{table} WHERE {OPEN}"
            " AND _batch IN (SELECT batch FROM ops.publications WHERE batch IS NOT NULL)"
        ).one()
        found[table] = (int(row[0]), row[1])
    return found
