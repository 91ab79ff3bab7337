"""One module per kind of message: from facts to a story."""

from __future__ import annotations

from dataops.ledger.enums import NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.story import Story
from dataops.outlets.refusals import NeedlessError


def of(desk: Desk, delivery: Delivery) -> Story:
    """What is said to this receiver. Raises NeedlessError when there is nothing to say any more.

    Raises DataopsError when it cannot be written, e.g. because a report's files are gone.
    """
    from dataops.outlets.notify.stories import digest, incident, quarantine, report

    match delivery.kind:
        case NoticeKind.INCIDENT:
            return incident.story(desk, delivery.subject, int(delivery.what.partition("/")[2]))
        case NoticeKind.QUARANTINE:
            return quarantine.story(desk, delivery.what)
        case NoticeKind.REPORT:
            return report.story(desk, delivery)
        case NoticeKind.REPORT_WAITS:
            return report.waits(desk, delivery)
        case NoticeKind.DIGEST:
            return digest.story(desk, delivery)
        case NoticeKind.LINEAGE:
            raise NeedlessError("no message tells of it")


__all__ = ["NeedlessError", "of"]
