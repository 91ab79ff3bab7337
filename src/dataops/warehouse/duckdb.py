"""DuckDB, the embedded default: one file holds every layer and the ledger.

One DuckDB transaction writes to one file only, and another process that holds the file open blocks the writer;
so connections are short, opened per operation, retried, and a message names the holder.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dataops.errors import PlatformError
from dataops.failpoint import failpoint
from dataops.warehouse import connection as shared
from dataops.warehouse.locks import file_lock
from dataops.warehouse.port import Dialect

PUBLISHED_SCHEMAS = ("validated", "curated", "marts")

NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "llocation failure",
    "Cannot allocate memory",
    "Resource temporarily unavailable",  # no thread could be started
)


class DuckDBWarehouse:
    """One file. `published` is the copy of the published layers that long-lived readers open."""

    dialect: Dialect = "duckdb"

    def __init__(self, url: str, file: Path, published: Path, locks: Path, lock_seconds: float) -> None:
        self.url = url
        self.file = file
        self.published = published
        self._locks = locks
        self._lock_seconds = lock_seconds

    @property
    def name(self) -> str:
        return f"duckdb {self.file.name}"

    @cached_property
    def _engine(self) -> Engine:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return create_engine(self.url, poolclass=NullPool)

    def transaction(self) -> AbstractContextManager[Connection]:
        return shared.transaction(self._connect, self._explain)

    def reading(self) -> AbstractContextManager[Connection]:
        """Where there is no file yet, an empty warehouse in memory: who only looks creates nothing."""
        return self.transaction() if self.file.exists() else shared.transaction(_nothing, self._explain)

    def _connect(self) -> Connection:
        """Opens the file, waiting for another process that holds it. Raises PlatformError naming that process."""
        deadline = time.monotonic() + self._lock_seconds
        pause = 0.02
        while True:
            try:
                return self._engine.connect()
            except DBAPIError as error:
                if not _is_held(error) or time.monotonic() > deadline:
                    shared.raise_explained(error, self._explain)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _explain(self, error: BaseException) -> str | None:
        cause = getattr(error, "orig", None) or error
        text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        if _is_held(error):
            return (
                f"{self.file.name} is held open by another process ({_holder(str(cause))});"
                f" waited {self._lock_seconds:g} s.\n"
                "Close that process (a notebook, a shell?); readers should open published.duckdb. Then run this again."
            )
        if "No space left" in str(cause) or "could not write" in str(cause).lower():
            return (
                f"no room for {self.file}: {text}. {self._room()}"
                " Free some space, then run this again; nothing was lost."
            )
        if isinstance(cause, MemoryError | duckdb.OutOfMemoryException) or any(sign in text for sign in NO_MEMORY):
            return (
                f"not enough memory to work on {self.file.name}: {text}. Nothing was changed.\n"
                "Free some memory, or load shorter windows (--window), then run this again."
            )
        if isinstance(cause, duckdb.IOException | duckdb.FatalException):
            return f"the warehouse file {self.file.name} could not be used: {text}"
        return None

    def _room(self) -> str:
        free = self.free_bytes()
        return f"{free / 2**20:.0f} MiB are free." if free is not None else ""

    def land(self, table: str, reader: pa.RecordBatchReader) -> None:
        names = ", ".join(f'"{name}"' for name in reader.schema.names)
        with self.transaction() as connection:
            raw = connection.connection.dbapi_connection
            raw.register("arriving", reader)  # type: ignore[union-attr]
            connection.exec_driver_sql(f"INSERT INTO raw.{table} ({names}) SELECT {names} FROM arriving")
            raw.unregister("arriving")  # type: ignore[union-attr]

    @contextmanager
    def lock(self, name: str, purpose: str) -> Iterator[None]:
        with file_lock(self._locks / f"{name}.lock", purpose, self._lock_seconds):
            yield

    def serialize_publications(self, connection: Connection) -> None:
        """The file has one writer at a time already."""

    def refresh_published(self) -> None:
        """Copies the published layers into a fresh file and renames it over the old one."""
        fresh = self.published.with_suffix(f".{os.getpid()}.tmp")
        try:
            # Renamed while the file is still held: a slower copier must not put an older copy over a newer one.
            with self.transaction() as connection:
                self._remove_copies()
                self._copy_into(connection, fresh)
                failpoint("copy_written")
                fresh.replace(self.published)
                failpoint("copy_renamed")
        finally:
            fresh.unlink(missing_ok=True)

    def _remove_copies(self) -> None:
        """Unfinished copies: whoever made them is dead, since this process holds the warehouse file."""
        for file in self.published.parent.glob(f"{self.published.stem}.*.tmp*"):
            file.unlink()

    def _copy_into(self, connection: Connection, fresh: Path) -> None:
        tables = connection.exec_driver_sql(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema IN ('validated', 'curated', 'marts') AND table_type = 'BASE TABLE'"
        ).fetchall()
        # DuckDB's own connection, since each of these statements must commit by itself.
        own = connection.connection.dbapi_connection.__getattr__("cursor")()  # type: ignore[union-attr]
        place = str(fresh).replace("'", "''")
        own.execute(f"ATTACH '{place}' AS readers")
        try:
            for schema in PUBLISHED_SCHEMAS:
                own.execute(f"CREATE SCHEMA readers.{schema}")
            for schema, table in tables:
                own.execute(f'CREATE TABLE readers.{schema}."{table}" AS SELECT * FROM {schema}."{table}"')
        finally:
            own.execute("DETACH readers")
            own.close()

    def tune(self, connection: Connection, layer: str, table: str, key: tuple[str, ...]) -> None:
        """Nothing: DuckDB's zone maps serve, and an index would slow the bulk load."""

    def analyze(self, connection: Connection, relation: str) -> None:
        """Nothing: DuckDB keeps its statistics while it writes."""

    def free_bytes(self) -> int | None:
        folder = self.file.parent
        return shutil.disk_usage(folder).free if folder.exists() else None


def _nothing() -> Connection:
    return create_engine("duckdb:///:memory:", poolclass=NullPool).connect()


def _is_held(error: BaseException) -> bool:
    return "Could not set lock on file" in str(getattr(error, "orig", None) or error)


def _holder(text: str) -> str:
    _, _, tail = text.partition("PID ")
    return f"PID {tail.split(')')[0].split('.')[0]}" if tail else "unknown"


def file_of(url: str) -> Path:
    """The file that a duckdb:/// URL names. Raises PlatformError for an in-memory URL."""
    path = url.removeprefix("duckdb:///")
    if path in {"", ":memory:"} or path == url:
        raise PlatformError("DATAOPS_WAREHOUSE_URL: an in-memory warehouse would be lost at the end of each command")
    return Path(path)
