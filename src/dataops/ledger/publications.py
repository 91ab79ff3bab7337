"""Publications: what was promoted when, from which batch, with which counts, proven by a receipt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import BeforeValidator, Field
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.declared.failpoint import failpoint
from dataops.ledger import clock, lineage, numbering, outbox, receipts
from dataops.ledger import tables as t
from dataops.ledger.enums import NoticeKind, PublicationKind, VerdictName
from dataops.ledger.reading import Record, Row, every, one
from dataops.warehouse.tables import equal, landed_rows, place


class KeptWaiver(Record):
    """A waiver as it stood when something was published under it; part of the receipt."""

    waiver_id: str
    rule_id: str | None = None
    batch: str | None = None
    keys: tuple[tuple[str, ...], ...] | None = None
    quota: float | None = None
    owner: str
    approver: str | None = None
    reason: str
    until: str


class Publication(Record):
    """One atomic promotion; times are UTC without a zone."""

    seq: int
    publication_id: str
    attempt: str
    group: str = Field(alias="group_name")
    batch: int | None = None
    kind: PublicationKind
    verdict: VerdictName
    rules_hash: str
    previous: str | None = None
    window_end: datetime | None = None
    reason: str | None = None
    waivers: Annotated[tuple[KeptWaiver, ...], BeforeValidator(lambda kept: kept or ())] = ()
    receipt: str | None = None
    previous_receipt: str | None = None
    results: str | None = None
    published_at: datetime


class PublicationDataset(Record):
    """What a publication did to one dataset; control totals are exact, as text."""

    publication: int
    table: str = Field(alias="table_name")
    received: int
    new: int
    changed: int
    unchanged: int
    quarantined: int
    deleted: int
    retained: int
    controls: dict[str, str]
    published_controls: dict[str, str] | None = None
    unchanged_controls: dict[str, str] | None = None
    quarantined_controls: dict[str, str] | None = None

    @property
    def changes(self) -> bool:
        """Whether a row was written, replaced or taken away."""
        return bool(self.new or self.changed or self.deleted)

    @property
    def ties(self) -> bool:
        """Received = new + changed + unchanged + quarantined, in rows and in every control total that was recorded."""
        if self.received != self.new + self.changed + self.unchanged + self.quarantined:
            return False
        if self.published_controls is None:
            return True
        split = (self.published_controls, self.unchanged_controls or {}, self.quarantined_controls or {})
        return all(Decimal(left) == 0 for left in receipts.parts(self.controls, *split).values())


@dataclass(frozen=True)
class Counts:
    """Rows of one dataset in one publication; controls are exact text."""

    table: str
    received: int
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    deleted: int = 0
    retained: int = 0
    controls: Mapping[str, str] = field(default_factory=dict)
    unchanged_controls: Mapping[str, str] = field(default_factory=dict)
    quarantined_controls: Mapping[str, str] = field(default_factory=dict)

    @property
    def published_controls(self) -> dict[str, str]:
        """Of the rows that are new or changed."""
        return receipts.parts(self.controls, self.unchanged_controls, self.quarantined_controls)

    def _as_row(self, publication: int) -> Row:
        names = ("received", "new", "changed", "unchanged", "quarantined", "deleted", "retained")
        return {
            "publication": publication,
            "table_name": self.table,
            "controls": dict(self.controls),
            "published_controls": self.published_controls,
            "unchanged_controls": dict(self.unchanged_controls),
            "quarantined_controls": dict(self.quarantined_controls),
            **{name: getattr(self, name) for name in names},
        }


@dataclass(frozen=True)
class New:
    """A publication that is being made. `attempt` is its client's id, made before BEGIN; `seq` its number."""

    seq: int
    attempt: str
    group: str
    kind: PublicationKind
    rules_hash: str
    batch: int | None = None
    window_end: datetime | None = None
    reason: str | None = None
    waivers: Sequence[KeptWaiver] | None = None


