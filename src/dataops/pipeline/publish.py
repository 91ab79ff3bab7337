"""Publish: one transaction promotes what the gate accepted, for a whole group, as a difference to what stands.

Superseded versions move to history, unchanged rows are not touched, the ledger row is written with them. A COMMIT
that raised is looked up in the ledger by the attempt's id, which was made before BEGIN.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy.engine import Connection

from dataops.declared import catalog
from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, PlatformError, VerdictError
from dataops.declared.failpoint import failpoint
from dataops.gate import baselines, candidates, waivers
from dataops.ledger import batches, entries, incidents, numbering, publications, row_proof
from dataops.ledger.batches import Batch, BatchDataset
from dataops.ledger.enums import BYSTANDERS, BatchState, PublicationKind, VerdictName
from dataops.ledger.exact import difference
from dataops.ledger.publications import Counts, KeptWaiver, New, Publication
from dataops.ledger.workspace import Workspace
from dataops.pipeline import delta, leftovers
from dataops.pipeline.intake.extraction import require_newest
from dataops.warehouse import CommitUnknownError
from dataops.warehouse.tables import controls, dangling, place

Status = Literal["published", "unchanged", "already"]


@dataclass(frozen=True)
class Published:
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


def publish(work: Workspace, batch_id: str) -> Published:
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


def _in_one_transaction(work: Workspace, batch_id: str, attempt: str) -> Published:
    try:
        with work.warehouse.transaction(_scratch(work, batch_id)) as connection:
            work.warehouse.serialize_publications(connection)
            failpoint("begun")
            return _publish(work, connection, batch_id, attempt)
    except _NothingDiffers:
        return _close_unchanged(work, batch_id)


def _scratch(work: Workspace, batch_id: str) -> tuple[str, ...]:
    with work.warehouse.transaction() as connection:
        return delta.scratch(batches.group_of(connection, work, batches.required(connection, batch_id)).datasets)


def _publish(work: Workspace, connection: Connection, batch_id: str, attempt: str) -> Published:
    batch = batches.required(connection, batch_id)
    if already := _already(connection, batch):
        return already
    # Read again from the files: a rule may have changed since this process began.
    group = batches.group_of(connection, replace(work, catalog=catalog.load(work.settings.paths)), batch)
    _require_passed(batch, group)
    allowed = waivers.require_still(connection, group, batch)
    candidates.require_there(connection, group, batch)
    if group.is_loaded:
        require_newest(connection, group, batch)
    failpoint("checked")
    seq = numbering.next_publication(connection)
    brought = batches.datasets(connection, batch.seq)
    datasets = group.datasets
    counts = delta.apply(connection, group, datasets, brought, batch.seq, seq)
    if not any(c.new or c.changed or c.deleted or c.quarantined for c in counts):
        raise _NothingDiffers
    _balance(connection, datasets, counts, brought, seq)
    _require_closure(connection, group, datasets, seq)
    failpoint("balanced")
    for dataset in datasets:
        entries.close(connection, group, dataset, batch, seq)
    new = New(
        seq, attempt, group.name, PublicationKind.LOAD if group.is_loaded else PublicationKind.BUILD,
        group.rules_hash, batch.seq, batch.window_end, waivers=allowed,
    )  # fmt: skip
    publication_id = write(connection, group, new, counts).publication_id
    batches.settle(connection, batch.seq, BatchState.PUBLISHED)
    failpoint("ledger_written")
    baselines.tighten(connection, group, batch.seq)
    _waive_incidents(connection, batch, allowed)
    solved = incidents.resolve(connection, batch, publication_id)
    failpoint("before_commit")
    return Published("published", group.name, batch_id, publication_id, tuple(counts), tuple(solved))


def _waive_incidents(connection: Connection, batch: Batch, allowed: Sequence[KeptWaiver]) -> None:
    """What was published under a waiver is not solved: the incidents of the batch say so."""
    if allowed:
        last = allowed[-1]
        for incident in incidents.open_incidents(connection):
            if incident.batch == batch.seq and incident.kind not in BYSTANDERS:
                incidents.waive(connection, incident.incident_id, last.waiver_id, last.approver or last.owner)


def _already(connection: Connection, batch: Batch) -> Published | None:
    made = publications.of_batch(connection, batch.seq)
    if made is None and batch.state is not BatchState.UNCHANGED:
        return None
    return Published("already", batch.group, batch.batch_id, made.publication_id if made else None)


def _require_passed(batch: Batch, group: Group) -> None:
    batch_id, name = batch.batch_id, batch.group
    if batch.state is BatchState.SEALED:
        raise DataRejected(f"batch {batch_id} has not been judged; run: dataops gate {name} --batch {batch_id}")
    if batch.state is BatchState.DISCARDED:
        raise DataRejected(f"{batch_id} is not published: {batch.reason}. Load its window again instead")
    if batch.verdict is not VerdictName.PASSED:
        raise DataRejected(
            f"batch {batch_id} is held: verdict {batch.verdict}, {batch.reason}.\n"
            f"Nothing was published. See: dataops incidents list; dataops quarantine list {name}"
        )
    if batch.rules_hash != group.rules_hash:
        raise VerdictError(
            f"the rules of {name} changed after {batch_id} was judged, so its verdict does not hold any more.\n"
            f"Nothing was published. Run: dataops gate {name} --batch {batch_id}"
        )


def _balance(
    connection: Connection,
    datasets: Sequence[Dataset],
    counts: Sequence[Counts],
    brought: Mapping[str, BatchDataset],
    seq: int,
) -> None:
    """Received = new + changed + unchanged + quarantined, in rows and in every control total."""
    for dataset, count in zip(datasets, counts, strict=True):
        came = brought[dataset.table]
        if came.received != count.new + count.changed + count.unchanged + count.quarantined:
            raise VerdictError(_unbalanced(dataset, "rows", came.received, count))
        written = controls(connection, dataset, f"(SELECT * FROM {place(dataset)} WHERE _publication = {seq})")[1]
        for name, total in came.controls.items():
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


def write(connection: Connection, group: Group, new: New, counts: Sequence[Counts]) -> Publication:
    """The ledger's rows of a publication, with digests of what it did, sealed by its receipt."""
    proofs = row_proof.of_publication(connection, [group.dataset(count.table) for count in counts], new.seq)
    return publications.add(connection, new, counts, proofs)


