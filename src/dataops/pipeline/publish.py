"""Publish: one transaction promotes what the gate accepted, for a whole group, as a difference to what stands.

Superseded versions move to history, unchanged rows are not touched, the ledger row is written with them. A COMMIT
that raised is looked up in the ledger by the attempt's id, which was made before BEGIN.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared import catalog
from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, PlatformError, VerdictError
from dataops.declared.failpoint import failpoint
from dataops.gate import baselines, candidates, waivers
from dataops.ledger import batches as batch_records
from dataops.ledger import entries, incidents, numbering, receipts, row_proof
from dataops.ledger import tables as ledger
from dataops.ledger.exact import difference
from dataops.ledger.workspace import Workspace
from dataops.pipeline import delta, leftovers
from dataops.pipeline.delta import Counts
from dataops.pipeline.intake import batches
from dataops.warehouse import CommitUnknownError
from dataops.warehouse.tables import controls, dangling, place

Status = Literal["published", "unchanged", "already"]


@dataclass(frozen=True)
class Publication:
    """What publishing a batch did.

    `status`: published; unchanged (nothing differed, so no publication was made); already (it was published before).
    """

    status: Status
    group: str
    batch_id: str
    publication_id: str | None
    counts: tuple[Counts, ...] = ()
    resolved: tuple[str, ...] = ()

    def total(self, name: str) -> int:
        return sum(int(getattr(item, name)) for item in self.counts)


class _NothingDiffers(Exception):
    pass


def publish(work: Workspace, batch_id: str) -> Publication:
    """Publishes a judged batch. The caller holds the group's lock.

    Raises DataRejected when its verdict is not PASSED, VerdictError when rules changed since or the accounts do not
    balance, PlatformError for infrastructure; the published layers are then as before.
    """
    attempt = str(uuid.uuid4())
    failpoint("before_begin")
    try:
        done = _in_one_transaction(work, batch_id, attempt)
    except CommitUnknownError as error:
        done = _look_up(work, batch_id, attempt, error.reason)
    failpoint("after_commit")
    return done


def _in_one_transaction(work: Workspace, batch_id: str, attempt: str) -> Publication:
    try:
        with work.warehouse.transaction() as connection:
            work.warehouse.serialize_publications(connection)
            failpoint("begun")
            return _publish(work, connection, batch_id, attempt)
    except _NothingDiffers:
        return _close_unchanged(work, batch_id)


def _publish(work: Workspace, connection: Connection, batch_id: str, attempt: str) -> Publication:
    batch = batch_records.required(connection, batch_id)
    if already := _already(connection, batch):
        return already
    # Read again from the files: a rule may have changed since this process began.
    group = batch_records.group_of(connection, replace(work, catalog=catalog.load(work.settings.paths)), batch)
    _require_passed(batch, group)
    allowed = waivers.require_still(connection, group, batch)
    candidates.point_at(connection, group, batch)
    if group.layer == "raw":
        batches.require_newest(connection, group, batch)
    failpoint("checked")
    seq = numbering.next_seq(connection, ledger.publications)
    scopes = _scopes(connection, batch["seq"])
    datasets = group.datasets
    counts = delta.apply(connection, group, datasets, scopes, batch["seq"], seq)
    if not any(c.new or c.changed or c.deleted or c.quarantined for c in counts):
        raise _NothingDiffers
    _balance(connection, datasets, counts, batch, seq)
    _require_closure(connection, group, datasets, seq)
    failpoint("balanced")
    for dataset in datasets:
        entries.close(connection, group, dataset, batch, seq)
    publication_id = _record(connection, group, batch | {"waivers": allowed}, attempt, seq, counts)
    baselines.tighten(connection, group, batch["seq"])
    _waive_incidents(connection, batch, allowed)
    solved = incidents.resolve(connection, group.name, batch, publication_id)
    failpoint("before_commit")
    return Publication("published", group.name, batch_id, publication_id, tuple(counts), tuple(solved))


def _waive_incidents(connection: Connection, batch: dict[str, Any], allowed: Sequence[dict[str, Any]]) -> None:
    """What was published under a waiver is not solved: the incidents of the batch say so."""
    if allowed:
        last = allowed[-1]
        own = (i for i in incidents.open_incidents(connection) if i["batch"] == batch["seq"] and i["kind"] != "anomaly")
        for found in own:
            incidents.waive(connection, found["incident_id"], last["waiver_id"], last["approver"] or last["owner"])


def _already(connection: Connection, batch: dict[str, Any]) -> Publication | None:
    found = ledger.one(connection, sa.select(ledger.publications).where(ledger.publications.c.batch == batch["seq"]))
    if found is None and batch["state"] != "unchanged":
        return None
    return Publication("already", batch["group_name"], batch["batch_id"], found["publication_id"] if found else None)


def _require_passed(batch: dict[str, Any], group: Group) -> None:
    batch_id, name = batch["batch_id"], batch["group_name"]
    if batch["state"] == "sealed":
        raise DataRejected(f"batch {batch_id} has not been judged; run: dataops gate {name} --batch {batch_id}")
    if batch["state"] == "discarded":
        raise DataRejected(f"{batch_id} is not published: {batch['reason']}. Load its window again instead")
    if batch["state"] != "passed":
        raise DataRejected(
            f"batch {batch_id} is held: verdict {str(batch['state']).upper()}, {batch['reason']}.\n"
            f"Nothing was published. See: dataops incidents list; dataops quarantine list {name}"
        )
    if batch["rules_hash"] != group.rules_hash:
        raise VerdictError(
            f"the rules of {name} changed after {batch_id} was judged, so its verdict does not hold any more.\n"
            f"Nothing was published. Run: dataops gate {name} --batch {batch_id}"
        )


def _scopes(connection: Connection, seq: int) -> dict[str, dict[str, Any]]:
    where = ledger.batch_datasets.c.batch == seq
    return {r["table_name"]: r for r in ledger.rows(connection, sa.select(ledger.batch_datasets).where(where))}


def _balance(
    connection: Connection, datasets: Sequence[Dataset], counts: Sequence[Counts], batch: dict[str, Any], seq: int
) -> None:
    """Received = new + changed + unchanged + quarantined, in rows and in every control total."""
    received = _scopes(connection, batch["seq"])
    for dataset, count in zip(datasets, counts, strict=True):
        came = received[dataset.table]
        if came["received"] != count.new + count.changed + count.unchanged + count.quarantined:
            raise VerdictError(_unbalanced(dataset, "rows", came["received"], count))
        written = controls(connection, dataset, f"(SELECT * FROM {place(dataset)} WHERE _publication = {seq})")[1]
        for name, total in came["controls"].items():
            parts = (written[name], count.unchanged_controls.get(name, "0"), count.quarantined_controls.get(name, "0"))
            if difference(total, parts):
                raise VerdictError(_unbalanced(dataset, name, total, parts))


def _unbalanced(dataset: Dataset, what: str, came: object, parts: object) -> str:
    return (
        f"{dataset.name} does not balance in {what}: {came} received, but accounted for {parts}.\n"
        "Nothing was published. This is a defect of the platform or of the warehouse: dataops doctor"
    )


def _require_closure(connection: Connection, group: Group, datasets: Sequence[Dataset], seq: int) -> None:
    """No row written now refers to a row that is not there; another group may have published since the gate."""
    for dataset in datasets:
        for link in (link for link in dataset.links if link.rule.severity == "critical"):
            target = group.target(link)
            without = dangling(link.columns, place(target), target.key)
            count = connection.exec_driver_sql(
                f"SELECT COUNT(*) FROM {place(dataset)} AS c WHERE c._publication = {seq} AND {without}"
            ).scalar_one()
            if count:
                raise VerdictError(
                    f"{count} rows of {dataset.name} refer to rows of {target.table} that are no longer published"
                    f" (rule {link.rule.id}): something changed after the gate. Nothing was published;"
                    f" run: dataops gate {group.name}"
                )


def _record(
    connection: Connection, group: Group, batch: dict[str, Any], attempt: str, seq: int, counts: Sequence[Counts]
) -> str:
    kind = "load" if group.layer == "raw" else "build"
    values = {"window_end": batch["window_end"], "batch": batch["seq"], "rules_hash": batch["rules_hash"]}
    values |= {"waivers": batch["waivers"]}
    publication_id = write(connection, group, kind, attempt, seq, counts, values)
    ledger.set_state(connection, batch["seq"], "published")
    failpoint("ledger_written")
    return publication_id


def write(
    connection: Connection,
    group: Group,
    kind: str,
    attempt: str,
    seq: int,
    counts: Sequence[Counts],
    values: dict[str, Any],
) -> str:
    """The ledger's rows of a publication, sealed by its receipt; returns its id, e.g. sales-0043."""
    previous = ledger.last_publication(connection, group.name)
    last = int(previous["publication_id"].rpartition("-")[2]) if previous else 0
    publication_id = f"{group.name}-{max(last, ledger.floor(connection, 'publication_ids')) + 1:04d}"
    made = {
        "seq": seq,
        "publication_id": publication_id,
        "attempt": attempt,
        "group_name": group.name,
        "kind": kind,
        "verdict": "PASSED",
        "previous": previous["publication_id"] if previous else None,
        "published_at": ledger.now(),
    }
    proofs = row_proof.of_publication(connection, [group.dataset(count.table) for count in counts], seq)
    rows = [count.as_row(seq) | proofs[count.table] for count in counts]
    connection.execute(ledger.publications.insert().values(receipts.seal(connection, made | values, rows)))
    failpoint("publication_written")
    if rows:
        connection.execute(ledger.publication_datasets.insert(), rows)
    return publication_id


