"""A power cut at any moment, whatever the disk had written of what was not synced: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from dataops.declared.errors import PlatformError
from dataops.warehouse import log_tail, rescue
from dataops.warehouse.duckdb_file import Healed
from tests.support.checkpoint_kills import Warehouse
from tests.support.power_cut import Call, Disk, recorded

pytestmark = pytest.mark.faults
COMMITS = 6  # every third with a checkpoint
CHOICES = int(os.environ.get("DATAOPS_TEST_CHOICES", "2"))  # of unsynced pages and names by dice, after each call


@dataclass(frozen=True)
class Recording:
    """The folder before, and every call on it."""

    before: Path
    calls: list[Call]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder, before = tmp_path_factory.mktemp("recorded"), tmp_path_factory.mktemp("start") / "folder"
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.log (k BIGINT)")
        for number in range(30):
            connection.execute(f"CREATE TABLE s.t{number} (a BIGINT, b VARCHAR)")
    shutil.copytree(folder, before)
    command = [sys.executable, "-m", "tests.support.power_cut", str(folder), str(COMMITS)]
    return Recording(before, recorded(command, folder, before.parent / "trace"))


def _acknowledged(calls: list[Call]) -> set[int]:
    text = b"".join(call.data for call in calls if call.name == "acknowledged")
    return {int(line) for line in text.split()}


def _choices(dice: random.Random) -> list[tuple[Callable[[int], int], Callable[[int], bool]]]:
    """Nothing of what was not synced; all of it; all but the first page; then what the dice say."""
    last = [(lambda n: n - 1, lambda _: True), (lambda n: n - 1, lambda page: page > 0)]
    diced = [(dice.randrange, lambda _: dice.random() < 0.5)] * CHOICES
    return [(lambda _: 0, lambda _: False), *last, *diced]


def _cuts(recording: Recording, folder: Path, seed: int) -> Iterator[tuple[list[Healed], list[str]]]:
    """What was healed and what is wrong, after every prefix of the calls and every choice of what was not synced."""
    disk = Disk(recording.before)
    for done, call in enumerate(recording.calls, 1):
        disk.apply(call)
        if call.name.startswith(("locks", "acknowledged")) or (call.name.startswith("published") and done % 5):
            continue  # of a readers' copy every fifth is enough: its last steps are tested by themselves
        for number, (names, keeps) in enumerate(_choices(random.Random(f"{seed} {done}"))):  # noqa: S311
            place = folder / f"{done}-{number}"
            place.mkdir()
            disk.left(place, names, keeps)
            warehouse = Warehouse(place, healing=True)
            where = f"after call {done} ({call.kind} {call.name})"
            yield warehouse.healed, [f"{where}: {text}" for text in _faults(warehouse, done, recording)]
            shutil.rmtree(place)


def _faults(warehouse: Warehouse, done: int, recording: Recording) -> list[str]:
    warehouse.acknowledged.write_text("\n".join(str(n) for n in _acknowledged(recording.calls[:done])))
    try:
        lost = warehouse.missing()
    except (PlatformError, duckdb.Error) as error:
        return [str(error).splitlines()[0]]
    found = [f"lost {sorted(lost)}"] if lost else []
    copy = warehouse.file.with_name("published.duckdb")
    if copy.exists() and not warehouse.open().readers_about():
        found.append("the readers' copy is half written")
    return found


def test_every_prefix_of_what_was_written_opens_with_all_that_was_acknowledged(
    recording: Recording, tmp_path: Path
) -> None:
    seed = int(os.environ.get("DATAOPS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    cuts = list(_cuts(recording, tmp_path, seed))
    healed = [found for each, _ in cuts for found in each]
    print(f"DATAOPS_TEST_SEED={seed}: {len(cuts)} cuts, {len(recording.calls)} calls, {len(healed)} healed")  # noqa: T201
    assert [fault for _, faults in cuts for fault in faults] == []
    assert [found for found in healed if found.torn], "no cut tore the file, so nothing was shown"
    assert [found for found in healed if found.log_cut], "no cut tore the log, so nothing was shown"


def test_without_healing_a_power_cut_destroys_the_file(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard, seen failing."""
    monkeypatch.setattr(rescue, "beside", lambda file: file.with_name("no rescue"))
    monkeypatch.setattr(log_tail, "cut", lambda *_: 0)
    wanted = ["is damaged", "replaying WAL"]
    for _, faults in _cuts(recording, tmp_path, seed=1):
        wanted = [text for text in wanted if not any(text in fault for fault in faults)]
        if not wanted:
            return
    pytest.fail(f"not seen: {wanted}")


def test_the_rescue_is_on_the_disk_before_the_checkpoint_writes_and_goes_after_it(recording: Recording) -> None:
    """And DuckDB's own order, on which healing rests: blocks, sync, header, sync, only then the log goes."""
    of_file = {"w.duckdb", "w.duckdb.wal", "w.duckdb.rescue", "w.duckdb.rescue.tmp", "."}
    calls = [call for call in recording.calls if call.name in of_file]
    starts = [n for n, call in enumerate(calls) if call.kind == "create" and call.name.endswith("rescue.tmp")]
    assert len(starts) == COMMITS / 3
    for start in starts:
        end = next(
            n for n in range(start, len(calls)) if calls[n].kind == "unlink" and calls[n].name.endswith("rescue")
        )
        steps = [_step(call) for call in calls[start : end + 1]]
        short = [step for n, step in enumerate(steps) if n == 0 or step != steps[n - 1]]
        assert short == [
            "create rescue.tmp",
            "write rescue.tmp",
            "sync rescue.tmp",
            "rename rescue.tmp",
            "sync .",
            "write wal",
            "sync wal",
            "write block",
            "sync w.duckdb",
            "write header",
            "sync w.duckdb",
            "unlink wal",
            "unlink rescue",
        ]


def _step(call: Call) -> str:
    name = call.name.removeprefix("w.duckdb.")
    if call.kind == "write" and name == "w.duckdb":
        return "write header" if call.at is not None and call.at < rescue.HEADERS else "write block"
    return f"{call.kind} {name}"


def test_a_readers_copy_is_synced_before_it_gets_its_name_and_its_name_after(recording: Recording) -> None:
    calls = [call for call in recording.calls if call.name == "." or "published" in call.name]
    renamed = [n for n, call in enumerate(calls) if call.kind == "rename" and call.to == "published.duckdb"]
    assert len(renamed) == COMMITS
    for number in renamed:
        assert (calls[number - 1].kind, calls[number - 1].name) == ("sync", calls[number].name)
        assert (calls[number + 1].kind, calls[number + 1].name) == ("sync", ".")
