"""F06: SIGTERM rolls back, frees the locks at once and leaves no process behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from dataops.warehouse import connection as shared
from tests.support.crash import Child, run
from tests.support.oracle import Place, Stages, published, standing, take

pytestmark = pytest.mark.faults
MOMENTS = [
    ("table_landed", "extract days"),
    ("batch_sealing", "extract days"),
    ("audited", "gate days"),
    ("rows_held", "gate days"),
    ("rows_inserted", "publish days"),
    ("before_commit", "publish days"),
    ("rolled_back", "roll back"),
]


@pytest.mark.parametrize(("point", "step"), MOMENTS)
def test_a_terminated_step_rolls_back_and_the_next_run_need_not_wait(
    stages: Stages, point: str, step: str, tmp_path: Path
) -> None:
    place = stages.before(step, lock_seconds=1)
    child = Child(take, place, step, failpoint=f"{point}=wait:{tmp_path / 'never'}", termination="raise")
    child.reach()
    offspring = psutil.Process(child.pid).children(recursive=True)
    child.signal(signal.SIGTERM)
    found = child.outcome()
    assert found.raised[0] == "TerminatedError", found.trace
    assert not [process for process in offspring if process.is_running()]
    assert published(standing(place)) == published(stages[step].previous)
    run(take, place, step).done  # noqa: B018  fails when the step raised
    assert standing(place) == stages[step].next


def _terminated_twice(place: Place, step: str) -> object:
    """A second SIGTERM arrives while the first one's roll-back is about to begin."""
    original = shared._roll_back

    def again(connection: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        original(connection)  # type: ignore[arg-type]

    shared._roll_back = again
    return take(place, step)


def test_a_second_signal_does_not_break_the_roll_back(stages: Stages) -> None:
    place = stages.before("publish days", lock_seconds=1)
    child = Child(_terminated_twice, place, "publish days", failpoint="before_commit=term", termination="raise")
    assert child.outcome().raised[0] == "TerminatedError"
    assert published(standing(place)) == published(stages["publish days"].previous)
    run(take, place, "publish days").done  # noqa: B018  fails when the step raised
    assert standing(place) == stages["publish days"].next
