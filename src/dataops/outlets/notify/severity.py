"""How much what happened matters to those who are told. Pure."""

from __future__ import annotations

from typing import Literal, assert_never

from dataops.ledger.enums import IncidentKind

Severity = Literal["critical", "warning"]


def of_incident(kind: IncidentKind | None) -> Severity:
    """Critical: something people rely on is not published, wrong or in danger of being lost."""
    match kind:
        case (
            IncidentKind.HELD | IncidentKind.ERROR | IncidentKind.DRIFT | IncidentKind.WAREHOUSE | IncidentKind.AUDIT
            | IncidentKind.PLATFORM | None
        ):  # fmt: skip
            return "critical"
        case IncidentKind.ANOMALY | IncidentKind.LATE | IncidentKind.RESTATED | IncidentKind.BUDGET:
            return "warning"
        case _:
            assert_never(kind)
