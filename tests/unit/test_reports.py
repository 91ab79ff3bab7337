"""Reports: declarations, periods, words and numbers of a language, and files made of one document."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from dataops.declared import catalog as catalogs
from dataops.declared import reports
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths
from dataops.declared.reports import Period, Pivot, metric_of
from dataops.facts import report_checking
from dataops.facts.report import ChartFacts, ColumnFacts, DefinitionFacts, FigureFacts, ReportDocument, SectionFacts
from dataops.facts.wording import WORDS, Wording
from dataops.outlets.reports import charts, delimited, page, paper, workbook

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[2]
EN, FR = Wording("en", "EUR"), Wording("fr", "EUR")
HOSTILE = (
    '=HYPERLINK("http://evil.example","x")',
    "<script>alert(1)</script>",
    '#panic("typst") *bold* $x$',
    "x" * 10_000,
)


@pytest.mark.parametrize(
    ("grain", "text", "start", "end", "shown", "before", "year_before"),
    [
        ("month", "2024-02", "2024-02-01", "2024-02-29", "2024-02", "2024-01", "2023-02"),
        ("month", "2024-01-31", "2024-01-01", "2024-01-31", "2024-01", "2023-12", "2023-01"),
        ("week", "2020-W53", "2020-12-28", "2021-01-03", "2020-W53", "2020-W52", "2019-W53"),
        ("week", "2021-01-01", "2020-12-28", "2021-01-03", "2020-W53", "2020-W52", "2019-W53"),
        ("day", "2024-02-29", "2024-02-29", "2024-02-29", "2024-02-29", "2024-02-28", "2023-02-28"),
    ],
)
def test_a_period_knows_its_days_and_its_neighbours(
    grain: str, text: str, start: str, end: str, shown: str, before: str, year_before: str
) -> None:
    period = Period.of(grain, text)
    assert (str(period.start), str(period.end), str(period)) == (start, end, shown)
    assert str(period.before) == before
    if grain != "week":
        assert str(period.year_before) == year_before
    else:
        assert period.start - period.year_before.start == dt.timedelta(days=364)


@pytest.mark.parametrize(("grain", "text"), [("month", "2024-13"), ("month", "May"), ("week", "2024-W60"), ("day", "")])
def test_what_is_no_period_is_refused_with_an_example(grain: str, text: str) -> None:
    with pytest.raises(DeclarationError, match=f"is no {grain}; write a {grain} such as"):
        Period.of(grain, text)


def test_dates_are_put_into_a_query_and_nothing_else() -> None:
    put = Period.of("month", "2024-03").put_into("SELECT 1 WHERE d >= {period_start} AND d > {previous_start}")
    assert put == "SELECT 1 WHERE d >= DATE '2024-03-01' AND d > DATE '2024-02-01'"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{period_start}", "{period_begin}", "{period_begin} is no part of a period"),
        ("period: month", "period: quarter", '"period"'),
        ("formats:", "formatz:", "unknown key"),
        ("kind: stacked", "kind: pie", '"kind"'),
        ("kind: bar", "kind: grouped", "grouped bars stand side by side by their colour"),
        ("kind: bar", "kind: bar\n      beside: cost", "a second figure stands beside a line without colours"),
        ("    landscape: true\n", "    split: category_name\n", "split, about and lead go together"),
        ("section: channels", "section: trend", "two sections have one name"),
        ("report: profit_monthly", "report: profit", "the file name says 'profit_monthly'"),
        ('schedule: "0 6 1 * *"', "schedule: monthly", '"schedule"'),
    ],
)
def test_a_report_that_says_nothing_known_is_an_error_naming_the_file(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = (PROJECT / "reports" / "profit_monthly.yml").read_text("utf-8")
    text = text if old in text else text.replace("period: month", f"period: month\n{old} [pdf]")
    (tmp_path / "profit_monthly.yml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(DeclarationError) as caught:
        reports.load(tmp_path)
    assert says in str(caught.value)
    assert "reports/profit_monthly.yml" in str(caught.value)


def test_a_column_is_about_the_metric_that_its_name_says() -> None:
    known: Any = {"profit": "a metric", "gross_profit": "another"}
    assert metric_of("gross_profit", known) == ("another", "")
    assert metric_of("gross_profit_year_ago", known) == ("another", "year_ago")
    assert metric_of("online_gross_profit", known) == ("another", "online")
    assert metric_of("gross", known) is None


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "english", "french"),
    [
        ("1234567.895", "money", 2, "1,234,567.90", "1 234 567,90"),
        ("-0.005", "money", 2, "-0.01", "-0,01"),
        ("0.1475", "share", 1, "14.8 %", "14,8 %"),
        ("-1.5", "share", 1, "-150.0 %", "-150,0 %"),
        (2411, "count", 0, "2,411", "2 411"),
        (None, "money", 2, "–", "–"),  # noqa: RUF001
    ],
)
def test_figures_are_written_as_the_reader_writes_them(
    value: object, unit: str, decimals: int, english: str, french: str
) -> None:
    assert EN.figure(value, unit, decimals) == english
    assert FR.figure(value, unit, decimals).replace("\u202f", " ").replace("\xa0", " ") == french


@pytest.mark.parametrize(
    ("now", "then", "says"),
    [
        (150, 100, "up 50.0 % on May 2023"),
        (50, 100, "down 50.0 % on May 2023"),
        (1250, 100, "12.5 times May 2023"),
        (100, 100, "the same as May 2023"),
        (100, -5, "after EUR -5.00 in May 2023"),
        (-5, 100, "after EUR 100.00 in May 2023"),
        (100, 0, "after EUR 0.00 in May 2023"),
        (100, None, "nothing known of May 2023"),
    ],
)
def test_a_comparison_is_in_words_that_cannot_mislead(now: int, then: int | None, says: str) -> None:
    """A share of nothing or of a loss says nothing, so the earlier figure itself is named."""
    assert EN.against(now, then, "May 2023", "money", 2) == says


def test_every_word_has_both_languages() -> None:
    assert all(len(texts) == 2 and all(texts) for texts in WORDS.values())


def made(rows: tuple[tuple[Any, ...], ...], **changes: Any) -> ReportDocument:
    """A small report with these rows of (name, profit)."""
    columns = (
        ColumnFacts(name="name", title="Name", kind="text"),
        ColumnFacts(name="profit", title="Profit", kind="figure", metric="profit", unit="money", decimals=2),
    )
    chart = ChartFacts(kind="bar", x="profit", y="name", colour=None, title="Profit by name")
    total = ("", sum((row[1] or 0 for row in rows), Decimal(0)))
    section = SectionFacts(
        section="names", title="Names", columns=columns, rows=rows, total=total, chart=chart, pivot=None,
        in_paper=1000, in_csv=True, landscape=False,
    )  # fmt: skip
    figure = FigureFacts(metric="profit", title="Profit", unit="money", decimals=2, value=total[1])
    moment = dt.datetime(2024, 6, 1, 6)
    values: dict[str, Any] = {
        "report": "small", "title": "A small report", "period": "2024-05", "period_start": dt.date(2024, 5, 1),
        "period_end": dt.date(2024, 5, 31), "language": "en", "currency": "EUR",
        "made_of": "marts-0001", "made_of_at": moment, "reaches": dt.date(2024, 6, 1), "state": "whole",
        "headline": "Profit.", "figures": (figure,), "sections": (section,), "notes": ("A note.",),
        "definitions": (), "rests_on": (),
    }  # fmt: skip
    return ReportDocument(**values | changes)


PLAIN = made((("bicycle", Decimal("10.005")), ("helmet", Decimal("-2.5"))))


@pytest.mark.parametrize("kind", [workbook, paper, page, delimited], ids=lambda kind: kind.__name__.rpartition(".")[2])
def test_the_same_document_makes_the_same_file(kind: Any) -> None:
    assert kind.render(PLAIN) == kind.render(PLAIN)


def pdf_text(content: bytes) -> str:
    return "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(content)).pages)


def test_all_files_say_the_same_total() -> None:
    sheet = load_workbook(io.BytesIO(workbook.render(PLAIN)))["Names"]
    assert [row[1] for row in sheet.iter_rows(values_only=True)] == ["Profit", 10.005, -2.5, 7.505]
    assert "7.51" in pdf_text(paper.render(PLAIN))
    assert ">7.51</td>" in page.render(PLAIN).decode()
    rows = list(csv.reader(io.StringIO(delimited.render(PLAIN).decode("utf-8-sig"))))
    assert sum(Decimal(row[1]) for row in rows[1:]) == Decimal("7.505")


@pytest.mark.parametrize(
    ("unit", "decimals", "pattern"),
    [("ratio", 3, "#,##0.000"), ("count", 0, "#,##0"), ("share", 1, "0.0 %"), ("money", 2, "#,##0.00;[Red]-#,##0.00")],
)
def test_a_workbook_shows_as_many_decimals_as_the_figure_is_defined_with(
    unit: str, decimals: int, pattern: str
) -> None:
    name, profit = PLAIN.sections[0].columns
    columns = (name, profit.model_copy(update={"unit": unit, "decimals": decimals}))
    section = PLAIN.sections[0].model_copy(update={"columns": columns})
    book = load_workbook(io.BytesIO(workbook.render(made((), sections=(section,)))))
    assert book["Names"]["B2"].number_format == pattern


def test_a_table_in_two_directions_adds_up_both_ways_and_long_words_have_room() -> None:
    name, profit = PLAIN.sections[0].columns
    section = PLAIN.sections[0].model_copy(
        update={
            "columns": (name, ColumnFacts(name="place", title="Place", kind="text"), profit),
            "rows": (
                ("bicycle", "south", Decimal(10)),
                ("bicycle", "north", Decimal(-3)),
                ("bell", "north", Decimal(2)),
            ),
            "total": None,
            "chart": None,
            "pivot": Pivot(rows="name", columns="place", value="profit"),
        }
    )
    words = DefinitionFacts(
        metric="profit", title="Profit", says="word " * 60, formula="SUM(profit)", additivity="additive", owner="us"
    )
    book = load_workbook(io.BytesIO(workbook.render(made((), sections=(section,), definitions=(words,)))))
    assert list(book["Name x Place"].iter_rows(values_only=True)) == [
        ("Name", "north", "south", "Total"),
        ("bicycle", -3, 10, 7),
        ("bell", 2, None, 2),
        ("Total", -1, 10, 9),
    ]
    assert book["Definitions"].row_dimensions[2].height >= 5 * workbook.LINE


def test_text_from_data_is_text_and_nothing_else() -> None:
    """No formula in a spreadsheet, no markup on a page, no code in a paper; what is endless is cut for readers."""
    hostile = made(tuple((text, Decimal(1)) for text in HOSTILE))
    book = load_workbook(io.BytesIO(workbook.render(hostile)))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert [cell.value for cell in cells if cell.data_type == "f"] == []
    assert not any(cell.hyperlink for cell in cells)
    shown = page.render(hostile).decode()
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown
    assert "x" * 200 not in re.sub(r"<svg.*?</svg>", "", shown, flags=re.DOTALL)
    text = pdf_text(paper.render(hostile))
    assert "#panic" in text
    assert "*bold*" in text
    assert delimited.render(hostile).decode("utf-8-sig").splitlines()[1].startswith("\"'=HYPERLINK")


@pytest.mark.parametrize("rows", [(), (("only", None),), (("only", Decimal(0)),)], ids=["none", "unknown", "zero"])
def test_little_or_nothing_makes_a_file_without_nan_and_without_a_trace(rows: tuple[tuple[Any, ...], ...]) -> None:
    report = made(rows)
    for kind in (workbook, paper, page, delimited):
        assert kind.render(report)
    told = page.render(report).decode() + pdf_text(paper.render(report))
    assert not re.search(r"\b(nan|NaN|None|Traceback)\b", told)


def test_a_paper_is_tagged_and_carries_its_figures_and_receipts() -> None:
    reader = PdfReader(io.BytesIO(paper.render(PLAIN)))
    root: Any = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert "/StructTreeRoot" in root
    assert sorted(reader.attachments) == ["figures.csv", "report.json"]
    assert reader.attachments["figures.csv"][0] == delimited.render(PLAIN)
    metadata = root["/Metadata"].get_data()
    assert b"<pdfaid:part>3</pdfaid:part>" in metadata
    assert b"<pdfuaid:part>1</pdfuaid:part>" in metadata


def test_figures_without_earlier_periods_stand_alone() -> None:
    assert [cell.value for cell in load_workbook(io.BytesIO(workbook.render(PLAIN)))["Summary"][6]][:3] == [
        "Figure", "Value", None,
    ]  # fmt: skip
    assert "the period before" not in page.render(PLAIN).decode()
    beside = PLAIN.figures[0].model_copy(update={"previous": Decimal(7)})
    with_earlier = PLAIN.model_copy(update={"figures": (beside,)})
    assert "the period before" in page.render(with_earlier).decode()
    assert "the period before" in pdf_text(paper.render(with_earlier))


def test_bars_stand_side_by_side_in_the_order_of_the_rows() -> None:
    columns = (
        ColumnFacts(name="times", title="Times", kind="text"),
        ColumnFacts(name="who", title="Who", kind="text"),
        ColumnFacts(name="profit", title="Profit", kind="figure", metric="profit", unit="money", decimals=2),
    )
    rows = (("0", "model", Decimal(4)), ("0", "actual", Decimal(9)), ("1", "model", Decimal(2)), ("1", "actual", None))
    chart = ChartFacts(kind="grouped", x="times", y="profit", colour="who", title="Both")
    section = PLAIN.sections[0].model_copy(update={"columns": columns, "rows": rows, "total": None, "chart": chart})
    encoding = charts.specification(section)["encoding"]
    assert encoding["color"]["scale"]["domain"] == ["model", "actual"]
    assert encoding["xOffset"]["field"] == "who"
    assert charts.svg(section, EN).count("actual") >= 1
    book = load_workbook(io.BytesIO(workbook.render(PLAIN.model_copy(update={"sections": (section,)}))))
    assert [[cell.value for cell in row] for row in book["data"]["A1:C3"]] == [
        [None, "model", "actual"], ["0", 4, 9], ["1", 2, None],
    ]  # fmt: skip


def test_a_second_figure_stands_beside_a_line_as_far_as_it_is_known() -> None:
    columns = (
        ColumnFacts(name="month", title="Month", kind="text"),
        ColumnFacts(name="profit", title="Profit", kind="figure", metric="profit", unit="money", decimals=2),
        ColumnFacts(name="without", title="Without", kind="figure", unit="money", decimals=2),
    )
    rows = tuple((dt.date(2024, month, 1), Decimal(month), Decimal(2) if month < 3 else None) for month in (1, 2, 3))
    chart = ChartFacts(kind="line", x="month", y="profit", colour=None, beside="without", title="Both")
    section = PLAIN.sections[0].model_copy(
        update={"columns": columns, "rows": rows, "total": None, "chart": chart, "lead": "Said above it."}
    )
    spec = charts.specification(section)
    assert [(point["_line"], point["profit"]) for point in spec["data"]["values"]] == [
        ("Profit", 1), ("Profit", 2), ("Profit", 3), ("Without", 2), ("Without", 2),
    ]  # fmt: skip
    assert "strokeDash" in spec["encoding"]
    document = PLAIN.model_copy(update={"sections": (section,)})
    sheet = load_workbook(io.BytesIO(workbook.render(document)))["Names"]
    assert len(sheet._charts[0].series) == 2
    assert "Said above it." in [cell.value for cell in sheet["A"]]
    assert "<p>Said above it.</p>" in page.render(document).decode()
    assert "Said above it." in pdf_text(paper.render(document))
    silent = section.model_copy(update={"rows": ()})
    assert load_workbook(io.BytesIO(workbook.render(PLAIN.model_copy(update={"sections": (silent,)})))).sheetnames == [
        "Summary", "Definitions", "What this rests on",
    ]  # fmt: skip


def test_sheets_of_one_long_title_have_names_of_their_own() -> None:
    section = PLAIN.sections[0].model_copy(update={"title": "A title that is longer than Excel allows"})
    book = load_workbook(io.BytesIO(workbook.render(PLAIN.model_copy(update={"sections": (section,) * 12}))))
    assert len({name for name in book.sheetnames if name.startswith("A title")}) == 12


def test_a_chart_loads_nothing_and_shows_losses_apart() -> None:
    drawn = charts.svg(PLAIN.sections[0], EN)
    assert "http" not in drawn.replace("http://www.w3.org/", "")
    assert charts.LOSS in drawn


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "FROM marts.report_profit r\n      WHERE",
            "FROM raw.report_profit r\n      WHERE",
            "raw.report_profit is not published",
        ),
        (
            "SUM(r.cost) AS cost",
            "SUM(r.cost) AS costs",
            "'costs' is a figure without a definition; write metrics/costs.yml",
        ),
        ("y: territory\n", "y: region\n", "no column 'region'; there are territory"),
        (
            "SELECT '' AS territory, t.orders",
            "SELECT '' AS territory, t.orders AS lines",
            "total has other columns than query",
        ),
        ("m.margin, p.margin AS", "m.margins, p.margin AS", "no column m.margins"),
        ("AND cost_is_estimated", "AND random() < 1", "function rand is refused"),
        (
            "headline:\n  - en:",
            "headline:\n  - when: sure\n    en:",
            "headline: `figures` gives no 'sure'; it gives revenue",
        ),
        (
            "sections:\n",
            "defines:\n  tips: {title: {en: Tips, fr: Dons}, says: {en: Tips., fr: Dons.}, unit: money}\nsections:\n",
            "defines: no query gives 'tips'",
        ),
    ],
)
def test_what_a_report_asks_is_checked_before_there_are_data(tmp_path: Path, old: str, new: str, says: str) -> None:
    """`dataops check` names file and section."""
    text = (PROJECT / "reports" / "profit_monthly.yml").read_text("utf-8")
    assert old in text
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "profit_monthly.yml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(DeclarationError) as caught:
        report_checking.check(catalogs.load(Paths(PROJECT, PROJECT / "var")), Paths(tmp_path, tmp_path / "var"))
    assert says in str(caught.value)
    assert str(caught.value).startswith("reports/profit_monthly.yml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("SELECT r.campaign, c.title", "SELECT c.title AS campaign_title, r.campaign, c.title", "its first column is"),
        ("Conclusion: {conclusion}.", "Conclusion: {result}.", "lead: no column 'result'; about gives campaign"),
        ("when: took", "when: gave", "'took' is a figure without a definition"),
        (
            "r.sibling_effect, r.after_effect,",
            "r.sibling_effect, r.after_effect, r.siblings,",
            "'siblings' is a figure without",
        ),
        ("beside: counterfactual", "beside: anything", "no column 'anything'"),
    ],
)
def test_what_is_said_of_a_part_is_checked_before_there_are_data(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (PROJECT / "reports" / "campaigns.yml").read_text("utf-8")
    assert old in text
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "campaigns.yml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(DeclarationError) as caught:
        report_checking.check(catalogs.load(Paths(PROJECT, PROJECT / "var")), Paths(tmp_path, tmp_path / "var"))
    assert says in str(caught.value)
    assert str(caught.value).startswith("reports/campaigns.yml, section campaign")


def test_the_projects_reports_can_be_made() -> None:
    assert report_checking.check(
        catalogs.load(Paths(PROJECT, PROJECT / "var")), Paths(PROJECT, PROJECT / "var")
    ) == len(list((PROJECT / "reports").glob("*.yml")))
