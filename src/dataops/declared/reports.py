"""Reports as people declare them: reports/<report>.yml says what is asked of the published layers, when and for whom.

A report is figures and sections, each one SELECT over published tables; every figure in them has a metric. Reads files
only; what the queries give is none of its business.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dataops.declared.declarations import GRAINS, Sentence
from dataops.declared.errors import DeclarationError
from dataops.declared.metrics import Metric, Unit, Words
from dataops.declared.project import Language
from dataops.declared.routing import OWNER, Address, Hour, Zone
from dataops.declared.yaml_files import Strict, read

Format = Literal["xlsx", "pdf", "html", "csv"]
FORMATS: tuple[Format, ...] = ("xlsx", "pdf", "html", "csv")
PLACES = ("period_start", "period_end", "year_before_start", "previous_start")
COMPARABLE = "comparable"
"""A truth beside the figures of a report: false where an earlier period must not be set against them."""
SUFFIXES = {"_previous": "previous", "_year_ago": "year_ago", "_rank": "rank"}
_PLACE = re.compile(r"\{(\w+)\}")
FIGURE = re.compile(r"\{(\w+)(?::against:(\w+))?\}")
"""In a sentence: the figure of a column, or what it is against that of another."""


def _query(text: str) -> str:
    if unknown := [name for name in _PLACE.findall(text) if name not in PLACES]:
        raise ValueError(f"{{{unknown[0]}}} is no part of a period; there are {', '.join(PLACES)}")
    return text


Query = Annotated[Sentence, AfterValidator(_query)]


class Chart(Strict):
    """A picture of a section.

    `bar` of one figure by a name, `grouped` bars by a name and a colour, `stacked` or `line` over a date, by a colour
    or not; a line may have a second figure `beside` it.
    """

    kind: Literal["bar", "grouped", "stacked", "line"]
    x: str
    y: str
    colour: str | None = None
    beside: str | None = None
    title: Words

    @model_validator(mode="after")
    def _groups_have_colours(self) -> Chart:
        if self.kind == "grouped" and self.colour is None:
            raise ValueError("grouped bars stand side by side by their colour; name it, or say bar")
        if self.beside and (self.kind != "line" or self.colour):
            raise ValueError("a second figure stands beside a line without colours")
        return self


class Pivot(Strict):
    """A table of one figure in two directions, beside the section's own rows."""

    rows: str
    columns: str
    value: str


class Own(Strict):
    """A figure of this report alone, defined here because no other shows it."""

    title: Words
    says: Words
    unit: Unit
    decimals: Annotated[int, Field(ge=0, le=6)] = 0


class Sentences(Words):
    """`{revenue}` is a figure, formatted; `when` is a column of the same row, a truth: only then it is said."""

    when: str | None = None


class Section(Strict):
    """One table, with or without a picture; or one each, with words of its own, for every row of `about`."""

    section: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Words
    query: Query
    columns: dict[str, Words] = Field(default_factory=dict)  # titles of names, days and words; none may be a figure
    total: Query | None = None  # one row with the same columns: what does not add up is asked for, not summed
    chart: Chart | None = None
    pivot: Pivot | None = None
    in_paper: Annotated[int, Field(ge=0)] = 1000  # rows that page and mail show at most; workbook and csv show all
    in_csv: bool = False
    landscape: bool = False
    split: str | None = None  # a column of query: one part for every value, which is the first column of `about`
    about: Query | None = None  # one row per part, in order; figures and words that title and lead may name
    lead: tuple[Sentences, ...] = ()

    @model_validator(mode="after")
    def _parts_have_words(self) -> Section:
        if not (self.split is not None) == (self.about is not None) == bool(self.lead):
            raise ValueError("split, about and lead go together: by what, one row each, and what is said of it")
        return self

    @property
    def truths(self) -> set[str]:
        """Columns of `about` that say when a sentence holds."""
        return {sentence.when for sentence in self.lead if sentence.when}


