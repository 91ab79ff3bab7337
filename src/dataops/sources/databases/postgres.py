"""PostgreSQL as a source: one snapshot of the server's per group, rows streamed as Arrow by COPY.

Read only, by the server's word. The catalogue is asked on a connection of its own, outside of the snapshot: there it
says what a table is like now, which is how a change of it in the middle of a reading is seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from sqlalchemy.engine import URL

from dataops.declared.errors import PlatformError
from dataops.sources.databases import postgres_types
from dataops.sources.databases.database import APART, Database, patiently
from dataops.sources.databases.statements import Keys, Statement
from dataops.sources.databases.tables import Column, Table, called
from dataops.sources.port import Position, Remark

if TYPE_CHECKING:
    import psycopg

BUSY = ("53300", "57P03", "08006", "08001", "08000", "08003", "08004")
"""States of an error that may be gone a moment later: too many connections, starting up, connection lost."""
GONE = ("42703", "42P01", "0A000")
"""A column or table that the catalogue had a moment ago, and a plan that fits no more."""
BATCH_BYTES = 2**20

_TABLES = """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND has_schema_privilege(n.oid, 'USAGE')"""
_COLUMNS = """WITH RECURSIVE base AS (
  SELECT a.attnum, a.attname, a.atttypid AS type, a.atttypmod AS modifier
  FROM pg_attribute a WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, b.attname, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END
  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
SELECT b.attname, t.typname, b.modifier FROM base b JOIN pg_type t ON t.oid = b.type
WHERE t.typtype <> 'd' ORDER BY b.attnum"""
_VERSION = "SELECT c.oid || ' ' || c.relfilenode FROM pg_class c WHERE c.oid = to_regclass(%(table)s)"
_AT_WORK = """SELECT clock_timestamp() AT TIME ZONE %(zone)s,
  (SELECT array_agg(transactionid::text::bigint) FROM pg_locks WHERE locktype = 'transactionid' AND granted)"""
_POSITION = """SELECT
  (SELECT oid::text FROM pg_database WHERE datname = current_database()),
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"""


_ABOUT = """SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('is_superuser') = 'on',
  (SELECT COUNT(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
     AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')),
  EXTRACT(EPOCH FROM clock_timestamp())::float8, current_setting('server_encoding')"""
_ROWS = """SELECT CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 100 END::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s"""


class _Dialect:
    """PostgreSQL's way to write things."""

    def quoted(self, name: str) -> str:
        return '"{}"'.format(name.replace('"', '""'))

    def moment(self, value: datetime, column: Column) -> str:
        return (
            f"TIMESTAMPTZ '{value.isoformat(' ')}+00'" if column.is_absolute else f"TIMESTAMP '{value.isoformat(' ')}'"
        )

    def keys(self, columns: Sequence[Column], keys: Keys, parameters: list[str]) -> str:  # noqa: ARG002  COPY has none
        from psycopg import sql

        arrays = (
            f"{sql.Literal([key[at] for key in keys]).as_string()}::{_ARRAYS.get(column.type, 'text')}[]"
            for at, column in enumerate(columns)
        )
        return f"(SELECT * FROM unnest({', '.join(arrays)}) AS u({', '.join(f'k{n}' for n in range(len(columns)))}))"

    def microseconds(self, value: str) -> str:
        return f"CAST(ROUND(date_part('epoch', {value}) * 1000000) AS BIGINT)"

    def problem(self, column: Column, value: str) -> str:
        unfit = str(column.unfit).format(value)
        says = f"'{_safe(column.label)}: ''' || {value}::text || ''' is no time of our calendar'"
        return f"CASE WHEN {unfit} THEN {says} END"

    def joined(self, problems: Sequence[str]) -> str:
        return f"NULLIF(concat_ws('; ', {', '.join(problems)}), '')" if problems else "NULL::text"


class PostgresSource(Database):
    """A PostgreSQL database."""

    dialect = _Dialect()

    def __init__(self, url: URL, zone: str = "UTC", timeout: int = 3600) -> None:
        """`zone`: of the clock that stamps rows without one; `timeout`: seconds that one statement may take."""
        super().__init__(url, timeout)
        self._zone = zone
        self._own: psycopg.Connection[Any] | None = None
        self._snapshot: str | None = None

    @property
    def name(self) -> str:
        """`postgresql host:port/database`."""
        return f"postgresql {self._url.host or 'local'}:{self._url.port or 5432}/{self._url.database}"

    @contextmanager
    def snapshot(self, source_tables: Sequence[str]) -> Iterator[None]:
        """Everything is read as of one moment, in which no table may be rewritten or get another shape."""
        with self._connected() as holder:
            with self._answering():
                at_work = _at_work(self._catalogue(), self._zone)
                holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                [self._snapshot] = holder.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
                self._position = _position(holder, *at_work)
                described = [_described(holder, *self._called(name, holder)) for name in source_tables]
            before = [table for table in described if table]
            try:
                yield
            finally:
                self._snapshot = self._position = None
            with self._answering():
                after = [_described(self._catalogue(), table.schema, table.name) for table in before]
        self._refuse_change(before, after)

    def position(self) -> Position:
        """Where the log, the clock and the transactions stand."""
        with self._answering():
            catalogue = self._catalogue()
            return self._position or _position(catalogue, *_at_work(catalogue, self._zone))

    def remarks(self) -> list[Remark]:
        """What `source test` tells of the server."""
        began = time.monotonic()
        with self._answering():
            catalogue = self._catalogue()
            took = time.monotonic() - began
            [(version, replica, superuser, writable, clock, encoding)] = catalogue.execute(_ABOUT).fetchall()
            parameters = catalogue.info
            with self.snapshot([]):
                position = self.position()
        tls = parameters.pgconn.ssl_in_use
        return [
            Remark(
                "ok" if tls or self._is_local else "warn", "connection",
                f"PostgreSQL {version}, {1000 * took:.0f} ms to connect, {'TLS' if tls else 'no TLS'}",
                "" if tls or self._is_local else "add ?sslmode=verify-full&sslrootcert=… to the address",
            ),
            Remark(
                "warn" if superuser or writable else "ok", "rights",
                "the login is a superuser" if superuser else f"the login may write to {writable} tables"
                if writable else "the login may only read",
                "give it a login that may only read: docs/how-to/connect-a-source.md" if superuser or writable else "",
            ),
            Remark(
                "warn" if replica else "ok", "isolation",
                "REPEATABLE READ: all tables of a group as of one moment" + (", on a replica" if replica else ""),
                "long readings are cancelled there unless hot_standby_feedback is on" if replica else "",
            ),
            _said_of_clock(clock),
            Remark(
                "ok", "changes",
                "nobody is writing now" if position.oldest >= position.next
                else f"{position.next - position.oldest} transactions may be at work: what they change is looked for",
            ),
            Remark(
                "FAIL" if encoding == "SQL_ASCII" else "ok", "encoding", encoding,
                "texts of a database without an encoding cannot be trusted" if encoding == "SQL_ASCII" else "",
            ),
        ]  # fmt: skip

    def estimated_rows(self, source_table: str) -> int | None:
        with self._answering():
            catalogue = self._catalogue()
            schema, name = self._called(source_table, catalogue)
            found = catalogue.execute(_ROWS, {"schema": schema, "name": name}).fetchone()
        return int(found[0]) if found and found[0] >= 0 else None

    def close(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None

    def _batches(self, statement: Statement, source_table: str) -> Iterator[pa.RecordBatch]:
        """What a query gives, in the snapshot if there is one."""
        from adbc_driver_manager import Error as AdbcError
        from adbc_driver_postgresql import dbapi

        try:
            with dbapi.connect(self._address()) as connection, connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                if self._snapshot:
                    cursor.execute(f"SET TRANSACTION SNAPSHOT '{self._snapshot}'")
                cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
                cursor.execute(statement.sql)
                yield from cursor.fetch_record_batch()
        except (AdbcError, OSError, pa.ArrowException) as error:  # a stream that is cut off tells it by Arrow's errors
            self._raise(error, str(getattr(error, "sqlstate", "") or ""), f"reading {source_table}: ")

    def _table_now(self, source_table: str) -> Table | None:
        with self._answering():
            catalogue = self._catalogue()
            return _described(catalogue, *self._called(source_table, catalogue))

    def _called(self, source_table: str, connection: psycopg.Connection[Any]) -> tuple[str, str]:
        return called(source_table, connection.execute(_TABLES).fetchall(), self.name)

    def _catalogue(self) -> psycopg.Connection[Any]:
        """The connection on which every statement sees what is so now."""
        if self._own is None or self._own.closed:
            self._own = self._connect()
            self._own.autocommit = True
        return self._own

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._connect()
        try:
            yield connection
        finally:
            with suppress(Exception):  # it may have been cut off
                connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        address = self._address()
        with self._answering():
            return patiently(lambda: psycopg.connect(address, connect_timeout=10, prepare_threshold=None), _may_pass)

    def _address(self) -> str:
        """For libpq: read only, in UTC, with limits that the server keeps."""
        from psycopg.conninfo import make_conninfo

        settings = {
            "default_transaction_read_only": "on", "timezone": "UTC", "statement_timeout": f"{self._timeout}s",
            "lock_timeout": "60s", "client_encoding": "UTF8", "extra_float_digits": "1", "datestyle": "ISO",
        }  # fmt: skip
        options = " ".join(f"-c{name}={value}" for name, value in settings.items())
        own = {
            "application_name": "dataops", "connect_timeout": "10", "keepalives_idle": "30",
            "tcp_user_timeout": "60000", "sslmode": "prefer" if self._is_local else "require",
            "host": self._url.host, "port": self._url.port, "dbname": self._url.database,
            "user": self._url.username, "password": self._url.password,
        }  # fmt: skip
        given = {name: str(value) for name, value in [*own.items(), *self._url.query.items()] if value is not None}
        return make_conninfo("", **given, options=options)

    @property
    def _is_local(self) -> bool:
        return self._url.host in {None, "", "localhost", "127.0.0.1", "::1"}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Errors of the server as ours."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            self._raise(error, error.sqlstate or "")

    def _raise(self, error: Exception, state: str, doing: str = "") -> None:
        """Raises what the error means to who can act on it."""
        text = re.sub(r"query '.*':", "a query:", str(error).strip(), flags=re.DOTALL)  # ADBC repeats it whole
        first = (text.splitlines() or [type(error).__name__])[0]
        if state == "42501":
            raise PlatformError(
                f"{self.name}: {doing}{first}\nNothing was loaded. Let an administrator grant it:"
                " GRANT SELECT ON ALL TABLES IN SCHEMA … TO the login; see docs/how-to/connect-a-source.md"
            ) from error
        if state in GONE:
            raise PlatformError(
                f"{self.name} changed while it was read: {doing}{first}\nNothing was published. Run this again."
            ) from error
        if state in {"28P01", "28000"} or "password authentication failed" in first:
            raise PlatformError(
                f"{self.name} refused user {self._url.username}: check the source's address, DATAOPS_SOURCE_URL."
            ) from error
        raise PlatformError(f"{self.name} cannot be read: {doing}{first}\nNothing was published.") from error


def _may_pass(error: Exception) -> bool:
    """Whether it may be gone a moment later; without a state the connection did not come about, or it was refused."""
    state = getattr(error, "sqlstate", None)
    return state in BUSY or (state is None and "authentication" not in str(error))


def _said_of_clock(server: float) -> Remark:
    """How far the server's clock is from ours; stamps are the server's, so only a large difference is worth a word."""
    apart = server - time.time()
    level: Literal["ok", "warn"] = "warn" if abs(apart) > APART else "ok"
    return Remark(
        level, "clock", f"the server's is {apart:+.1f} s from ours", "set the clocks" if level == "warn" else ""
    )


def _described(connection: psycopg.Connection[Any], schema: str, name: str) -> Table | None:
    """The table as this connection sees it; None where it is gone."""
    table = {"table": '"{}"."{}"'.format(schema.replace('"', '""'), name.replace('"', '""'))}
    version = connection.execute(_VERSION, table).fetchone()
    if version is None:
        return None
    columns = (postgres_types.column(*row) for row in connection.execute(_COLUMNS, table))
    return Table(schema, name, tuple(columns), version[0])


def _at_work(connection: psycopg.Connection[Any], zone: str) -> tuple[datetime, list[int]]:
    """When, by the server's clock, and the short numbers of the transactions that are changing something.

    Asked before the snapshot is taken: of one that is begun in between, everything is later than this moment. The
    snapshot alone would not do: its `xmax` is one more than the last transaction that has *ended*.
    """
    [(now, numbers)] = connection.execute(_AT_WORK, {"zone": zone}).fetchall()
    return now, numbers or []


def _position(connection: psycopg.Connection[Any], now: datetime, at_work: Sequence[int]) -> Position:
    [(identity, mark, oldest, after)] = connection.execute(_POSITION).fetchall()
    known = [_whole_number(number, after) for number in at_work]
    return Position(identity, mark, now, min([oldest, *known]), max([after, *(number + 1 for number in known)]))


def _whole_number(number: int, near: int) -> int:
    """Of a transaction by its 32 bits and the whole number of another one of about the same time."""
    return near + (number - near + (1 << 31)) % (1 << 32) - (1 << 31)


_ARRAYS: dict[pa.DataType, str] = {
    pa.int16(): "bigint", pa.int32(): "bigint", pa.int64(): "bigint", pa.date32(): "date", pa.bool_(): "boolean",
    pa.timestamp("us"): "timestamp",
}  # fmt: skip


def _safe(label: str) -> str:
    return label.replace("'", "''")
