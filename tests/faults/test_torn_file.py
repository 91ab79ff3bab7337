"""A kill in a checkpoint tears the warehouse's file: it is healed, or it is said what stands; never is it lost."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from dataops.declared import failpoint
from dataops.warehouse import duckdb_file, rescue
from tests.support.checkpoint_kills import Warehouse
from tests.support.crash import Child, hold_open, kill_at, run, wait_until
from tests.support.crash_tracing import injected
from tests.support.oracle import (
    Place,
    Stages,
    healed,
    published,
    standing,
    take,
    without_incidents,
)
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("DATAOPS_TEST_KILLS", "300"))
PROJECT = Path(__file__).resolve().parents[2]
STEP = "publish days"


def _file(place: Place) -> Path:
    return place.home / "warehouse.duckdb"


def _interrupted(stages: Stages, step: str = STEP) -> Place:
    """Killed right before a checkpoint began: the step's first COMMIT stands in the log, the rescue lies there."""
    place = stages.before(step)
    kill_at("rescue_written", take, place, step)
    assert rescue.beside(_file(place)).exists()
    return place


def _tear(file: Path, kept: rescue.Kept | None = None) -> None:
    """Ends the write of every block of metadata between two pages, as a kill does: the rest is something else."""
    kept = kept or rescue.read(file)
    assert kept
    assert kept.blocks
    with file.open("r+b") as stream:
        for number, content in kept.blocks.items():
            stream.seek(rescue.HEADERS + number * len(content) + len(content) // 2)
            stream.write(os.urandom(len(content) // 2))


def _torn(stages: Stages, step: str = STEP) -> Place:
    place = _interrupted(stages, step)
    _tear(_file(place))
    return place


def _said(place: Place, step: str = STEP) -> list[str]:
    """Takes the step; the platform's own warnings. For a child."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("dataops").addHandler(handler)
    take(place, step)
    return heard


def _look(place: Place) -> list[tuple[Any, ...]]:
    """What somebody does who only reads. For a child."""
    return fetch(place.open(), "SELECT COUNT(*) FROM ops.publications")


def _ends_in_s_star(stages: Stages, place: Place, step: str = STEP, torn: int = 1) -> None:
    run(take, place, step).done  # noqa: B018  fails when the step raised
    assert healed(place) == torn
    assert without_incidents(standing(place), torn) == without_incidents(stages[step].next, torn)
    assert not list(place.home.glob("warehouse.duckdb.*")) or [
        path.name for path in place.home.glob("warehouse.duckdb.*")
    ] == ["warehouse.duckdb.wal"]


def test_kills_aimed_at_the_checkpoint_lose_no_file_and_no_commit() -> None:
    command = [sys.executable, "-m", "tests.support.checkpoint_kills", "--kills", str(KILLS)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    print(done.stdout)  # noqa: T201  the seed, to repeat it
    found = json.loads(done.stdout)
    assert found["kills"] >= KILLS
    assert (found["unreadable"], found["lost"], found["faults"]) == (0, 0, [])
    assert found["healed"] == found["torn"]


@pytest.mark.parametrize("look", [_look, _said])
def test_a_torn_file_is_healed_proven_and_reported_by_whoever_opens_it(
    duckdb_stages: Stages, look: Callable[[Place], Any]
) -> None:
    place = _torn(duckdb_stages)
    with pytest.raises(duckdb.IOException, match="Corrupt database file"):
        duckdb.connect(str(_file(place)), read_only=True)
    run(look, place).done  # noqa: B018  fails when it raised
    row = fetch(place.open(), "SELECT sentence, state, detail FROM ops.incidents WHERE kind = 'warehouse'")[0]
    assert row[0].startswith("the warehouse file was torn by a kill and healed: ")
    assert "nothing was lost" in row[0]
    assert row[1] == "open"
    assert row[2]["torn_blocks"]
    assert [(row[2]["receipts_proven"],)] == fetch(place.open(), "SELECT COUNT(*) FROM ops.publications")
    _ends_in_s_star(duckdb_stages, place)


def test_healing_is_told_once(duckdb_stages: Stages) -> None:
    place = _torn(duckdb_stages)
    heard = run(_said, place).done
    assert [" had been torn by a kill and was healed: " in line for line in heard] == [True], heard
    assert run(_said, place).done == []
    assert healed(place) == 1


@pytest.mark.parametrize("point", ["healing", "healed", "healing_told", "healing_proven"])
def test_a_kill_while_healing_is_healed_too(duckdb_stages: Stages, point: str) -> None:
    place = _torn(duckdb_stages)
    kill_at(point, take, place, STEP)
    _ends_in_s_star(duckdb_stages, place)


def test_without_a_rescue_a_torn_file_is_named_with_what_stands_and_left_as_it_is(duckdb_stages: Stages) -> None:
    place = _torn(duckdb_stages)
    rescue.beside(_file(place)).unlink()
    before = _file(place).read_bytes()
    for look in (take, _look):
        found = run(look, place, *([STEP] if look is take else []))
        assert found.raised[0] == "PlatformError", found.trace
        assert "warehouse.duckdb is damaged: IO Error: Corrupt database file" in found.text
        assert "readers' copy  published.duckdb, as of curated-0001 (20" in found.text
        assert "backup         none" in found.text
        assert "To begin anew" in found.text
    assert _file(place).read_bytes() == before


def test_a_file_that_is_damaged_elsewhere_too_is_not_called_healed(duckdb_stages: Stages) -> None:
    """A block of rows rotted: every table is read before the rescue is given up."""
    place = _torn(duckdb_stages)
    kept = rescue.read(_file(place))
    assert kept
    with _file(place).open("r+b") as stream:
        blocks = range((_file(place).stat().st_size - rescue.HEADERS) // 262_144)
        for block in (n for n in blocks if n not in kept.blocks):  # some are free, which nobody reads
            stream.seek(rescue.HEADERS + block * 262_144 + 1000)
            stream.write(os.urandom(1000))
    for look in (take, _look):
        found = run(look, place, *([STEP] if look is take else []))
        assert found.raised[0] == "PlatformError", found.trace
        assert "was put back, which did not heal it" in found.text
        assert "readers' copy  " in found.text
    assert rescue.beside(_file(place)).exists()


def test_a_rotten_block_of_numbers_is_found_by_reading_everything(tmp_path: Path) -> None:
    """A count of such a column is answered from statistics and finds nothing."""
    file = tmp_path / "w.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t AS SELECT CAST(random() * 1e15 AS BIGINT) AS a FROM range(200000)")
    with file.open("r+b") as stream:
        stream.seek(rescue.HEADERS + 9000)
        stream.write(os.urandom(64))
    engine = sa.create_engine(f"duckdb:///{file}?access_mode=READ_ONLY")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(a) FROM t").scalar_one() == 200_000
        with pytest.raises(sa.exc.DBAPIError, match="Corrupt database file"):
            duckdb_file.read_all(connection)


def test_no_other_program_gets_in_while_blocks_are_kept_aside(duckdb_stages: Stages, tmp_path: Path) -> None:
    """POSIX frees DuckDB's lock when its process closes any descriptor of the file, so none of our own is opened."""
    place, go = duckdb_stages.before(STEP), tmp_path / "go"
    writer = Child(take, place, STEP, failpoint=f"rescue_written=wait:{go}")
    writer.reach()
    with pytest.raises(duckdb.IOException, match="Could not set lock on file"):
        duckdb.connect(str(_file(place)))
    go.touch()
    assert writer.outcome().done == "published"


def test_who_comes_while_another_process_checkpoints_waits_for_its_end(duckdb_stages: Stages, tmp_path: Path) -> None:
    place, go = duckdb_stages.before(STEP, lock_seconds=60), tmp_path / "go"
    writer = Child(take, place, STEP, failpoint=f"checkpointed=wait:{go}")
    writer.reach()
    reader = Child(_look, place)
    wait_until(reader.started, 60, "the reader")
    go.touch()
    assert writer.outcome().done == "published"
    assert reader.outcome().done
    assert standing(place) == duckdb_stages[STEP].next


def _forge(place: Place) -> None:
    with place.open().warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE ops.publications SET reason = 'forged' WHERE seq = 1")


def test_a_healed_file_whose_receipts_do_not_hold_is_not_gone_on_with(duckdb_stages: Stages) -> None:
    place = duckdb_stages.before(STEP)
    run(_forge, place).done  # noqa: B018  fails when it raised
    kill_at("rescue_written", take, place, STEP)
    _tear(_file(place))
    found = run(_look, place)
    assert found.raised[0] == "PlatformError", found.trace
    assert "reference-0001 is not the record that its receipt was made of" in found.text
    assert "dataops warehouse restore" in found.text
    for name in ("healed", "rescue"):
        (place.home / f"warehouse.duckdb.{name}").unlink()
    assert run(_look, place).done


def test_a_missing_file_is_no_reason_for_a_new_empty_one(duckdb_stages: Stages) -> None:
    place = duckdb_stages.before(STEP)
    _file(place).unlink()
    for look in (take, _look):
        found = run(look, place, *([STEP] if look is take else []))
        assert found.raised[0] == "PlatformError", found.trace
        assert "warehouse.duckdb is gone" in found.text
        assert "(left: published.duckdb)" in found.text
    assert not _file(place).exists()


def _truncated(file: Path) -> None:
    place = rescue.beside(file)
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def _of_another_file(file: Path) -> None:
    """A warehouse of the same release at the same number of checkpoints, with other rows."""
    folder = file.parent / "other"
    folder.mkdir()
    other = Warehouse(folder, healing=True)
    with duckdb.connect(str(other.file)) as connection:
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.log (k BIGINT); CREATE TABLE s.t0 (a BIGINT)")
    _keep(other.file)
    rescue.beside(other.file).replace(rescue.beside(file))
    shutil.rmtree(folder)


def _keep(file: Path) -> None:
    """A rescue as before a checkpoint, which is then not made."""
    with duckdb.connect(str(file), config={"checkpoint_threshold": "1TB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("CREATE TABLE IF NOT EXISTS left_over (a BIGINT)")
        blocks = [row[0] for row in connection.execute("SELECT block_id FROM pragma_metadata_info()").fetchall()]
        descriptor = duckdb_file.own_descriptor(file)
        assert descriptor is not None
        rescue.keep(file, descriptor, blocks, 262_144)


@pytest.mark.parametrize("spoil", [_truncated, _of_another_file])
def test_a_rescue_that_does_not_fit_heals_nothing_and_harms_nothing(
    duckdb_stages: Stages, spoil: Callable[[Path], None]
) -> None:
    """On a torn file it is an error, on a sound one a warning; it is set aside in both cases."""
    torn, sound = _torn(duckdb_stages), _interrupted(duckdb_stages)
    before = _file(torn).read_bytes()
    for place in (torn, sound):
        spoil(_file(place))
    found = run(take, torn, STEP)
    assert found.raised[0] == "PlatformError"
    assert "No rescue that belongs to it" in found.text
    assert _file(torn).read_bytes() == before
    heard = run(_said, sound).done
    assert [line for line in heard if "set aside as" in line], heard
    assert (sound.home / "warehouse.duckdb.rescue.unused").exists()
    assert standing(sound) == duckdb_stages[STEP].next


def test_a_rescue_older_than_the_file_is_not_used(duckdb_stages: Stages) -> None:
    place = _interrupted(duckdb_stages)
    old = rescue.beside(_file(place)).read_bytes()
    run(take, place, STEP).done  # noqa: B018  with its checkpoints
    rescue.beside(_file(place)).write_bytes(old)
    assert run(_look, place).done == [(4,)]
    assert standing(place) == duckdb_stages[STEP].next


def test_a_checkpoint_that_another_program_made_in_between_makes_the_rescue_void(duckdb_stages: Stages) -> None:
    place = _interrupted(duckdb_stages)
    with duckdb.connect(str(_file(place))) as connection:  # takes the log in and checkpoints when it closes
        connection.execute("SELECT 1")
    _ends_in_s_star(duckdb_stages, place, torn=0)


def test_nothing_is_put_back_under_a_program_that_has_the_file_open(duckdb_stages: Stages, tmp_path: Path) -> None:
    place, ready, go = _interrupted(duckdb_stages), tmp_path / "ready", tmp_path / "go"
    reader = Child(hold_open, _file(place), ready, go)
    wait_until(ready.exists, 60, "the reader")
    hasty = Place(place.home, lock_seconds=0.5)
    for look in (take, _look):
        found = run(look, hasty, *([STEP] if look is take else []))
        assert found.raised[0] == "PlatformError", found.trace
        assert f"held open by another process (PID {reader.pid})" in found.text
    assert rescue.beside(_file(place)).exists()
    go.touch()
    reader.outcome().done  # noqa: B018  fails when the reader raised
    _ends_in_s_star(duckdb_stages, place, torn=0)


@pytest.mark.parametrize("call", ["pwrite64", "fsync", "unlink"])
def test_a_kill_at_every_system_call_of_a_checkpoint_ends_in_s_star(
    duckdb_stages: Stages, call: str, tmp_path: Path
) -> None:
    """The n-th call of the first checkpoint is the last thing that the process does, for each n."""
    number = 0
    while True:
        number += 1
        place, go = duckdb_stages.before(STEP), tmp_path / f"go-{number}"
        child = Child(take, place, STEP, failpoint=f"rescue_written=wait:{go}")
        child.reach()
        with injected(child.pid, call, f"signal=KILL:when={number}", tmp_path / f"trace-{number}"):
            go.touch()
            code = child.code()
        if code == 0:
            break
        assert published(standing(place)) in (
            published(duckdb_stages[STEP].previous),
            published(duckdb_stages[STEP].next),
        )
        _ends_in_s_star(duckdb_stages, place, torn=0)
        place.remove()
        if number == {"pwrite64": 8, "fsync": 4, "unlink": 2}[call]:  # further ones belong to later checkpoints
            child.stop()
            break
    assert number > 1, f"no {call} in a checkpoint"


def test_no_room_for_the_rescue_leaves_the_log_and_a_warning(duckdb_stages: Stages, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "dataops-test", str(folder)], check=True)
    try:
        place = duckdb_stages.before(STEP)
        place = Place(Path(shutil.copytree(place.home, folder / "home")))
        blocks = 262_144
        (folder / "filler").write_bytes(bytes(shutil.disk_usage(folder).free - blocks // 2))
        heard = run(_said, place).done
        assert [line for line in heard if "keeps its log for now" in line and "No space left" in line], heard
        assert rescue.log_of(_file(place)).stat().st_size > 0
        assert not rescue.beside(_file(place)).exists()
        (folder / "filler").unlink()
        run(take, place, STEP).done  # noqa: B018  fails when the step raised
        assert standing(place) == duckdb_stages[STEP].next
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("block_bytes", [16_384, 262_144])
def test_blocks_of_any_size_are_healed(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_file, "LOG_BYTES", 0)
    warehouse = Warehouse(tmp_path, healing=True)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{warehouse.file}' AS w (BLOCK_SIZE {block_bytes})")
        connection.execute("CREATE SCHEMA w.s; CREATE TABLE w.s.log (k BIGINT)")
        for number in range(30):
            connection.execute(f"CREATE TABLE w.s.t{number} (a BIGINT, b VARCHAR)")
    warehouse.write(1)

    class _Stop(Exception):
        pass

    def stop(name: str) -> None:
        if name == "rescue_written":
            raise _Stop

    monkeypatch.setattr(duckdb_file, "failpoint", stop)
    with pytest.raises(_Stop):
        warehouse.write(2)
    monkeypatch.setattr(duckdb_file, "failpoint", failpoint.failpoint)
    kept = rescue.read(warehouse.file)
    assert kept
    assert {len(content) for content in kept.blocks.values()} == {block_bytes}
    _tear(warehouse.file)
    (tmp_path / "acknowledged").write_text("1\n2\n")
    assert warehouse.missing() == set()
    assert [found.torn for found in warehouse.healed] == [tuple(kept.blocks)]


def test_a_file_with_a_key_is_refused_with_what_to_do(duckdb_stages: Stages) -> None:
    place = duckdb_stages.before(STEP)
    _file(place).unlink()
    with duckdb.connect() as connection:
        connection.execute("SET force_mbedtls_unsafe = true")
        connection.execute(f"ATTACH '{_file(place)}' AS w (ENCRYPTION_KEY 'secret')")
        connection.execute("CREATE TABLE w.t (a INTEGER)")
    for look in (take, _look):
        found = run(look, place, *([STEP] if look is take else []))
        assert found.raised[0] == "PlatformError", found.trace
        assert "warehouse.duckdb is encrypted" in found.text


def test_looking_never_checkpoints(duckdb_stages: Stages) -> None:
    place = duckdb_stages.before(STEP, log_bytes=2**30)
    run(take, place, STEP).done  # noqa: B018  leaves a log
    before = {path.name: path.read_bytes() for path in place.home.glob("warehouse.duckdb*")}
    assert "warehouse.duckdb.wal" in before
    assert run(_look, place).done == [(4,)]
    assert {path.name: path.read_bytes() for path in place.home.glob("warehouse.duckdb*")} == before
