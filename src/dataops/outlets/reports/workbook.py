"""A report as a workbook: a summary, a sheet per section with native charts, definitions and what it rests on.

Values are at full precision and only formatted; text is written as text, never as a formula or a link.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import count, product
from textwrap import wrap
from typing import Any

from dataops.facts.report import ChartFacts, ColumnFacts, FigureFacts, ReportDocument, SectionFacts
from dataops.facts.wording import Wording

STYLES: dict[str, dict[str, Any]] = {"plain": {}, "total": {"bold": True, "top": 1}, "beside": {"bold": True}}
WIDEST = 48
LINE = 15  # points
HEAD = 32  # two lines, which not every program finds out by itself
LONG = 12  # rows beside which a chart stands: below more, it would not fit on their page
DATA = "data"  # a hidden sheet for what charts are drawn from and no table holds
SHEET_NAME = 31  # Excel's limit
COLOURS = ("#08306B", "#2F7FBC", "#9ECAE1", "#D95F0E", "#7A7A7A")


def render(report: ReportDocument) -> bytes:
    """The workbook; the same document gives the same bytes."""
    import xlsxwriter

    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties(
            {"title": f"{report.title}, {report.period}", "created": report.made_of_at.replace(tzinfo=None)}
        )
        _Book(book, report).write()
    return out.getvalue()


class _Book:
    """The workbook while it is written."""

    def __init__(self, book: Any, report: ReportDocument) -> None:  # noqa: ANN401  XlsxWriter has no types
        self.book, self.report = book, report
        self.wording = Wording(report.language, report.currency)
        self.names: set[str] = {DATA}
        self.used = 0  # columns of the hidden sheet
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.right = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top", "align": "right"})
        self.bold = book.add_format({"bold": True, "top": 1})
        self.large = book.add_format({"bold": True, "font_size": 16})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self.date = book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        self.numbers: dict[tuple[str, int, str], Any] = {}

    def write(self) -> None:
        self._summary()
        for section in self.report.sections:
            if section.lead and not section.rows:
                continue  # nothing but words, which stand in the summary's table as well
            sheet = self._sheet(section.title)
            end = self._table(sheet, section)
            if section.lead:
                sheet.merge_range(end + 1, 0, end + 3, max(len(section.columns) - 1, 3), "", self.wrapped)
                sheet.write_string(end + 1, 0, section.lead, self.wrapped)
                end += 4
            if section.chart and section.rows:
                self._chart(sheet, section, section.chart, end)
            if section.pivot and section.rows:
                self._pivot(section)
        self._definitions()
        self._checks()

    def _sheet(self, title: str) -> Any:  # noqa: ANN401
        """A sheet for printing on A4, named as far as Excel allows, once."""
        whole = name = re.sub(r"[\[\]:*?/\\']", " ", title)[:SHEET_NAME].strip()
        for number in count(2):
            if name.lower() not in self.names:
                break
            name = f"{whole[: SHEET_NAME - 1 - len(str(number))].strip()} {number}"
        self.names.add(name.lower())
        sheet = self.book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer(f"&L{self.report.made_of}&C{self.report.period}&R&P / &N")
        return sheet

    def _summary(self) -> None:
        report, wording = self.report, self.wording
        sheet = self._sheet(wording.word("summary"))
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 3, 20)
        sheet.write_string(0, 0, report.title, self.large)
        sheet.write_string(1, 0, wording.period(report.span))
        sheet.merge_range(2, 0, 3, 6, "", self.wrapped)
        sheet.write_string(2, 0, report.headline, self.wrapped)
        line = 5
        if report.figures:
            titles = (wording.word(word) for word in ("figure", "value", *report.earlier))
            for column, title in enumerate(titles):
                sheet.write_string(line, column, title, self.head if column == 0 else self.right)
            for figure in report.figures:
                line += 1
                sheet.write_string(line, 0, figure.title)
                self._figures(sheet, line, figure)
        line += 2
        for number, note in enumerate(report.notes, start=1):
            sheet.merge_range(line, 0, line + 1, 6, "", self.wrapped)
            sheet.write_string(line, 0, f"({number}) {note}", self.wrapped)
            line += 2
        sheet.write_string(line + 1, 0, f"{wording.word('made_of')} {report.made_of}")

    def _figures(self, sheet: Any, line: int, figure: FigureFacts) -> None:  # noqa: ANN401
        values = (figure.value, *(getattr(figure, name) for name in self.report.earlier))
        for column, value in enumerate(values, start=1):
            self._cell(sheet, line, column, value, self._number(figure.unit, figure.decimals))

    def _table(self, sheet: Any, section: SectionFacts) -> int:  # noqa: ANN401
        """Header, rows and total; the line after them."""
        for place, column in enumerate(section.columns):
            sheet.write_string(0, place, column.title, self.right if column.kind == "figure" else self.head)
            sheet.set_column(place, place, self._width(section, place, column))
        sheet.set_row(0, HEAD)
        sheet.freeze_panes(1, 1)
        sheet.repeat_rows(0)
        for line, row in enumerate(section.rows, start=1):
            for place, (column, value) in enumerate(zip(section.columns, row, strict=True)):
                self._cell(sheet, line, place, value, self._format(column, value, "plain"))
        end = len(section.rows) + 1
        if section.rows:
            sheet.autofilter(0, 0, end - 1, len(section.columns) - 1)
        if section.total:
            self._total(sheet, section, end)
        return end

    def _total(self, sheet: Any, section: SectionFacts, line: int) -> None:  # noqa: ANN401
        values = section.total or ()
        for place, (column, value) in enumerate(zip(section.columns, values, strict=True)):
            if column.kind == "figure":
                self._cell(sheet, line, place, value, self._format(column, value, "total"))
            else:
                sheet.write_string(line, place, self.wording.word("total") if place == 0 else "", self.bold)

    def _format(self, column: ColumnFacts, value: object, style: str) -> Any:  # noqa: ANN401
        if column.unit:
            return self._number(column.unit, column.decimals or 0, style)
        return self.date if isinstance(value, dt.date) else None

    def _number(self, unit: str, decimals: int, style: str = "plain") -> Any:  # noqa: ANN401
        """As many decimals as the figure is defined with; losses are red."""
        known = self.numbers.get((unit, decimals, style))
        if known is None:
            plain = f"{'0' if unit == 'share' else '#,##0'}{'.' if decimals else ''}{'0' * decimals}"
            pattern = {"share": f"{plain} %", "money": f"{plain};[Red]-{plain}"}.get(unit, plain)
            known = self.numbers[unit, decimals, style] = self.book.add_format({"num_format": pattern} | STYLES[style])
        return known

    @staticmethod
    def _cell(sheet: Any, line: int, place: int, value: object, form: Any) -> None:  # noqa: ANN401
        """Numbers as numbers, days as days, anything else as text that nothing is made of."""
        if value is None:
            sheet.write_blank(line, place, None, form)
        elif isinstance(value, bool):
            sheet.write_boolean(line, place, value, form)
        elif isinstance(value, int | float | Decimal):
            sheet.write_number(line, place, value, form)
        elif isinstance(value, dt.date):
            sheet.write_datetime(line, place, dt.datetime.combine(value, dt.time()), form)
        else:
            sheet.write_string(line, place, str(value)[:32_767], form)

    @staticmethod
    def _width(section: SectionFacts, place: int, column: ColumnFacts) -> int:
        longest = max((len(str(row[place])) for row in section.rows), default=0)
        return min(WIDEST, max(12, min(longest, WIDEST), len(column.title) // 2 + 2)) if column.kind == "text" else 17

    def _chart(self, sheet: Any, section: SectionFacts, chart: ChartFacts, end: int) -> None:  # noqa: ANN401
        """A native chart beside the table; a stacked one needs a block of its own, one column per colour."""
        kind = {"bar": {"type": "bar"}, "stacked": {"type": "column", "subtype": "stacked"}, "line": {"type": "line"}}
        kind["grouped"] = {"type": "column"}
        native = self.book.add_chart(kind[chart.kind])
        if chart.colour:
            self._series_by_colour(native, section, chart)
        else:
            x, y = (chart.y, chart.x) if chart.kind == "bar" else (chart.x, chart.y)
            name, at, last = sheet.get_name(), section.at(x), len(section.rows)
            for number, of in enumerate(section.at(figure) for figure in (y, chart.beside) if figure):
                stroke = {"color": COLOURS[3 * number], "dash_type": ("solid", "dash")[number]}
                native.add_series(
                    {
                        "name": section.columns[of].title,
                        "categories": [name, 1, at, last, at],
                        "values": [name, 1, of, last, of],
                        "fill": {"color": COLOURS[1]},
                        "invert_if_negative": True,
                        "invert_if_negative_color": "#B3261E",
                        **({"line": stroke} if chart.kind == "line" else {}),
                    }
                )
            native.set_legend({"position": "bottom"} if chart.beside else {"none": True})
        native.set_title({"name": chart.title, "name_font": {"size": 11}})
        if chart.kind == "bar":
            native.set_y_axis({"reverse": True, "label_position": "low"})
        elif chart.kind == "grouped":
            native.set_x_axis({"name": section.columns[section.at(chart.x)].title, "text_axis": True})
        else:
            native.set_x_axis(
                {
                    "num_format": "mmm yyyy" if self._monthly(section, chart) else "d mmm yyyy",
                    "text_axis": True,
                    "label_position": "low",  # not across bars below zero
                }
            )
        native.set_size({"width": 720, "height": 360})
        line, place = (1, len(section.columns) + 1) if len(section.rows) > LONG else (end + 2, 0)
        sheet.insert_chart(line, place, native, {"description": f"{chart.title}. {self.report.headline}"})

    @staticmethod
    def _monthly(section: SectionFacts, chart: ChartFacts) -> bool:
        return all(getattr(row[section.at(chart.x)], "day", 0) == 1 for row in section.rows)

    def _series_by_colour(self, native: Any, section: SectionFacts, chart: ChartFacts) -> None:  # noqa: ANN401
        """One series per colour, out of a block on the hidden sheet."""
        sheet = self.book.get_worksheet_by_name(DATA) or self.book.add_worksheet(DATA)
        sheet.hide()
        x, y, by = (section.at(name) for name in (chart.x, chart.y, str(chart.colour)))
        xs = list(dict.fromkeys(row[x] for row in section.rows))
        values = {(row[x], row[by]): row[y] for row in section.rows}
        first = self.used
        for line, at in enumerate(xs, start=1):
            self._cell(sheet, line, first, at, self.date if isinstance(at, dt.date) else None)
        colours = list(dict.fromkeys(row[by] for row in section.rows))
        for number, colour in enumerate(colours):
            place = first + 1 + number
            sheet.write_string(0, place, str(colour))
            for line, at in enumerate(xs, start=1):
                self._cell(sheet, line, place, values.get((at, colour), 0), None)
            native.add_series(
                {
                    "name": [DATA, 0, place],
                    "categories": [DATA, 1, first, len(xs), first],
                    "values": [DATA, 1, place, len(xs), place],
                    "fill": {"color": COLOURS[number % len(COLOURS)]},
                }
            )
        self.used = first + len(colours) + 2

    def _pivot(self, section: SectionFacts) -> None:
        """One figure in two directions with totals both ways; blank where nothing was sold."""
        pivot = section.pivot
        if pivot is None:
            return
        at, across, of = (section.at(name) for name in (pivot.rows, pivot.columns, pivot.value))
        cells: dict[tuple[str | None, str | None], Any] = defaultdict(int)
        for row in section.rows:
            for key in product((str(row[at]), None), (str(row[across]), None)):
                cells[key] += row[of]
        names = [*dict.fromkeys(str(row[at]) for row in section.rows), None]  # None stands for all
        heads = [*sorted({str(row[across]) for row in section.rows}), None]
        total, figure = self.wording.word("total"), section.columns[of]
        sheet = self._sheet(f"{section.columns[at].title} x {section.columns[across].title}")
        sheet.write_string(0, 0, section.columns[at].title, self.head)
        for place, head in enumerate(heads, start=1):
            sheet.write_string(0, place, head or total, self.right)
        sheet.set_column(0, 0, WIDEST - 12)
        sheet.set_column(1, len(heads), 15)
        sheet.set_row(0, HEAD)
        sheet.freeze_panes(1, 1)
        sheet.repeat_rows(0)
        for line, name in enumerate(names, start=1):
            sheet.write_string(line, 0, name or total, None if name else self.bold)
            for place, head in enumerate(heads, start=1):
                style = "total" if not name else "plain" if head else "beside"
                self._cell(sheet, line, place, cells.get((name, head)), self._format(figure, None, style))
        scale = {"min_color": "#F2B8B5", "mid_color": "#FFFFFF", "max_color": "#9ECAE1"}
        options = {"type": "3_color_scale", "mid_type": "num", "mid_value": 0} | scale
        sheet.conditional_format(1, 1, len(names) - 1, len(heads) - 1, options)

    def _definitions(self) -> None:
        sheet = self._sheet(self.wording.word("definitions"))
        heads = [self.wording.word(word) for word in ("figure", "meaning", "formula", "adds", "owner")]
        rows = [(d.title, d.says, d.formula, self.wording.word(d.additivity), d.owner) for d in self.report.definitions]
        self._texts(sheet, heads, rows, (28, 60, 44, 18, 34))

    def _checks(self) -> None:
        sheet = self._sheet(self.wording.word("checks"))
        heads = [self.wording.word(word) for word in ("group", "publication", "published", "receipt", "waivers")]
        rows = [
            (r.group, r.publication, f"{r.published_at:%Y-%m-%d %H:%M} UTC", r.receipt or "", ", ".join(r.waivers))
            for r in self.report.rests_on
        ]
        self._texts(sheet, heads, rows, (16, 20, 22, 70, 24))

    def _texts(self, sheet: Any, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:  # noqa: ANN401
        for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
            sheet.set_column(place, place, width)
            sheet.write_string(0, place, head, self.head)
        sheet.freeze_panes(1, 0)
        for line, row in enumerate(rows, start=1):
            lines = (len(wrap(text, width - 4)) for text, width in zip(row, widths, strict=True))
            sheet.set_row(line, LINE * max(1, *lines))
            for place, text in enumerate(row):
                sheet.write_string(line, place, text, self.wrapped)
