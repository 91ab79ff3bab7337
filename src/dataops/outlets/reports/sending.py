"""Sending a report by a person's wish, and word to its receivers that it waits."""

from __future__ import annotations

from dataops.declared.errors import DeclarationError
from dataops.declared.reports import ReportFile
from dataops.ledger import clock, outbox, reports
from dataops.ledger.enums import NoticeKind
from dataops.ledger.outbox import Notice
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.notify import addressing
from dataops.outlets.reports import building


def send(work: Workspace, report: ReportFile, period: str | None, address: str | None) -> list[str]:
    """Makes the report where it was not made, and notes that it goes out; one line per language or receiver.

    Raises DataRejected while it cannot be made, DeclarationError for an address that is none.
    """
    if address is not None:
        return [_to_one(work, report, period, address)]
    told = []
    for language in report.languages:
        made, _ = building.build(work, report, period, language)
        with writing(work.warehouse) as connection:
            new = reports.send(connection, made)
        told.append(f"{made.report_id}: {'goes to its receivers' if new else 'went to its receivers before'}")
    return told


def _to_one(work: Workspace, report: ReportFile, period: str | None, address: str) -> str:
    receivers = list(addressing.addressed(address, [], clock.now()))
    if not receivers:
        raise DeclarationError(f'{address!r} is no address: write "#channel" or a mail address')
    declared = next((receiver for receiver in report.receivers if receiver.to == address), None)
    made, _ = building.build(work, report, period, (declared and declared.language) or report.language)
    with writing(work.warehouse) as connection:
        notice = Notice(
            seq=0,
            kind=NoticeKind.REPORT,
            what=made.report_id,
            subject=reports.subject_of(made.report, made.period),
            happened_at=clock.now(),
        )
        made_delivery = outbox.once_more(connection, notice, receivers[0])
    return f"{made.report_id}: goes to {address} ({made_delivery.delivery_id})"


def tell_waiting(work: Workspace, report: ReportFile, period: str, day: str) -> bool:
    """Notes, once per period, that receivers are to know that a report waits; False when that was noted before."""
    with writing(work.warehouse) as connection:
        what = f"{report.report}/{period}/{day}"
        return outbox.tell(connection, NoticeKind.REPORT_WAITS, what, reports.subject_of(report.report, period))
