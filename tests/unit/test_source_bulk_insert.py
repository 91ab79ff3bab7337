"""What an install script says of its files is obeyed, or refused by name: options, types, line ends, containers."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataops.declared.errors import DataRejected
from dataops.sources import Request, delimited, open_source, quoted
from dataops.sources.bulk_insert import written
from dataops.sources.install_csv import InstallCsv

pytestmark = pytest.mark.unit
TABLE = "Ops.Depot"
PLAIN = "FIELDTERMINATOR=',', ROWTERMINATOR='\\n'"
CSV = "FORMAT='CSV', CODEPAGE='65001'"
SCRIPT = """CREATE TABLE [Ops].[Depot](
    [DepotID] [int] NOT NULL,
    [Town] [nvarchar](50) NULL,
    [Opened] {kind} NULL
) ON [PRIMARY];
BULK INSERT [Ops].[Depot] FROM '$(Path)Depot.csv' WITH ({options});
"""


def delivery(folder: Path, content: bytes, options: str = PLAIN, kind: str = "[date]") -> Path:
    """One table, as a script with these options says."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instawdb.sql").write_text(SCRIPT.format(kind=kind, options=options), "utf-8")
    (folder / "Depot.csv").write_bytes(content)
    return folder


def rows(folder: Path) -> list[tuple[Any, ...]]:
    source = InstallCsv(folder)
    read = source.read(Request(TABLE, source.schema(TABLE))).read_all()
    return list(zip(*(column.to_pylist() for column in read.columns), strict=True))


def ids(folder: Path) -> list[int]:
    return [row[0] for row in rows(folder)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("DATA_SOURCE = 'blob'", "option DATA_SOURCE is not understood"),
        ("FORMATFILE='x.fmt'", "option FORMATFILE is not understood"),
        ("CODEPAGE='OEM'", "CODEPAGE = 'OEM' is not understood; known are ACP, 1252, 65001"),
        ("DATAFILETYPE='native'", "DATAFILETYPE = 'native' is not understood; known are char, widechar"),
        ("FORMAT='PARQUET'", "FORMAT = 'PARQUET' is not understood; known are CSV"),
        ("FIELDQUOTE='\"'", "FIELDQUOTE is for FORMAT = 'CSV' only"),
        ("FORMAT='CSV', FIELDQUOTE='<>'", "is not one character"),
        ("FIRSTROW='two'", "FIRSTROW = 'two' is no number"),
        ("TABLOCK; DROP TABLE x", "the options near"),
    ],
)
def test_an_option_that_is_not_understood_is_refused_by_its_name(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(DataRejected, match=rf"instawdb\.sql: Ops\.Depot: .*{said}"):
        rows(delivery(tmp_path, b"1,Kiel,2014-05-01\n", options))


def test_options_that_say_how_the_server_writes_change_nothing() -> None:
    load = "CHECK_CONSTRAINTS, batchsize = 500, ORDER (a ASC, b DESC), KEEPIDENTITY, MAXERRORS=0, ERRORFILE='x,y'"
    assert written(f"{load},\n  FieldTerminator = N',', TABLOCK", "x") == written("FIELDTERMINATOR=','", "x")


@pytest.mark.parametrize(("text", "meant"), [("0x1f", "\x1f"), (r"\t", "\t"), ("0x0d0A", "\r\n"), ("''", "'")])
def test_terminators_are_what_their_escapes_mean(text: str, meant: str) -> None:
    assert written(f"FIELDTERMINATOR='{text}'", "x").field_terminator == meant


@pytest.mark.parametrize("options", [PLAIN, CSV])
@pytest.mark.parametrize("chunk", [4, 1 << 20])
def test_first_and_last_row_leave_out_what_lies_around_them(
    tmp_path: Path, options: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header row may be of any width."""
    monkeypatch.setattr(delimited, "_CHUNK", chunk)
    monkeypatch.setattr(quoted, "_BLOCK", 64)
    body = b"".join(b"%d,Kiel,2014-05-01\n" % number for number in range(1, 10))
    assert ids(delivery(tmp_path, b"header,\n" + body, f"{options}, FIRSTROW=2")) == list(range(1, 10))
    assert ids(delivery(tmp_path, b"header,\n" + body, f"{options}, FIRSTROW=4, LASTROW=7")) == [3, 4, 5, 6]
    assert ids(delivery(tmp_path, body, f"{options}, FIRSTROW=0, LASTROW=1")) == [1]
    assert ids(delivery(tmp_path, body, f"{options}, FIRSTROW=20")) == []


def test_quoted_fields_hold_terminators_line_ends_and_quotes(tmp_path: Path) -> None:
    content = b'"1","Kiel, \n""north""",2014-05-01\r\n2,,2014-05-02\n3,"5"" pipe",soon\n'
    assert rows(delivery(tmp_path, content, CSV)) == [
        (1, 'Kiel, \n"north"', datetime(2014, 5, 1).date(), None),
        (2, None, datetime(2014, 5, 2).date(), None),
        (3, '5" pipe', None, "Depot.csv line 4, opened: 'soon' is not a date"),
    ]
    assert ids(delivery(tmp_path, b"", CSV)) == []
    assert ids(delivery(tmp_path, b"1;'a;b';2014-05-01\n", "FORMAT='CSV', FIELDQUOTE='''', FIELDTERMINATOR=';'")) == [1]


@pytest.mark.parametrize("options", [PLAIN, CSV])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1,Kiel,2014-05-01\n2,Bonn,2014-05-0", "ends in the middle of a row"),
        (b"1,Kiel,2014-05-01\n2,Bonn\n", "2: 2 fields where Ops.Depot has 3"),
        (b"1,Kiel,2014-05-01\n\n", "line 2: an empty line where Ops.Depot has 3"),
    ],
)
def test_what_is_not_a_whole_file_is_refused(tmp_path: Path, options: str, content: bytes, said: str) -> None:
    with pytest.raises(DataRejected, match=said):
        rows(delivery(tmp_path, content, options))