def _close_unchanged(work: Workspace, batch_id: str) -> Publication:
    """Nothing differs from what stands: no publication, and the landed copy is dropped again."""
    with work.warehouse.transaction() as connection:
        batch = batch_records.required(connection, batch_id)
        group = batch_records.group_of(connection, work, batch)
        _release(connection, group, batch)
        ledger.set_state(connection, batch["seq"], "unchanged")
        if group.layer == "raw":
            leftovers.discard_rows(connection, group, batch["seq"])
        solved = incidents.resolve(connection, group.name, batch, "no change")
        repeated = leftovers.forget_repeated(connection, batch)
        failpoint("unchanged_written")
    for earlier in repeated:
        (work.settings.paths.results / f"{earlier}.gx.json").unlink(missing_ok=True)
    return Publication("unchanged", batch["group_name"], batch_id, None, (), tuple(solved))


def _release(connection: Connection, group: Group, batch: dict[str, Any]) -> None:
    """The source is back at what stands: what was held of these keys in between is settled, with nothing to publish."""
    standing = ledger.last_publication(connection, group.name)
    if standing is not None:
        candidates.point_at(connection, group, batch)
        for dataset in group.datasets:
            entries.close(connection, group, dataset, batch, standing["seq"])


def outcome_of(work: Workspace, attempt: str, what: str) -> dict[str, Any] | None:
    """The publication of an attempt whose COMMIT raised, or None; waits for a warehouse that is restarting.

    Raises PlatformError when the ledger cannot be read either.
    """
    where = ledger.publications.c.attempt == attempt
    deadline = time.monotonic() + work.settings.lock_seconds
    while True:
        try:
            with work.warehouse.reading() as connection:
                return ledger.one(connection, sa.select(ledger.publications).where(where))
        except PlatformError as error:
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"whether {what} was published is not known: COMMIT was not confirmed, and the ledger cannot be"
                    f" read: {str(error).splitlines()[0]}\nIt is safe to run again: nothing is published twice."
                ) from error
        time.sleep(0.2)


def _look_up(work: Workspace, batch_id: str, attempt: str, reason: str) -> Publication:
    """COMMIT raised: whether it happened stands in the ledger. Raises PlatformError when it did not."""
    found = outcome_of(work, attempt, batch_id)
    if found is None:
        raise PlatformError(
            f"publishing {batch_id} was not committed; what stood before still stands.\n{reason}\n"
            f"It is safe to run again: dataops publish --batch {batch_id}"
        )
    return Publication("published", found["group_name"], batch_id, found["publication_id"])
