"""Fixtures for models by example: an empty engine of each kind. Examples bring their own rows and create nothing."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataops.declared.models import Dialect

Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]  # SQL -> (column names, rows)


@pytest.fixture(scope="session", params=["duckdb", "postgres"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """The engine that an example runs on; every example runs on each."""
    return "postgres" if request.param == "postgres" else "duckdb"


@pytest.fixture(scope="session")
def ask(dialect: Dialect, request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Runs one SELECT on the engine. PostgreSQL is DATAOPS_TEST_POSTGRES_URL, else the tests' own server."""
    if dialect == "duckdb":
        yield from _ask_duckdb()
    else:
        url = os.environ.get("DATAOPS_TEST_POSTGRES_URL") or request.getfixturevalue("postgres").url("postgres")
        yield from _ask_postgres(url)


def _ask_duckdb() -> Iterator[Ask]:
    import duckdb

    with duckdb.connect() as connection:

        def _ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description or []], cursor.fetchall()

        yield _ask


def _ask_postgres(url: str) -> Iterator[Ask]:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:

        def _ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            cursor = connection.execute(sql)
            return [column.name for column in cursor.description or []], cursor.fetchall()

        yield _ask
