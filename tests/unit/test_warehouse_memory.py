"""How much memory the embedded warehouse may take."""

import pytest

from dataops.warehouse.duckdb_file import room, with_limits

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("threads", "memory", "megabytes"),
    [(2, "18.8 GiB", "600MB"), (1, "1.5 GiB", "600MB"), (16, "1.0 TiB", "4800MB"), (4, "409.6 MiB", "429MB")],
    ids=["two cores", "one core", "many cores", "a small container"],
)
def test_as_much_as_the_cores_need_and_no_more_than_there_is(threads: int, memory: str, megabytes: str) -> None:
    assert room(threads, memory) == megabytes


def test_what_the_address_says_comes_first() -> None:
    assert with_limits("duckdb:///x?memory_limit=4GB").query["memory_limit"] == "4GB"
    assert with_limits("duckdb:///x").query["preserve_insertion_order"] == "false"
