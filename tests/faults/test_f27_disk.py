"""F27: a full disk loses nothing that was acknowledged; with room again, the same step ends in S*."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dataops.declared.errors import PlatformError
from dataops.ledger.workspace import Workspace
from dataops.pipeline.intake import extraction
from tests.support.crash import run
from tests.support.oracle import STEPS, Place, Stages, published, standing, take

pytestmark = pytest.mark.faults
KIB = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "dataops-test", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(disk: Path, leave: int) -> None:
    """Fills the disk up to `leave` bytes."""
    size = shutil.disk_usage(disk).free - leave
    with (disk / "filler").open("wb") as filler:
        filler.write(bytes(max(0, size)))


def _more_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=120m", str(disk)], check=True)


def _moved(stages: Stages, step: str, disk: Path) -> Place:
    place = stages.before(step)
    return Place(Path(shutil.copytree(place.home, disk / "home")))


def _without_a_look_ahead(place: Place, step: str, checkpoint: bool) -> object:
    """Takes the step although there is less room than a load asks for; with `checkpoint`, each COMMIT makes one."""
    extraction.MIN_FREE_BYTES = 0
    if checkpoint:
        work = place.open()
        sa.event.listen(_engine(work), "connect", lambda c, _: c.execute("SET wal_autocheckpoint = '1KB'"))
        return STEPS[step](work)
    return take(place, step)


def _engine(work: Workspace) -> sa.Engine:
    engine = work.warehouse._door.writing  # type: ignore[attr-defined]
    assert isinstance(engine, sa.Engine)
    return engine


def test_a_load_looks_for_room_before_it_starts(duckdb_stages: Stages, disk: Path) -> None:
    place = _moved(duckdb_stages, "extract days", disk)
    _fill(disk, 3 * 2**20)
    found = run(take, place, "extract days")
    assert found.raised[0] == "PlatformError"
    assert "only 3 MiB are free where duckdb warehouse.duckdb lies" in found.text
    assert "Nothing was started" in found.text
    assert standing(place) == duckdb_stages["extract days"].previous
    _more_room(disk)
    run(take, place, "extract days").done  # noqa: B018  fails when the step raised
    assert standing(place) == duckdb_stages["extract days"].next


@pytest.mark.parametrize(("leave", "checkpoint"), [(0, False), (16 * KIB, False), (100 * KIB, True), (400 * KIB, True)])
@pytest.mark.parametrize("step", ["extract days", "publish days"])
def test_a_disk_that_fills_up_leaves_a_whole_publication_and_a_message(
    duckdb_stages: Stages, step: str, leave: int, disk: Path, checkpoint: bool
) -> None:
    place, stage = _moved(duckdb_stages, step, disk), duckdb_stages[step]
    _fill(disk, leave)
    found = run(_without_a_look_ahead, place, step, checkpoint)
    if found.raised:
        assert PlatformError.__name__ in found.raised, found.trace
        assert "warehouse.duckdb" in found.text, found.text
        assert "MiB are free" in found.text, found.text
    assert found.raised or leave > 0, "a full disk was not noticed"
    _more_room(disk)
    made = published(standing(place)) == published(stage.next)
    assert made or published(standing(place)) == published(stage.previous)
    assert made == (found.value == "published") or step != "publish days", found.text
    run(take, place, step).done  # noqa: B018  fails when the step raised
    assert standing(place) == stage.next
