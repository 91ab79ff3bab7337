"""The rows of a report as CSV: exact values, a point for decimals, the section that is meant for machines."""

from __future__ import annotations

import csv
import io

from dataops.facts.document import plain
from dataops.facts.report import ReportDocument, SectionFacts

RISKY = ("=", "+", "-", "@", "\t", "\r")


def section_of(report: ReportDocument) -> SectionFacts | None:
    """The section that goes into the file: the one that says so, else the first."""
    return next((s for s in report.sections if s.in_csv), next(iter(report.sections), None))


def render(report: ReportDocument) -> bytes:
    """UTF-8 with a mark that spreadsheets need, names of columns in the first row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    section = section_of(report)
    if section:
        writer.writerow([column.name for column in section.columns])
        writer.writerows([_cell(value) for value in row] for row in section.rows)
    return ("\N{ZERO WIDTH NO-BREAK SPACE}" + out.getvalue()).encode()


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is quoted by an apostrophe, as OWASP advises."""
    if isinstance(value, str) and value.startswith(RISKY):
        return f"'{value}"
    return "" if value is None else plain(value)