def add(
    connection: Connection, new: New, counts: Sequence[Counts], proofs: Mapping[str, dict[str, str]]
) -> Publication:
    """Writes a publication and its datasets, sealed by a receipt; `proofs` are digests by table."""
    before = last(connection, new.group)
    number = int(before.publication_id.rpartition("-")[2]) if before else 0
    row = {
        "seq": new.seq,
        "publication_id": f"{new.group}-{max(number, numbering.floor(connection, 'publication_ids')) + 1:04d}",
        "attempt": new.attempt,
        "group_name": new.group,
        "kind": new.kind.value,
        "verdict": VerdictName.PASSED.value,
        "previous": before.publication_id if before else None,
        "published_at": clock.now(),
        "window_end": new.window_end,
        "rules_hash": new.rules_hash,
    }
    if new.kind is PublicationKind.ROLLBACK:
        row |= {"reason": new.reason}
    else:
        row |= {"batch": new.batch, "waivers": [kept.model_dump() for kept in new.waivers or ()]}
    rows = [count._as_row(new.seq) | proofs[count.table] for count in counts]  # noqa: SLF001  this module's own
    sealed = receipts.seal(connection, row, rows)
    connection.execute(t.publications.insert().values(sealed))
    failpoint("publication_written")
    if rows:
        connection.execute(t.publication_datasets.insert(), rows)
    if any(count.quarantined for count in counts):
        outbox.tell(connection, NoticeKind.QUARANTINE, str(row["publication_id"]), f"quarantine of {new.group}")
    lineage.note(connection, f"published {new.seq}")
    return Publication.of(sealed)


def last(connection: Connection, group: str | None = None) -> Publication | None:
    """The newest publication, of one group or of all."""
    where = sa.true() if group is None else t.publications.c.group_name == group
    return one(connection, Publication, _newest_first(where).limit(1))


def find(connection: Connection, publication_id: str) -> Publication | None:
    """A publication by its id."""
    return one(connection, Publication, sa.select(t.publications).where(_p.publication_id == publication_id))


def numbered(connection: Connection, seqs: Collection[int]) -> dict[int, Publication]:
    """Publications by number."""
    rows = every(connection, Publication, sa.select(t.publications).where(_p.seq.in_(list(seqs))))
    return {publication.seq: publication for publication in rows}


def of_batch(connection: Connection, batch: int) -> Publication | None:
    """The publication of a batch; there is at most one."""
    return one(connection, Publication, sa.select(t.publications).where(_p.batch == batch))


def of_attempt(connection: Connection, attempt: str) -> Publication | None:
    """The publication that a client tried to make under this id."""
    return one(connection, Publication, sa.select(t.publications).where(_p.attempt == attempt))


def newest(connection: Connection, group: str | None, limit: int) -> list[Publication]:
    """The newest publications, of one group or of all, newest first."""
    where = sa.true() if group is None else _p.group_name == group
    return every(connection, Publication, _newest_first(where).limit(limit))


def of_group(connection: Connection, group: str) -> list[Publication]:
    """All publications of a group, oldest first."""
    return every(connection, Publication, sa.select(t.publications).where(_p.group_name == group).order_by(_p.seq))


def since(connection: Connection, number: int) -> list[Publication]:
    """Those after this number, oldest first."""
    p = t.publications
    return every(connection, Publication, sa.select(p).where(p.c.seq > number).order_by(p.c.seq))


def following(connection: Connection, publication: Publication) -> str | None:
    """Id of the group's next publication."""
    later = sa.select(_p.publication_id).where((_p.group_name == publication.group) & (_p.seq > publication.seq))
    return connection.execute(later.order_by(_p.seq).limit(1)).scalar()


def datasets(connection: Connection, publication: int) -> list[PublicationDataset]:
    """What a publication did, by table."""
    table = t.publication_datasets
    where = table.c.publication == publication
    return every(connection, PublicationDataset, sa.select(table).where(where).order_by(table.c.table_name))


