"""A report as people look at it, whatever it is printed as: figures, sections, notes, and what all of it rests on.

Values are exact and unrounded; words are in the language of the report. Read with a consumer's rights, as of one
publication, so that a report of an earlier day can be made again.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainSerializer

from dataops.declared.project import Language
from dataops.declared.reports import Period, Pivot
from dataops.facts.document import Document, Moment, Part, Receipt, plain

_DAY = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")
Kind = Literal["text", "date", "figure"]
State = Literal["whole", "not over", "empty"]
Row = Annotated[tuple[Any, ...], PlainSerializer(lambda row: [plain(value) for value in row], when_used="json")]
"""Values in the order of the columns."""


class ColumnFacts(Part):
    """A column of a section."""

    name: str
    title: str
    kind: Kind
    metric: str | None = None
    unit: str | None = None
    decimals: int | None = None


class ChartFacts(Part):
    """A picture of a section's rows."""

    kind: Literal["bar", "grouped", "stacked", "line"]
    x: str
    y: str
    colour: str | None
    beside: str | None = None
    """a second figure, drawn beside the first"""
    title: str


class SectionFacts(Part):
    """One table, with or without a picture."""

    section: str
    title: str
    columns: tuple[ColumnFacts, ...]
    rows: tuple[Row, ...]
    total: Row | None
    chart: ChartFacts | None
    pivot: Pivot | None
    in_paper: int
    """rows that pages show at most; a workbook shows all"""
    in_csv: bool
    landscape: bool
    lead: str = ""
    """what is said above it"""

    def at(self, name: str) -> int:
        """The place of a column."""
        return next(place for place, column in enumerate(self.columns) if column.name == name)


class FigureFacts(Part):
    """A key figure beside the period before and the same one of the year before; null: unknown."""

    metric: str
    title: str
    unit: str
    decimals: int
    value: Annotated[Any, PlainSerializer(plain, when_used="json")]
    previous: Annotated[Any, PlainSerializer(plain, when_used="json")] = None
    year_ago: Annotated[Any, PlainSerializer(plain, when_used="json")] = None


class DefinitionFacts(Part):
    """What a figure means."""

    metric: str
    title: str
    says: str
    formula: str
    additivity: str
    owner: str


class RestsOn(Part):
    """A publication that a report stands on."""

    group: str
    publication: str
    published_at: Moment
    receipt: Receipt | None
    waivers: tuple[str, ...]


class ReportDocument(Document):
    """One report of one period."""

    document: ClassVar[str] = "report"
    report: str
    title: str
    period: str
    period_start: dt.date
    period_end: dt.date
    language: Language
    currency: str
    made_of: str
    """the newest publication when it was made: what `--as-of` takes to make it again"""
    made_of_at: Moment
    reaches: dt.date | None
    """how far the data reach; null: there are none"""
    state: State
    headline: str
    figures: tuple[FigureFacts, ...]
    sections: tuple[SectionFacts, ...]
    notes: tuple[str, ...]
    definitions: tuple[DefinitionFacts, ...]
    rests_on: tuple[RestsOn, ...]

    @property
    def earlier(self) -> tuple[str, ...]:
        """The periods that its figures stand beside: `previous` and `year_ago`, or none."""
        known = any(value is not None for f in self.figures for value in (f.previous, f.year_ago))
        return ("previous", "year_ago") if known else ()

    @property
    def span(self) -> Period:
        """Its period."""
        grain = "day" if self.period_start == self.period_end else "week" if "W" in self.period else "month"
        return Period(grain, self.period_start)


def read(text: str) -> ReportDocument:
    """A report out of its JSON, with the numbers and days that it was made of. Raises ValueError for other text."""
    content = json.loads(text)
    if content.pop("schema", None) != ReportDocument.schema_name():
        raise ValueError(f"not a document {ReportDocument.schema_name()}")
    for figure in content["figures"]:
        figure |= {name: _number(figure[name]) for name in ("value", "previous", "year_ago")}
    for section in content["sections"]:
        kinds = [column["kind"] for column in section["columns"]]
        section["rows"] = [_typed(kinds, row) for row in section["rows"]]
        section["total"] = _typed(kinds, section["total"]) if section["total"] is not None else None
    return ReportDocument.model_validate(content)


def _typed(kinds: Sequence[Kind], row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_value(kind, value) for kind, value in zip(kinds, row, strict=True))


def _value(kind: Kind, value: object) -> object:
    if kind == "figure":
        return _number(value)
    is_day = isinstance(value, str) and _DAY.fullmatch(value) is not None
    return dt.date.fromisoformat(str(value)) if is_day else value


def _number(value: object) -> object:
    return Decimal(value) if isinstance(value, str) and value else value
