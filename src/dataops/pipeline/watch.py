"""What should have happened and did not: deliveries that are late, publications that a consumer never started from.

Both are read from the ledger. Airflow can lose an announcement: its process dies between COMMIT and the event, or two
events of one partition meet (Airflow issue 71070). What is missed is an incident and is announced once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.ledger import incidents
from dataops.ledger import tables as ledger

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
    b, p = ledger.batches, ledger.publications
    published = connection.execute(sa.select(sa.func.max(p.c.published_at)).where(p.c.group_name == group)).scalar()
    same = (b.c.group_name == group) & (b.c.state == "unchanged")
    unchanged = connection.execute(sa.select(sa.func.max(b.c.judged_at)).where(same)).scalar()
    return max((moment for moment in (published, unchanged) if moment), default=None)


def look_for_late(connection: Connection, group: Group) -> str | None:
    """Opens an incident for a group that is late, or closes it when it is no more; its id if it is late."""
    confirmed = confirmed_at(connection, group.name)
    if not is_late(group, confirmed, ledger.now()):
        incidents.solve(connection, group.name, "late", "delivery", "delivered again")
        return None
    sentence = (
        f"{group.name} is late: nothing arrived since {confirmed:%Y-%m-%d %H:%M} UTC,"
        f" {group.checkpoint.late_after_hours:g} h are agreed"
    )
    newest = connection.execute(
        sa.select(sa.func.max(ledger.batches.c.seq)).where(ledger.batches.c.group_name == group.name)
    ).scalar_one()
    return incidents.open_for(connection, group.name, newest, sentence, {}, kind="late", cause="delivery")


def announce(connection: Connection, publication_id: str, partition: str) -> bool:
    """Notes that a publication is announced now; False when it was before.

    The ledger and not Airflow is asked: its list of events cannot be read while a run that one of them started waits
    for a worker (Airflow issue 71360). Who dies right after this has told nobody: `look_for_missed` makes that good.
    """
    found = ledger.publication(connection, publication_id)
    table = ledger.announcements
    if found is None or connection.execute(sa.select(table).where(table.c.publication == found["seq"])).first():
        return False
    connection.execute(table.insert().values(publication=found["seq"], partition=partition, announced_at=ledger.now()))
    return True


def pick_up(connection: Connection, consumer: str, group: str) -> str | None:
    """Notes that `consumer` starts from the group's newest publication; its id, None when there is none."""
    newest = ledger.last_publication(connection, group)
    if newest is None:
        return None
    table, own = ledger.pickups, _own(consumer, group)
    connection.execute(table.delete().where(own))
    connection.execute(
        table.insert().values(consumer=consumer, group_name=group, publication=newest["seq"], picked_up_at=ledger.now())
    )
    incidents.solve(connection, group, "late", consumer, f"{consumer} started from {newest['publication_id']}")
    return str(newest["publication_id"])


def look_for_missed(connection: Connection, consumer: str, group: str, minutes: float = WITHIN) -> Missed | None:
    """The newest publication if `consumer` has not started from it in time, once: an incident remembers it."""
    newest = ledger.last_publication(connection, group)
    if newest is None or ledger.now() - newest["published_at"] <= timedelta(minutes=minutes):
        return None
    picked = connection.execute(sa.select(ledger.pickups.c.publication).where(_own(consumer, group))).scalar()
    if picked is not None and picked >= newest["seq"]:
        return None
    known = incidents.standing(connection, group, "late", consumer)
    if known and known["detail"].get("publication") == newest["publication_id"]:
        return None
    sentence = f"{consumer} did not start from {newest['publication_id']} within {minutes:g} minutes"
    detail = {"publication": newest["publication_id"]}
    incidents.open_for(connection, group, newest["batch"] or 0, sentence, detail, kind="late", cause=consumer)
    batch = sa.select(ledger.batches.c.batch_id).where(ledger.batches.c.seq == newest["batch"])
    told = sa.select(ledger.announcements.c.partition).where(ledger.announcements.c.publication == newest["seq"])
    partition = connection.execute(told).scalar() or _partition(connection, newest)
    return Missed(newest["publication_id"], connection.execute(batch).scalar(), partition)


def _own(consumer: str, group: str) -> sa.ColumnElement[bool]:
    return (ledger.pickups.c.consumer == consumer) & (ledger.pickups.c.group_name == group)


def _partition(connection: Connection, publication: dict[str, Any]) -> str:
    """The last day of its window; of a build, of the newest window before it; else the day of publication."""
    table = ledger.publications.c
    ends = sa.select(table.window_end).where(table.seq <= publication["seq"], table.window_end.is_not(None))
    end = publication["window_end"] or connection.execute(ends.order_by(table.seq.desc()).limit(1)).scalar()
    return f"{end - timedelta(microseconds=1) if end else publication['published_at']:%Y-%m-%d}"
