"""PostgreSQL 15+, the server default: bulk loads by ADBC's COPY, locks by the server itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
import pyarrow as pa
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, PoolResetState

from dataops.declared.errors import PlatformError
from dataops.declared.layers import RAW, Layers, is_history
from dataops.warehouse import connection as shared
from dataops.warehouse import postgres_copy, postgres_dump, roles
from dataops.warehouse.port import Consumer, Dialect

PUBLISH_LOCK = 7_302_411  # one number for "a publication is being written"


class PostgresWarehouse:
    """A PostgreSQL database; a transaction outside of a session has a connection of its own."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str, lock_seconds: float, layers: Layers) -> None:
        self.layers = layers
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._lock_seconds = lock_seconds
        self._roles = False
        self._looked = False
        self._sessions = 0

    @property
    def name(self) -> str:
        return f"postgresql {self._url.host or 'local'}:{self._url.port or 5432}/{self._url.database}"

    @contextmanager
    def audit_url(self) -> Iterator[str]:
        """With the gate's rights, where the roles are in use."""
        url = self._url
        if self.roles_in_use:
            url = url.update_query_dict({"options": f"-crole={roles.GATE}"})
        yield url.render_as_string(hide_password=False)

    @property
    def gate_role(self) -> str | None:
        return roles.GATE if self.roles_in_use else None

    @property
    def roles_in_use(self) -> bool:
        """Whether `dataops warehouse init` has given the platform's schemas to the loader. Raises PlatformError.

        They come once and stay, so who has seen them does not look again; others do in each session.
        """
        if not self._roles and not self._looked:
            with self._plain() as connection:
                self._roles = bool(connection.exec_driver_sql(roles.IN_USE).scalar())
            self._looked = self._sessions > 0
        return self._roles

    def is_superuser(self) -> bool:
        """Whether the login may do anything at all, roles or not."""
        with self._plain() as connection:
            return connection.exec_driver_sql("SELECT current_setting('is_superuser')").scalar() == "on"

    @cached_property
    def _engine(self) -> Engine:
        return self._made(poolclass=NullPool)

    @cached_property
    def _pooled(self) -> Engine:
        """Keeps a connection from one transaction to the next, with nothing of the last one left in it."""
        engine = self._made(pool_size=1, max_overflow=-1, pool_pre_ping=True, pool_reset_on_return=None)
        event.listen(engine, "reset", _discard_all)
        return engine

    def _made(self, **pool: Any) -> Engine:  # noqa: ANN401  SQLAlchemy's options
        options: dict[str, Any] = {
            "connect_timeout": 10,
            "application_name": f"dataops pid {os.getpid()}",
            "options": f"-c lock_timeout={int(self._lock_seconds * 1000)} -c timezone=UTC",
            "prepare_threshold": 0,  # a prepared statement is one statement, whatever its text says
        }
        # Rules hold percent signs (LIKE '<a>%'): a statement without parameters must not be searched for placeholders.
        own = {"no_parameters": True}
        return create_engine(self._url, connect_args=options, execution_options=own, **pool)

    @contextmanager
    def session(self) -> Iterator[None]:
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1
            if not self._sessions:
                self._looked = False
                self._pooled.dispose()

    def transaction(self, scratch: Sequence[str] = ()) -> AbstractContextManager[Connection]:
        return shared.transaction(self._connect, self._explain, scratch=scratch)

    @contextmanager
    def reading(self, role: str = roles.LOADER) -> Iterator[Connection]:
        with shared.transaction(partial(self._connect, role), self._explain) as connection:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    def _connect(self, role: str = roles.LOADER) -> Connection:
        """With the rights of `role`, where the roles are in use."""
        connection = self._plain()
        if self.roles_in_use:
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.commit()
        return connection

    def _plain(self) -> Connection:
        """With the login's own rights."""
        try:
            return (self._pooled if self._sessions else self._engine).connect()
        except DBAPIError as error:
            shared.raise_explained(error, self._explain)
            raise

    @contextmanager
    def judging(self, connection: Connection) -> Iterator[None]:
        if not self.roles_in_use:
            yield
            return
        connection.exec_driver_sql(f"SET LOCAL ROLE {roles.GATE}")
        yield
        connection.exec_driver_sql(f"SET LOCAL ROLE {roles.LOADER}")

    def initialise(self) -> list[str]:
        made = self.init_statements()
        with shared.transaction(self._plain, self._explain) as connection:
            try:
                for statement in made:
                    connection.exec_driver_sql(statement)
                self._looked = False
            except DBAPIError as error:
                if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                    raise
                raise PlatformError(
                    f"{self.name}: {self._url.username} may not do this: {str(error.orig).splitlines()[0]}\n"
                    "Nothing was changed. Let an administrator run what this prints: dataops warehouse init --dry-run"
                ) from error
        return made

    def init_statements(self) -> list[str]:
        return roles.statements(str(self._url.database), str(self._url.username), self.layers)

    def _explain(self, error: BaseException) -> str | None:
        cause = getattr(error, "orig", None) or error
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        if "password authentication failed" in str(cause):
            return f"{self.name} refused the password of user {self._url.username}; check DATAOPS_WAREHOUSE_URL."
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            return (
                f"{self.name}: another session holds a lock on a table ({self._blockers()});"
                f" waited {self._lock_seconds:g} s.\n"
                "End that session (an open transaction in a shell?), then run this again. Nothing was changed."
            )
        if isinstance(cause, psycopg.errors.DiskFull):
            return f"{self.name} has no room left: {first}. Free some space on the server, then run this again."
        if isinstance(cause, psycopg.OperationalError | psycopg.errors.InternalError_ | psycopg.errors.SystemError):
            return f"{self.name} cannot be used: {first}"
        return None

    def _blockers(self) -> str:
        query = text(
            "SELECT string_agg(DISTINCT pid || ' ' || coalesce(nullif(application_name, ''), 'unnamed'), ', ')"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%'"
        )
        try:
            with self._engine.connect() as connection:
                return f"sessions idle in transaction: {connection.execute(query).scalar() or 'none'}"
        except DBAPIError:
            return "its sessions could not be listed"

    def land(self, table: str, reader: pa.RecordBatchReader) -> None:
        from adbc_driver_manager import Error as AdbcError
        from adbc_driver_postgresql import dbapi

        try:
            with dbapi.connect(self._libpq_uri()) as connection, connection.cursor() as cursor:
                cursor.adbc_ingest(table, reader, mode="append", db_schema_name=RAW)
                connection.commit()
        except AdbcError as error:
            first = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise PlatformError(f"{self.name}: loading raw.{table} failed: {first}") from error

    def fetch(self, connection: Connection, sql: str, schema: pa.Schema) -> pa.Table:
        return postgres_copy.fetch(connection, sql, schema)

    def stage(self, connection: Connection, place: str, rows: pa.Table) -> None:
        postgres_copy.stage(connection, place, rows)

    def _libpq_uri(self) -> str:
        url = self._url.set(drivername="postgresql")
        if self.roles_in_use:
            url = url.update_query_dict({"options": f"-crole={roles.LOADER}"})
        return postgres_dump.libpq_uri(url)

    @contextmanager
    def lock(self, name: str, purpose: str, *, shared: bool = False) -> Iterator[None]:
        """A session-level advisory lock on a connection of its own: the server frees it when this process dies."""
        number = crc32(f"dataops {name}".encode())
        connection = self._plain()
        try:
            self._acquire(connection, number, name, shared=shared)
            connection.exec_driver_sql(f"SET application_name = 'PID {os.getpid()} ({name}, {purpose})'")
            connection.commit()
            with self.session():
                yield
        finally:
            connection.close()

    def _acquire(self, connection: Connection, number: int, name: str, *, shared: bool) -> None:
        deadline = time.monotonic() + self._lock_seconds
        attempt = text(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(:n)")
        while not connection.execute(attempt, {"n": number}).scalar():
            connection.commit()
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{name} is busy: {self._lock_holder(connection, number)} holds it;"
                    f" waited {self._lock_seconds:g} s. Nothing was changed; run this again later."
                )
            time.sleep(0.1)
        connection.commit()

    def _lock_holder(self, connection: Connection, number: int) -> str:
        query = text(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
            " WHERE l.locktype = 'advisory' AND l.objid::bigint = :n AND l.granted"
        )
        return str(connection.execute(query, {"n": number}).scalar() or "another session")

    def serialize_publications(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({PUBLISH_LOCK})")

    def refresh_published(self, describe: Callable[[Connection], Mapping[str, str]]) -> None:
        """Nothing: consumers read the same database."""

    @contextmanager
    def consumer(
        self, publication: str, relations: Mapping[str, str], *, past: bool  # noqa: ARG002  a snapshot has the newest
    ) -> Iterator[Consumer]:  # fmt: skip
        """A read-only transaction; a snapshot of the server's, which keeps no writer out."""
        with self.reading(roles.CONSUMER) as connection:
            yield Consumer(connection, self.name, relations if past else {})

    def readers_about(self) -> dict[str, str] | None:
        return None

    def copy_to(self, file: Path) -> None:
        with self.reading() as connection:
            if not connection.execute(text("SELECT to_regnamespace('ops')")).scalar():
                raise PlatformError(f"there is no warehouse yet in {self.name}")
        try:
            postgres_dump.dump(self._url, file, self.layers.schemas)
        except PlatformError:
            file.unlink(missing_ok=True)
            raise

    def restore(self, file: Path, statements: Sequence[str]) -> str:
        rights = self.init_statements() if self.roles_in_use else []
        postgres_dump.load(self._url, file, self.layers.schemas, [*statements, *rights], self._lock_seconds)
        return "what stood there was replaced"

    @contextmanager
    def trial(self, file: Path) -> Iterator[Connection]:
        with postgres_dump.scratch(self._url, file, self.layers.schemas, self._lock_seconds) as place:
            own = PostgresWarehouse(place.render_as_string(hide_password=False), self._lock_seconds, self.layers)
            with own.reading() as connection:
                yield connection

    def tune(self, connection: Connection, layer: str, table: str, key: tuple[str, ...]) -> None:
        """Keys are looked up by publish and as-of; raw and history are only appended to, where BRIN is nearly free."""
        columns = ", ".join(f'"{name}"' for name in key)
        if layer == RAW:
            connection.exec_driver_sql(f"CREATE INDEX ON {RAW}.{table} USING brin (_batch)")
        elif is_history(layer):
            connection.exec_driver_sql(f"CREATE INDEX ON {layer}.{table} ({columns})")
            connection.exec_driver_sql(f"CREATE INDEX ON {layer}.{table} USING brin (_superseded)")
        elif layer in self.layers.published:
            connection.exec_driver_sql(f"CREATE UNIQUE INDEX ON {layer}.{table} ({columns})")
            connection.exec_driver_sql(f"CREATE INDEX ON {layer}.{table} USING brin (_publication)")

    def analyze(self, connection: Connection, relation: str) -> None:
        connection.exec_driver_sql(f"ANALYZE {relation}")

    def free_bytes(self) -> int | None:
        return None


def _discard_all(own: psycopg.Connection[Any], _record: object, state: PoolResetState) -> None:
    """No role, no setting, no temporary table, no lock. A connection that cannot is closed; the pool replaces it."""
    if state.terminate_only:
        return
    try:
        own.rollback()
        own.autocommit = True
        own.execute("DISCARD ALL")
        own.autocommit = False
    except psycopg.Error:
        own.close()
