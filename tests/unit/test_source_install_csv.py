"""Microsoft's install files as a source: what is read, and what is refused with file and line."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.sources import Follow, Request, Source, Window, delimited, open_source
from dataops.sources.delimited import UNDECODABLE
from dataops.sources.generator.tables import TABLES
from dataops.sources.install_csv import InstallCsv
from dataops.sources.install_script import snake_case

pytestmark = pytest.mark.unit

SHARED = Path(__file__).parents[2] / "../shared/adventureworks"
ORDERS, LINES = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail"
FOLLOW = Follow(("sales_order_id",), ORDERS, ("sales_order_id",), "order_date")

SCRIPT = """
CREATE TYPE [Name] FROM nvarchar(50) NULL;
CREATE TABLE [Shop].[Orders](
    [OrderID] [int] IDENTITY (1, 1) NOT NULL,
    [OrderDate] [datetime] NOT NULL CONSTRAINT [DF] DEFAULT (GETDATE()),
    [Buyer] [Name] NULL,
    [Amount] [money] NOT NULL,
    CONSTRAINT [CK] CHECK ([Amount] >= 0.00)
) ON [PRIMARY];
CREATE TABLE [Shop].[Notes](
    [NoteID] [int] NOT NULL,
    [Body] [XML] NULL,
    [rowguid] uniqueidentifier ROWGUIDCOL NOT NULL
) ON [PRIMARY];
BULK INSERT [Shop].[Orders] FROM '$(SqlSamplesSourceDataPath)Orders.csv'
WITH (
    CODEPAGE='ACP',
    DATAFILETYPE = 'char',
    FIELDTERMINATOR= '\\t',
    ROWTERMINATOR = '0x0a'
);
BULK INSERT [Shop].[Notes] FROM '$(SqlSamplesSourceDataPath)Notes.csv'
WITH (
    CODEPAGE='ACP',
    DATAFILETYPE='widechar',
    FIELDTERMINATOR='+|',
    ROWTERMINATOR='&|\\n'
);
"""
ROWS = b"1\t2014-05-01 00:00:00\tAnn\t10.5\n2\t2014-05-02 00:00:00\tB\xf6rge\t.0000\n3\t2014-05-03 00:00:00\t\t-3\n"
NOTES = (
    "\ufeff1+|\ufeff<a>\r\nb</a>+|{ab1c6f4e-0000-0000-0000-00000000000f}&|\r\n"
    "2+|+|0B1C6F4E-0000-0000-0000-00000000000F&|\r\n"
)


def delivery(
    tmp_path: Path, orders: bytes = ROWS, notes: bytes = NOTES.encode("utf-16-le"), script: str = SCRIPT
) -> Source:
    """A small delivery of two tables."""
    (tmp_path / "instawdb.sql").write_text(script, "utf-8-sig")
    (tmp_path / "Orders.csv").write_bytes(orders)
    (tmp_path / "Notes.csv").write_bytes(notes)
    return InstallCsv(tmp_path)


def table(source: Source, name: str, window: str | None = None, cursor: str | None = None) -> pa.Table:
    """All rows of a table, or those of a window."""
    chosen = Window.parse(window) if window else None
    return source.read(Request(name, source.schema(name), chosen, cursor)).read_all()


@pytest.fixture(scope="module")
def real() -> Iterator[Source]:
    """The 2014 edition."""
    source = open_source(f"csv:{SHARED / 'oltp-2014'}")
    yield source
    source.close()


@pytest.fixture(scope="module")
def newer() -> Iterator[Source]:
    """The 2025 edition, in its archive."""
    source = open_source(f"csv:{SHARED / 'edition-2025.tar.xz'}")
    yield source
    source.close()


def test_all_tables_of_the_2014_edition_read_without_a_problem(real: Source) -> None:
    counts = {}
    for name in TABLES:
        rows = table(real, name)
        assert rows["_problems"].null_count == rows.num_rows, name
        counts[name] = rows.num_rows
    assert len(counts) == 34
    known = {ORDERS: 31_465, LINES: 121_317, "Sales.Customer": 19_820, "Production.Product": 504}
    known |= {"Person.Person": 19_972, "Production.TransactionHistory": 113_443, "Production.WorkOrder": 72_591}
    known |= {"Sales.SalesOrderHeaderSalesReason": 27_647, "Production.TransactionHistoryArchive": 89_253}
    assert known.items() <= counts.items()


def test_sums_of_the_2014_edition_are_the_known_ones_to_the_cent(real: Source) -> None:
    orders, lines = table(real, ORDERS), table(real, LINES)
    assert pc.sum(orders["sub_total"]).as_py() == Decimal("109846381.4039")
    assert pc.sum(orders["tax_amt"]).as_py() == Decimal("10186974.4602")
    assert pc.sum(orders["freight"]).as_py() == Decimal("3183430.2518")
    assert pc.sum(orders["total_due"]).as_py() == Decimal("123216786.1159")
    assert pc.sum(orders["online_order_flag"]).as_py() == 27_659
    assert pc.sum(lines["line_total"]).as_py() == Decimal("109846381.399888")
    assert pc.sum(lines["order_qty"]).as_py() == 274_914


def test_declared_schema_is_that_of_microsofts_script(real: Source) -> None:
    """The generator's committed schemas are those of the real files."""
    generated = open_source("generator:?scale=0.01")
    for name in TABLES:
        assert generated.schema(name).equals(real.schema(name)), name


