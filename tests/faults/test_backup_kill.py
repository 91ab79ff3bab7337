"""A backup or a restore that is killed leaves what stood before, or what was wanted; running it again completes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.pipeline import backups
from tests.support.crash import Child, hold_open, kill_at, run, wait_until
from tests.support.oracle import Place, Stages, published, standing, take
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
STEP = "publish days"
ONLY_DUCKDB = ("swap_begun", "swapping", "swap_cleared", "swapped")  # PostgreSQL does it in one transaction


def _back_up(place: Place) -> Path:
    return backups.make(place.open()).file


def _restore(place: Place) -> str | None:
    return backups.restore(place.open()).backup.publication


def _kept(place: Place) -> list[Path]:
    return backups.kept(place.open().settings)


def _later(stages: Stages) -> Place:
    """Backed up before the step, which was then taken."""
    place = stages.before(STEP)
    run(_back_up, place).done  # noqa: B018  fails when it raised
    run(take, place, STEP).done  # noqa: B018  fails when the step raised
    return place


@pytest.mark.parametrize(("point", "there"), [("backup_copied", 0), ("backup_in_place", 1)])
def test_a_killed_backup_is_whole_or_not_there_and_leaves_nothing_behind(
    stages: Stages, point: str, there: int
) -> None:
    place = stages.before(STEP)
    kill_at(point, _back_up, place)
    assert len(_kept(place)) == there
    assert run(_back_up, place).done in _kept(place)
    assert not [path.name for path in (place.home / "backups").iterdir() if ".tmp" in path.name]
    assert standing(place) == stages[STEP].previous


@pytest.mark.parametrize("point", ["restore_copied", *ONLY_DUCKDB, "restored"])
def test_a_killed_restore_leaves_the_one_or_the_other_and_is_completed_by_running_it_again(
    stages: Stages, point: str
) -> None:
    if stages.engine == "postgres" and point in ONLY_DUCKDB:
        return  # never reached there: the test of all points says so
    place, stage = _later(stages), stages[STEP]
    kill_at(point, _restore, place)
    wanted = stage.next if point == "restore_copied" else stage.previous
    assert published(standing(place)) == published(wanted)
    assert run(_restore, place).done == "curated-0001"
    assert published(standing(place)) == published(stage.previous)
    assert not (place.home / "warehouse.duckdb.swap").exists()
    assert not (place.home / "warehouse.duckdb.restoring").exists()
    run(take, place, STEP).done  # noqa: B018  fails when the step raised
    assert fetch(place.open(), "SELECT COUNT(*) FROM ops.publications WHERE publication_id = 'sales-0003'") == [(1,)]


def test_a_restore_waits_for_a_run_that_is_on_its_way_and_names_it(stages: Stages, tmp_path: Path) -> None:
    place, go = stages.before("gate again"), tmp_path / "go"
    run(_back_up, place).done  # noqa: B018  fails when it raised
    at_the_gate = Child(take, place, "gate again", failpoint=f"audited=wait:{go}")
    at_the_gate.reach()
    hasty = run(_restore, Place(place.home, place.url, lock_seconds=0.5))
    assert hasty.raised[0] == "PlatformError"
    assert "curated is busy" in hasty.text
    assert str(at_the_gate.pid) in hasty.text
    go.touch()
    at_the_gate.outcome().done  # noqa: B018  fails when the step raised
    assert standing(place) == stages["gate again"].next


def test_neither_is_done_under_a_program_that_has_the_file_open(duckdb_stages: Stages, tmp_path: Path) -> None:
    place, ready, go = _later(duckdb_stages), tmp_path / "ready", tmp_path / "go"
    reader = Child(hold_open, place.home / "warehouse.duckdb", ready, go)
    wait_until(ready.exists, 60, "the reader")
    for step in (_back_up, _restore):
        hasty = run(step, Place(place.home, lock_seconds=0.5))
        assert hasty.raised[0] == "PlatformError", hasty.trace
        assert f"held open by another process (PID {reader.pid})" in hasty.text
    go.touch()
    reader.outcome().done  # noqa: B018  fails when the reader raised
    assert published(standing(place)) == published(duckdb_stages[STEP].next)


@pytest.mark.parametrize("point", ["swapping", "swap_cleared"])
def test_who_opens_the_file_while_it_is_replaced_waits_and_finds_what_was_restored(
    duckdb_stages: Stages, point: str, tmp_path: Path
) -> None:
    place, go = _later(duckdb_stages), tmp_path / "go"
    restoring = Child(_restore, place, failpoint=f"{point}=wait:{go}")
    restoring.reach()
    hasty = run(standing, Place(place.home, lock_seconds=0.5))
    assert hasty.raised[0] == "PlatformError"
    assert str(restoring.pid) in hasty.text
    patient = Child(standing, Place(place.home, lock_seconds=60))
    wait_until(patient.started, 60, "the reader")
    go.touch()
    assert restoring.outcome().done == "curated-0001"
    assert published(patient.outcome().done) == published(duckdb_stages[STEP].previous)
