"""What reports had told and what is published now: which figures differ, and what changed them.

Both are made by the same declaration, as of the report's publication and as of the newest, so that a difference is one
of the data and not of a query that was edited.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.reports import Period, ReportFile
from dataops.facts import report_list, report_making
from dataops.facts.document import Document, Part, plain
from dataops.facts.report import ReportDocument
from dataops.facts.wording import Wording
from dataops.ledger import publications, reports, restatements
from dataops.ledger.reports import MadeReport
from dataops.ledger.restatements import Restatement
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.warehouse.tables import history, place, quoted

FEW = 10  # rows that are named
MOST = 200  # cells of a report that are told apart; beyond, the whole and its key figures say it


class RestatedFacts(Part):
    """A figure that a report had told and that is another one now."""

    report: str
    period: str
    figure: str
    cell: str
    """of what; empty: of the whole"""
    before: str | None
    after: str | None
    causes: tuple[str, ...]
    """publications that changed rows behind it"""
    rows: tuple[str, ...]
    """rows behind it that changed, the first few"""
    rows_changed: int
    receivers: tuple[str, ...]
    """who got the report"""
    sentence: str


class RestatedDocument(Document):
    """Figures that were reported and changed later, newest first."""

    document: ClassVar[str] = "restated"
    restated: tuple[RestatedFacts, ...]


@dataclass(frozen=True)
class _Behind:
    """Rows of the facts of a period that changed after a publication."""

    causes: tuple[str, ...] = ()
    newest: int = 0
    rows: tuple[str, ...] = ()
    count: int = 0


def look(work: Workspace) -> list[Restatement]:
    """Every figure of a newest report of a period that is another one now."""
    declared = report_list.load(work)
    with work.warehouse.reading() as connection:
        made = reports.of(connection) if is_there(connection) else []
    newest: dict[tuple[str, str], MadeReport] = {}
    for one in made:  # newest first
        if one.report in declared and one.language == declared[one.report].language:
            newest.setdefault((one.report, one.period), one)
    return [found for one in newest.values() for found in _of_report(work, declared[one.report], one)]


def _of_report(work: Workspace, report: ReportFile, made: MadeReport) -> Iterator[Restatement]:
    period = Period.of(report.period, made.period)
    with work.warehouse.reading() as connection:
        behind = _behind(connection, work, period, made.publication)
        told = publications.numbered(connection, [made.publication]).get(made.publication)
        last = publications.last(connection)
    if not behind.count or told is None or last is None:
        return
    before = report_making.make(work, report, period, as_of=told.publication_id)
    after = report_making.make(work, report, period, as_of=last.publication_id)
    for (metric, cell), old, new in _differences(before, after):
        yield Restatement(
            report=made.report,
            period=made.period,
            metric=metric,
            cell=cell,
            before=None if old is None else str(plain(old)),
            after=None if new is None else str(plain(new)),
            told=made.publication,
            publication=behind.newest,
            causes=behind.causes,
            rows=behind.rows,
            rows_changed=behind.count,
        )


def _behind(connection: Connection, work: Workspace, period: Period, told: int) -> _Behind:
    """What changed in the facts of a period since: rows written, replaced or gone."""
    catalog, causes, rows, count = work.catalog, dict[int, None](), list[str](), 0
    facts = {(m.declared.of, m.declared.time) for m in catalog.metrics.values() if m.declared.of}
    for of, time in sorted((str(of), str(time)) for of, time in facts):
        dataset = catalog.dataset(of)
        changed = connection.exec_driver_sql(_changed(dataset, time, period, told)).fetchall()
        count += len(changed)
        causes |= dict.fromkeys(int(row[-1]) for row in changed)
        for row in changed[:FEW]:
            key = ", ".join(f"{name} {value}" for name, value in zip(dataset.key, row, strict=False))
            rows.append(f"{dataset.table}: {key}")
    newest = max(causes, default=0)
    read = {table for seq in facts for table in _read(catalog, str(seq[0]))} if causes else set()
    named = publications.numbered(connection, [*causes, *_that_changed(connection, read, told, newest)])
    ids = tuple(named[seq].publication_id for seq in sorted(named))
    return _Behind(ids, newest, tuple(rows[:FEW]), count)


def _read(catalog: Catalog, of: str) -> set[str]:
    """The tables that the facts are made of."""
    table = of.rpartition(".")[2]
    return {name for model in catalog.models if model.table == table for _, name in model.inputs}


def _that_changed(connection: Connection, tables: set[str], told: int, newest: int) -> list[int]:
    """Publications in between that changed rows of these tables: what the facts' own publication followed from."""
    between = [p for p in publications.since(connection, told) if p.seq <= newest]
    return [
        p.seq for p in between if any(d.table in tables and d.changes for d in publications.datasets(connection, p.seq))
    ]


