"""The copy of the published layers that long-lived readers open: made aside, synced, renamed over the old one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

from dataops.declared import durable
from dataops.declared.failpoint import failpoint


def renew(connection: Connection, published: Path, schemas: Sequence[str], about: Mapping[str, str]) -> None:
    """Writes a fresh copy and puts it in place, while the caller holds the warehouse file.

    So a slower copier cannot put an older copy over a newer one. `about` is what the copy says of itself.
    """
    fresh = published.with_suffix(f".{os.getpid()}.tmp")
    try:
        _remove_unfinished(published)
        _write(connection, fresh, schemas, about)
        failpoint("copy_written")
        durable.put_in_place(fresh, published)
        failpoint("copy_renamed")
    finally:
        fresh.unlink(missing_ok=True)


def about(published: Path) -> dict[str, str]:
    """What the copy says of itself; empty when there is none or it cannot be read."""
    if not published.exists():
        return {}
    try:
        with duckdb.connect(str(published), read_only=True) as connection:
            return dict(connection.execute("SELECT name, value FROM about").fetchall())
    except duckdb.Error:
        return {}


@contextmanager
def opened(file: Path) -> Iterator[Connection]:
    """A copy as its readers have it: nothing can be written, no other file or host reached, and no way back."""
    url = make_url("duckdb://").set(database=str(file), query={"access_mode": "READ_ONLY"})
    with create_engine(url, poolclass=NullPool).connect() as connection:
        for statement in ("SET enable_external_access = false", "SET lock_configuration = true"):
            connection.exec_driver_sql(statement)
        yield connection


def snapshot(connection: Connection, file: Path, relations: Mapping[str, str]) -> None:
    """Writes the rows of each relation to a new file, under its table's name; as quickly as they can be copied."""
    with _attached(connection, file) as own:
        for schema in sorted({table.partition(".")[0] for table in relations}):
            own.execute(f"CREATE SCHEMA readers.{schema}")
        for table, rows in relations.items():
            own.execute(f"CREATE TABLE readers.{table} AS SELECT * FROM {rows} AS q")


def _remove_unfinished(published: Path) -> None:
    """Whoever made them is dead, since this process holds the warehouse file."""
    for file in published.parent.glob(f"{published.stem}.*.tmp*"):
        file.unlink()


def _write(connection: Connection, fresh: Path, schemas: Sequence[str], about: Mapping[str, str]) -> None:
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    tables = connection.exec_driver_sql(
        "SELECT table_schema, table_name FROM information_schema.tables"
        f" WHERE table_schema IN ({listed}) AND table_type = 'BASE TABLE'"
    ).fetchall()
    with _attached(connection, fresh) as own:
        own.execute("CREATE TABLE readers.about (name VARCHAR, value VARCHAR)")
        own.executemany("INSERT INTO readers.about VALUES (?, ?)", list(about.items()) or [("publication", "")])
        for schema in schemas:
            own.execute(f"CREATE SCHEMA readers.{schema}")
        for schema, table in tables:
            own.execute(f'CREATE TABLE readers.{schema}."{table}" AS SELECT * FROM {schema}."{table}"')


@contextmanager
def _attached(connection: Connection, fresh: Path) -> Iterator[Any]:
    """A cursor that writes to the new file `fresh` under the name `readers`; it is whole when this is left."""
    # DuckDB's own connection, since each of these statements must commit by itself.
    own: Any = connection.connection.dbapi_connection.__getattr__("cursor")()  # type: ignore[union-attr]
    place = str(fresh).replace("'", "''")
    own.execute(f"ATTACH '{place}' AS readers (READ_WRITE)")
    try:
        yield own
        own.execute("CHECKPOINT readers")  # nobody else does: DETACH leaves the log beside it
    finally:
        own.execute("DETACH readers")
        own.close()
