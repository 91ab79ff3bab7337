"""How long a group was late: hours between good deliveries beyond those that its checkpoint allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.ledger import batches


@dataclass(frozen=True)
class Span:
    """From one instant to another, UTC."""

    start: datetime
    end: datetime

    @classmethod
    def before(cls, end: datetime, days: float) -> Span:
        """The last so many days."""
        return cls(end - timedelta(days=days), end)


def hours(connection: Connection, group: Group, span: Span) -> tuple[float, float] | None:
    """Late hours, and hours since the group was first delivered, of the span; None for a group that is never late."""
    allowed = group.checkpoint.late_after_hours
    if allowed is None:
        return None
    return late_hours(batches.deliveries(connection, group.name), timedelta(hours=allowed), span)


def late_hours(deliveries: Sequence[datetime], allowed: timedelta, span: Span) -> tuple[float, float]:
    """The same of instants of delivery, oldest first; (0, 0) without one before the span's end."""
    known = [moment for moment in deliveries if moment < span.end]
    if not known:
        return 0.0, 0.0
    late = timedelta()
    for delivered, following in pairwise([*known, span.end]):
        begins = max(delivered + allowed, span.start)
        late += max(following - begins, timedelta())
    return late / timedelta(hours=1), (span.end - max(known[0], span.start)) / timedelta(hours=1)
