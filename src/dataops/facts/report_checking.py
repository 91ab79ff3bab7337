"""Whether declared reports can be made: tables that are published, columns that are defined, charts of what is there.

Needs no data: what a SELECT gives is read from its text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlglot import exp

from dataops.declared.catalog import Catalog
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths
from dataops.declared.rendering import render
from dataops.declared.reports import COMPARABLE, FIGURE, Period, ReportFile, Section, load, meaning_of, undefined
from dataops.declared.select import DIALECTS
from dataops.pipeline import query


def check(catalog: Catalog, paths: Paths) -> int:
    """Checks every declared report; how many there are. Raises DeclarationError naming file, section and column."""
    reports = load(paths.reports)
    for name, report in reports.items():
        _check(catalog, report, f"reports/{name}.yml")
    return len(reports)


def _check(catalog: Catalog, report: ReportFile, file: str) -> None:
    figures = _columns(catalog, report, report.figures, f"{file}, figures")
    for column in figures:
        if column not in report.truths and meaning_of(column, report, catalog.metrics) is None:
            raise undefined(f"{file}, figures", column)
    if unknown := sorted(report.truths - {COMPARABLE, *figures}):
        raise DeclarationError(f"{file}, headline: `figures` gives no {unknown[0]!r}; it gives {', '.join(figures)}")
    for text in (report.reaches, *(note.when for note in report.notes if note.when)):
        _columns(catalog, report, text, file)
    given = set(figures)
    for section in report.sections:
        given |= set(_check_section(catalog, report, section, f"{file}, section {section.section}"))
    if unused := sorted(report.defines.keys() - given):
        raise DeclarationError(f"{file}, defines: no query gives {unused[0]!r}")


def _check_section(catalog: Catalog, report: ReportFile, section: Section, where: str) -> Sequence[str]:
    """The columns of it. Raises DeclarationError."""
    names = _columns(catalog, report, section.query, where)
    for name in names:
        if name not in section.columns and meaning_of(name, report, catalog.metrics) is None:
            raise undefined(where, name)
    if section.total and _columns(catalog, report, section.total, where) != names:
        raise DeclarationError(f"{where}: total has other columns than query: {', '.join(names)}")
    chart, pivot = section.chart, section.pivot
    used = [
        *((chart.x, chart.y, chart.colour, chart.beside) if chart else ()),
        *((pivot.rows, pivot.columns, pivot.value) if pivot else ()),
    ]
    told = _check_words(catalog, report, section, where) if section.about else ()
    known = {*names, *told}
    if unknown := [name for name in (*used, section.split) if name and name not in names]:
        raise DeclarationError(f"{where}: no column {unknown[0]!r}; there are {', '.join(names)}")
    if unknown := [name for name in section.columns if name not in known]:
        raise DeclarationError(f"{where}: no column {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [*names, *told]


def _check_words(catalog: Catalog, report: ReportFile, section: Section, where: str) -> Sequence[str]:
    """The columns of `about`. Raises DeclarationError for one without a meaning, and for a sentence that names none."""
    told = _columns(catalog, report, str(section.about), f"{where}, about")
    if told[0] != section.split:
        raise DeclarationError(
            f"{where}, about: its first column is {told[0]}, not {section.split}, which it is split by"
        )
    for name in told:
        if name not in {*section.columns, *section.truths} and meaning_of(name, report, catalog.metrics) is None:
            raise undefined(f"{where}, about", name)
    for sentence in (section.title, *section.lead):
        named = [name for text in (sentence.en, sentence.fr) for name, _ in FIGURE.findall(text)]
        if unknown := [name for name in (*named, *section.truths) if name not in told]:
            raise DeclarationError(f"{where}, lead: no column {unknown[0]!r}; about gives {', '.join(told)}")
    return told


def _columns(catalog: Catalog, report: ReportFile, text: str, where: str) -> Sequence[str]:
    """The names that a SELECT gives. Raises DeclarationError for one that is refused."""
    span = Period.around(report.period, dt.date(2000, 1, 3))
    try:
        tree, _ = query.parsed(span.put_into(text), catalog)
        for dialect in DIALECTS:
            render(tree, dialect, catalog.schema)
    except DeclarationError as error:
        raise DeclarationError(f"{where}: {error}") from None
    while isinstance(tree, exp.SetOperation):
        tree = tree.left
    return [projection.alias_or_name for projection in tree.selects]
