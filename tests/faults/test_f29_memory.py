"""F29: too little memory stops a step and loses nothing; with enough of it, the same step ends in S*."""

from __future__ import annotations

import resource
from typing import Any

import psutil
import pytest

from tests.support.crash import Child, kill_at, run
from tests.support.oracle import Place, Stages, published, standing, take

pytestmark = pytest.mark.faults
MIB = 2**20
STEPS = ("extract days", "gate days", "publish days", "build again")
EXPECTED = ("PlatformError", "VerdictError", "MemoryError")
ROOM = (0, 2, 8, 32, 64)  # MiB above what the process has when the step begins


def _with_little_memory(place: Place, step: str, room: int) -> Any:
    """Takes the step; what it allocates beyond `room` MiB is refused."""
    limit = psutil.Process().memory_info().vms + room * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return take(place, step)


def _ending(child: Child) -> str:
    """`done`, `killed` (the allocator ended the process, as the kernel would), or whose fault was raised."""
    if child.code() != 0:
        return "killed"
    found = child.outcome()
    if not found.raised:
        return "done"
    whose = [name for name in EXPECTED if name in found.raised]
    assert whose, found.trace
    return whose[0]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_without_memory_changes_nothing_and_ends_in_s_star_with_it(duckdb_stages: Stages, step: str) -> None:
    ends = []
    before, after = (published(found) for found in (duckdb_stages[step].previous, duckdb_stages[step].next))
    for room in ROOM:
        place = duckdb_stages.before(step)
        ends.append(_ending(Child(_with_little_memory, place, step, room)))
        assert published(standing(place)) in (before, after), (step, room)
        assert run(take, place, step).done
        assert published(standing(place)) == after, (step, room)
    assert ends[0] != "done", "the lowest limit was not low enough to be felt"


def test_a_log_that_a_killed_process_left_is_replayed_with_enough_memory(duckdb_stages: Stages) -> None:
    """DuckDB replays its log when the file is opened; without memory it says so, with it everything is there."""
    place = duckdb_stages.before("publish days", log_bytes=2**30)  # what is committed stays in the log
    kill_at("after_commit", take, place, "publish days")
    assert (place.home / "warehouse.duckdb.wal").stat().st_size > 0
    assert _ending(Child(_with_little_memory, place, "publish days", 0)) in {*EXPECTED, "killed"}
    assert run(take, place, "publish days").done == "already"
    assert published(standing(place)) == published(duckdb_stages["publish days"].next)
