"""F01: kill -9 anywhere leaves the previous or the next publication; running the step again ends in S*."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.support.crash import Child, kill_at, points, run, wait_until
from tests.support.oracle import Place, Stage, Stages, healed, published, standing, take, without_incidents

pytestmark = pytest.mark.faults
# PostgreSQL's readers read the database itself, and its checkpoints are its own business.
ONLY_DUCKDB = {
    "copy_written",
    "copy_renamed",
    "rescue_writing",
    "rescue_written",
    "checkpointed",
    "rescue_removed",
}
# One of each kind of step, where it has most to do; a soak takes all.
CHOSEN = {
    "extract days",
    "gate days",
    "publish days",
    "build again",
    "gate again",
    "publish again",
    "roll back",
    "replay",
}
ELSEWHERE = {
    "ledger_migrated",  # F08
    *("notices_routed", "delivery_tried", "delivery_sent"),  # F32
    *("lineage_routed", "spool_handed_in"),  # F31
    *("healing", "healed", "healing_told", "healing_proven"),  # test_torn_file
    *(
        "backup_copied",
        "backup_in_place",
        "restore_copied",
        "swap_begun",
        "swapping",
        "swap_cleared",
        "swapped",
        "restored",
    ),  # backup
}
KILLS = int(os.environ.get("DATAOPS_TEST_KILLS", "50"))  # on each push; `make soak` has 300
SOAK = KILLS > 300  # takes all


def _check_whole(place: Place, stage: Stage) -> None:
    """What people read is the previous publication or the next one, nothing between."""
    found = published(standing(place)) if stage.previous else {}
    assert found in (published(stage.previous), published(stage.next)), stage.step


@pytest.mark.parametrize("point", points())
def test_kill_at_a_named_point_leaves_a_whole_publication_and_a_second_run_ends_in_s_star(
    stages: Stages, point: str
) -> None:
    passing = stages.passing(point)
    assert passing or point in ELSEWHERE or (stages.engine == "postgres" and point in ONLY_DUCKDB), (
        f"{point} is never hit"
    )
    chosen = [stage for stage in passing if SOAK or stage.step in CHOSEN] or passing
    for stage in chosen:
        place = stages.before(stage.step)
        kill_at(point, take, place, stage.step)
        _check_whole(place, stage)
        run(take, place, stage.step).done  # noqa: B018  fails when the step raised
        assert standing(place) == stage.next, (stage.step, point)
        place.remove()


@pytest.mark.timeout(KILLS * 20)
def test_random_kills_end_in_s_star(stages: Stages) -> None:
    """Any step, killed up to three times at any moment, then left alone."""
    seed = int(os.environ.get("DATAOPS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"DATAOPS_TEST_SEED={seed} kills={KILLS}")  # noqa: T201  to repeat it
    dice = random.Random(seed)  # noqa: S311  a test's dice
    quick = [stage for stage in stages.all if not stage.step.startswith("gate")]
    killed, seen = 0, 0
    while killed < KILLS:
        # Gates take most of the time and change least, so they are drawn as often as any two other steps.
        stage = dice.choice([*quick, *dice.sample(stages.all, 2)])
        place = stages.before(stage.step)
        for _ in range(dice.randint(1, 3)):
            killed += _killed_within(place, stage, dice)
        _check_whole(place, stage)
        run(take, place, stage.step).done  # noqa: B018  fails when the step raised
        torn = healed(place)
        assert without_incidents(standing(place), torn) == without_incidents(stage.next, torn), (stage.step, seed)
        seen += torn
        place.remove()
    print(f"{killed} kills, {seen} torn files healed")  # noqa: T201


def _killed_within(place: Place, stage: Stage, dice: random.Random) -> bool:
    """Starts the step, kills it after a random part of its time; False when it was quicker."""
    child = Child(take, place, stage.step)
    wait_until(child.started, 60, "the child to begin")
    child.process.join(dice.uniform(0, stage.seconds * 1.5))
    if child.process.is_alive():
        child.signal(signal.SIGKILL)
    return child.code() == -signal.SIGKILL
