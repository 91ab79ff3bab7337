"""Which reports there are, and which were made."""

from __future__ import annotations

from typing import ClassVar

from dataops.declared import reports as declared
from dataops.declared.errors import DeclarationError
from dataops.declared.reports import ReportFile
from dataops.facts import choosing
from dataops.facts.document import Document, Moment, Part
from dataops.ledger import reports
from dataops.ledger.reports import MadeReport
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace


class FileFacts(Part):
    """A file of the archive."""

    path: str
    format: str
    bytes: int
    sha256: str


class MadeFacts(Part):
    """A report that was made."""

    id: str
    report: str
    period: str
    language: str
    state: str
    headline: str
    made_at: Moment
    files: tuple[FileFacts, ...]


class DeclaredFacts(Part):
    """A report that is declared."""

    report: str
    title: str
    period: str
    schedule: str
    formats: tuple[str, ...]
    receivers: int
    newest: str | None
    """its newest period that was made; null: none"""


class ReportsDocument(Document):
    """Reports that are declared, and those that were made, newest first."""

    document: ClassVar[str] = "reports"
    declared: tuple[DeclaredFacts, ...]
    made: tuple[MadeFacts, ...]


class MadeDocument(Document, MadeFacts):
    """One report that was made."""

    document: ClassVar[str] = "reports-made"


def load(work: Workspace) -> dict[str, ReportFile]:
    """The declared reports by name. Raises DeclarationError."""
    return declared.load(work.settings.paths.reports)


def required(work: Workspace, name: str) -> ReportFile:
    """The declared report. Raises DeclarationError naming those that there are."""
    known = load(work)
    if name not in known:
        raise DeclarationError(
            f"no report {name!r}; there are {', '.join(known) or 'none: write reports/<report>.yml'}"
        )
    return known[name]


def listed(work: Workspace, report: str | None, limit: int) -> ReportsDocument:
    """All declared reports, and the newest that were made."""
    known = load(work)
    if report is not None:
        known = {report: required(work, report)}
    made = _made(work, report)
    newest = {name: next((m.period for m in made if m.report == name), None) for name in known}
    return ReportsDocument(
        declared=tuple(
            DeclaredFacts(
                report=name,
                title=declared.title.en,
                period=declared.period,
                schedule=declared.schedule,
                formats=declared.formats,
                receivers=len(declared.receivers),
                newest=newest[name],
            )
            for name, declared in known.items()
        ),
        made=tuple(facts(work, m) for m in made[:limit]),
    )


def shown(work: Workspace, typed: str) -> MadeDocument:
    """The report that was made which `typed` means. Raises DeclarationError."""
    name = choosing.of_work(work, "report", typed)
    found = next(made for made in _made(work, None) if made.report_id == name)
    return MadeDocument(**facts(work, found).model_dump())


def facts(work: Workspace, made: MadeReport) -> MadeFacts:
    """Of a record."""
    folder = work.settings.paths.archive / made.period
    return MadeFacts(
        id=made.report_id,
        report=made.report,
        period=made.period,
        language=made.language,
        state=made.state,
        headline=made.headline,
        made_at=made.made_at,
        files=tuple(
            FileFacts(
                path=work.settings.paths.shown(folder / file.name),
                format=file.format,
                bytes=file.bytes,
                sha256=file.sha256,
            )
            for file in made.files
        ),
    )


def _made(work: Workspace, report: str | None) -> list[MadeReport]:
    with work.warehouse.reading() as connection:
        return reports.of(connection, report) if is_there(connection) else []