def test_the_2025_edition_reads_from_its_archive_and_names_the_missing_file(newer: Source) -> None:
    for name in sorted(set(TABLES) - {"Person.Person"}):
        rows = table(newer, name)
        assert rows.num_rows > 0
        assert rows["_problems"].null_count == rows.num_rows, name
    assert pc.sum(table(newer, LINES)["line_total"]).as_py() == Decimal("109846381.399888")
    with pytest.raises(DataRejected, match=r"Person\.csv is missing"):
        table(newer, "Person.Person")


def test_identifiers_are_spelled_alike_in_both_editions(real: Source, newer: Source) -> None:
    assert table(newer, LINES)["rowguid"].combine_chunks() == table(real, LINES)["rowguid"].combine_chunks()


def test_lines_follow_their_orders_window(real: Source) -> None:
    window = Window.parse("2014-05-01..2014-05-02")
    orders = table(real, ORDERS, "2014-05-01..2014-05-02", "order_date")
    lines = real.read(Request(LINES, real.schema(LINES), window, follow=FOLLOW)).read_all()
    assert (orders.num_rows, lines.num_rows) == (227, 3_126)
    assert set(lines["sales_order_id"].to_pylist()) == set(orders["sales_order_id"].to_pylist())


def test_followers_by_a_composite_key_are_found(tmp_path: Path) -> None:
    source = delivery(tmp_path)
    schema = source.schema("Shop.Orders")
    follow = Follow(("order_id", "order_date"), "Shop.Orders", ("order_id", "order_date"), "order_date")
    rows = source.read(Request("Shop.Orders", schema, Window.parse("2014-05-02..2014-05-04"), follow=follow)).read_all()
    assert rows["order_id"].to_pylist() == [2, 3]


def test_a_file_of_the_other_edition_is_refused(tmp_path: Path) -> None:
    shutil.copy(SHARED / "oltp-2014/instawdb.sql", tmp_path)
    with tarfile.open(SHARED / "edition-2025.tar.xz") as tar:
        for file in ("SalesTerritory.csv", "CountryRegion.csv", "Store.csv"):
            stream = tar.extractfile(f"oltp/{file}")
            assert stream is not None
            (tmp_path / file).write_bytes(stream.read())
    for name in ("Sales.SalesTerritory", "Person.CountryRegion", "Sales.Store"):
        with pytest.raises(DataRejected, match="editions must not be mixed"):
            table(InstallCsv(tmp_path), name)


def test_values_are_typed_and_empty_fields_are_null(tmp_path: Path) -> None:
    rows = table(delivery(tmp_path), "Shop.Orders").to_pydict()
    assert rows["buyer"] == ["Ann", "Börge", None]
    assert rows["amount"] == [Decimal("10.5000"), Decimal("0.0000"), Decimal("-3.0000")]
    assert rows["_problems"] == [None] * 3


def test_wide_files_keep_line_breaks_lose_byte_order_marks_and_normalise_identifiers(tmp_path: Path) -> None:
    rows = table(delivery(tmp_path), "Shop.Notes").to_pydict()
    assert rows["body"] == ["<a>\r\nb</a>", None]
    assert rows["rowguid"] == ["AB1C6F4E-0000-0000-0000-00000000000F", "0B1C6F4E-0000-0000-0000-00000000000F"]


