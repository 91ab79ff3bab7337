"""F01: kill -9 anywhere leaves the previous or the next publication; running the step again ends in S*."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest

from tests.support.crash import Child, kill_at, points, run
from tests.support.oracle import Place, Stage, Stages, published, standing, take

pytestmark = pytest.mark.faults
ONLY_DUCKDB = {"copy_written", "copy_renamed"}  # PostgreSQL's readers read the database itself
ELSEWHERE = {"ledger_migrated"}  # F08
KILLS = int(os.environ.get("DATAOPS_TEST_KILLS", "40"))


def _check_whole(place: Place, stage: Stage) -> None:
    """What people read is the previous publication or the next one, nothing between."""
    found = published(standing(place)) if stage.previous else {}
    assert found in (published(stage.previous), published(stage.next)), stage.step


@pytest.mark.parametrize("point", points())
def test_kill_at_a_named_point_leaves_a_whole_publication_and_a_second_run_ends_in_s_star(
    stages: Stages, point: str
) -> None:
    passing = stages.passing(point)
    assert passing or point in ELSEWHERE or (stages.engine == "postgres" and point in ONLY_DUCKDB), f"{point} is never hit"
    for stage in passing:
        place = stages.before(stage.step)
        kill_at(point, take, place, stage.step)
        _check_whole(place, stage)
        run(take, place, stage.step).done  # noqa: B018  fails when the step raised
        assert standing(place) == stage.next, (stage.step, point)
