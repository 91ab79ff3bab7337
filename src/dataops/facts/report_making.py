"""Makes a report's document out of its declaration and what is published."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Catalog
from dataops.declared.errors import DataRejected, DeclarationError
from dataops.declared.metrics import Metric
from dataops.declared.project import Language
from dataops.declared.reports import (
    COMPARABLE,
    FIGURE,
    Chart,
    Meaning,
    Period,
    ReportFile,
    Section,
    Sentences,
    meaning_of,
    undefined,
)
from dataops.facts import status
from dataops.facts.report import (
    ChartFacts,
    ColumnFacts,
    DefinitionFacts,
    FigureFacts,
    ReportDocument,
    RestsOn,
    SectionFacts,
    State,
)
from dataops.facts.wording import Wording
from dataops.ledger import publications
from dataops.ledger.publications import Publication
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.pipeline import query
from dataops.pipeline.history import required

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class _Making:
    """What all parts of a report share."""

    work: Workspace
    report: ReportFile
    period: Period
    wording: Wording
    asking: query.Ask

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return self.work.catalog.metrics

    def ask(self, text: str) -> Table:
        """The answer to one SELECT about the period."""
        with self.asking(self.period.put_into(text)) as answer:
            return answer.columns, [tuple(row) for row in answer.rows]


def groups_of(catalog: Catalog, report: ReportFile) -> set[str]:
    """The groups whose tables a report asks. Raises DeclarationError for a query that is refused."""
    span = Period.around(report.period, dt.date(2000, 1, 1))
    return set().union(*(_groups_of(catalog, span.put_into(text)) for text in report.queries))


def _groups_of(catalog: Catalog, select: str) -> set[str]:
    _, tables = query.parsed(select, catalog)
    return {dataset.group for dataset in tables.values()}


def upstream(catalog: Catalog, groups: set[str]) -> set[str]:
    """Those groups, and all that they are made of."""
    found, queue = set(groups), list(groups)
    while queue:
        more = status.inputs(catalog, queue.pop()) - found
        found |= more
        queue += more
    return found


def make(
    work: Workspace, report: ReportFile, period: Period, language: Language | None = None, as_of: str | None = None
) -> ReportDocument:
    """The report of a period, as of a publication (default: the newest).

    Raises DataRejected when what it stands on is held for the period or was never published; never as of the past.
    """
    groups = groups_of(work.catalog, report)
    if as_of is None:
        require_published(work, report.report, groups, period)
    made_of, rests_on = _rests_on(work, groups, as_of)
    wording = Wording(language or report.language, work.settings.project.currency)
    selects = [period.put_into(text) for text in report.queries]
    with query.reading(work, selects, made_of.publication_id) as asking:
        return _made(_Making(work, report, period, wording, asking), made_of, rests_on)


def _made(making: _Making, made_of: Publication, rests_on: tuple[RestsOn, ...]) -> ReportDocument:
    report, period, wording = making.report, making.period, making.wording
    last = _date(making.ask(report.reaches))
    figures, values = _figures(making)
    sections = tuple(part for section in report.sections for part in _section(making, section)) if values else ()
    state: State = "empty" if not values else "not over" if last is None or last < period.end else "whole"
    return ReportDocument(
        report=report.report,
        title=report.title.of(wording.language),
        period=str(period),
        period_start=period.start,
        period_end=period.end,
        language=wording.language,
        currency=wording.currency,
        made_of=made_of.publication_id,
        made_of_at=made_of.published_at,
        reaches=last,
        state=state,
        headline=_headline(making, values) if values else wording.word("empty"),
        figures=figures,
        sections=sections,
        notes=(*_notes(making, state, last), *_restated(making, made_of)),
        definitions=_definitions(making, sections, figures),
        rests_on=rests_on,
    )


def reaches(work: Workspace, select: str) -> dt.date | None:
    """How far data reach: the date that a SELECT over published tables gives."""
    with query.run(work, select) as answer:
        return _date((answer.columns, [tuple(row) for row in answer.rows]))


def lacking(work: Workspace, report: ReportFile, day: str) -> str | None:
    """What a report waits for before it can be made whole for the period of a day; None when nothing is lacking."""
    groups, period = groups_of(work.catalog, report), Period.of(report.period, day)
    return _lacking(work, report.report, groups, report.reaches, period)


def is_held(work: Workspace, report: ReportFile, period: Period) -> bool:
    """Whether a gate holds what a report of this period stands on; what is only late or missing is not held."""
    needed = upstream(work.catalog, groups_of(work.catalog, report))
    return any(g.group in needed and g.publication and g.is_held_for(period.end) for g in status.read(work).groups)


def lacking_of(work: Workspace, who: str, select: str, grain: str, day: str) -> str | None:
    """What `who` waits for before data, which reach as far as `select` says, are whole for the period of a day."""
    return _lacking(work, who, _groups_of(work.catalog, select), select, Period.of(grain, day))


def _lacking(work: Workspace, who: str, groups: set[str], select: str, period: Period) -> str | None:
    try:
        require_published(work, who, groups, period)
    except DataRejected as error:
        return str(error).splitlines()[0].removeprefix(f"{who} waits: ")
    last = reaches(work, select)
    if last is not None and last >= period.end:
        return None
    return f"the data reach up to {last or 'no day'}, {period} ends on {period.end}"


def require_published(work: Workspace, who: str, groups: set[str], period: Period) -> None:
    """Raises DataRejected naming what is held or missing, and the command that says more.

    What is held for later days only keeps no earlier period waiting.
    """
    stands = {group.group: group for group in status.read(work).groups}
    needed = [stands[name] for name in sorted(upstream(work.catalog, groups))]
    stood = max((g for g in needed if g.group in groups and g.published_at), key=_published, default=None)
    for group in needed:
        if group.publication is None:
            raise DataRejected(f"{who} waits: {group.group} was never published.\nRun: dataops status")
    for group in needed:
        if group.is_held_for(period.end):
            raise DataRejected(
                f"{who} waits: {group.group} is held ({group.incident}).\n"
                f"Figures stand at {group.figures_as_of}. See: dataops incidents show {group.incident}\n"
                f"As it stood: dataops reports build {who} --as-of {stood.publication if stood else '…'}"
            )


def _published(group: status.GroupFacts) -> str:
    return f"{group.published_at}"


def _rests_on(work: Workspace, groups: set[str], as_of: str | None) -> tuple[Publication, tuple[RestsOn, ...]]:
    """The newest publication of the groups that it asks, and those that all of it stood on then.

    Raises DeclarationError when there is none.
    """
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            raise DeclarationError("nothing was published yet")
        last = required(connection, as_of).seq if as_of else publications.horizon(connection)
        asked = [made for group in groups if (made := _newest(connection, group, last))]
        if not asked:
            raise DeclarationError(f"nothing of {', '.join(sorted(groups))} was published by then")
        newest = max(asked, key=lambda made: made.seq)
        found = [_newest(connection, group, newest.seq) for group in sorted(upstream(work.catalog, groups))]
    return newest, tuple(
        RestsOn(
            group=p.group,
            publication=p.publication_id,
            published_at=p.published_at,
            receipt=p.receipt,
            waivers=tuple(waiver.waiver_id for waiver in p.waivers),
        )
        for p in found
        if p
    )


def _newest(connection: Connection, group: str, up_to: int) -> Publication | None:
    return max(
        (p for p in publications.of_group(connection, group) if p.seq <= up_to), key=lambda p: p.seq, default=None
    )


def _date(answer: Table) -> dt.date | None:
    value = answer[1][0][0] if answer[1] else None
    return value.date() if isinstance(value, dt.datetime) else value


def _figures(making: _Making) -> tuple[tuple[FigureFacts, ...], dict[str, Any]]:
    """The key figures, and all values of their row by column; none without a row."""
    names, rows = making.ask(making.report.figures)
    if not rows:
        return (), {}
    values = dict(zip(names, rows[0], strict=True))
    found = []
    for name in (name for name in names if name not in making.report.truths):
        about = _required_meaning(making, name)
        if about.what == "":
            found.append(
                FigureFacts(
                    metric=name,
                    title=about.title.of(making.wording.language),
                    unit=about.unit,
                    decimals=about.decimals,
                    value=values[name],
                    previous=values.get(f"{name}_previous"),
                    year_ago=values.get(f"{name}_year_ago"),
                )
            )
    return tuple(found), values


def _required_meaning(making: _Making, column: str) -> Meaning:
    about = meaning_of(column, making.report, making.metrics)
    if about is None:
        raise undefined(f"reports/{making.report.report}.yml", column)
    return about


def _headline(making: _Making, values: Mapping[str, Any]) -> str:
    return _said(making, making.report.headline, values)


def _said(making: _Making, sentences: Sequence[Sentences], values: Mapping[str, Any]) -> str:
    """The sentences that hold, with the row's figures and words in them."""
    language = making.wording.language
    held = [sentence for sentence in sentences if sentence.when is None or values[sentence.when]]
    return " ".join(_with_figures(making, sentence.of(language), values) for sentence in held)