@pytest.mark.parametrize("place", ["", "oltp/"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz", "tar.xz"])
def test_any_container_delivers_the_same(tmp_path: Path, kind: str, place: str) -> None:
    plain = tmp_path / "plain"
    inner = plain / place
    inner.mkdir(parents=True)
    delivery(inner)
    path = plain
    if kind == "zip":
        path = tmp_path / "delivery.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in inner.iterdir():
                archive.write(file, f"{place}{file.name}")
    elif kind != "folder":
        path = tmp_path / f"delivery.{kind}"
        with tarfile.open(path, f"w:{kind[4:]}") as tar:  # type: ignore[call-overload]
            tar.add(plain, ".")
    source = open_source(f"csv:{path}")
    assert table(source, "Shop.Orders").num_rows == 3
    assert source.name == f"csv:{path.name}"
    source.close()


LAST_ROW = ROWS.rindex(b"3\t")


@pytest.mark.parametrize("end", range(LAST_ROW + 1, len(ROWS)))
def test_a_file_cut_within_its_last_row_is_refused(tmp_path: Path, end: int) -> None:
    with pytest.raises(DataRejected, match=r"Orders\.csv line 3: the file ends in the middle of a row"):
        table(delivery(tmp_path, orders=ROWS[:end]), "Shop.Orders")


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_wide_file_cut_at_any_byte_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(DataRejected, match=r"Notes\.csv line 3: the file ends in the middle of a row"):
        table(delivery(tmp_path, notes=NOTES.encode("utf-16-le")[:-cut]), "Shop.Notes")


def test_an_empty_wide_file_lacks_its_mark_and_an_empty_plain_file_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match="byte order mark is none"):
        table(delivery(tmp_path, notes=b""), "Shop.Notes")
    assert table(delivery(tmp_path, orders=b""), "Shop.Orders").num_rows == 0


@pytest.mark.parametrize("row", [b"4\t2014-05-04 00:00:00\tAnn\n", b"4\t2014-05-04 00:00:00\tAnn\t1\t1\n", b"\n"])
def test_a_row_of_the_wrong_width_is_refused_with_its_line(tmp_path: Path, row: bytes) -> None:
    with pytest.raises(DataRejected, match=r"Orders\.csv line 4: (\d fields|an empty line) where Shop\.Orders has 4"):
        table(delivery(tmp_path, orders=ROWS + row), "Shop.Orders")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (0, b"x", "line 4, order_id: 'x' is not a whole number of 32 bits"),
        (0, b"0x1F", "line 4, order_id: '0x1F' is not a whole number of 32 bits"),
        (0, b"3000000000", "line 4, order_id: '3000000000' is not a whole number of 32 bits"),
        (1, b"2014-02-30", "line 4, order_date: '2014-02-30' is not a timestamp"),
        (1, b"0000-01-01", "line 4, order_date: '0000-01-01' is not a timestamp"),
        (3, b"NaN", "line 4, amount: 'NaN' is not a number of 19 digits, 4 of them decimals"),
        (3, b"inf", "line 4, amount: 'inf' is not a number"),
        (3, b"9" * 30, "line 4, amount: '999999999999999999999999999999' is not a number"),
        (3, b"1.23456", "line 4, amount: '1.23456' is not a number"),
        (2, b"A\x81nn", "line 4, buyer: 'A\ufffdnn' holds undecodable bytes or NUL"),
        (2, b"A\0nn", "line 4, buyer: 'A\\0nn' holds undecodable bytes or NUL"),
        (3, b"1\0", "line 4, amount: '1\\0' holds undecodable bytes or NUL"),
        (0, b"y" * 80, f"line 4, order_id: '{'y' * 40}' is not"),
    ],
)
def test_an_unreadable_value_is_null_and_described(tmp_path: Path, field: int, value: bytes, said: str) -> None:
    fields = [b"4", b"2014-05-04 00:00:00", b"Ann", b"1"]
    fields[field] = value
    rows = table(delivery(tmp_path, orders=ROWS + b"\t".join(fields) + b"\n"), "Shop.Orders").to_pylist()
    assert rows[3]["_problems"].startswith(f"Orders.csv {said}")
    assert list(rows[3].values())[field] is None
    assert [row["_problems"] for row in rows[:3]] == [None] * 3


def test_several_problems_of_a_row_are_joined_and_its_line_counts_breaks_within_values(tmp_path: Path) -> None:
    row = "x+|+|\ud800&|\r\n".encode("utf-16-le", "surrogatepass")
    rows = table(delivery(tmp_path, notes=NOTES.encode("utf-16-le") + row), "Shop.Notes").to_pylist()
    problems = rows[2]["_problems"].split("; ")
    assert [problem.partition(":")[0] for problem in problems] == [
        "Notes.csv line 4, note_id",
        "Notes.csv line 4, rowguid",
    ]
    assert UNDECODABLE not in rows[2]["_problems"]


@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00", "9999-12-31 23:59:59", "2014-05-01 01:02:03.123000000"])
def test_the_ends_of_the_calendar_are_values(tmp_path: Path, moment: str) -> None:
    rows = table(delivery(tmp_path, orders=f"1\t{moment}\tAnn\t1\n".encode()), "Shop.Orders").to_pylist()
    assert rows[0]["order_date"].isoformat(" ") == moment.removesuffix("000")
    assert rows[0]["_problems"] is None