class Note(Strict):
    """A sentence that stands where it applies."""

    text: Words
    when: Query | None = None  # one row with one truth; None: always. `{name}` in the text is a column of the row


def _not_owner(text: str) -> str:
    if text == OWNER:
        raise ValueError('a report goes to a mail address or a "#channel"')
    return text


Receiving = Annotated[Address, AfterValidator(_not_owner)]


class Receiver(Strict):
    """Who gets a report, when, and as what."""

    to: Receiving
    language: Language | None = None
    formats: tuple[Format, ...] = ("pdf",)  # attached to a mail; a Slack channel gets links
    at: Hour | None = None  # not before this time of day; None: as soon as it is made
    zone: Zone | None = None  # of that time; None: of the project's messages
    unchanged: Literal["send", "on Mondays", "skip"] = "send"  # what is done with figures that they had before


class ReportFile(Strict):
    """The file reports/<report>.yml."""

    report: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Words
    says: Words
    period: Literal["day", "week", "month"]
    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]  # cron, UTC; it waits for a fresh publication as well
    language: Language = "en"
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = FORMATS
    owner: str
    receivers: tuple[Receiver, ...] = ()
    reaches: Query  # one row, one date: how far the data reach
    headline: Annotated[tuple[Sentences, ...], Field(min_length=1)]
    figures: Query  # one row; `_previous` and `_year_ago` stand beside their figure
    defines: dict[str, Own] = Field(default_factory=dict)  # figures that no other report shows, so no metric
    sections: Annotated[tuple[Section, ...], Field(min_length=1)]
    notes: tuple[Note, ...] = ()
    words: dict[str, Words] = Field(default_factory=dict)  # values of tables that are words of models, not names

    @model_validator(mode="after")
    def _names_are_unique(self) -> ReportFile:
        names = [section.section for section in self.sections]
        if len(set(names)) < len(names):
            raise ValueError("two sections have one name")
        return self

    @model_validator(mode="after")
    def _receivers_get_what_is_made(self) -> ReportFile:
        for receiver in self.receivers:
            if missing := [name for name in receiver.formats if name not in self.formats]:
                raise ValueError(f"{receiver.to} is to get {missing[0]}, which is not among formats")
        return self

    @property
    def languages(self) -> tuple[Language, ...]:
        """Its own, then those of its receivers."""
        return tuple(dict.fromkeys((self.language, *(r.language or self.language for r in self.receivers))))

    @property
    def truths(self) -> set[str]:
        """Columns of `figures` that are no figures: whether periods may be compared, and when a sentence holds."""
        return {COMPARABLE, *(sentence.when for sentence in self.headline if sentence.when)}

    @property
    def queries(self) -> Iterator[str]:
        """Every SELECT of it."""
        yield from (self.reaches, self.figures)
        for section in self.sections:
            yield from filter(None, (section.query, section.total, section.about))
        yield from (note.when for note in self.notes if note.when)


def load(folder: Path, shown: str = "reports") -> dict[str, ReportFile]:
    """Every report below `folder`, by name. Raises DeclarationError naming file and key."""
    found = {}
    for path in sorted(folder.glob("*.yml")):
        file = f"{shown}/{path.name}"
        report = read(path, ReportFile, file)
        if report.report != path.stem:
            raise DeclarationError(f'{file}: "report" is {report.report!r}; the file name says {path.stem!r}')
        found[path.stem] = report
    return found


@dataclass(frozen=True)
class Meaning:
    """What a column of figures is: of a metric, or one that the report defines itself."""

    title: Words
    unit: Unit
    decimals: int
    metric: str | None
    what: str
    """of the metric: itself (""), `previous`, `year_ago`, `rank`, or a part"""


def meaning_of(column: str, report: ReportFile, metrics: Mapping[str, Metric]) -> Meaning | None:
    """What a column of a report is, where it is a figure with a definition."""
    if own := report.defines.get(column):
        return Meaning(own.title, own.unit, own.decimals, None, "")
    about = metric_of(column, metrics)
    if about is None:
        return None
    metric, what = about[0].declared, about[1]
    if what == "rank":
        return Meaning(metric.title, "count", 0, metric.metric, what)
    return Meaning(metric.title, metric.unit, metric.decimals, metric.metric, what)


