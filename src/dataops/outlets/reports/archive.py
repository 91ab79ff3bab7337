"""The archive of reports, var/reports/<period>/: written once, noted in the ledger with the hash of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

from dataops.declared import durable
from dataops.declared.errors import PlatformError
from dataops.declared.reports import Format
from dataops.facts.report import ReportDocument
from dataops.ledger import clock, publications, reports
from dataops.ledger.reports import KeptFile, MadeReport
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.outlets.reports import delimited, page, paper, workbook

RENDERED: dict[Format, Callable[[ReportDocument], bytes]] = {
    "xlsx": workbook.render,
    "pdf": paper.render,
    "html": page.render,
    "csv": delimited.render,
}
DOCUMENT = "json"


def identity(report: ReportDocument) -> str:
    """`profit_monthly_2014-05_curated-0003_en`: the same figures have the same name."""
    return f"{report.report}_{report.period}_{report.made_of}_{report.language}"


def keep(
    work: Workspace, report: ReportDocument, formats: Collection[Format], *, send: bool = False
) -> tuple[MadeReport, bool]:
    """Writes the report's files and notes them; what was archived before is given back as it is, with False.

    `send`: notes in the same transaction that its receivers are to have it, once.

    Raises PlatformError when a file of that name holds something else: the archive is not what the ledger says.
    """
    name = identity(report)
    if known := _known(work, name, formats):
        if send:
            with writing(work.warehouse) as connection:
                reports.send(connection, known)
        return known, False
    folder = work.settings.paths.archive / report.period
    folder.mkdir(parents=True, exist_ok=True)
    contents = {kind: RENDERED[kind](report) for kind in formats} | {DOCUMENT: report.text().encode()}
    files = tuple(_written(folder / f"{name}.{kind}", kind, content) for kind, content in contents.items())
    with writing(work.warehouse) as connection:
        publication = publications.find(connection, report.made_of)
        made = MadeReport(
            report_id=name,
            report=report.report,
            period=report.period,
            language=report.language,
            publication=publication.seq if publication else 0,
            state=report.state,
            headline=report.headline,
            files=files,
            made_at=clock.now(),
        )
        reports.add(connection, made)
        if send:
            reports.send(connection, made)
    return made, True


def _known(work: Workspace, name: str, formats: Collection[Format]) -> MadeReport | None:
    """The report of this name, if it was made in all these formats."""
    with work.warehouse.reading() as connection:
        found = reports.find(connection, name)
    return found if found and {file.format for file in found.files} >= set(formats) else None


def path(work: Workspace, made: MadeReport, file: KeptFile) -> Path:
    """Where a file lies."""
    return work.settings.paths.archive / made.period / file.name


def _written(file: Path, kind: str, content: bytes) -> KeptFile:
    if file.exists() and file.read_bytes() != content:
        raise PlatformError(
            f"{file} is there already and holds something else; nothing was written over it.\n"
            "Move it away, then run this again."
        )
    if not file.exists():
        durable.write(file, content)
    return KeptFile(name=file.name, format=kind, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
