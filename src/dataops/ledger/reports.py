"""Reports that were made: of which period, out of which publication, as which files."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

from dataops.ledger import lineage, outbox
from dataops.ledger import tables as t
from dataops.ledger.enums import NoticeKind
from dataops.ledger.reading import Record, every, one


class KeptFile(BaseModel):
    """A file of the archive, by its name below var/reports/."""

    model_config = ConfigDict(frozen=True)
    name: str
    format: str
    bytes: int
    sha256: str


class MadeReport(Record):
    """One report; a period is made again when what it stands on was published anew."""

    report_id: str
    report: str
    period: str
    language: str
    publication: int
    state: str
    headline: str
    files: tuple[KeptFile, ...]
    made_at: datetime


def add(connection: Connection, made: MadeReport) -> bool:
    """Notes a report; False when it was noted before: the archive is never written twice."""
    table = t.reports
    if find(connection, made.report_id):
        return False
    connection.execute(table.insert().values(made.model_dump(mode="python")))
    lineage.note(connection, f"made {made.report_id}")
    return True


def send(connection: Connection, made: MadeReport) -> bool:
    """Notes that its receivers are to have it; False when that was noted before."""
    return outbox.tell(connection, NoticeKind.REPORT, made.report_id, subject_of(made.report, made.period))


def subject_of(report: str, period: str) -> str:
    """What deliveries of a report, and of word that it waits, are told in order under."""
    return f"{report} {period}"


def find(connection: Connection, report_id: str) -> MadeReport | None:
    """By id."""
    return one(connection, MadeReport, sa.select(t.reports).where(t.reports.c.report_id == report_id))


def of(connection: Connection, report: str | None = None, limit: int | None = None) -> list[MadeReport]:
    """Newest first."""
    table = t.reports
    statement = sa.select(table).order_by(table.c.made_at.desc(), table.c.report_id)
    if report:
        statement = statement.where(table.c.report == report)
    return every(connection, MadeReport, statement.limit(limit) if limit else statement)


def ids(connection: Connection) -> list[str]:
    """Oldest first."""
    return list(connection.execute(sa.select(t.reports.c.report_id).order_by(t.reports.c.made_at)).scalars())
