"""Brings back rows that wait in quarantine through the same gate, when a rule was corrected or waived.

A replay is a batch like any other, whose source is quarantine. It speaks for its own rows only, so it deletes nothing
but members that a whole family came without. What still breaks a rule goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.failpoint import failpoint
from dataops.gate import gate
from dataops.gate.verdict import Verdict
from dataops.ledger import batches, entries, rehearsals
from dataops.ledger.enums import VerdictName
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import leftovers, publish
from dataops.pipeline.publish import Published
from dataops.warehouse.tables import controls, quoted


@dataclass(frozen=True)
class Replayed:
    """What a replay found: per dataset how many rows waited and how many pass now; the publication if one was made."""

    group: str
    waiting: dict[str, int]
    passing: dict[str, int]
    verdict: Verdict | None
    publication: Published | None = None

    @property
    def rows(self) -> int:
        return sum(self.waiting.values())

    @property
    def rows_passing(self) -> int:
        return sum(self.passing.values())


def replay(work: Workspace, group: Group, *, dry_run: bool = False) -> Replayed:
    """Sends the group's waiting rows through the gate and publishes those that pass. The caller holds its lock.

    With `dry_run` nothing is published and nothing is left behind. Raises PlatformError and VerdictError.
    """
    with writing(work.warehouse, group.datasets) as connection:
        _remove_earlier(connection, group)
        waiting = {d.table: _count(connection, d) for d in group.datasets}
        batch_id = _land(connection, group, waiting) if any(waiting.values()) else None
        failpoint("replay_landed")
    if batch_id is None:
        return Replayed(group.name, waiting, dict.fromkeys(waiting, 0), None)
    verdict = gate.run(work, batch_id)
    passing = dict.fromkeys(waiting, 0) | {h.table: h.received - h.rows for h in verdict.held}
    failpoint("replay_judged")
    if dry_run or not verdict.passed or not any(passing.values()):
        with work.warehouse.transaction() as connection:
            _remove_earlier(connection, group)
        return Replayed(group.name, waiting, passing, verdict)
    return Replayed(group.name, waiting, passing, verdict, publish.publish(work, batch_id))


def keep_rehearsals(connection: Connection, tried: Iterable[Replayed]) -> None:
    """Keeps what dry runs found, in place of what earlier ones did."""
    rehearsals.replace(
        connection,
        [
            (replayed.group, table, rows, replayed.passing[table] if _was_judged(replayed) else None)
            for replayed in tried
            for table, rows in replayed.waiting.items()
            if rows
        ],
    )


def _was_judged(replayed: Replayed) -> bool:
    return replayed.verdict is not None and replayed.verdict.name is not VerdictName.ERROR


def _remove_earlier(connection: Connection, group: Group) -> None:
    """What a dry run, or a replay that broke off, left."""
    leftovers.remove_unfinished(connection, group, batches.REPLAYS)


def _count(connection: Connection, dataset: Dataset) -> int:
    return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM ({entries.waiting(dataset)}) AS w").scalar_one())


def _land(connection: Connection, group: Group, waiting: dict[str, int]) -> str:
    """Copies the waiting rows to raw as a sealed batch of the datasets that have any; returns its id."""
    batch = batches.begin(connection, group.name, f"{group.name}-replay", batches.REPLAYED)
    present = [d for d in group.datasets if waiting[d.table]]
    for dataset in present:
        _copy(connection, dataset, batch.seq)
        _describe(connection, group, dataset, batch.seq, present)
    batches.seal(connection, batch.seq)
    return batch.batch_id


def _copy(connection: Connection, dataset: Dataset, seq: int) -> None:
    columns = quoted(dataset.column_names)
    connection.exec_driver_sql(
        f"INSERT INTO raw.{dataset.table} ({columns}, _batch, _row, _problems)"
        f" SELECT {columns}, {seq}, ROW_NUMBER() OVER (ORDER BY _batch, _row) - 1, _problems"
        f" FROM ({entries.waiting(dataset)}) AS w"
    )


def _describe(connection: Connection, group: Group, dataset: Dataset, seq: int, present: Sequence[Dataset]) -> None:
    rows, totals = controls(connection, dataset, f"(SELECT * FROM raw.{dataset.table} WHERE _batch = {seq})")
    parent = dataset.contract.platform.follows
    whole = dataset.table in group.checkpoint.family and parent in {d.table for d in present}
    batches.bring(connection, seq, dataset.table, "keys" if whole else "rows", rows, totals)
