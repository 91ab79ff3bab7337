"""F14, F15: readers in other processes: a writer waits a bounded time for them, and they never see a mixture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from dataops.pipeline import jobs
from tests.support.crash import Child, hold_open, run, wait_until
from tests.support.oracle import Place, Stages, standing, take

pytestmark = pytest.mark.faults
PUBLICATIONS = 50
BOUND = 15  # seconds, on a busy machine, for a wait of half a second
TOTALS = (
    "SELECT (SELECT SUM(sub_total) FROM validated.sales_order), (SELECT SUM(amount) FROM validated.order_line),"
    " (SELECT MAX(_publication) FROM validated.sales_order), (SELECT MAX(_publication) FROM validated.order_line),"
    " (SELECT COUNT(*) FROM validated.sales_order)"
)


@pytest.mark.parametrize("step", ["extract days", "gate days", "publish days", "build again", "roll back"])
def test_a_file_held_open_by_a_reader_is_waited_for_and_the_reader_is_named(
    duckdb_stages: Stages, step: str, tmp_path: Path
) -> None:
    place, ready, go = duckdb_stages.before(step, lock_seconds=0.5), tmp_path / "ready", tmp_path / "go"
    reader = Child(hold_open, place.home / "warehouse.duckdb", ready, go)
    wait_until(ready.exists, 60, "the reader")
    found = run(take, place, step)
    go.touch()
    reader.outcome().done  # noqa: B018  fails when the reader raised
    assert found.raised[0] == "PlatformError", found.trace
    assert f"held open by another process (PID {reader.pid}); waited 0.5 s" in found.text
    assert "published.duckdb" in found.text
    run(take, place, step).done  # noqa: B018  fails when the step raised
    assert standing(place) == duckdb_stages[step].next


def test_a_writer_goes_on_as_soon_as_the_reader_closes(duckdb_stages: Stages, tmp_path: Path) -> None:
    place, ready, go = duckdb_stages.before("publish days", lock_seconds=60), tmp_path / "ready", tmp_path / "go"
    reader = Child(hold_open, place.home / "warehouse.duckdb", ready, go)
    wait_until(ready.exists, 60, "the reader")
    writer = Child(take, place, "publish days")
    wait_until(writer.started, 60, "the writer")
    go.touch()
    assert writer.outcome().done == "published"
    reader.stop()


@pytest.mark.parametrize("step", ["extract days", "build again"])
def test_an_idle_session_that_locks_a_candidate_is_named_and_the_next_run_succeeds(
    postgres_stages: Stages, step: str
) -> None:
    place = postgres_stages.before(step, lock_seconds=0.5)
    with psycopg.connect(str(place.url), application_name="a forgotten shell") as session:
        session.execute("SELECT 1 FROM candidate.sales_order, candidate.fct_line LIMIT 1")
        pid = session.info.backend_pid
        started = time.monotonic()
        found = run(take, place, step)
        waited = time.monotonic() - started
        session.rollback()
    assert waited < BOUND
    assert found.raised[0] == "PlatformError", found.trace
    assert f"{pid} a forgotten shell" in found.text
    assert "waited 0.5 s" in found.text
    run(take, place, step).done  # noqa: B018  fails when the step raised
    assert standing(place) == postgres_stages[step].next


def test_an_idle_session_that_reads_a_candidate_keeps_no_publication_waiting(postgres_stages: Stages) -> None:
    place = postgres_stages.before("publish days", lock_seconds=0.5)
    with psycopg.connect(str(place.url)) as session:
        session.execute("SELECT 1 FROM candidate.sales_order, candidate.fct_line LIMIT 1")
        assert run(take, place, "publish days").done == "published"
    assert standing(place) == postgres_stages["publish days"].next


def _publish_often(place: Place) -> int:
    """Goes back and forth between two publications; each time is a publication of its own."""
    work, published = place.open(), 0
    for number in range(PUBLICATIONS):
        published += jobs.roll_back(work, "sales", f"sales-000{1 + number % 2}", "test").status == "published"
        jobs.renew_copy(work)
    return published


def _read(place: Place, ready: Path, stop: Path) -> list[tuple[Any, ...]]:
    """The control totals, read over and over while another process publishes."""
    found = []
    while not stop.exists():
        found.append(_totals(place))
        ready.touch()
    return found


def _totals(place: Place) -> tuple[Any, ...]:
    if place.url is None:
        with duckdb.connect(str(place.home / "published.duckdb"), read_only=True) as connection:
            return tuple(connection.execute(TOTALS).fetchall()[0])
    # Two statements, so that only one snapshot for both makes them agree.
    with place.open().warehouse.reading() as connection:
        connection.exec_driver_sql("SELECT SUM(sub_total) FROM validated.sales_order").one()
        first = connection.exec_driver_sql(TOTALS).one()
        last = connection.exec_driver_sql("SELECT MAX(seq) FROM ops.publications WHERE group_name = 'sales'").one()
        total = connection.exec_driver_sql("SELECT SUM(amount) FROM validated.order_line").one()
    return (first[0], total[0], first[2], last[0], first[4])


def test_readers_see_one_publication_or_another_and_never_a_mixture(stages: Stages, tmp_path: Path) -> None:
    place, ready, stop = stages.before("roll back"), tmp_path / "ready", tmp_path / "stop"
    reader = Child(_read, place, ready, stop)
    wait_until(ready.exists, 60, "the reader's first look")
    made = run(_publish_often, place).done
    stop.touch()
    seen = reader.outcome().done
    mismatches = [row for row in seen if row[0] != row[1] or row[2] != row[3]]
    assert made == PUBLICATIONS
    assert mismatches == []
    assert len({row[2] for row in seen}) > PUBLICATIONS // 10, "the reader hardly saw a publication"
    print(f"{len(seen)} reads during {made} publications, {len({row[2] for row in seen})} of them seen")  # noqa: T201
