"""Fixtures for models by example: an empty engine of each kind. Examples bring their own rows and create nothing."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataops.models import Dialect

Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]  # SQL -> (column names, rows)


@pytest.fixture(scope="session", params=["duckdb", "postgres"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """The engine that an example runs on; every example runs on each."""
    return "postgres" if request.param == "postgres" else "duckdb"


@pytest.fixture(scope="session")
def ask(dialect: Dialect) -> Iterator[Ask]:
    """Runs one SELECT on the engine. PostgreSQL is found through DATAOPS_TEST_POSTGRES_URL."""
    if dialect == "duckdb":
        yield from _ask_duckdb()
    else:
        yield from _ask_postgres()


def _ask_duckdb() -> Iterator[Ask]:
    import duckdb

    with duckdb.connect() as connection:

        def _ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description or []], cursor.fetchall()

        yield _ask


def _ask_postgres() -> Iterator[Ask]:
    import psycopg

    url = os.environ.get("DATAOPS_TEST_POSTGRES_URL")
    if not url:
        # On a desk one engine may do; where it counts, half of the tests must not go missing unseen.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("DATAOPS_TEST_POSTGRES_URL is not set")
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:

        def _ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            cursor = connection.execute(sql)
            return [column.name for column in cursor.description or []], cursor.fetchall()

        yield _ask
