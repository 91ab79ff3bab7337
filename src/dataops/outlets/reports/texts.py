"""A report's document as texts only: what page and paper print, so that both say the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dataops.facts.report import ColumnFacts, FigureFacts, ReportDocument, SectionFacts
from dataops.facts.wording import Wording
from dataops.outlets.reports import charts

LONGEST = 120  # characters of a text in a table; the workbook has all of it
Texts = dict[str, Any]
"""Texts and lists of texts by name, as templates read them."""


def of(report: ReportDocument) -> Texts:
    """Everything that is printed, formatted in the report's language."""
    wording = Wording(report.language, report.currency)
    return {
        "language": report.language,
        "title": report.title,
        "period": wording.period(report.span),
        "headline": report.headline,
        "made_of": f"{wording.word('made_of')} {report.made_of}",
        "reaches": f"{wording.word('reaches')} {wording.day(report.reaches)}" if report.reaches else "",
        "figure_heads": [wording.word(w) for w in ("figure", "value", *report.earlier)],
        "figures": [
            [f.title, *(wording.figure(v, f.unit, f.decimals) for v in _beside(f, report.earlier))]
            for f in report.figures
        ],
        "sections": [_section(section, wording) for section in report.sections if _is_shown(section)],
        "notes_title": wording.word("notes"),
        "notes": list(report.notes),
        "definitions_title": wording.word("definitions"),
        "definition_heads": [wording.word(w) for w in ("figure", "meaning")],
        "definitions": [[d.title, d.says] for d in report.definitions],
        "checks_title": wording.word("checks"),
        "check_heads": [wording.word(w) for w in ("group", "publication", "published", "receipt")],
        "checks": [
            [r.group, r.publication, f"{r.published_at:%Y-%m-%d %H:%M} UTC", (r.receipt or "")[:16]]
            for r in report.rests_on
        ],
        "currency": report.currency,
        "page": wording.word("page"),
    }


def _is_shown(section: SectionFacts) -> bool:
    return bool(section.in_paper or section.chart or section.lead)


def _beside(figure: FigureFacts, earlier: Sequence[str]) -> list[object]:
    return [figure.value, *(getattr(figure, name) for name in earlier)]


def _section(section: SectionFacts, wording: Wording) -> Texts:
    shown = section.rows[: section.in_paper]
    more = len(section.rows) - len(shown)
    total = None
    if section.total and section.in_paper:
        total = [
            _text(column, value, wording) if column.kind == "figure" else wording.word("total") if place == 0 else ""
            for place, (column, value) in enumerate(zip(section.columns, section.total, strict=True))
        ]
    return {
        "name": section.section,
        "title": section.title,
        "lead": section.lead,
        "landscape": section.landscape,
        "heads": [column.title for column in section.columns]
        if section.in_paper and (section.rows or not section.lead)
        else [],
        "right": [column.kind == "figure" for column in section.columns],
        "rows": [[_text(c, v, wording) for c, v in zip(section.columns, row, strict=True)] for row in shown],
        "total": total,
        "more": wording.word("more", n=str(more)) if more and section.in_paper else "",
        "chart": charts.svg(section, wording) if section.chart and section.rows else "",
        "chart_title": section.chart.title if section.chart else "",
    }


def _text(column: ColumnFacts, value: object, wording: Wording) -> str:
    if column.kind == "figure":
        return wording.figure(value, column.unit, column.decimals)
    if isinstance(value, dt.date):
        return wording.day(value)
    text = " ".join(str("" if value is None else value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