def _with_figures(making: _Making, text: str, values: Mapping[str, Any]) -> str:
    def put(found: re.Match[str]) -> str:
        name, other = found[1], found[2]
        value = values[name]
        if isinstance(value, dt.date):
            return making.wording.day(value)
        if isinstance(value, str):
            return str(_word(making, value))
        about = _required_meaning(making, name)
        if other is None:
            return making.wording.figure(value, about.unit, about.decimals, with_unit=True)
        earlier = making.period.year_before if other.endswith("_year_ago") else making.period.before
        that = making.wording.short(earlier)
        if values.get(COMPARABLE) is False:
            return making.wording.word("not_comparable", that=that)
        return making.wording.against(value, values.get(other), that, about.unit, about.decimals)

    return FIGURE.sub(put, text)


def _section(making: _Making, section: Section) -> list[SectionFacts]:
    """Itself, or a part for each row of what it is about."""
    names, rows = making.ask(section.query)
    columns = tuple(_column(making, section, name) for name in names)
    total = making.ask(section.total) if section.total else None
    if total and total[0] != names:
        raise DeclarationError(
            f"reports/{making.report.report}.yml, section {section.section}: total has other columns"
        )
    language = making.wording.language
    whole = SectionFacts(
        section=section.section,
        title=section.title.of(language),
        columns=columns,
        rows=tuple(_spoken(making, section, columns, row) for row in rows),
        total=tuple(total[1][0]) if total and total[1] else None,
        chart=_chart(section.chart, language) if section.chart else None,
        pivot=section.pivot,
        in_paper=section.in_paper,
        in_csv=section.in_csv,
        landscape=section.landscape,
    )
    return list(_parts(making, section, whole, rows)) if section.about else [whole]


