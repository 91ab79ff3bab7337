"""How much memory the embedded warehouse may take."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import PROJECT

from dataops.declared import settings
from dataops.warehouse import open_warehouse
from dataops.warehouse.duckdb import one_stream
from dataops.warehouse.duckdb_file import SIZES, room

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("threads", "memory", "limit"),
    [(2, "18.8 GiB", "600MB"), (1, "1.5 GiB", "600MB"), (16, "1.0 TiB", "4800MB"), (4, "409.6 MiB", None)],
    ids=["two cores", "one core", "many cores", "a small container"],
)
def test_as_much_as_the_cores_need_and_no_more_than_there_is(threads: int, memory: str, limit: str | None) -> None:
    assert room(threads, memory) == limit


@pytest.mark.parametrize("query", ["", "?memory_limit=64GB"])
def test_what_is_opened_is_limited_and_what_the_address_says_comes_first(query: str, tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'x.duckdb'}{query}"
    environ = {"DATAOPS_HOME": str(tmp_path), "DATAOPS_WAREHOUSE_URL": url}
    warehouse = open_warehouse(settings.load(environ, PROJECT))
    names = ("threads", "memory_limit", "preserve_insertion_order")
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    seen = set()
    for opened in (warehouse.transaction, warehouse.reading, warehouse.transaction):
        with opened() as connection:
            seen.add(tuple(connection.exec_driver_sql(asked).one()))
    (threads, memory, keeps_order), *others = seen
    assert not others
    assert not keeps_order
    number, unit = memory.split()
    megabytes = float(number) * SIZES[unit]
    assert megabytes == pytest.approx(64_000 if query else 300 * max(2, threads), rel=0.01)


@pytest.mark.parametrize(("query", "most"), [("", 300), ("?memory_limit=200MB", 200)])
def test_a_stream_is_written_within_what_one_thread_needs(query: str, most: int, tmp_path: Path) -> None:
    """And afterwards everything is as before."""
    url = f"duckdb:///{tmp_path / 'x.duckdb'}{query}"
    warehouse = open_warehouse(settings.load({"DATAOPS_HOME": str(tmp_path), "DATAOPS_WAREHOUSE_URL": url}, PROJECT))
    asked = "SELECT current_setting('threads'), current_setting('memory_limit')"
    with warehouse.transaction() as connection:
        before = connection.exec_driver_sql(asked).one()
        for _ in range(20):
            with one_stream(connection):
                threads, memory = connection.exec_driver_sql(asked).one()
        assert connection.exec_driver_sql(asked).one() == before
    number, unit = memory.split()
    assert threads == 1
    assert float(number) * SIZES[unit] == pytest.approx(most, rel=0.01)
