"""What should have happened and did not: deliveries that are late, publications that a consumer never started from.

Both are read from the ledger. Airflow can lose an announcement: its process dies between COMMIT and the event, or two
events of one partition meet (Airflow issue 71070). What is missed is an incident and is announced once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.ledger import announcements, batches, clock, incidents, publications
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.publications import Publication

WITHIN = 10  # minutes after a publication in which its consumers start


@dataclass(frozen=True)
class Missed:
    """A publication that a consumer has not started from, with the partition (a day) to announce it under."""

    publication: str
    batch: str | None
    partition: str


def is_late(group: Group, confirmed: datetime | None, at: datetime) -> bool:
    """Whether the group's last good delivery, an instant in UTC, is older than its checkpoint allows."""
    hours = group.checkpoint.late_after_hours
    return hours is not None and confirmed is not None and at - confirmed > timedelta(hours=hours)


def confirmed_at(connection: Connection, group: str) -> datetime | None:
    """When the group was last published, or last delivered without a difference; None before the first time."""
    moments = (publications.last_published(connection, group), batches.last_unchanged(connection, group))
    return max((moment for moment in moments if moment), default=None)


def look_for_late(connection: Connection, group: Group) -> str | None:
    """Opens an incident for a group that is late, or closes it when it is no more; its id if it is late."""
    confirmed = confirmed_at(connection, group.name)
    if not is_late(group, confirmed, clock.now()):
        incidents.solve(connection, group.name, IncidentKind.LATE, "delivery", "delivered again")
        return None
    sentence = (
        f"{group.name} is late: nothing {'arrived' if group.is_loaded else 'was built'} since"
        f" {confirmed:%Y-%m-%d %H:%M} UTC,"
        f" {group.checkpoint.late_after_hours:g} h are agreed"
    )
    newest = batches.newest_number(connection, group.name)
    return incidents.open_for(
        connection, group.name, newest, sentence, Detail(), kind=IncidentKind.LATE, cause="delivery"
    )


def announce(connection: Connection, publication_id: str, partition: str) -> bool:
    """Notes that a publication is announced now; False when it was before.

    The ledger and not Airflow is asked: its list of events cannot be read while a run that one of them started waits
    for a worker (Airflow issue 71360). Who dies right after this has told nobody: `look_for_missed` makes that good.
    """
    publication = publications.find(connection, publication_id)
    return publication is not None and announcements.note(connection, publication.seq, partition)


def pick_up(connection: Connection, consumer: str, group: str) -> list[Publication]:
    """Notes that `consumer` starts from the group's newest publication; those it has not started from, oldest first."""
    newest = publications.last(connection, group)
    if newest is None:
        return []
    last = announcements.picked_up(connection, consumer, group) or 0
    announcements.pick_up(connection, consumer, group, newest.seq)
    how = f"{consumer} started from {newest.publication_id}"
    incidents.solve(connection, group, IncidentKind.LATE, consumer, how)
    return [made for made in publications.of_group(connection, group) if made.seq > last]


def look_for_missed(connection: Connection, consumer: str, group: str, minutes: float = WITHIN) -> Missed | None:
    """The newest publication if `consumer` has not started from it in time, once: an incident remembers it."""
    newest = publications.last(connection, group)
    if newest is None or clock.now() - newest.published_at <= timedelta(minutes=minutes):
        return None
    picked = announcements.picked_up(connection, consumer, group)
    if picked is not None and picked >= newest.seq:
        return None
    known = incidents.standing(connection, group, IncidentKind.LATE, consumer)
    if known and known.detail.publication == newest.publication_id:
        return None
    sentence = f"{consumer} did not start from {newest.publication_id} within {minutes:g} minutes"
    detail = Detail(publication=newest.publication_id)
    incidents.open_for(connection, group, newest.batch or 0, sentence, detail, kind=IncidentKind.LATE, cause=consumer)
    batch = batches.numbered(connection, newest.batch)
    partition = announcements.partition_of(connection, newest.seq) or _partition(connection, newest)
    return Missed(newest.publication_id, batch.batch_id if batch else None, partition)


def _partition(connection: Connection, publication: Publication) -> str:
    """The last day of its window; of a build, of the newest window before it; else the day of publication."""
    end = publication.window_end or publications.newest_window_end(connection, publication.seq)
    return f"{end - timedelta(microseconds=1) if end else publication.published_at:%Y-%m-%d}"
