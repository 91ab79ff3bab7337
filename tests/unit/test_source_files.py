"""Files of any project: read as their contract says that they are written, or refused."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.sources import Follow, Request, Source, Window, open_source

pytestmark = pytest.mark.unit
TABLE, LINES = "Ops.Parcel", "Ops.Stop"
WHY = "severity: critical, why: It is a test."
CONTRACT = """dataset: raw/{table}
x-dataops:
  group: depot
  source: {source}
  key: [{key}]
  owner: t@example.com
{file}columns:
{columns}checks:
  - row_count: {{name: some, attributes: {{rule: TST-901, {why}}}}}
  - duplicate: {{columns: [{key}], name: unique, attributes: {{rule: TST-902, {why}}}}}
"""
COLUMNS = {
    "parcel_id": "integer", "town": "varchar", "fee": "numeric", "sent": "timestamp", "on_day": "date",
    "open": "boolean",
}  # fmt: skip
HEAD = "Parcel ID,Ort,FEE,sent,onday,open\n"
ROWS = '1,"Kiel, N",12.50,2024-05-01 10:00:00.1234567,2024-05-01,1\n2,,,,,0\n'
FIRST = (1, "Kiel, N", Decimal("12.50"), datetime(2024, 5, 1, 10, 0, 0, 123457), date(2024, 5, 1), True, None)


def project(folder: Path, file: str = "", columns: dict[str, str] = COLUMNS) -> Path:
    """Contracts of a table of parcels, and of the stops that follow them."""
    (folder / "contracts" / "raw").mkdir(parents=True, exist_ok=True)
    declare(folder, "parcel", TABLE, "parcel_id", columns, file)
    declare(folder, "stop", LINES, "stop_id", {"stop_id": "integer", "parcel_id": "integer"}, "")
    return folder


def declare(folder: Path, table: str, source: str, key: str, columns: dict[str, str], file: str) -> None:
    lines = []
    for name, kind in columns.items():
        lines += [f"  - name: {name}", f"    data_type: {kind}"]
        lines += ["    source_name: Ort"] if name == "town" else []
        lines += ["    numeric_precision: 12", "    numeric_scale: 2"] if kind == "numeric" else []
        check = f"missing: {{name: there, attributes: {{rule: TST-903, {WHY}}}}}"
        lines += [f"    checks: [{{{check}}}]"] if name == key else []
    text = CONTRACT.format(
        table=table, source=source, key=key, why=WHY, columns="".join(f"{line}\n" for line in lines),
        file=f"  file: {file}\n" if file else "",
    )  # fmt: skip
    (folder / "contracts" / "raw" / f"{table}.yml").write_text(text, "utf-8")


def delivered(folder: Path, content: str = HEAD + ROWS, name: str = "Parcel.csv") -> Path:
    (folder / "in").mkdir(exist_ok=True)
    file = folder / "in" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return folder / "in"


def opened(folder: Path, place: object) -> Source:
    return open_source(f"files:{place}", project=folder)


def rows(source: Source, table: str = TABLE, **options: Any) -> list[tuple[Any, ...]]:
    read = source.read(Request(table, source.schema(table), **options)).read_all()
    return list(zip(*(column.to_pylist() for column in read.columns), strict=True))


def test_columns_are_found_by_their_names_and_are_of_the_contracts_types(tmp_path: Path) -> None:
    """Case, blanks and underscores apart, or by `source_name`."""
    source = opened(project(tmp_path), delivered(tmp_path))
    assert source.name == "files:in"
    assert dict(zip(source.schema(TABLE).names, map(str, source.schema(TABLE).types), strict=True)) == {
        "parcel_id": "int32", "town": "string", "fee": "decimal128(12, 2)", "sent": "timestamp[us]",
        "on_day": "date32[day]", "open": "bool",
    }  # fmt: skip
    assert rows(source) == [FIRST, (2, None, None, None, None, False, None)]


def test_what_is_not_agreed_on_is_seen(tmp_path: Path) -> None:
    """By those who compare with the contract: a column more, and one that is not there."""
    source = opened(project(tmp_path), delivered(tmp_path, "parcel_id,colour\n1,red\n"))
    assert source.schema(TABLE).names == ["parcel_id", "colour"]
    with pytest.raises(DataRejected, match=r"Ops\.Parcel has no column town; did the files change, or contracts/raw"):
        source.read(Request(TABLE, pa.schema([("town", pa.string())])))


def bare(delimiter: str) -> str:
    """The same without quotes."""
    return (HEAD + ROWS).replace('"Kiel, N"', "Kiel# N").replace(",", delimiter).replace("#", ",")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("{delimiter: ';'}", (HEAD + ROWS).replace(",", ";").replace('"Kiel; N"', '"Kiel, N"')),
        ("{delimiter: '|', quote: null}", bare("|")),
        ("{delimiter: '<>', quote: null}", bare("<>")),
        ("{quote: \"'\"}", (HEAD + ROWS).replace('"', "'")),
        ("{header: false}", ROWS),
    ],
)  # fmt: skip
def test_the_contract_says_how_a_file_is_written(tmp_path: Path, file: str, content: str) -> None:
    assert rows(opened(project(tmp_path, file), delivered(tmp_path, content)))[0] == FIRST


def test_text_of_another_encoding_is_declared_or_seen(tmp_path: Path) -> None:
    place = delivered(tmp_path)
    (place / "Parcel.csv").write_bytes((HEAD + "1,Börde,1,,,\n").encode("cp1252"))
    assert rows(opened(project(tmp_path, "{encoding: windows-1252}"), place))[0][1] == "Börde"
    assert "holds undecodable bytes" in rows(opened(project(tmp_path), place))[0][-1]


@pytest.mark.parametrize("name", ["Parcel.csv.gz", "sub/2024/Parcel.csv", "with blank #1 50%/Parcel.csv"])
def test_it_is_found_wherever_it_lies_and_unpacked(tmp_path: Path, name: str) -> None:
    assert rows(opened(project(tmp_path), delivered(tmp_path, name=name)))[0] == FIRST


def test_a_zip_a_link_and_a_pattern_are_places_too(tmp_path: Path) -> None:
    place = delivered(project(tmp_path))
    packed = tmp_path / "a b#.zip"
    with zipfile.ZipFile(packed, "w") as made:
        info = zipfile.ZipInfo()
        info.filename = "export\\Parcel.csv"
        made.writestr(info, HEAD + ROWS)
    (tmp_path / "link").symlink_to(place, target_is_directory=True)
    for where in (packed, tmp_path / "link", f"{tmp_path}/i*/*.csv", f"{tmp_path}/i*", place / "Parcel.csv"):
        assert rows(opened(tmp_path, where))[0] == FIRST, where


def test_a_table_may_come_in_many_files(tmp_path: Path) -> None:
    project(tmp_path, "{name: 'days/*.csv'}")
    delivered(tmp_path, "parcel_id,Ort\n3,Ulm\n", "days/b.csv")
    place = delivered(tmp_path, "parcel_id,Ort\n1,Bonn\n2,x\n", "days/a.csv.gz")
    delivered(tmp_path, "parcel_id,Ort\n9,not a day\n", "other/c.csv")
    assert rows(opened(tmp_path, place)) == [(1, "Bonn", None), (2, "x", None), (3, "Ulm", None)]
    delivered(tmp_path, "parcel_id,Street\n4,x\n", "days/c.csv")
    with pytest.raises(DataRejected, match=r"days/a.csv.gz and days/c.csv of Ops.Parcel have other columns"):
        opened(tmp_path, place).schema(TABLE)


@pytest.mark.parametrize("other", ["Parcel.csv.gz", "2024-05-02/Parcel.csv"])
def test_two_files_where_one_is_meant_are_refused_both_named(tmp_path: Path, other: str) -> None:
    """Yesterday's delivery would be read with today's."""
    delivered(tmp_path, name=other)
    source = opened(project(tmp_path), delivered(tmp_path))
    with pytest.raises(DataRejected, match=rf"holds 2 files Parcel\.csv: .*{other}.*; which one is meant"):
        source.schema(TABLE)


def test_a_file_and_its_packed_form_are_one_too_many_for_a_pattern_as_well(tmp_path: Path) -> None:
    delivered(tmp_path, name="Parcel.csv.gz")
    source = opened(project(tmp_path, "{name: 'P*.csv'}"), delivered(tmp_path))
    with pytest.raises(DataRejected, match=r"holds Parcel\.csv and Parcel\.csv\.gz; which one is meant"):
        source.schema(TABLE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEAD + ROWS + "3,cut", "ends in the middle of a row"),
        (HEAD + "1,2\n", "Parcel.csv row 2: 2 fields where Ops.Parcel has 6 columns"),
        (HEAD + ROWS + "\n", "Parcel.csv line 4: an empty line"),
        ("", "no line that names the columns"),
        ("Parcel ID,parcel_id,a,b,c,d\n", "two columns have one name"),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataRejected, match=said):
        rows(opened(project(tmp_path), delivered(tmp_path, content)))


def test_what_cannot_be_read_is_missing_and_described(tmp_path: Path) -> None:
    source = opened(project(tmp_path), delivered(tmp_path, HEAD + "1,Kiel,much,,,\n"))
    assert rows(source)[0][2:3] + rows(source)[0][-1:] == (
        None, "Parcel.csv line 2, fee: 'much' is not a number of 12 digits, 2 of them decimals",
    )  # fmt: skip


def test_windows_and_followers_are_chosen_from_files_too(tmp_path: Path) -> None:
    content = "parcel_id,sent\n1,2024-05-01 10:00:00\n2,2024-05-02 10:00:00\n"
    place = delivered(project(tmp_path, columns={"parcel_id": "integer", "sent": "timestamp"}), content)
    delivered(tmp_path, "stop_id,parcel_id\n1,1\n2,2\n3,1\n", "Stop.csv")
    source, day = opened(tmp_path, place), Window.parse("2024-05-01..2024-05-02")
    assert [row[0] for row in rows(source, window=day, cursor="sent")] == [1]
    follow = Follow(("parcel_id",), TABLE, ("parcel_id",), "sent")
    assert [row[0] for row in rows(source, LINES, window=day, follow=follow)] == [1, 3]


def test_a_delivery_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = opened(project(tmp_path), delivered(tmp_path))
    with pytest.raises(PlatformError, match=r"it was read: the files of Ops\.Parcel"), source.snapshot([TABLE]):
        delivered(tmp_path, HEAD)


def test_parquet_says_its_types_itself(tmp_path: Path) -> None:
    """What a contract has no word for is the type that holds it; a fraction must fit exactly, or the row waits."""
    table = pa.table({
        "Parcel ID": pa.array([1, 2], pa.uint16()), "Ort": pa.array(["a", "b"]).dictionary_encode(),
        "fee": pa.array([0.1, 0.129]),
        "sent": pa.array([datetime(2024, 5, 1, 10, tzinfo=UTC)] * 2, pa.timestamp("ns", "UTC")),
        "on_day": pa.array([date(2024, 5, 1)] * 2, pa.date64()), "open": [True, None],
    })  # fmt: skip
    place = delivered(project(tmp_path, "{format: parquet}"), name="unused.txt")
    pq.write_table(table, place / "Parcel.parquet")
    source = opened(tmp_path, place)
    assert list(map(str, source.schema(TABLE).types)) == [
        "int32", "string", "decimal256(76, 38)", "timestamp[us]", "date32[day]", "bool",
    ]  # fmt: skip
    wanted = pa.schema([("parcel_id", pa.int32()), ("town", pa.string()), ("fee", pa.decimal128(12, 2)),
                        ("sent", pa.timestamp("us")), ("on_day", pa.date32()), ("open", pa.bool_())])  # fmt: skip
    read = source.read(Request(TABLE, wanted)).read_all().to_pylist()
    assert read[0] == {
        "parcel_id": 1, "town": "a", "fee": Decimal("0.10"), "sent": datetime(2024, 5, 1, 10),
        "on_day": date(2024, 5, 1), "open": True, "_problems": None,
    }  # fmt: skip
    assert read[1]["fee"] is None
    assert read[1]["_problems"].startswith("Parcel.parquet line 2, fee: '0.129' is not a number")
    (place / "Parcel.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataRejected, match=r"Parcel\.parquet is no whole Parquet file"):
        source.schema(TABLE)


def test_json_lines_keep_every_digit(tmp_path: Path) -> None:
    """Names as in text; what an object does not have is missing; what cannot be read waits with its line."""
    content = (
        '{"ParcelID": 1, "Ort": "Kiel, N", "fee": 12.50, "sent": "2024-05-01 10:00:00.1234567", "on_day": "2024-05-01",'
        ' "open": true, "more": {"a": 1}}\n{"ParcelID": 2, "fee": null, "open": false}\n'
        '{"ParcelID": 3, "fee": 0.129}\n{"ParcelID": 4, "fee": 1234567890.12}\n{"ParcelID": 5000000000}\n'
    )
    project(tmp_path, "{format: jsonl}")
    source = opened(tmp_path, delivered(tmp_path, content, "Parcel.jsonl.gz"))
    assert source.schema(TABLE).names == [*COLUMNS, "more"]
    wanted = pa.schema([source.schema(TABLE).field(name) for name in COLUMNS])
    read = [tuple(row.values()) for row in source.read(Request(TABLE, wanted)).read_all().to_pylist()]
    assert read[:2] == [FIRST, (2, None, None, None, None, False, None)]
    assert [row[2] for row in read[2:]] == [None, Decimal("1234567890.12"), None]
    assert read[2][-1].startswith("Parcel.jsonl.gz line 3, fee: '0.129' is not a number of 12 digits")
    assert read[4][-1].startswith("Parcel.jsonl.gz line 5, parcel_id: '5000000000' is not a whole number of 32 bits")


@pytest.mark.parametrize(
    "content", ['{"parcel_id": 1}\n{"parcel_id": ', '{"parcel_id": 1}\n[1]\n', '{"Ort": 7}\n', "x\n"]
)
def test_what_is_not_one_object_per_line_is_refused(tmp_path: Path, content: str) -> None:
    source = opened(project(tmp_path, "{format: jsonl}"), delivered(tmp_path, content, "Parcel.jsonl"))
    with pytest.raises(DataRejected, match=r"Parcel\.jsonl is not one JSON object per line: .*deliver it again"):
        source.read(Request(TABLE, pa.schema([("parcel_id", pa.int32()), ("town", pa.string())]))).read_all()


def test_no_object_is_no_row(tmp_path: Path) -> None:
    source = opened(project(tmp_path, "{format: jsonl}"), delivered(tmp_path, "", "Parcel.jsonl"))
    assert rows(source) == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("{formt: csv}", 'unknown key "formt"; did you mean "format"'),
        ("{format: xlsx}", "format"),
        ("{format: parquet, delimiter: ';'}", "delimiter is about text; a parquet file says it itself"),
        ("{delimiter: '||'}", "a delimiter of several characters goes with quote: null only"),
        ("{encoding: latin-1}", "encoding"),
    ],
)
def test_a_dialect_that_means_nothing_is_refused(tmp_path: Path, file: str, said: str) -> None:
    source = opened(project(tmp_path, file), delivered(tmp_path))
    with pytest.raises(DeclarationError, match=said):
        source.schema(TABLE)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"files:.*nothing: there is no such folder, file or match"):
        opened(project(tmp_path), tmp_path / "nothing")
    source = opened(tmp_path, delivered(tmp_path, name="parcels.csv"))
    with pytest.raises(DataRejected, match=r"holds no file Parcel\.csv for Ops\.Parcel; .*contracts/raw/parcel\.yml"):
        source.schema(TABLE)
    with pytest.raises(DataRejected, match=r"no contract of the project has source: Ops\.Other"):
        source.schema("Ops.Other")
    with pytest.raises(DeclarationError, match="names no folder"):
        open_source("files:", project=tmp_path)