def _parts(
    making: _Making, section: Section, whole: SectionFacts, rows: Sequence[Sequence[Any]]
) -> Iterator[SectionFacts]:
    names, about = making.ask(str(section.about))
    at = whole.at(str(section.split))
    columns = whole.columns[:at] + whole.columns[at + 1 :]
    for number, row in enumerate(about, start=1):
        values = dict(zip(names, row, strict=True))
        own = [spoken for spoken, read in zip(whole.rows, rows, strict=True) if read[at] == row[0]]
        yield whole.model_copy(
            update={
                "section": f"{section.section}_{number}",
                "title": _with_figures(making, whole.title, values),
                "columns": columns,
                "rows": tuple(spoken[:at] + spoken[at + 1 :] for spoken in own),
                "lead": _said(making, section.lead, values),
            }
        )


def _column(making: _Making, section: Section, name: str) -> ColumnFacts:
    language = making.wording.language
    if name in section.columns:
        return ColumnFacts(name=name, title=section.columns[name].of(language), kind="text")
    about = _required_meaning(making, name)
    title = about.title.of(language)
    return ColumnFacts(
        name=name,
        title=f"{title}, {making.wording.word(about.what)}" if about.what else title,
        kind="figure",
        metric=about.metric,
        unit=about.unit,
        decimals=about.decimals,
    )


def _spoken(making: _Making, section: Section, columns: Sequence[ColumnFacts], row: Sequence[Any]) -> tuple[Any, ...]:
    """The row with words of models in the reader's language. Raises DeclarationError for a figure that is no metric."""
    spoken: list[Any] = []
    for column, value in zip(columns, row, strict=True):
        if column.kind == "text" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            raise DeclarationError(
                f"reports/{making.report.report}.yml, section {section.section}: {column.name!r} is a figure;"
                " define it in metrics/, or under `defines`"
            )
        spoken.append(_word(making, value) if column.kind == "text" else value)
    return tuple(spoken)


def _word(making: _Making, value: object) -> object:
    """A word of a model, or several with semicolons between them, in the reader's language; a name stays one."""
    words, language = making.report.words, making.wording.language
    parts = value.split("; ") if isinstance(value, str) else []
    return "; ".join(words[part].of(language) for part in parts) if parts and all(p in words for p in parts) else value


def _chart(chart: Chart, language: Language) -> ChartFacts:
    return ChartFacts(
        kind=chart.kind,
        x=chart.x,
        y=chart.y,
        colour=chart.colour,
        beside=chart.beside,
        title=chart.title.of(language),
    )


def _notes(making: _Making, state: str, reaches: dt.date | None) -> list[str]:
    wording = making.wording
    notes = []
    if state == "not over" and reaches:
        notes.append(wording.word("not_over", day=wording.day(reaches)))
    for note in making.report.notes:
        text = note.text.of(wording.language)
        if note.when:
            names, rows = making.ask(note.when)
            if not rows:
                continue
            for name, value in zip(names, rows[0], strict=True):
                text = text.replace(
                    f"{{{name}}}", wording.figure(value, None, 0) if isinstance(value, int) else str(value)
                )
        notes.append(text)
    return [*notes, wording.word("adding")]


def _restated(making: _Making, made_of: Publication) -> list[str]:
    """What changed since earlier periods were reported."""
    from dataops.facts import restatement

    return restatement.told_in(making.work, making.report, making.period.start, made_of.seq, making.wording)


def _definitions(
    making: _Making, sections: Sequence[SectionFacts], figures: Sequence[FigureFacts]
) -> tuple[DefinitionFacts, ...]:
    """What every figure in it means: metrics by name, then those of this report alone."""
    used = {column.metric for section in sections for column in section.columns if column.metric}
    used |= {figure.metric for figure in figures}
    language = making.wording.language
    metrics = [metric.declared for name, metric in sorted(making.metrics.items()) if name in used]
    return (
        *(
            DefinitionFacts(
                metric=m.metric,
                title=m.title.of(language),
                says=m.says.of(language),
                formula=m.formula,
                additivity=m.additivity,
                owner=m.owner,
            )
            for m in metrics
        ),
        *(
            DefinitionFacts(
                metric=name,
                title=o.title.of(language),
                says=o.says.of(language),
                formula="",
                additivity="non-additive",
                owner=making.report.owner,
            )
            for name, o in making.report.defines.items()
        ),
    )
