"""The closed sets of words that ledger rows use. Whoever tells them apart ends with `assert_never`."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never


class BatchState(StrEnum):
    """Where a batch is in its life; what the gate said of it is its verdict."""

    OPEN = "open"
    SEALED = "sealed"
    JUDGED = "judged"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"  # it differed in nothing from what stood
    DISCARDED = "discarded"


SETTLED = (BatchState.PUBLISHED, BatchState.UNCHANGED, BatchState.DISCARDED)
"""States of a batch in which nothing can happen to it any more."""
STANDS = (BatchState.PUBLISHED, BatchState.UNCHANGED)
"""States of a batch whose rows are what is published, or were before a later one."""


class VerdictName(StrEnum):
    """What a gate says of a batch."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    ERROR = "ERROR"


class Outcome(StrEnum):
    """What became of one rule on one batch."""

    PASSED = "passed"
    WARNED = "warned"
    WAIVED = "waived"
    FAILED = "failed"
    ERROR = "error"

    @property
    def stops(self) -> bool:
        """Whether it keeps the batch, or rows of it, from being published."""
        match self:
            case Outcome.FAILED | Outcome.ERROR:
                return True
            case Outcome.PASSED | Outcome.WARNED | Outcome.WAIVED:
                return False
            case _:
                assert_never(self)


class PublicationKind(StrEnum):
    """What made a publication."""

    LOAD = "load"
    BUILD = "build"
    ROLLBACK = "rollback"


class IncidentKind(StrEnum):
    """What an incident is about."""

    HELD = "held"
    ERROR = "error"
    ANOMALY = "anomaly"
    LATE = "late"
    DRIFT = "drift"
    WAREHOUSE = "warehouse"
    RESTATED = "restated"
    AUDIT = "audit"  # what is published is not what was published, or not what the source has
    BUDGET = "budget"  # a dataset's promise is about to be broken, or is
    PLATFORM = "platform"  # messages that nobody takes, a relay that stands still, a disk that is nearly full


BYSTANDERS = (
    IncidentKind.ANOMALY,
    IncidentKind.LATE,
    IncidentKind.RESTATED,
    IncidentKind.AUDIT,
    IncidentKind.BUDGET,
    IncidentKind.PLATFORM,
)
"""Kinds that hold nothing back: what they are about is published, somebody looks at it."""


class FindingKind(StrEnum):
    """What an audit found of published rows."""

    RECEIPT = "receipt"  # not as the ledger says they were published
    DUPLICATE = "duplicate"
    MISSING = "missing value"
    ORPHAN = "orphan"
    AHEAD = "source ahead"  # rows that the source has and we have not
    BEHIND = "source behind"  # rows that we have and the source has no more
    DIFFERS = "source differs"


class Dimension(StrEnum):
    """What a scorecard tells apart."""

    COMPLETENESS = "completeness"
    UNIQUENESS = "uniqueness"
    VALIDITY = "validity"
    CONSISTENCY = "consistency"
    TIMELINESS = "timeliness"


class IncidentState(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    WAIVED = "waived"


UNSOLVED = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
"""States in which somebody must still act."""


class NoticeKind(StrEnum):
    """What a notice tells of."""

    INCIDENT = "incident"  # one step of its history
    QUARANTINE = "quarantine"  # a publication that kept rows back
    REPORT = "report"  # one that was made
    REPORT_WAITS = "report waits"  # one that is due and cannot be made
    DIGEST = "digest"
    LINEAGE = "lineage"  # something that a lineage server is to know


class Channel(StrEnum):
    """How a message leaves."""

    SLACK = "slack"
    MAIL = "mail"
    LINEAGE = "lineage"  # events, to a server


class DeliveryState(StrEnum):
    """What became of telling one receiver."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"  # refused for good, until a person lets it be tried again
    DROPPED = "dropped"  # given up by a person
    NEEDLESS = "needless"  # there was nothing to say any more


class WaiverState(StrEnum):
    """How a waiver stands at one instant."""

    REVOKED = "revoked"
    ENDED = "ended"
    ASKED = "waiting for approval"
    IN_FORCE = "in force"
