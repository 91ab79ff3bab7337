"""Makes Great Expectations at home on DuckDB, so that one suite gives one verdict on both warehouses.

GX knows no DuckDB: without registration every check fails with "list index out of range", and regex expectations
are "not supported". Both are mended here, and only here, through the hooks that GX reads.
"""

from __future__ import annotations

from enum import StrEnum
from types import SimpleNamespace
from typing import Any


def register() -> None:
    """Tells GX that DuckDB keeps one connection per engine. Idempotent."""
    from great_expectations.execution_engine import sqlalchemy_execution_engine as module  # noqa: TID251

    class DuckDB(StrEnum):  # GX compares with the plain name as well
        DUCKDB = "duckdb"

    if not any(getattr(item, "value", item) == "duckdb" for item in module._PERSISTED_CONNECTION_DIALECTS):  # noqa: SLF001
        module._PERSISTED_CONNECTION_DIALECTS = (*module._PERSISTED_CONNECTION_DIALECTS, DuckDB.DUCKDB)  # noqa: SLF001


def give_regex(engine: Any) -> None:  # noqa: ANN401  GX's SqlAlchemyExecutionEngine
    """Gives GX a dialect module for DuckDB that spells a partial regex match as REGEXP_MATCHES.

    GX chooses the spelling by attributes of the dialect's module; the one named here selects REGEXP_MATCHES, which is
    DuckDB's. Its own dialect would be taken for PostgreSQL's, whose `~` means a full match on DuckDB.
    """
    engine.dialect_module = SimpleNamespace(DremioDialect=True)