def metric_of(column: str, metrics: Mapping[str, Metric]) -> tuple[Metric, str] | None:
    """The metric that a column is about, and what of it: itself (""), `previous`, `year_ago`, `rank`, or a part.

    `online_gross_profit` is the part `online` of gross_profit.
    """
    if column in metrics:
        return metrics[column], ""
    for suffix, what in SUFFIXES.items():
        if column.endswith(suffix) and (name := column.removesuffix(suffix)) in metrics:
            return metrics[name], what
    parts = sorted((name for name in metrics if column.endswith(f"_{name}")), key=len)
    return (metrics[parts[-1]], column.removesuffix(f"_{parts[-1]}")) if parts else None


def undefined(where: str, column: str) -> DeclarationError:
    """A figure on a page must say what it is."""
    return DeclarationError(
        f"{where}: {column!r} is a figure without a definition; write metrics/{column}.yml, name it after the metric"
        " that it is about, define it under `defines`, or give it a title under `columns`, if it is no figure"
    )


class Period:
    """A day, a week from Monday or a month, by its first day."""

    def __init__(self, grain: str, start: dt.date) -> None:
        self.grain = grain
        self.start = start

    @classmethod
    def of(cls, grain: str, text: str) -> Period:
        """`2026-05-01`, `2026-W18` or `2026-05`; any day of it will do. Raises DeclarationError."""
        forms = {
            "day": "a day such as 2026-05-01",
            "week": "a week such as 2026-W18",
            "month": "a month such as 2026-05",
        }
        try:
            if grain == "week" and "W" in text:
                return cls(grain, dt.datetime.strptime(f"{text}-1", "%G-W%V-%u").date())  # noqa: DTZ007  a date
            if grain == "month" and text.count("-") == 1:
                text = f"{text}-01"
            return cls.around(grain, dt.date.fromisoformat(text))
        except ValueError:
            raise DeclarationError(f"{text!r} is no {grain}; write {forms[grain]}") from None

    @classmethod
    def around(cls, grain: str, day: dt.date) -> Period:
        """The period that a day lies in."""
        if grain not in GRAINS:
            raise DeclarationError(f"no period {grain!r}; there are {', '.join(GRAINS)}")
        start = {"day": day, "week": day - dt.timedelta(days=day.weekday()), "month": day.replace(day=1)}[grain]
        return cls(grain, start)

    @property
    def end(self) -> dt.date:
        """Its last day."""
        return self.after.start - dt.timedelta(days=1)

    @property
    def after(self) -> Period:
        """The next one."""
        days = {"day": 1, "week": 7, "month": 32}[self.grain]
        return Period.around(self.grain, self.start + dt.timedelta(days=days))

    @property
    def before(self) -> Period:
        """The one before."""
        return Period.around(self.grain, self.start - dt.timedelta(days=1))

    @property
    def year_before(self) -> Period:
        """The same one of the year before; for a week 52 weeks before."""
        if self.grain == "week":
            return Period(self.grain, self.start - dt.timedelta(days=364))
        day = min(self.start.day, 28) if self.start.month == 2 else self.start.day  # noqa: PLR2004  29 February
        return Period(self.grain, self.start.replace(year=self.start.year - 1, day=day))

    def __str__(self) -> str:
        if self.grain == "week":
            return f"{self.start:%G-W%V}"
        return f"{self.start:%Y-%m}" if self.grain == "month" else f"{self.start:%Y-%m-%d}"

    def put_into(self, query: str) -> str:
        """The query with this period's dates in the place of `{period_start}` and the like."""
        dates = {
            "period_start": self.start,
            "period_end": self.end,
            "previous_start": self.before.start,
            "year_before_start": self.year_before.start,
        }
        return _PLACE.sub(lambda place: f"DATE '{dates[place[1]]:%Y-%m-%d}'", query)
