"""Entries of quarantine after they were written: which wait, which keys a load asks for again, how they close.

An entry waits while it is open and its batch is published; entries of a held batch belong to that batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, DeclarationError
from dataops.ledger import tables as ledger
from dataops.sources.port import Also
from dataops.warehouse.tables import broke, equal, quoted

OPEN = "_closed IS NULL"


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
        members = [(root, root.key), *group.followers(root)]
        queries = " UNION ".join(query for member, columns in members for query in _keys(member, columns))
        keys = tuple(tuple(row) for row in connection.exec_driver_sql(queries))
        if keys:
            found[root.table] = Also(root.key, keys)
    return found


def _keys(dataset: Dataset, columns: Sequence[str]) -> Iterator[str]:
    """Queries of the parents of what waits: the new ones, and those it has as published."""
    present = " AND ".join(f'q."{name}" IS NOT NULL' for name in columns)
    yield f"SELECT DISTINCT {quoted(columns, 'q')} FROM ({waiting(dataset)}) AS q WHERE {present}"
    if not set(columns) <= set(dataset.key):
        published = f"{dataset.published_layer}.{dataset.table} AS p ON {equal('p', 'q', dataset.key)}"
        present = " AND ".join(f'p."{name}" IS NOT NULL' for name in columns)
        yield f"SELECT DISTINCT {quoted(columns, 'p')} FROM ({waiting(dataset)}) AS q JOIN {published} WHERE {present}"


def close(connection: Connection, group: Group, dataset: Dataset, batch: dict[str, Any], publication: int) -> None:
    """Closes earlier entries that the published batch settles.

    released: the row came and was accepted; replaced: it came and is held anew; gone: the source has it no more.
    """
    seq = int(batch["seq"])
    earlier = f"{OPEN} AND _batch < {seq}"
    numbers = connection.exec_driver_sql(f"SELECT DISTINCT _batch FROM quarantine.{dataset.table} WHERE {earlier}")
    open_in = [int(row[0]) for row in numbers]
    if not open_in:
        return
    held = f"SELECT 1 FROM quarantine.{dataset.table} AS h WHERE h._batch = {seq} AND {equal('h', 'q', dataset.key)}"
    came = f"SELECT 1 FROM candidate.{dataset.table} AS c WHERE {equal('c', 'q', dataset.key)}"
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
        {"how": how, "publication": publication, "now": ledger.now()},
    )


def _gone(
    connection: Connection, group: Group, dataset: Dataset, batch: dict[str, Any], open_in: Sequence[int]
) -> str | None:
    """Condition on open entries that did not come: the batch would have brought them if the source had them."""
    if batch["source"] == REPLAYED:
        return None
    if _scope(connection, dataset, batch) == "whole":
        return "TRUE"
    if group.layer != "raw":  # a model built for some keys says nothing of the others
        return None
    parts = []
    if covered := _covered(connection, batch, open_in):
        parts.append(f"q._batch IN ({', '.join(str(n) for n in covered)})")
    if batch["horizon"] is not None:
        asked = f"SELECT _batch FROM ({waiting(dataset, batch['horizon'])}) AS w"
        present = " AND ".join(f'q."{name}" IS NOT NULL' for name in dataset.key)
        parts.append(f"(q._batch IN ({asked}) AND {present})")
    return " OR ".join(parts) or None


REPLAYED = "quarantine"
"""The source of a batch that brings waiting rows back."""


def _scope(connection: Connection, dataset: Dataset, batch: dict[str, Any]) -> str:
    table = ledger.batch_datasets.c
    where = (table.batch == batch["seq"]) & (table.table_name == dataset.table)
    return str(connection.execute(sa.select(table.scope).where(where)).scalar())


def _covered(connection: Connection, batch: dict[str, Any], numbers: Sequence[int]) -> list[int]:
    """Those of the batches whose window lies within this one's."""
    table = ledger.batches.c
    query = sa.select(table.seq).where(table.seq.in_(numbers))
    if batch["window_start"] is not None:
        query = query.where(table.window_start >= batch["window_start"], table.window_end <= batch["window_end"])
    return [int(row[0]) for row in connection.execute(query)]


def require_open(connection: Connection, group: Group, batch: dict[str, Any]) -> None:
    """Raises DataRejected when rows that a replay brings back were settled since it was made."""
    for dataset in group.datasets:
        columns = quoted(dataset.key)
        count = connection.exec_driver_sql(
            f"SELECT COUNT(*) FROM (SELECT {columns} FROM candidate.{dataset.table}"
            f" EXCEPT SELECT {columns} FROM ({waiting(dataset)}) AS w) AS q"
        ).scalar_one()
        if count:
            raise DataRejected(
                f"{count} rows of {dataset.name} in {batch['batch_id']} wait no more: a newer delivery settled them.\n"
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
    values = {"now": ledger.now(), "by": by, "reason": " ".join(reason.split())}
    if rule:
        chosen += f" AND {broke('q', ':rule')}"
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


def _discard(connection: Connection, table: str, where: str, values: dict[str, Any]) -> int:
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