def test_a_row_whose_cursor_cannot_be_read_is_in_every_window(tmp_path: Path) -> None:
    source = delivery(tmp_path, orders=ROWS + b"4\tnever\tAnn\t1\n")
    for window, ids in (("2014-05-01..2014-05-02", [1, 4]), ("2020-01-01..2020-01-02", [4])):
        assert table(source, "Shop.Orders", window, "order_date")["order_id"].to_pylist() == ids


def test_a_changed_script_is_seen_between_two_reads(tmp_path: Path) -> None:
    source = delivery(tmp_path)
    before = source.schema("Shop.Orders")
    delivery(tmp_path, script=SCRIPT.replace("[Amount] [money]", "[Amount] [decimal](8, 2)"))
    assert before.field("amount").type == pa.decimal128(19, 4)
    assert source.schema("Shop.Orders").field("amount").type == pa.decimal128(8, 2)


def test_a_delivery_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = delivery(tmp_path)
    with source.snapshot(["Shop.Orders", "Shop.Notes"]):
        table(source, "Shop.Orders")
    with (
        pytest.raises(PlatformError, match=r"changed while it was read: Orders\.csv\. The batch mixes two deliveries"),
        source.snapshot(["Shop.Orders"]),
    ):
        (tmp_path / "Orders.csv").write_bytes(ROWS * 2)


def test_a_file_larger_than_a_read_is_cut_between_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table(delivery(tmp_path), "Shop.Notes")
    for size in range(2, 20):
        monkeypatch.setattr(delimited, "_CHUNK", size)
        assert table(delivery(tmp_path), "Shop.Notes").combine_chunks() == whole.combine_chunks()
        assert table(delivery(tmp_path), "Shop.Orders").num_rows == 3


def test_a_file_without_row_ends_is_not_collected_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_CHUNK", 16)
    monkeypatch.setattr(delimited, "_LONGEST_ROW", 100)
    with pytest.raises(DataRejected, match=r"Orders\.csv line 1: no end of row within 100 characters"):
        table(delivery(tmp_path, orders=b"x" * 1000), "Shop.Orders")


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_CHUNK", 1 << 16)
    peaks = []
    for times in (20_000, 100_000):
        source, start, peak = delivery(tmp_path, orders=ROWS * times), pa.total_allocated_bytes(), 0
        for batch in source.read(Request("Shop.Orders", source.schema("Shop.Orders"))):
            peak = max(peak, pa.total_allocated_bytes() - start + batch.nbytes)
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]


def test_windows_line_ends_are_read_and_a_wrong_mark_is_refused(tmp_path: Path) -> None:
    assert table(delivery(tmp_path, orders=ROWS.replace(b"\n", b"\r\n")), "Shop.Orders").to_pylist()[2]["amount"] == -3
    with pytest.raises(DataRejected, match="byte order mark is UTF-16"):
        table(delivery(tmp_path, orders=ROWS.decode("cp1252").encode("utf-16")), "Shop.Orders")
    with pytest.raises(DataRejected, match="written in UTF-8"):
        table(delivery(tmp_path, orders=ROWS.decode("cp1252").encode()), "Shop.Orders")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    source = delivery(tmp_path)
    with pytest.raises(DataRejected, match=r"no table Shop\.Order: instawdb\.sql loads 2"):
        source.schema("Shop.Order")
    with pytest.raises(DataRejected, match=r"Shop\.Orders has no column colour"):
        source.read(Request("Shop.Orders", pa.schema([("colour", pa.string())])))
    (tmp_path / "Orders.csv").unlink()
    with pytest.raises(DataRejected, match=r"Orders\.csv is missing"):
        table(source, "Shop.Orders")
    (tmp_path / "instawdb.sql").unlink()
    with pytest.raises(DataRejected, match=r"instawdb\.sql is missing"):
        source.schema("Shop.Orders")
    with pytest.raises(DataRejected, match=r"holds no instawdb\.sql"):
        InstallCsv(tmp_path)
    with pytest.raises(DeclarationError, match="no such folder"):
        InstallCsv(tmp_path / "nowhere")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    whole = (SHARED / "edition-2025.tar.xz").read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 100])
    with pytest.raises(DataRejected, match=r"cut\.tar\.xz"):
        open_source(f"csv:{tmp_path / 'cut.tar.xz'}")
    (tmp_path / "not.zip").write_bytes(b"hello")
    with pytest.raises(DataRejected, match="neither a folder nor a whole zip or tar"):
        open_source(f"csv:{tmp_path / 'not.zip'}")


def test_names_become_snake_case() -> None:
    names = ["SalesOrderID", "SalesYTD", "rowguid", "BillToAddressID", "Group", "PurchasingWebServiceURL", "BOMLevel"]
    assert [snake_case(name) for name in names] == [
        "sales_order_id",
        "sales_ytd",
        "rowguid",
        "bill_to_address_id",
        "group",
        "purchasing_web_service_url",
        "bom_level",
    ]
