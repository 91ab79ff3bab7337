"""Publications as people look at them: the receipt, with what ties and who let it pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sqlalchemy.engine import Connection

from dataops.facts import choosing
from dataops.facts.counts import PublishedCounts
from dataops.facts.document import Document, Fields, Moment, Part, Receipt
from dataops.ledger import batches, incidents, publications, results
from dataops.ledger.enums import IncidentKind, Outcome, PublicationKind, VerdictName
from dataops.ledger.publications import KeptWaiver, Publication, PublicationDataset
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class PublicationFacts(Part):
    """One atomic promotion."""

    publication: str
    number: int
    group: str
    kind: PublicationKind
    verdict: VerdictName
    published_at: Moment
    window_end: Moment | None
    previous: str | None
    reason: str | None
    rules_hash: str
    receipt: Receipt | None
    """sha256 of this record and of the previous receipt; null: published by a release without receipts"""
    previous_receipt: Receipt | None
    """receipt of the publication before it, of whatever group"""


class PublicationList(Document):
    """Publications, newest first."""

    document: ClassVar[str] = "publications"
    publications: tuple[PublicationFacts, ...]


class DatasetCounts(PublishedCounts):
    """What a publication did to one dataset."""

    published_controls: Mapping[str, str] | None
    """the part of controls of rows published"""
    unchanged_controls: Mapping[str, str] | None
    """the part of controls of rows unchanged"""
    quarantined_controls: Mapping[str, str] | None
    """the part of controls of rows quarantined"""
    ties: bool
    """received = new + changed + unchanged + quarantined, in rows and controls"""


class Allowed(Part):
    """A waiver as it stood."""

    waiver_id: str
    rule_id: str | None
    batch: str | None
    keys: tuple[tuple[str, ...], ...] | None
    quota: float | None
    owner: str
    approver: str | None
    reason: str
    until: str


class PublicationDocument(Document, PublicationFacts):
    """One publication."""

    document: ClassVar[str] = "publication"
    next: str | None
    """the group's next publication"""
    batch: str | None
    """null: a roll-back"""
    source: str | None
    window_start: Moment | None
    rules: Mapping[Outcome, int]
    """check results of its batch by outcome"""
    waivers: tuple[Allowed, ...]
    """the waivers it rests on, as they stood"""
    anomalies: tuple[str, ...]
    """incidents of kind anomaly of its batch"""
    datasets: tuple[DatasetCounts, ...]


def listed(work: Workspace, group: str | None, limit: int) -> PublicationList:
    """The newest publications. Raises DeclarationError for an unknown group."""
    name = work.catalog.group(group).name if group else None
    with work.warehouse.reading() as connection:
        rows = publications.newest(connection, name, limit) if is_there(connection) else []
    return PublicationList(publications=tuple(PublicationFacts(**_own(made)) for made in rows))


def shown(work: Workspace, typed: str) -> PublicationDocument:
    """The publication that `typed` means. Raises DeclarationError when there is none, or several."""
    with work.warehouse.reading() as connection:
        made = publications.find(connection, choosing.of(connection, "publication", typed))
        if made is None:
            raise LookupError(typed)
        return _document(connection, made)


def _document(connection: Connection, made: Publication) -> PublicationDocument:
    batch = batches.numbered(connection, made.batch)
    of_batch = incidents.of_batch(connection, made.batch)
    return PublicationDocument(
        **_own(made),
        next=publications.following(connection, made),
        batch=batch.batch_id if batch else None,
        source=batch.source if batch else None,
        window_start=batch.window_start if batch else None,
        rules=results.counts(connection, made.batch),
        waivers=tuple(map(_allowed, made.waivers)),
        anomalies=tuple(i.incident_id for i in of_batch if i.kind is IncidentKind.ANOMALY),
        datasets=tuple(map(_counts, publications.datasets(connection, made.seq))),
    )


def _own(made: Publication) -> Fields:
    names = (
        "group", "kind", "verdict", "published_at", "window_end", "previous", "reason", "rules_hash", "receipt",
        "previous_receipt",
    )  # fmt: skip
    return {name: getattr(made, name) for name in names} | {"publication": made.publication_id, "number": made.seq}


def _allowed(kept: KeptWaiver) -> Allowed:
    return Allowed(**kept.model_dump())


def _counts(row: PublicationDataset) -> DatasetCounts:
    own = row.model_dump(exclude={"publication", "table"})
    return DatasetCounts(**own, table_name=row.table, ties=row.ties)
