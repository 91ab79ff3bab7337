"""From a declared report and a period to files in the archive."""

from __future__ import annotations

from typing import get_args

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.declared.project import Language
from dataops.declared.reports import Period, ReportFile
from dataops.facts import report_making
from dataops.ledger.reports import MadeReport
from dataops.ledger.workspace import Workspace
from dataops.outlets.reports import archive


def build(
    work: Workspace, report: ReportFile, period: str | None, language: str | None = None, as_of: str | None = None, *,
    send: bool = False,
) -> tuple[MadeReport, bool]:  # fmt: skip
    """The report as it lies in the archive, and whether it is new. `period`: None is the last one that is over.

    `send`: its receivers are to have it.

    Raises DeclarationError for a period or language that is none, DataRejected while what it stands on is held.
    """
    chosen = _language(language) or work.settings.language
    span = Period.of(report.period, period) if period else _last_whole(work, report)
    document = report_making.make(work, report, span, chosen, as_of)
    return archive.keep(work, document, report.formats, send=send)


def _last_whole(work: Workspace, report: ReportFile) -> Period:
    reaches = report_making.reaches(work, report.reaches)
    if reaches is None:
        raise DataRejected(f"{report.report}: there are no figures yet.\nRun: dataops status")
    current = Period.around(report.period, reaches)
    return current if current.end == reaches else current.before


def _language(text: str | None) -> Language | None:
    known: tuple[Language, ...] = get_args(Language)
    for language in known:
        if text == language:
            return language
    if text is None:
        return None
    raise DeclarationError(f"no language {text!r}; there are {', '.join(known)}")
