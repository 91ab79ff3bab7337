"""F02, F28: COMMIT that raised means "unknown": the ledger tells what happened, and nothing is published twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from dataops.ledger.workspace import Workspace
from dataops.pipeline import history, publish
from tests.support.crash import Child, run
from tests.support.crash_tracing import injected, struck
from tests.support.oracle import Place, Stages, published, standing, take
from tests.support.proxy import Action, Fault, proxied
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
LOCKED_OUT = 1.0  # seconds that a run waits for what it cannot have
BATCH = "sales-20140501-20140503"


def _publish(place: Place, broken: str = "") -> str:
    """Publishes the days; `broken` says how COMMIT fails on DuckDB. For a child."""
    work = place.open()
    if broken:
        BREAKS[broken](work)
    with work.warehouse.lock("sales", "publish"):
        return publish.publish(work, BATCH).status


def _roll_back(place: Place, broken: str) -> str:
    work = place.open()
    BREAKS[broken](work)
    with work.warehouse.lock("sales", "roll back"):
        return history.roll_back(work, work.catalog.group("sales"), "sales-0001", "test data").status


def _raise_after_commit(work: Workspace) -> None:
    _patch_commit(work, durable=True)


def _raise_before_commit(work: Workspace) -> None:
    _patch_commit(work, durable=False)


def _patch_commit(work: Workspace, *, durable: bool) -> None:
    """The COMMIT of the next publication raises as DuckDB does, once."""
    dialect = work.warehouse._door.writing.dialect
    real = dialect.do_commit
    count = "SELECT COUNT(*) FROM ops.publications"
    before = fetch(work, count)

    def commit(connection: Any) -> None:
        if connection.execute(count).fetchall() == before:
            real(connection)
            return
        dialect.do_commit = real
        if durable:
            real(connection)
        raise duckdb.FatalException("FATAL Error: COMMIT succeeded and is durable, or not")

    dialect.do_commit = commit


def _abort_checkpoint(work: Workspace) -> None:
    """DuckDB's own: the checkpoint at COMMIT breaks off and the instance is dead; the new rows are durable."""
    _break_checkpoint(work, "before_truncate")


def _lose_checkpoint(work: Workspace) -> None:
    """As above, but before the new header was written: the same exception, and the rows are not there."""
    _break_checkpoint(work, "before_header")


def _break_checkpoint(work: Workspace, moment: str) -> None:

    def prepare(connection: Any, _record: object) -> None:
        connection.execute("SET wal_autocheckpoint = '1KB'")
        connection.execute(f"PRAGMA debug_checkpoint_abort = '{moment}'")

    sa.event.listen(work.warehouse._door.writing, "connect", prepare, once=True)


BREAKS = {
    "after": _raise_after_commit,
    "before": _raise_before_commit,
    "checkpoint": _abort_checkpoint,
    "lost": _lose_checkpoint,
}


@pytest.mark.parametrize("broken", ["after", "checkpoint"])
def test_duckdb_commit_that_raised_but_is_durable_is_reported_as_published(duckdb_stages: Stages, broken: str) -> None:
    place = duckdb_stages.before("publish days")
    assert run(_publish, place, broken).done == "published"
    assert published(standing(place)) == published(duckdb_stages["publish days"].next)
    assert run(take, place, "publish days").done == "already"
    assert standing(place) == duckdb_stages["publish days"].next


@pytest.mark.parametrize("broken", ["before", "lost"])
def test_duckdb_commit_that_raised_and_is_not_durable_is_a_platform_error_and_can_be_run_again(
    duckdb_stages: Stages, broken: str
) -> None:
    place = duckdb_stages.before("publish days")
    found = run(_publish, place, broken)
    assert found.raised[0] == "PlatformError"
    assert "was not committed" in found.text
    assert f"dataops publish --batch {BATCH}" in found.text
    assert published(standing(place)) == published(duckdb_stages["publish days"].previous)
    assert run(take, place, "publish days").done == "published"
    assert standing(place) == duckdb_stages["publish days"].next


