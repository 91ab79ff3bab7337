"""Notes restatements, once each, and opens an incident where one is of more money than the project lets pass."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from dataops.facts import report_list, restatement
from dataops.facts.wording import Wording
from dataops.ledger import incidents, publications, restatements
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.restatements import Restatement
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace


def note(work: Workspace) -> list[Restatement]:
    """Looks for figures that were reported and changed, and keeps those that were not kept before."""
    found = restatement.look(work)
    if not found:
        return []
    declared = report_list.load(work)
    wording = Wording("en", work.settings.project.currency)
    with writing(work.warehouse) as connection:
        new = restatements.note(connection, found)
        for one in _largest(work, new):
            publication = publications.numbered(connection, [one.publication]).get(one.publication)
            incidents.open_for(
                connection,
                publication.group if publication else "",
                publication.batch or 0 if publication else 0,
                restatement.sentence(work, declared[one.report], one, wording),
                Detail(publication=publication.publication_id if publication else None),
                kind=IncidentKind.RESTATED,
                cause=f"{one.report} {one.period}",
            )
    return new


def _largest(work: Workspace, found: Collection[Restatement]) -> list[Restatement]:
    """Of each report and period the key figure in money that moved most, if by more than the project lets pass."""
    largest: dict[tuple[str, str], Restatement] = {}
    for one in found:
        name = (one.report, one.period)
        if _moved(work, one) > max(_moved(work, largest[name]) if name in largest else 0, _limit(work)):
            largest[name] = one
    return list(largest.values())


def _moved(work: Workspace, found: Restatement) -> Decimal:
    """By how much money a key figure moved; nothing for others."""
    if found.cell or work.catalog.metrics[found.metric].declared.unit != "money":
        return Decimal(0)
    return abs(Decimal(found.after or 0) - Decimal(found.before or 0))


def _limit(work: Workspace) -> Decimal:
    return Decimal(str(work.settings.project.restated_above))
