"""The ledger's time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """UTC without a zone, as every time in the ledger."""
    return datetime.now(tz=UTC).replace(tzinfo=None)
