"""Whether the ledger is there, of which version, and the transaction in which it is created or brought up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.declared.layers import Layers
from dataops.ledger import tables
from dataops.warehouse import tables as physical

if TYPE_CHECKING:
    from dataops.warehouse import Warehouse

VERSION = 11
"""The newest migration in `migrations/versions`."""


@contextmanager
def writing(
    warehouse: Warehouse, datasets: Collection[Dataset] = (), scratch: Sequence[str] = ()
) -> Iterator[Connection]:
    """A transaction in which the ledger and the tables of these datasets are there. Raises what making them raises.

    They are made or brought up in transactions of their own before: a warehouse may end one at DDL, and DuckDB cannot
    write to a table that the same transaction has altered.
    """
    with warehouse.transaction(scratch) as connection:
        if version(connection) == VERSION and physical.are_ready(warehouse, connection, datasets):
            yield connection
            return
    with warehouse.transaction() as connection:
        ensure(connection, warehouse.layers)
    with warehouse.transaction() as connection:
        physical.ensure(warehouse, connection, datasets)
    with warehouse.transaction(scratch) as connection:
        yield connection


def ensure(connection: Connection, layers: Layers) -> None:
    """Creates or migrates the ledger inside the caller's transaction.

    Raises PlatformError when the ledger was written by a newer release.
    """
    stands = version(connection)
    if stands is None:
        _create(connection, layers)
    elif stands > VERSION:
        raise _newer(stands)
    elif stands < VERSION:
        from dataops.ledger import migrating  # alembic takes its time to load, and is needed once per release

        migrating.upgrade(connection, stands)
        _tell_older_releases(connection)


def version(connection: Connection) -> int | None:
    """Version of the ledger, None where there is none yet."""
    there = sa.text(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'ops' AND table_name IN ('settings', 'alembic_version')"
    )
    names = set(connection.execute(there).scalars())
    if "alembic_version" in names:
        return int(connection.exec_driver_sql("SELECT version_num FROM ops.alembic_version").scalar_one())
    if "settings" in names:  # before version 5
        s = tables.settings.c
        return int(connection.execute(sa.select(s.value).where(s.name == "version")).scalar_one())
    return None


def is_there(connection: Connection) -> bool:
    """Whether there is a ledger to read. Raises PlatformError for one of another version than this release's."""
    stands = version(connection)
    if stands is None or stands == VERSION:
        return stands is not None
    if stands > VERSION:
        raise _newer(stands)
    raise PlatformError(
        f"this warehouse's ledger is of version {stands}; this release reads version {VERSION}."
        " Bring it up, which the next load does as well: dataops warehouse init"
    )


def _newer(stands: int) -> PlatformError:
    return PlatformError(
        f"this warehouse's ledger is of version {stands}; this release knows up to {VERSION}."
        " Nothing was changed; upgrade dataops, then run this again."
    )


def _create(connection: Connection, layers: Layers) -> None:
    from dataops.ledger import migrating, numbering, receipts

    for schema in layers.schemas:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    tables.metadata.create_all(connection)
    numbering.begin(connection)
    receipts.begin(connection)
    failpoint("ledger_created")
    migrating.stamp(connection, VERSION)
    _tell_older_releases(connection)
    failpoint("ledger_stamped")


def _tell_older_releases(connection: Connection) -> None:
    """Releases before version 5 read it from the settings, and leave a newer ledger alone."""
    own = tables.settings.c.name == "version"
    connection.execute(tables.settings.delete().where(own))
    connection.execute(tables.settings.insert().values(name="version", value=str(VERSION)))