@pytest.mark.parametrize("content", [b'1,"Kiel",2014-05-01\n2,Bonn,"2014-05-01\n', b'1,"Kiel,2014-05-01\n'])
def test_a_quote_that_is_never_closed_is_a_file_that_was_cut(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataRejected, match=r"Depot.csv.*cut short"):
        rows(delivery(tmp_path, content, CSV))


def test_quoted_fields_want_terminators_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match="one character between fields"):
        rows(delivery(tmp_path, b"1||Kiel||2014-05-01\n", f"{CSV}, FIELDTERMINATOR='||'"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1,Kiel,x\n2,Bonn,y\r\n3,Ulm,z\n", "line 2: it ends with CR LF, lines before it with LF"),
        (b"1,Kiel,x\r\n2,Bonn,y\n3,Ulm,z\r\n", "line 2: it ends with LF, lines before it with CR LF"),
    ],
)
def test_a_file_has_one_line_end(tmp_path: Path, content: bytes, said: str) -> None:
    """Or the last column would be published with a carriage return at its end."""
    with pytest.raises(DataRejected, match=said):
        rows(delivery(tmp_path, content, kind="[nvarchar](9)"))


def test_a_row_end_of_several_characters_comes_with_one_line_end_too(tmp_path: Path) -> None:
    options = "FIELDTERMINATOR=',', ROWTERMINATOR='|\\n'"
    assert ids(delivery(tmp_path, b"1,Kiel\n,x|\n2,Bonn,y|\n", options, "[nvarchar](9)")) == [1, 2]
    with pytest.raises(DataRejected, match="line 3: it ends with CR LF"):
        rows(delivery(tmp_path, b"1,Kiel\n,x|\n2,Bonn,y|\r\n3,Ulm,z|\n", options, "[nvarchar](9)"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("[datetime2](7)", "2024-05-01 10:00:00.0000000", datetime(2024, 5, 1, 10)),
        ("[datetime2](7)", "2024-05-01 10:00:00.1234564", datetime(2024, 5, 1, 10, 0, 0, 123456)),
        ("[datetime2](7)", "2024-05-01 23:59:59.9999995", datetime(2024, 5, 2)),
        ("[datetime2]", "2024-05-01 10:00:00", datetime(2024, 5, 1, 10)),
        ("datetime2(3)", "9999-12-31 23:59:59.999", datetime(9999, 12, 31, 23, 59, 59, 999000)),
        ("[smalldatetime]", "2024-05-01 10:00:00", datetime(2024, 5, 1, 10)),
        ("[datetimeoffset](7)", "2024-05-01 10:00:00.0000005 +02:00", datetime(2024, 5, 1, 8, 0, 0, 1)),
        ("[datetimeoffset]", "2024-05-01 10:00:00-05:30", datetime(2024, 5, 1, 15, 30)),
        ("[decimal](12,2)", "1.50", Decimal("1.50")),
        ("[numeric](9)", "7", Decimal(7)),
        ("[decimal]", "7", Decimal(7)),
        ("[float]", "1.5E-3", Decimal("0.0015")),
        ("[real]", "2.25", Decimal("2.25")),
        ("[time](7)", "10:00:00.0000000", "10:00:00.0000000"),
        ("[uniqueidentifier]", "{ab1c6f4e-0000-0000-0000-00000000000f}", "AB1C6F4E-0000-0000-0000-00000000000F"),
    ],
)
def test_types_are_those_of_sql_server(tmp_path: Path, kind: str, text: str, value: object) -> None:
    assert rows(delivery(tmp_path, f"1,Kiel,{text}\n".encode(), kind=kind)) == [(1, "Kiel", value, None)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("[datetime2](7)", "0000-01-01 00:00:00"), ("[datetimeoffset]", "2024-05-01 10:00:00"), ("[float]", "much")],
)
def test_what_is_no_value_of_the_type_is_missing_and_described_with_its_text(
    tmp_path: Path, kind: str, text: str
) -> None:
    [(_, _, value, problem)] = rows(delivery(tmp_path, f"1,Kiel,{text}\n".encode(), kind=kind))
    assert value is None
    assert f"Depot.csv line 1, opened: '{text}' is not a" in problem


