"""What is known of DuckDB's file: a release that changes it must be seen here, not when a file is torn."""

from __future__ import annotations

import struct
from pathlib import Path

import duckdb
import pytest

from dataops.warehouse import rescue
from dataops.warehouse.checksum import checksum

pytestmark = pytest.mark.unit
BLOCK = 262_144


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "w.duckdb"
    with duckdb.connect(str(made)) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS a, 'x' || range AS b FROM range(100000)")
        connection.execute("CHECKPOINT")
        connection.execute("DELETE FROM t WHERE a % 3 = 0")
    return made


def test_every_block_and_header_carries_the_checksum_that_is_computed_here(file: Path) -> None:
    content = file.read_bytes()
    parts = [content[n * rescue.PAGE : (n + 1) * rescue.PAGE] for n in range(3)]
    parts += [content[at : at + BLOCK] for at in range(rescue.HEADERS, len(content), BLOCK)]
    assert len(parts) > 4
    for part in parts:
        assert checksum(part[8:]) == struct.unpack_from("<Q", part)[0]


def test_every_entry_of_the_log_does_too(file: Path) -> None:
    with duckdb.connect(str(file), config={"checkpoint_threshold": "1TB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        for number in range(1, 9):
            connection.execute(f"CREATE TABLE {'n' * number} (a INTEGER)")
    content = rescue.log_of(file).read_bytes()
    at, rests = content.index(b"\xff\xff") + 2, set()
    while at < len(content):
        size, wanted = struct.unpack_from("<QQ", content, at)
        entry = content[at + 16 : at + 16 + size]
        assert checksum(entry) == wanted
        rests.add(size % 8)
        at += 16 + size
    assert len(rests) >= 7, "entries of every length modulo eight were compared"


def test_a_checkpoint_writes_the_header_whose_turn_it_is_and_leaves_the_other(file: Path) -> None:
    before = file.read_bytes()[: rescue.HEADERS]
    with duckdb.connect(str(file)) as connection:
        connection.execute("INSERT INTO t VALUES (1, 'y')")
        connection.execute("CHECKPOINT")
    after = file.read_bytes()[: rescue.HEADERS]
    turns = [[rescue._turn(rescue._slot(headers, slot)) for slot in (1, 2)] for headers in (before, after)]
    assert rescue._slot(before, 0) == rescue._slot(after, 0)
    assert max(turns[1]) == max(turns[0]) + 1
    kept = turns[0].index(max(turns[0])) + 1
    assert rescue._slot(before, kept) == rescue._slot(after, kept)


def test_the_setting_that_stops_duckdb_from_checkpointing_does(file: Path) -> None:
    headers = file.read_bytes()[: rescue.HEADERS]
    with duckdb.connect(str(file), config={"checkpoint_threshold": "1TB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("UPDATE t SET b = b || 'long enough to pass every threshold of DuckDB' || b || b || b || b")
    assert rescue.log_of(file).stat().st_size > 2**20
    assert file.read_bytes()[: rescue.HEADERS] == headers
