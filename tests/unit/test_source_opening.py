"""From a URL, or from nothing, to a source; windows as people write them."""

import io
import urllib.error
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataops.declared.errors import DeclarationError
from dataops.sources import Window, download, find_source, open_source

pytestmark = pytest.mark.unit

SCRIPT = """
CREATE TABLE [Sales].[Currency](
    [CurrencyCode] [nchar](3) NOT NULL
) ON [PRIMARY];
BULK INSERT [Sales].[Currency] FROM '$(SqlSamplesSourceDataPath)Currency.csv'
WITH (
    DATAFILETYPE='char',
    FIELDTERMINATOR='\\t',
    ROWTERMINATOR='0x0a'
);
"""


def fails(*_: Any, **__: Any) -> Any:
    """A machine without a network."""
    raise urllib.error.URLError(OSError(113, "No route to host"))


def answers(address: str, timeout: float) -> io.BytesIO:
    """Microsoft's repository, with one table."""
    assert timeout <= 10
    return io.BytesIO((SCRIPT if address.endswith("instawdb.sql") else "USD\n").encode())


def breaks_off(address: str, timeout: float) -> io.BytesIO:
    """A connection that is lost after the first file."""
    if address.endswith("instawdb.sql"):
        return answers(address, timeout)
    raise TimeoutError("timed out")


def test_files_beside_the_project_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "shared/adventureworks/oltp-2014"
    folder.mkdir(parents=True)
    (folder / "instawdb.sql").write_text(SCRIPT)
    (tmp_path / "main").mkdir()
    found = find_source(tmp_path / "main", None)
    assert found.sentence == "Microsoft's install CSVs, found in ../shared/adventureworks/oltp-2014"
    assert open_source(found.url).name == "csv:oltp-2014"


def test_offline_the_generator_stands_in_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", fails)
    found = find_source(tmp_path / "main", tmp_path / "cache")
    assert found.url == "generator:?scale=1&seed=7"
    assert "Download from Microsoft's repository failed: no route to host" in found.sentence
    assert "DATAOPS_SOURCE_URL=csv:<folder> make demo" in found.sentence
    assert all(len(line) <= 80 for line in found.sentence.split("\n"))
    assert list((tmp_path / "cache").iterdir()) == []
    assert open_source(None, project=tmp_path / "main", cache=tmp_path / "cache").name == "generator:scale=1,seed=7"


def test_nothing_stands_in_for_the_source_of_other_tables(tmp_path: Path) -> None:
    contracts = tmp_path / "main" / "contracts" / "raw"
    contracts.mkdir(parents=True)
    (contracts / "a.yml").write_text("x-dataops:\n  source: Sales.Customer\n")
    (contracts / "parcel.yml").write_text("x-dataops: {key: [parcel_id], source: 'Ops.Parcel'}\n")
    with pytest.raises(DeclarationError, match=r"Ops\.Parcel is none of the sample's tables.*DATAOPS_SOURCE_URL"):
        find_source(tmp_path / "main", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_download_is_taken_whole_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", answers)
    found = find_source(tmp_path / "main", tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["oltp-2014"]
    assert open_source(found.url).schema("Sales.Currency").names == ["currency_code"]
    monkeypatch.setattr("urllib.request.urlopen", fails)
    assert find_source(tmp_path / "main", tmp_path / "cache").url == found.url


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", breaks_off)
    assert download.downloaded(tmp_path / "cache") == (None, "timed out")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("cvs:folder", "scheme 'cvs' is unknown, did you mean 'csv'"),
        ("/data/oltp", "is unknown; write csv:"),
        ("csv:", "names no folder"),
        ("csv:/nowhere/at/all", "no such folder or file"),
        ("csv:x?fault=price_x100", "parameter 'fault' is unknown"),
        ("generator:scale=2", "the generator has no path"),
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(url: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        open_source(url)


def test_a_window_is_two_dates_or_timestamps() -> None:
    assert Window.parse("2014-05-01..2014-05-02") == Window(datetime(2014, 5, 1), datetime(2014, 5, 2))
    assert Window.parse("2014-05-01T02:00:00+02:00..2014-05-01T06:30").start == datetime(2014, 5, 1)
    assert str(Window.parse("2014-05-01..2014-05-01T06:30")) == "2014-05-01..2014-05-01T06:30:00"


@pytest.mark.parametrize("text", ["", "2014-05-01", "2014-05-01..", "..", "2014-05-32..2014-06-01", "b..a", "1..2"])
def test_a_bad_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DeclarationError, match=r"write 2026-05-01\.\.2026-05-02"):
        Window.parse(text)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(DeclarationError, match="its start is not before its end"):
        Window.parse("2014-05-02..2014-05-02")


@given(st.lists(st.datetimes(), min_size=2, max_size=2, unique=True).map(sorted))
def test_a_printed_window_reads_back(moments: list[datetime]) -> None:
    window = Window(*moments)
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize("scheme", ["postgresql", "mssql"])
def test_an_address_with_two_ats_is_refused_without_repeating_it(scheme: str) -> None:
    with pytest.raises(DeclarationError, match="more than one @ before its host; write %40") as caught:
        open_source(f"{scheme}://me:Winter@Secret99@host:5432/db")
    assert "Secret99" not in str(caught.value)
