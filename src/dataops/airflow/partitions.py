"""Which partition a run is for, and which window of the source that means. Pure; imports nothing of Airflow."""

from __future__ import annotations

from datetime import date, datetime, timedelta

WINDOW = r"^\d{4}-\d{2}-\d{2}\.\.\d{4}-\d{2}-\d{2}$"
ADVICE = (
    'Trigger it with a partition key ("2026-05-01"), or with {"window": "2026-05-01..2026-06-01"} as configuration.'
)


class NoPartitionError(ValueError):
    """A run was started by hand without saying which day it is for."""


def window_of(partition_key: str | None, window: str | None) -> str:
    """`A..B`, half open: the window a person asked for, else the partition's day. Raises NoPartitionError."""
    if window:
        return window
    day = _day(partition_key)
    return f"{day}..{day + timedelta(days=1)}"


def key_of(partition_key: str | None, window: str | None) -> str:
    """The key that a publication of this run is announced under: one, however long the window.

    A back-fill of two years in one window is one publication, and one run of each consumer, not seven hundred.
    """
    if partition_key:
        return partition_key
    if not window:
        raise NoPartitionError(ADVICE)
    return str(date.fromisoformat(window.partition("..")[2]) - timedelta(days=1))


def _day(partition_key: str | None) -> date:
    if not partition_key:
        raise NoPartitionError(ADVICE)
    try:
        return datetime.fromisoformat(partition_key).date()
    except ValueError:
        raise NoPartitionError(f"partition key {partition_key!r} is no day. {ADVICE}") from None