def test_a_type_that_is_not_known_is_refused_by_its_name(tmp_path: Path) -> None:
    """It would have become text."""
    with pytest.raises(DataRejected, match=r"Ops\.Depot\.Opened is of type sql_variant, which is not known"):
        rows(delivery(tmp_path, b"1,Kiel,x\n", kind="[sql_variant]"))


def test_columns_that_differ_in_case_only_are_named(tmp_path: Path) -> None:
    script = delivery(tmp_path, b"1,Kiel,x\n", kind="[nvarchar](9)") / "instawdb.sql"
    script.write_text(script.read_text("utf-8").replace("[Opened]", "[TOWN]"), "utf-8")
    with pytest.raises(DataRejected, match="has columns Town and TOWN, which are both town here"):
        rows(tmp_path)


def test_a_statement_that_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    folder = delivery(tmp_path, b"1,Kiel,2014-05-01\n")
    script = folder / "instawdb.sql"
    script.write_text(script.read_text("utf-8") + "\nBULK INSERT Ops.Depot FROM @file;\n", "utf-8")
    with pytest.raises(DataRejected, match=r"instawdb\.sql line 8: this statement cannot be read: BULK INSERT Ops"):
        rows(folder)


def archived(folder: Path, kind: str, names: dict[str, Path]) -> Path:
    """A zip or tar of these members."""
    target = folder / f"delivery.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as made:
            for name, file in names.items():
                info = zipfile.ZipInfo()
                info.filename = name  # as it is: the constructor would make slashes of backslashes
                made.writestr(info, file.read_bytes())
        return target
    with tarfile.open(target, "w") as tar:
        for name, file in names.items():
            info_of_member = tarfile.TarInfo(name)
            info_of_member.size = file.stat().st_size
            tar.addfile(info_of_member, io.BytesIO(file.read_bytes()))
    return target


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_windows_wrote_is_read(tmp_path: Path, kind: str) -> None:
    folder = delivery(tmp_path / "in", b"1,Kiel,2014-05-01\n")
    names = {f"export\\2024-05\\{file.name}": file for file in folder.iterdir()}
    assert ids(archived(tmp_path, kind, names)) == [1]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_two_deliveries_in_one_place_are_refused_both_named(tmp_path: Path, kind: str) -> None:
    """The oldest would have been read, whichever came."""
    place = tmp_path / "in"
    days = [delivery(place / day, b"1,Kiel,2014-05-01\n") for day in ("2024-05-01", "2024-05-02")]
    if kind != "folder":
        place = archived(tmp_path, kind, {f"{day.name}/{file.name}": file for day in days for file in day.iterdir()})
    with pytest.raises(DataRejected, match=r"holds 2 deliveries, in 2024-05-01/, 2024-05-02/"):
        open_source(f"csv:{place}").schema(TABLE)
    assert ids(days[1]) == [1]
