"""Within a session opening is paid for once, nothing of a transaction is left to the next, and others get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.warehouse import duckdb_file
from dataops.warehouse.duckdb_file import own_descriptor
from tests.support.crash import run
from tests.support.shop import fetch, load, small_shop, workspace

pytestmark = [pytest.mark.integration, pytest.mark.quick]


@pytest.fixture
def file(tmp_path: Path) -> Workspace:
    work = workspace(tmp_path / "home")
    jobs.initialise(work)
    return work


@pytest.fixture
def server(tmp_path: Path, postgres_url: str) -> Workspace:
    work = workspace(tmp_path / "home", postgres_url)
    jobs.initialise(work)
    return work


def _one(work: Workspace, sql: str) -> Any:
    with work.warehouse.transaction() as connection:
        return connection.exec_driver_sql(sql).scalar()


def _is_open(work: Workspace) -> bool:
    return own_descriptor(work.settings.paths.warehouse) is not None


def test_the_file_stays_open_within_a_session_and_is_closed_after_it(file: Workspace) -> None:
    with file.warehouse.session():
        _one(file, "SELECT 1")
        assert _is_open(file)
        with file.warehouse.session():
            _one(file, "SELECT 1")
        assert _is_open(file)
    assert not _is_open(file)
    _one(file, "SELECT 1")
    assert not _is_open(file)


def test_after_its_time_others_may_open_the_file_within_a_session(
    file: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file.warehouse.session():
        _one(file, "SELECT 1")
        assert run(_look, file.settings.paths.warehouse).raised[0] == "IOException"
        monkeypatch.setattr(duckdb_file, "KEPT_SECONDS", 0)
        _one(file, "SELECT 1")
        assert run(_look, file.settings.paths.warehouse).done == 1


def _look(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        return len(connection.execute("SELECT 1").fetchall())


def test_reading_and_writing_follow_one_another_within_a_session(file: Workspace) -> None:
    with file.warehouse.session():
        for number in range(3):
            _one(file, f"CREATE TABLE t{number} AS SELECT {number} AS n")
            assert fetch(file, f"SELECT n FROM t{number}") == [(number,)]
            with file.warehouse.audit_url() as url:
                assert "access_mode=READ_ONLY" in url


def test_a_verb_opens_the_file_a_few_times_only(file: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once to write, once for the engines, once for the verdict and the publication."""
    shop = small_shop()
    load(file, shop, "reference")
    opened: list[bool] = []
    real = duckdb.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        opened.append(_is_open(file))
        return real(*arguments, **options)

    monkeypatch.setattr(duckdb, "connect", connect)
    jobs.load(file, "sales", None, shop)
    assert len(opened) > opened.count(False)
    assert opened.count(False) <= 3


def test_nothing_of_a_transaction_is_left_to_the_next_of_its_connection(server: Workspace) -> None:
    with server.warehouse.session():
        with server.warehouse.transaction(["mine (a INTEGER)"]) as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            connection.exec_driver_sql("SET search_path = pg_catalog")
            connection.exec_driver_sql("SELECT pg_advisory_lock(4711)")
        with server.warehouse.transaction(["mine (a INTEGER)"]) as connection:
            assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() == pid
            assert connection.exec_driver_sql("SHOW search_path").scalar() != "pg_catalog"
            held = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
            assert connection.exec_driver_sql(held).scalar() == 0
    assert _one(server, "SELECT pg_backend_pid()") != pid


def test_a_kept_connection_that_the_server_ended_is_replaced(server: Workspace) -> None:
    with server.warehouse.session():
        pid = _one(server, "SELECT pg_backend_pid()")
        with psycopg.connect(server.settings.warehouse_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert _one(server, "SELECT pg_backend_pid()") != pid