def _close_unchanged(work: Workspace, batch_id: str) -> Published:
    """Nothing differs from what stands: no publication, and the landed copy is dropped again."""
    with work.warehouse.transaction() as connection:
        batch = batches.required(connection, batch_id)
        group = batches.group_of(connection, work, batch)
        _release(connection, group, batch)
        batches.settle(connection, batch.seq, BatchState.UNCHANGED)
        if group.is_loaded:
            leftovers.discard_rows(connection, group, batch.seq)
        solved = incidents.resolve(connection, batch, "no change")
        repeated = leftovers.forget_repeated(connection, batch)
        failpoint("unchanged_written")
    for earlier in repeated:
        (work.settings.paths.results / f"{earlier}.gx.json").unlink(missing_ok=True)
    return Published("unchanged", batch.group, batch_id, None, (), tuple(solved))


def _release(connection: Connection, group: Group, batch: Batch) -> None:
    """The source is back at what stands: what was held of these keys in between is settled, with nothing to publish."""
    standing = publications.last(connection, group.name)
    if standing is not None:
        for dataset in group.datasets:
            entries.close(connection, group, dataset, batch, standing.seq)


def outcome_of(work: Workspace, attempt: str, what: str) -> Publication | None:
    """The publication of an attempt whose COMMIT raised, or None; waits for a warehouse that is restarting.

    Raises PlatformError when the ledger cannot be read either.
    """
    deadline = time.monotonic() + work.settings.lock_seconds
    while True:
        try:
            with work.warehouse.reading() as connection:
                return publications.of_attempt(connection, attempt)
        except PlatformError as error:
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"whether {what} was published is not known: COMMIT was not confirmed, and the ledger cannot be"
                    f" read: {str(error).splitlines()[0]}\nIt is safe to run again: nothing is published twice."
                ) from error
        time.sleep(0.2)


def _look_up(work: Workspace, batch_id: str, attempt: str, reason: str) -> Published:
    """COMMIT raised: whether it happened stands in the ledger. Raises PlatformError when it did not."""
    made = outcome_of(work, attempt, batch_id)
    if made is None:
        raise PlatformError(
            f"publishing {batch_id} was not committed; what stood before still stands.\n{reason}\n"
            f"It is safe to run again: dataops publish --batch {batch_id}"
        )
    return Published("published", made.group, batch_id, made.publication_id)
