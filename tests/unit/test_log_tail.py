"""The end of a log is cut off only where nothing but an unacknowledged commit can be lost."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dataops.warehouse import log_tail

pytestmark = pytest.mark.unit


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file whose log holds three commits."""
    file = tmp_path / "w.duckdb"
    with duckdb.connect(str(file), config={"checkpoint_threshold": "1TB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        for number in range(3):
            connection.execute(f"CREATE TABLE t{number} AS SELECT 'x' || range AS a FROM range(500)")
    return file


def _log(file: Path) -> Path:
    return file.with_name("w.duckdb.wal")


def _tables(file: Path) -> list[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]


def _spoil(log: Path, at: int) -> None:
    content = bytearray(log.read_bytes())
    content[at : at + 64] = bytes(64)
    log.write_bytes(content)


def test_a_hole_in_the_last_commit_cuts_that_commit_and_keeps_the_log_aside(place: Path, tmp_path: Path) -> None:
    log, aside = _log(place), tmp_path / "aside"
    _spoil(log, log.stat().st_size - 1000)
    spoilt = log.read_bytes()
    with pytest.raises(duckdb.Error, match="replaying WAL"):
        _tables(place)
    gone = log_tail.cut(log, aside)
    assert 1000 < gone < len(spoilt) / 2
    assert aside.read_bytes() == spoilt
    assert _tables(place) == ["t0", "t1"]


def test_a_hole_before_the_last_commit_is_not_explained_by_a_power_cut(place: Path, tmp_path: Path) -> None:
    log = _log(place)
    _spoil(log, log.stat().st_size // 2)
    spoilt = log.read_bytes()
    assert log_tail.cut(log, tmp_path / "aside") == 0
    assert log.read_bytes() == spoilt


@pytest.mark.parametrize("content", [None, b"", b"junk", b"\xff\xff" * 40, bytes(10_000)])
def test_a_whole_log_or_something_else_altogether_is_left_alone_or_emptied_of_nothing(
    place: Path, tmp_path: Path, content: bytes | None
) -> None:
    log = _log(place)
    if content is not None:
        log.write_bytes(content)
    before = log.read_bytes()
    gone = log_tail.cut(log, tmp_path / "aside")
    assert log.read_bytes() == before[: len(before) - gone]
    assert content is not None or gone == 0
