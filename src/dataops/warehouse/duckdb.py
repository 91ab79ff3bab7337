"""DuckDB, the embedded default: one file holds every layer and the ledger.

One DuckDB transaction writes to one file only, and another process that holds the file open blocks the writer;
so connections are short, opened per operation, retried, and a message names the holder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dataops.declared import durable
from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.declared.layers import RAW, Layers
from dataops.warehouse import connection as shared
from dataops.warehouse import damaged, readers_copy, rescue, swap
from dataops.warehouse.duckdb_file import (
    HeldError,
    OnHealed,
    WarehouseFile,
    exclusively,
    first_line,
    is_damaged,
    is_held,
    read_all,
    room,
)
from dataops.warehouse.locks import file_lock
from dataops.warehouse.port import Consumer, Dialect

NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "llocation failure",
    "Cannot allocate memory",
    "Resource temporarily unavailable",  # no thread could be started
)


@contextmanager
def one_stream(connection: Connection) -> Iterator[None]:
    """A stream comes from one place: more threads write it no faster, and each holds row groups in memory.

    Nor do more than 300 MB: what is written goes to disk, and what is kept of it would only be evicted later.
    """
    asked = "SELECT current_setting('threads'), current_setting('memory_limit')"
    threads, memory = connection.exec_driver_sql(asked).one()
    number, unit = memory.split()
    same = f"{float(number) + 0.05:.2f} {unit}"  # it is told cut off after one digit
    connection.exec_driver_sql("SET threads = 1")
    connection.exec_driver_sql(f"SET memory_limit = '{room(1, memory, least=1) or same}'")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"SET threads = {int(threads)}")
        connection.exec_driver_sql(f"SET memory_limit = '{same}'")


class DuckDBWarehouse:
    """One file. `published` is the copy of the published layers that long-lived readers open.

    `on_healed` writes to the ledger that the file was torn and healed; without it that waits for the next opening.
    """

    dialect: Dialect = "duckdb"

    def __init__(
        self, url: str, published: Path, backups: Path, locks: Path, lock_seconds: float, layers: Layers,
        on_healed: OnHealed | None = None,
    ) -> None:  # fmt: skip
        self.file = file_of(url)
        self.layers = layers
        self.published = published
        self.backups = backups
        self._door = WarehouseFile(url, self.file, locks, lock_seconds, on_healed)
        self._locks = locks
        self._lock_seconds = lock_seconds

    @property
    def name(self) -> str:
        return f"duckdb {self.file.name}"

    @contextmanager
    def audit_url(self) -> Iterator[str]:
        """Read-only: an engine that could write would checkpoint as it likes."""
        with self._door.kept(), self.reading():
            yield self._door.reading_url.render_as_string(hide_password=False)

    gate_role: str | None = None

    @contextmanager
    def judging(self, connection: Connection) -> Iterator[None]:
        """For as long as the file is open: it cannot be taken back."""
        connection.exec_driver_sql("SET enable_external_access = false")
        self._door.close_afterwards()
        yield

    def initialise(self) -> list[str]:
        return []

    def init_statements(self) -> list[str]:
        return []

    def session(self) -> AbstractContextManager[None]:
        return self._door.kept()

    @contextmanager
    def transaction(self, scratch: Sequence[str] = ()) -> Iterator[Connection]:
        opened = shared.transaction(self._connect, self._explain, self._door.settle, scratch)
        with self._door.resting(), opened as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Where there is no file yet, an empty warehouse in memory: who only looks creates nothing."""
        connect = partial(self._connect, read_only=True)
        with self._door.resting(), shared.transaction(connect, self._explain) as connection:
            yield connection

    def _connect(self, *, read_only: bool = False) -> Connection:
        if not self.file.exists() and not swap.marker(self.file).exists():
            if damaged.left_alone(self.file, self.published, self.backups):
                raise PlatformError(damaged.gone(self.file, self.published, self.backups))
            if read_only:
                return create_engine("duckdb:///:memory:", poolclass=NullPool).connect()
        return self._door.connect(self._explain, read_only=read_only)

    def _explain(self, error: BaseException) -> str | None:
        cause, text = getattr(error, "orig", None) or error, first_line(error)
        if is_held(error):
            return (
                f"{self.file.name} is held open by another process ({_holder(str(cause))});"
                f" waited {self._lock_seconds:g} s.\n"
                "Close that process (a notebook, a shell?); readers should open published.duckdb. Then run this again."
            )
        if is_damaged(error):
            return damaged.torn(self.file, self.published, self.backups, text)
        return self._of_the_machine(cause, text)

    def _of_the_machine(self, cause: BaseException, text: str) -> str | None:
        if "No space left" in str(cause) or "could not write" in str(cause).lower():
            return (
                f"no room for {self.file}: {text}. {self._room()}"
                " Free some space, then run this again; nothing was lost."
            )
        if isinstance(cause, MemoryError | duckdb.OutOfMemoryException) or any(sign in text for sign in NO_MEMORY):
            return (
                f"not enough memory to work on {self.file.name}: {text}. Nothing was changed.\n"
                "Free some memory, or load shorter windows (--window), then run this again. Where DuckDB's own limit is"
                f" meant, raise it: DATAOPS_WAREHOUSE_URL=duckdb:///{self.file}?memory_limit=2GB"
            )
        if "Cannot open encrypted database" in text:
            return (
                f"{self.file.name} is encrypted: only files without a key are opened.\n"
                "Copy it into one (ATTACH … (ENCRYPTION_KEY …); COPY FROM DATABASE), or name another file:"
                " DATAOPS_WAREHOUSE_URL."
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
            with one_stream(connection):
                connection.exec_driver_sql(f"INSERT INTO {RAW}.{table} ({names}) SELECT {names} FROM arriving")
            raw.unregister("arriving")  # type: ignore[union-attr]

    def fetch(self, connection: Connection, sql: str, schema: pa.Schema) -> pa.Table:
        own: Any = connection.connection.dbapi_connection
        table: pa.Table = own.execute(sql).to_arrow_table()
        return table.rename_columns(schema.names).cast(schema)

    def stage(self, connection: Connection, place: str, rows: pa.Table) -> None:
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        own: Any = connection.connection.dbapi_connection
        own.register("arriving", rows)
        connection.exec_driver_sql(f"INSERT INTO {place} ({names}) SELECT {names} FROM arriving")
        own.unregister("arriving")

    @contextmanager
    def lock(self, name: str, purpose: str, *, shared: bool = False) -> Iterator[None]:  # noqa: ARG002  one file
        with file_lock(self._locks / f"{name}.lock", purpose, self._lock_seconds), self.session():
            yield

    def serialize_publications(self, connection: Connection) -> None:
        """The file has one writer at a time already."""

    def refresh_published(self, describe: Callable[[Connection], Mapping[str, str]]) -> None:
        with self.transaction() as connection:
            said = describe(connection)
            if said.get("publication") and said["publication"] != self.readers_about().get("publication"):
                readers_copy.renew(connection, self.published, self.layers.published, said)

    @contextmanager
    def consumer(self, publication: str, relations: Mapping[str, str], *, past: bool) -> Iterator[Consumer]:
        """The readers' copy if it is current; else a file of its own that holds the rows asked for and nothing else."""
        if not past and self.readers_about().get("publication") == publication:
            with readers_copy.opened(self.published) as connection:
                yield Consumer(connection, self.published.name, {})
            return
        with TemporaryDirectory(prefix="query-", dir=self.published.parent) as folder:
            file = Path(folder) / "rows.duckdb"
            with self.reading() as connection:
                readers_copy.snapshot(connection, file, relations)
            with readers_copy.opened(file) as connection:
                yield Consumer(connection, self.name, {})

    def readers_about(self) -> dict[str, str]:
        return readers_copy.about(self.published)

    def copy_to(self, file: Path) -> None:
        with self.reading() as connection:  # heals first, and says when there is nothing to copy
            connection.exec_driver_sql("SELECT 1")
        if not self.file.exists():
            raise PlatformError(f"there is no warehouse yet at {self.file}")
        try:
            if not self._copied(file):  # somebody was killed since it was looked after
                self.copy_to(file)
                return
            with duckdb.connect(str(file)):
                """Takes the log in; closing checkpoints, and nobody else has this copy open."""
            durable.sync(file)
        except (OSError, duckdb.Error, HeldError) as error:
            for path in (file, rescue.log_of(file)):
                path.unlink(missing_ok=True)
            shared.raise_explained(error, self._explain)

    def _copied(self, file: Path) -> bool:
        """Copies file and log while nobody has them open; not in the middle of a checkpoint."""
        self._door.close()
        with exclusively(self.file, self._lock_seconds) as stream:
            if rescue.beside(self.file).exists():
                return False
            with file.open("wb") as out:
                shutil.copyfileobj(stream, out, rescue.CHUNK)
            if rescue.log_of(self.file).exists():
                shutil.copyfile(rescue.log_of(self.file), rescue.log_of(file))
            return True

    def restore(self, file: Path, statements: Sequence[str]) -> str:
        try:
            return self._restore(file, statements)
        except (OSError, duckdb.Error, HeldError) as error:
            shared.raise_explained(error, self._explain)
            raise

    def _restore(self, file: Path, statements: Sequence[str]) -> str:
        fresh = self.file.with_name(self.file.name + ".restoring")
        replaced = self.file.with_name(f"{self.file.name}.replaced-{datetime.now(tz=UTC):%Y%m%dT%H%M%S.%f}")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        there = self.file.exists()
        self._door.close()
        with exclusively(self.file, self._lock_seconds) if there else nullcontext():
            for path in (fresh, rescue.log_of(fresh)):
                path.unlink(missing_ok=True)
            shutil.copyfile(file, fresh)
            with duckdb.connect(str(fresh)) as connection:
                for statement in statements:
                    connection.execute(statement)
            failpoint("restore_copied")
            self._door.put_in_place(fresh, replaced)
        return f"what stood there is kept as {replaced}" if there else "nothing stood there"

    @contextmanager
    def trial(self, file: Path) -> Iterator[Connection]:
        url = make_url("duckdb://").set(database=str(file), query={"access_mode": "READ_ONLY"})
        engine = create_engine(url, poolclass=NullPool)
        try:
            with engine.begin() as connection:
                read_all(connection)
                yield connection
        except DBAPIError as error:
            raise PlatformError(f"{file} is no sound copy of a warehouse: {first_line(error)}") from error

    def tune(self, connection: Connection, layer: str, table: str, key: tuple[str, ...]) -> None:
        """Nothing: DuckDB's zone maps serve, and an index would slow the bulk load."""

    def analyze(self, connection: Connection, relation: str) -> None:
        """Nothing: DuckDB keeps its statistics while it writes."""

    def free_bytes(self) -> int | None:
        folder = self.file.parent
        return shutil.disk_usage(folder).free if folder.exists() else None


def _holder(text: str) -> str:
    _, _, tail = text.partition("PID ")
    return f"PID {tail.split(')')[0].split('.')[0]}" if tail else "unknown"


def file_of(url: str) -> Path:
    """The file that a duckdb:/// URL names. Raises PlatformError for an in-memory URL."""
    path = make_url(url).database
    if path in {None, "", ":memory:"}:
        raise PlatformError("DATAOPS_WAREHOUSE_URL: an in-memory warehouse would be lost at the end of each command")
    return Path(str(path))
