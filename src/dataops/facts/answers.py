"""What commands answer that are about no record of the ledger: proofs, replays, discards, copies, queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from dataops.declared.catalog import Catalog
from dataops.declared.paths import Paths
from dataops.facts.document import Document, Fields, Part
from dataops.ledger.chain import Proof
from dataops.ledger.enums import VerdictName
from dataops.pipeline.backups import Backup, Restored
from dataops.pipeline.replay import Replayed


class Break(Part):
    """The first place where the chain does not hold."""

    what: str
    publication: str
    says: str
    expected: str | None
    """recomputed"""
    found: str | None
    """what stands there"""


class Mismatch(Part):
    """A figure of the ledger that the published tables contradict."""

    publication: str
    dataset: str
    says: str


class VerificationDocument(Document):
    """What a verification of the ledger found."""

    document: ClassVar[str] = "verification"
    proven: bool
    receipts: int
    """recomputed, and they hold"""
    without_receipt: int
    """publications of releases without receipts"""
    head: str | None
    broken: Break | None
    unproven: int
    """publications after a break"""
    mismatches: tuple[Mismatch, ...]

    @classmethod
    def of(cls, proof: Proof) -> Self:
        broken = proof.broken
        return cls(
            proven=proof.proven,
            receipts=proof.receipts,
            without_receipt=proof.earlier,
            head=proof.head,
            broken=Break(**vars(broken)) if broken else None,
            unproven=proof.unproven,
            mismatches=tuple(
                Mismatch(publication=m.publication, dataset=m.dataset, says=m.says) for m in proof.mismatches
            ),
        )


class ReplayedGroup(Part):
    """What a replay of one group found."""

    group: str
    waiting: Mapping[str, int]
    passing: Mapping[str, int]
    verdict: VerdictName | None
    reason: str | None
    publication: str | None

    @classmethod
    def of(cls, replayed: Replayed) -> Self:
        verdict, made = replayed.verdict, replayed.publication
        return cls(
            group=replayed.group,
            waiting=replayed.waiting,
            passing=replayed.passing,
            verdict=verdict.name if verdict else None,
            reason=verdict.reasons[0] if verdict and verdict.reasons else None,
            publication=made.publication_id if made else None,
        )


class ReplayDocument(Document):
    """What a replay published, or would publish now."""

    document: ClassVar[str] = "replay"
    dry_run: bool
    groups: tuple[ReplayedGroup, ...]


class DiscardDocument(Document):
    """How many rows of each dataset were discarded."""

    document: ClassVar[str] = "discard"
    discarded: Mapping[str, int]


class Copy(Part):
    """A proven copy of the warehouse."""

    file: str
    bytes: int
    publication: str | None
    """the newest in it; null: nothing was published yet"""
    receipts: int
    """verified"""
    seconds: float


class BackupDocument(Document, Copy):
    """A copy of the whole warehouse."""

    document: ClassVar[str] = "backup"
    removed: tuple[str, ...]

    @classmethod
    def of(cls, made: Backup, paths: Paths) -> Self:
        return cls(**_copy(made, paths), removed=tuple(paths.shown(file) for file in made.removed))


class RestoreDocument(Document, Copy):
    """The warehouse as a copy had it."""

    document: ClassVar[str] = "restore"
    before: str | None
    """the newest publication that stood before"""
    gone: tuple[str, ...] | None
    """publications that are not in the copy; null: that cannot be known any more"""
    replaced: str
    incident: str | None

    @classmethod
    def of(cls, done: Restored, paths: Paths) -> Self:
        return cls(
            **_copy(done.backup, paths),
            before=done.before,
            gone=done.gone,
            replaced=done.replaced,
            incident=done.incident,
        )


def _copy(made: Backup, paths: Paths) -> Fields:
    names = ("bytes", "publication", "receipts")
    own = {name: getattr(made, name) for name in names}
    return own | {"file": paths.shown(made.file), "seconds": round(made.seconds, 3)}


class QueryDocument(Document):
    """The answer to a query: exact numbers are text, times ISO 8601."""

    document: ClassVar[str] = "query"
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class GroupDeclared(Part):
    """What is declared of one group."""

    group: str
    layer: str
    kind: str
    """loaded: from a source; built: by models"""
    datasets: tuple[str, ...]
    rules: int
    severities: Mapping[str, int]


class CheckDocument(Document):
    """What is declared."""

    document: ClassVar[str] = "check"
    datasets: int
    rules: int
    models: int
    groups: tuple[GroupDeclared, ...]

    @classmethod
    def of(cls, catalog: Catalog) -> Self:
        groups = tuple(
            GroupDeclared(
                group=group.name,
                layer=group.layer,
                kind=group.checkpoint.kind,
                datasets=tuple(d.name for d in group.datasets),
                rules=len(group.rules),
                severities=Counter(rule.severity for rule in group.rules),
            )
            for group in catalog.groups.values()
        )
        rules = sum(group.rules for group in groups)
        return cls(datasets=len(catalog.datasets), rules=rules, models=len(catalog.models), groups=groups)
