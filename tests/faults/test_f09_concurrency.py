"""F09, F11, F12: the same work twice, at once, late, or again: one publication, and nobody waits for ever."""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg
import pytest

from dataops.pipeline import jobs
from dataops.pipeline.intake import extraction
from dataops.warehouse.postgres import PUBLISH_LOCK
from tests.support.crash import Child, run, wait_until
from tests.support.oracle import DAYS, Place, Stages, published, second_delivery, standing, take
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
SALES = "SELECT COUNT(*) FROM ops.publications WHERE group_name = 'sales'"


def _deliver(place: Place, ready: Path, go: Path) -> str:
    """Loads the days, from the moment on that both processes are there."""
    ready.touch()
    wait_until(go.exists, 60, "the barrier")
    work = place.open()
    with work.warehouse.lock("sales", "load"):  # as jobs.load does: nobody else takes the batch for a leftover
        batch_id = extraction.extract(work, work.catalog.group("sales"), second_delivery(), DAYS)
        done = jobs.gate_and_publish(work, batch_id)
    assert done.publication is not None
    return done.publication.status


def _publish(place: Place, ready: Path, go: Path) -> str:
    ready.touch()
    wait_until(go.exists, 60, "the barrier")
    return str(take(place, "publish days"))


@pytest.mark.parametrize(("act", "step"), [(_deliver, "extract days"), (_publish, "publish days")])
def test_two_processes_with_the_same_batch_both_end_well_and_make_one_publication(
    stages: Stages, act: object, step: str, tmp_path: Path
) -> None:
    place, go = stages.before(step, lock_seconds=60), tmp_path / "go"
    ready = [tmp_path / "one", tmp_path / "two"]
    pair = [Child(act, place, file, go) for file in ready]  # type: ignore[arg-type]
    wait_until(lambda: all(file.exists() for file in ready), 60, "both processes")
    go.touch()
    ends = sorted(child.outcome().done for child in pair)
    assert ends in (["already", "published"], ["published", "unchanged"])
    assert fetch(place.open(), SALES) == [(2,)]
    assert published(standing(place)) == published(stages["publish days"].next)


def test_a_stopped_publisher_keeps_its_lock_and_a_second_one_gives_up_naming_it(stages: Stages, tmp_path: Path) -> None:
    place, go = stages.before("publish days", lock_seconds=0.5), tmp_path / "go"
    first = Child(take, place, "publish days", failpoint=f"before_commit=wait:{go}")
    first.reach()
    first.signal(signal.SIGSTOP)
    second = run(take, place, "publish days")
    first.signal(signal.SIGCONT)
    go.touch()
    assert second.raised[0] == "PlatformError", second.trace
    assert str(first.pid) in second.text
    assert "waited 0.5 s" in second.text
    assert first.outcome().done == "published"
    assert run(take, place, "publish days").done == "already"
    assert standing(place) == stages["publish days"].next


@pytest.mark.parametrize("point", ["before_begin", "before_commit"])
def test_a_publisher_that_lost_its_lock_cannot_publish_a_second_time(
    postgres_stages: Stages, point: str, tmp_path: Path
) -> None:
    """The session that holds the lock is ended by the server; the first goes on, a second one starts."""
    place, go = postgres_stages.before("publish days", lock_seconds=0.5), tmp_path / "go"
    first = Child(take, place, "publish days", failpoint=f"{point}=wait:{go}")
    first.reach()
    _end_lock_session(place)
    second = run(take, place, "publish days")
    go.touch()
    ends = [second.value or second.raised[0], first.outcome().value or first.outcome().raised[0]]
    assert ends == (["published", "already"] if point == "before_begin" else ["PlatformError", "published"])
    assert fetch(place.open(), SALES) == [(2,)]
    assert standing(place) == postgres_stages["publish days"].next


def _end_lock_session(place: Place) -> None:
    query = (
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        f" WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid <> {PUBLISH_LOCK}"
    )
    with psycopg.connect(str(place.url), autocommit=True) as connection:
        assert connection.execute(query).fetchall() == [(True,)]


def test_repeating_a_verb_after_success_changes_nothing(stages: Stages) -> None:
    place = stages.before("roll back")
    before = stages["roll back"].previous
    for step in ("gate days", "publish days", "gate again", "publish again"):
        run(take, place, step).done  # noqa: B018  fails when the step raised
        assert standing(place) == before, step
    for step in ("extract days", "gate days", "publish days", "build again", "gate again", "publish again"):
        run(take, place, step).done  # noqa: B018  fails when the step raised
        assert published(standing(place)) == published(before), step
    assert fetch(place.open(), "SELECT COUNT(*) FROM ops.incidents") == [(0,)]


def test_repeating_a_roll_back_changes_nothing(stages: Stages) -> None:
    place = stages.before("extract repeated")
    assert run(take, place, "roll back").done == "unchanged"
    assert standing(place) == stages["roll back"].next
