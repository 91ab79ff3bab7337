"""Waivers as people look at them: what they cover, who asked and agreed, how they stand."""

from __future__ import annotations

from typing import ClassVar

from dataops.facts.document import Document, Fields, Moment, Part
from dataops.ledger.enums import WaiverState
from dataops.ledger.workspace import Workspace
from dataops.pipeline import stewards
from dataops.pipeline.stewards import Standing


class WaiverFacts(Part):
    """A dated, scoped permission to publish in spite of a rule."""

    waiver: str
    state: WaiverState
    group_name: str
    rule_id: str | None
    """null: it raises the quota"""
    batch: str | None
    """only for this batch; null: for every batch until it ends"""
    keys: tuple[tuple[str, ...], ...] | None
    quota: float | None
    owner: str
    reason: str
    approver: str | None
    revoked_by: str | None
    created_at: Moment
    approved_at: Moment | None
    until: Moment
    revoked_at: Moment | None

    @property
    def covers(self) -> str:
        """`rule SAL-014 for 2 keys in sales-20260501`."""
        what = f"rule {self.rule_id}" if self.rule_id else f"up to {self.quota or 0:.0%} held"
        if self.keys:
            what += f" for {len(self.keys)} key{'s' if len(self.keys) > 1 else ''}"
        return f"{what} in {self.batch or self.group_name}"


class WaiverList(Document):
    """Waivers, those that end first on top."""

    document: ClassVar[str] = "waivers"
    waivers: tuple[WaiverFacts, ...]


class WaiverDocument(Document, WaiverFacts):
    """One waiver."""

    document: ClassVar[str] = "waiver"


def listed(work: Workspace, *, everything: bool) -> WaiverList:
    """Those that hold or wait for approval; all of them with `everything`."""
    rows = [standing for standing in stewards.waivers(work) if everything or standing.is_live]
    return WaiverList(waivers=tuple(WaiverFacts(**_own(standing)) for standing in rows))


def of(standing: Standing) -> WaiverDocument:
    """One waiver as it stands."""
    return WaiverDocument(**_own(standing))


def shown(work: Workspace, waiver_id: str) -> WaiverDocument:
    """The waiver of this id."""
    return next(of(s) for s in stewards.waivers(work) if s.waiver.waiver_id == waiver_id)


def _own(standing: Standing) -> Fields:
    names = (
        "rule_id", "batch", "quota", "owner", "reason", "approver", "revoked_by", "created_at", "approved_at",
        "until", "revoked_at",
    )  # fmt: skip
    waiver = standing.waiver
    own = {name: getattr(waiver, name) for name in names}
    return own | {
        "waiver": waiver.waiver_id,
        "state": standing.state,
        "group_name": waiver.group,
        "keys": waiver.keys or None,
    }