def _changed(dataset: Dataset, time: str, period: Period, told: int) -> str:
    """Keys of rows of the period, with the publication that changed them. Dates and numbers are our own."""
    key, days = quoted(dataset.key), f"BETWEEN DATE '{period.start}' AND DATE '{period.end}'"
    return (
        f"SELECT {key}, MAX(seq) AS seq FROM (SELECT {key}, _publication AS seq FROM {place(dataset)}"
        f' WHERE _publication > {int(told)} AND "{time}" {days}'
        f" UNION ALL SELECT {key}, _superseded AS seq FROM {history(dataset)}"
        f' WHERE _superseded > {int(told)} AND _publication <= {int(told)} AND "{time}" {days}) AS changed'
        f" GROUP BY {key} ORDER BY {key}"
    )


def _cells(report: ReportDocument) -> dict[tuple[str, str], Any]:
    """Figures by metric and by what they are of: the key figures, then the tables that people read."""
    cells: dict[tuple[str, str], Any] = {(f.metric, ""): f.value for f in report.figures}
    for section in report.sections:
        if not section.in_paper or len(section.rows) > MOST:
            continue
        names = [place for place, column in enumerate(section.columns) if column.kind == "text"]
        for row in section.rows:
            cell = " · ".join(str(row[place]) for place in names)
            for column, value in zip(section.columns, row, strict=True):
                if column.kind == "figure" and column.metric == column.name:
                    cells.setdefault((column.name, cell), value)
    return cells


def _differences(before: ReportDocument, after: ReportDocument) -> Iterator[tuple[tuple[str, str], Any, Any]]:
    old, new = _cells(before), _cells(after)
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def listed(work: Workspace, report: str | None = None) -> RestatedDocument:
    """What was noted. Raises DeclarationError for a report that is not declared."""
    declared = report_list.load(work)
    if report is not None:
        report_list.required(work, report)
    with work.warehouse.reading() as connection:
        found = restatements.of(connection, report) if is_there(connection) else []
    return RestatedDocument(restated=tuple(_facts(work, declared[r.report], r) for r in found if r.report in declared))


def _facts(work: Workspace, report: ReportFile, found: Restatement) -> RestatedFacts:
    wording = Wording("en", work.settings.project.currency)
    return RestatedFacts(
        report=found.report,
        period=found.period,
        figure=found.metric,
        cell=found.cell,
        before=found.before,
        after=found.after,
        causes=found.causes,
        rows=found.rows,
        rows_changed=found.rows_changed,
        receivers=tuple(receiver.to for receiver in report.receivers),
        sentence=sentence(work, report, found, wording),
    )


def sentence(work: Workspace, report: ReportFile, found: Restatement, wording: Wording) -> str:
    """`May 2026 was restated: Revenue -1,204.10. Changed: …; by curated-0004`, in a sentence of the language."""
    metric = work.catalog.metrics[found.metric].declared
    period = wording.period(Period.of(report.period, found.period))
    if found.before is None or found.after is None:
        shown = (wording.figure(value, metric.unit, metric.decimals) for value in (found.before, found.after))
        change = " → ".join(shown)
    else:
        moved = Decimal(found.after) - Decimal(found.before)
        change = ("+" if moved > 0 else "") + wording.figure(moved, metric.unit, metric.decimals)
    more = found.rows_changed - 1
    first = (found.rows[0] if found.rows else "") + (f" +{more}" if more > 0 else "")
    title, cell = metric.title.of(wording.language), f" ({found.cell})" if found.cell else ""
    by = ", ".join(found.causes)
    return wording.word("restated", period=period, figure=title, cell=cell, change=change, first=first, by=by)


def told_in(work: Workspace, report: ReportFile, period: dt.date, up_to: int, wording: Wording) -> list[str]:
    """What a report of a later period says of those before: their key figures, by publication."""
    with work.warehouse.reading() as connection:
        found = restatements.of(connection, report.report, up_to)
    return [
        sentence(work, report, one, wording)
        for one in found
        if not one.cell and Period.of(report.period, one.period).start < period
    ]
