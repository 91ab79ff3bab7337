"""What happened in a day or a week: published, held, solved, kept back, and what somebody must decide."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from dataops.facts import status
from dataops.facts.document import Moment, Part
from dataops.facts.sentence import GroupState, sentence
from dataops.facts.status import GroupFacts, LiveWaiver, OpenIncident, Status
from dataops.ledger import batches, incidents, outbox, results
from dataops.ledger.enums import BatchState, DeliveryState, IncidentState
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace

ENDING = timedelta(days=7)  # waivers that end within them are told


class Fired(Part):
    """A rule that failed or warned."""

    rule: str
    says: str
    batches: int
    rows: int


class DigestFacts(Part):
    """What happened between two moments in some groups, and how they stand now."""

    start: Moment
    end: Moment
    groups: tuple[str, ...]
    sentence: str
    """how they stand now"""
    well: bool
    """whether all of them are published and fresh"""
    judged: int
    """batches that the gate judged"""
    published: int
    """of them are published or differed in nothing"""
    held: int
    opened: int
    """incidents"""
    solved: int
    median_to_solve: timedelta | None
    open: tuple[OpenIncident, ...]
    kept_back: int
    """rows in quarantine now"""
    fired: tuple[Fired, ...]
    """the most first"""
    rules_changed: tuple[str, ...]
    """groups whose rules were changed"""
    waivers: tuple[LiveWaiver, ...]
    """that end within a week, or wait for approval"""
    reports_waiting: tuple[str, ...]
    undelivered: int
    """messages that a receiver refused for good"""

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to look at."""
        return self.well and not (self.opened or self.solved or self.open or self.held or self.fired or self.waivers)


def read(
    work: Workspace, groups: Collection[str], start: datetime, end: datetime, stands: Status | None = None
) -> DigestFacts:
    """Of these groups; both moments are UTC without a zone. `stands`: the status, where it was read already."""
    stands = stands or status.read(work)
    own = [group for group in stands.groups if group.group in groups]
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            return _document(work, own, stands, start, end, {})
        return _document(work, own, stands, start, end, _happened(connection, work, groups, start, end))


def _happened(
    connection: Connection, work: Workspace, groups: Collection[str], start: datetime, end: datetime
) -> dict[str, object]:
    judged = [batch for batch in batches.judged_between(connection, start, end) if batch.group in groups]
    found = [i for i in incidents.newest(connection, None, 10_000, since=start) if i.group in groups]
    solved = [i for i in found if i.resolved_at and start <= i.resolved_at < end and i.state is IncidentState.RESOLVED]
    says = {rule.id: rule.says for name in groups for rule in work.catalog.groups[name].rules}
    took = [(i.resolved_at - i.opened_at).total_seconds() for i in solved if i.resolved_at]
    hashes: dict[str, set[str]] = {}
    for batch in judged:
        hashes.setdefault(batch.group, set()).add(batch.rules_hash or "")
    return {
        "judged": len(judged),
        "published": sum(b.state in {BatchState.PUBLISHED, BatchState.UNCHANGED} for b in judged),
        "held": sum(b.state is BatchState.JUDGED for b in judged),
        "opened": sum(start <= i.opened_at < end for i in found),
        "solved": len(solved),
        "median_to_solve": timedelta(seconds=statistics.median(took)) if took else None,
        "fired": tuple(
            Fired(rule=rule, says=says[rule], batches=number, rows=rows)
            for rule, number, rows in results.fired(connection, [b.seq for b in judged])
            if rule in says
        ),
        "rules_changed": tuple(name for name, seen in hashes.items() if len(seen) > 1),
        "undelivered": outbox.counts(connection).get(DeliveryState.PARKED, 0),
    }


def _document(
    work: Workspace, own: list[GroupFacts], stands: Status, start: datetime, end: datetime, happened: dict[str, object]
) -> DigestFacts:
    names, known = {group.group for group in own}, set(work.catalog.groups)
    is_whole = names == known  # what is no group's is then told as well: the platform itself
    nothing = {"judged": 0, "published": 0, "held": 0, "opened": 0, "solved": 0, "median_to_solve": None, "fired": (),
               "rules_changed": (), "undelivered": 0}  # fmt: skip
    tables = {table for name in names for table in work.catalog.groups[name].tables}
    return DigestFacts.model_validate(
        {
            "start": start,
            "end": end,
            "groups": tuple(sorted(names)),
            "sentence": _sentence(own),
            "well": all(group.well for group in own),
            "open": tuple(i for i in stands.incidents if i.group in names or (is_whole and i.group not in known)),
            "kept_back": sum(rows for table, rows in stands.quarantine.datasets.items() if table in tables),
            "waivers": tuple(w for w in stands.waivers if w.until < end + ENDING or w.state != "in force"),
            "reports_waiting": stands.reports_waiting,
        }
        | nothing
        | happened
    )


def _sentence(own: list[GroupFacts]) -> str:
    return sentence(
        [
            GroupState(
                group.group,
                group.state,
                group.waits_for,
                unjudged=group.unjudged,
                rolled_back=group.rolled_back,
                publication=group.publication,
                missing=group.missing,
                rows_wait=bool(group.rows_held),
            )
            for group in own
        ]
    )