@pytest.mark.parametrize("broken", ["after", "before"])
def test_duckdb_roll_back_whose_commit_raised_is_looked_up_too(duckdb_stages: Stages, broken: str) -> None:
    place = duckdb_stages.before("roll back")
    found = run(_roll_back, place, broken)
    assert found.value == ("published" if broken == "after" else None)
    assert found.raised[:1] == (() if broken == "after" else ("PlatformError",))
    run(take, place, "roll back").done  # noqa: B018  fails when the step raised
    assert standing(place) == duckdb_stages["roll back"].next


@pytest.mark.parametrize("action", ["drop answer", "drop request", "reset"])
def test_postgres_commit_whose_connection_breaks_is_looked_up(
    postgres_stages: Stages, action: Action, tmp_path: Path
) -> None:
    place = postgres_stages.before("publish days")
    with proxied(str(place.url)) as proxy:
        through = Place(place.home, proxy.through(str(place.url)))
        go = tmp_path / "go"
        child = Child(_publish, through, failpoint=f"before_commit=wait:{go}")
        child.reach()
        proxy.arm(Fault(action, b"COMMIT"))
        go.touch()
        found = child.outcome()
        assert proxy.struck.is_set()
    stage = postgres_stages["publish days"]
    if action == "drop answer":
        assert found.done == "published"
        assert published(standing(place)) == published(stage.next)
    else:
        assert found.raised[0] == "PlatformError"
        assert "was not committed" in found.text
        assert published(standing(place)) == published(stage.previous)
    run(take, place, "publish days").done  # noqa: B018  fails when the step raised
    assert standing(place) == stage.next


def test_when_the_ledger_cannot_be_asked_either_the_outcome_is_called_unknown_and_a_second_run_settles_it(
    postgres_stages: Stages, tmp_path: Path
) -> None:
    place = postgres_stages.before("publish days")
    with proxied(str(place.url)) as proxy:
        through = Place(place.home, proxy.through(str(place.url)), lock_seconds=LOCKED_OUT)
        go = tmp_path / "go"
        child = Child(_publish, through, failpoint=f"before_commit=wait:{go}")
        child.reach()
        proxy.refuse()
        proxy.arm(Fault("drop answer", b"COMMIT"))
        go.touch()
        found = child.outcome()
    assert found.raised[0] == "PlatformError"
    assert "not known" in found.text
    assert "safe to run again" in found.text
    assert run(take, place, "publish days").done == "already"
    assert standing(place) == postgres_stages["publish days"].next


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8])
def test_duckdb_fsync_that_fails_ends_in_a_whole_publication_truthfully_reported(
    duckdb_stages: Stages, number: int, tmp_path: Path
) -> None:
    """EIO on the n-th fsync from before COMMIT on; the later ones belong to the readers' copy."""
    stage, place = duckdb_stages["publish days"], duckdb_stages.before("publish days")
    go, log = tmp_path / "go", tmp_path / "trace"
    child = Child(take, place, "publish days", failpoint=f"before_commit=wait:{go}")
    child.reach()
    with injected(child.pid, "fsync,fdatasync", f"error=EIO:when={number}", log):
        go.touch()
        found = child.outcome()
    assert struck(log)
    made = published(standing(place)) == published(stage.next)
    assert made or published(standing(place)) == published(stage.previous)
    assert made == (found.value == "published"), found.trace
    assert made or "PlatformError" in found.raised, found.trace
    run(take, place, "publish days").done  # noqa: B018  fails when the step raised
    assert standing(place) == stage.next


def test_duckdb_on_a_slow_disk_publishes_once(duckdb_stages: Stages, tmp_path: Path) -> None:
    place = duckdb_stages.before("publish days")
    go, log = tmp_path / "go", tmp_path / "trace"
    child = Child(take, place, "publish days", failpoint=f"before_commit=wait:{go}")
    child.reach()
    with injected(child.pid, "fsync,fdatasync", "delay_enter=500000", log):
        go.touch()
        assert child.outcome().done == "published"
    assert struck(log)
    assert standing(place) == duckdb_stages["publish days"].next
    assert fetch(place.open(), "SELECT COUNT(*) FROM ops.publications WHERE group_name = 'sales'") == [(2,)]