def quarantined(connection: Connection, table: str) -> dict[int, tuple[str, int]]:
    """By batch that was published: its publication, and rows of a dataset that it kept back."""
    own = t.publication_datasets.c
    joined = sa.join(t.publications, t.publication_datasets, (_p.seq == own.publication) & (own.table_name == table))
    query = sa.select(_p.batch, _p.publication_id, own.quarantined).select_from(joined).where(_p.batch.is_not(None))
    return {int(batch): (str(name), int(rows)) for batch, name, rows in connection.execute(query)}


def ids(connection: Connection) -> list[str]:
    """All ids, oldest first."""
    return list(connection.execute(sa.select(_p.publication_id).order_by(_p.seq)).scalars())


def published_batches(connection: Connection) -> list[int]:
    """Numbers of the batches that were published."""
    return list(connection.execute(sa.select(_p.batch).where(_p.batch.is_not(None))).scalars())


def published_tables(connection: Connection) -> set[str]:
    """Tables of which anything was ever published."""
    return set(connection.execute(sa.select(t.publication_datasets.c.table_name).distinct()).scalars())


def newest_with(connection: Connection, table: str, horizon: int) -> Publication | None:
    """The newest publication with this dataset, up to number `horizon`."""
    p, d = t.publications, t.publication_datasets
    where = (d.c.table_name == table) & (p.c.seq <= horizon)
    joined = sa.select(p).join_from(p, d, d.c.publication == p.c.seq)
    return one(connection, Publication, joined.where(where).order_by(p.c.seq.desc()).limit(1))


def horizon(connection: Connection) -> int:
    """The newest publication's number: what somebody who begins now can know of."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(_p.seq), 0))).scalar_one())


def newest_window_end(connection: Connection, up_to: int | None = None) -> datetime | None:
    """As of which date figures can stand: the newest window; of the newest publication with one where limited."""
    if up_to is None:
        return connection.execute(sa.select(sa.func.max(_p.window_end))).scalar()
    ends = sa.select(_p.window_end).where(_p.seq <= up_to, _p.window_end.is_not(None))
    return connection.execute(ends.order_by(_p.seq.desc()).limit(1)).scalar()


def first_published(connection: Connection) -> datetime | None:
    """When anything was published for the first time."""
    return connection.execute(sa.select(sa.func.min(t.publications.c.published_at))).scalar()


def last_published(connection: Connection, group: str) -> datetime | None:
    """When anything of the group was last published."""
    return connection.execute(sa.select(sa.func.max(_p.published_at)).where(_p.group_name == group)).scalar()


def changed_since(connection: Connection, number: int, inputs: Collection[str], own: str) -> bool:
    """Whether any of the groups `inputs` was published after publication `number`, or `own` was rolled back."""
    undone = (_p.group_name == own) & (_p.kind == PublicationKind.ROLLBACK)
    newer = (_p.seq > number) & (_p.group_name.in_(sorted(inputs)) | undone)
    return bool(connection.execute(sa.select(sa.func.count()).select_from(t.publications).where(newer)).scalar_one())


def rolled_back_since(connection: Connection, group: str, number: int) -> bool:
    """Whether the group was rolled back after publication `number`."""
    where = (_p.kind == PublicationKind.ROLLBACK) & (_p.group_name == group) & (_p.seq > number)
    return bool(connection.execute(sa.select(sa.func.count()).select_from(t.publications).where(where)).scalar_one())


def stands_later(connection: Connection, dataset: Dataset, batch: int) -> bool:
    """Whether a row of the batch stands already, in a version that a later batch brought."""
    query = (
        f"SELECT 1 FROM {place(dataset)} AS v"
        f" JOIN ops.publications AS p ON p.seq = v._publication AND p.batch > {int(batch)}"
        f" JOIN {landed_rows(dataset, batch)} AS c ON {equal('c', 'v', dataset.key)} LIMIT 1"
    )
    return connection.exec_driver_sql(query).first() is not None


def _newest_first(where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(t.publications).where(where).order_by(_p.seq.desc())


_p = t.publications.c
