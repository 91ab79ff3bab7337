"""Migrations of the ledger by alembic, inside the caller's transaction: all of them happen, or none.

A revision is named by the version it leads to. `upgrade` and `downgrade` of each are tested with data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.ddl.impl import DefaultImpl
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from dataops.declared.failpoint import failpoint

HERE = Path(__file__).parent / "migrations"
LOCATIONS = [HERE / "versions"]
FIRST = 1
"""A ledger of this version is what no migration leads to."""

Steps = Callable[[Any, MigrationContext], Any]


class _DuckDB(DefaultImpl):
    """What alembic has to know of DuckDB: it rolls DDL back."""

    __dialect__ = "duckdb"
    transactional_ddl = True


def upgrade(connection: Connection, stands: int) -> None:
    """Brings a ledger of version `stands` up to the newest."""
    if not _is_stamped(connection):
        stamp(connection, stands)
    scripts = _scripts()
    _run(connection, lambda revision, _: scripts._upgrade_revs("head", revision))  # noqa: SLF001  as alembic's own commands


def downgrade(connection: Connection, to: int) -> None:
    """Takes migrations back, with what only they could hold."""
    scripts = _scripts()
    goal = "base" if to == FIRST else str(to)
    _run(connection, lambda revision, _: scripts._downgrade_revs(goal, revision))  # noqa: SLF001  as alembic's own commands


def stamp(connection: Connection, version: int) -> None:
    """Notes which version the ledger is of."""
    _context(connection, None).stamp(_scripts(), "base" if version == FIRST else str(version))


def _run(connection: Connection, steps: Steps) -> None:
    context = _context(connection, steps)
    with Operations.context(context):
        context.run_migrations()


def _context(connection: Connection, steps: Steps | None) -> MigrationContext:
    # Without a primary key: an index on what is updated makes DuckDB 1.5 abort when COMMIT finds no room.
    return MigrationContext.configure(
        connection,
        opts={
            "version_table_schema": "ops",
            "version_table_pk": False,
            "fn": steps,
            "on_version_apply": (lambda **_: failpoint("ledger_migrated"),),
        },
    )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(HERE), version_locations=[str(folder) for folder in LOCATIONS])


def _is_stamped(connection: Connection) -> bool:
    return bool(
        connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables"
            " WHERE table_schema = 'ops' AND table_name = 'alembic_version'"
        ).scalar_one()
    )
