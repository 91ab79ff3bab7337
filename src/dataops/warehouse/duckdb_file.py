"""The one door to a DuckDB file: who may write runs without checkpoints of DuckDB's own, who reads opens it read-only.

A file that a kill left in the middle of a checkpoint is healed before anybody sees it. Knows files and connections,
not what the tables in them mean.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import duckdb
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, PoolProxiedConnection

from dataops.declared import durable
from dataops.declared.failpoint import failpoint
from dataops.warehouse import connection as shared
from dataops.warehouse import log_tail, rescue, swap
from dataops.warehouse.locks import file_lock

log = logging.getLogger("dataops")

LOG_BYTES = 2**19  # opening the file replays the log: 10 ms per MiB of rows, 300 ms per MiB of small commits
DAMAGED = (
    "Corrupt database file",
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "Failure while replaying WAL",
)
NEVER = "1TB"  # a log of this size would make DuckDB checkpoint by itself
KEPT_SECONDS = 1.0  # then others get their turn
SIZES = {"KiB": 2**10 / 10**6, "MiB": 2**20 / 10**6, "GiB": 2**30 / 10**6, "TiB": 2**40 / 10**6}  # in megabytes
MEMORY_PER_THREAD = 300  # megabytes; six million order lines are built, judged and published within it


@dataclass(frozen=True)
class Healed:
    """What was done to a torn file: when, which of how many blocks were put back, how many bytes of log were cut off.

    What is cut off a log is a commit that was never acknowledged.
    """

    at: str
    torn: tuple[int, ...] = ()
    blocks: int = 0
    log_cut: int = 0

    @property
    def sentence(self) -> str:
        """What was done, in words."""
        blocks = f"{len(self.torn)} of {self.blocks} blocks of metadata put back" if self.torn else ""
        cut = f"{self.log_cut} bytes of an unacknowledged commit cut off the log" if self.log_cut else ""
        return ", ".join(part for part in (blocks, cut) if part)


OnHealed = Callable[[Connection, Healed], None]


@dataclass(frozen=True)
class Kept:
    """A connection that does nothing but keep the file open: how it was opened, and when by the monotonic clock."""

    connection: PoolProxiedConnection
    read_only: bool
    since: float
    spent: bool = False


class HeldError(Exception):
    """Another process has the file open, so it cannot be looked after now."""


def room(threads: int, memory: str, least: int = 2) -> str | None:
    """300 MB for each thread, `least` of them; None where DuckDB would take no more by itself: it knows containers."""
    number, unit = memory.split()
    wanted = MEMORY_PER_THREAD * max(least, threads)
    return f"{wanted}MB" if float(number) * SIZES[unit] > wanted else None


class WarehouseFile:
    """`on_healed` is told inside a transaction, before the rescue is given up; it may refuse by raising."""

    def __init__(self, url: str, file: Path, locks: Path, lock_seconds: float, on_healed: OnHealed | None) -> None:
        self.file = file
        self._url = make_url(url)
        self.reading_url = self._url.update_query_dict({"access_mode": "READ_ONLY"})
        self._lock = locks / "warehouse-file.lock"
        self._lock_seconds = lock_seconds
        self._on_healed = on_healed
        self._keepers = 0
        self._kept: Kept | None = None

    @cached_property
    def writing(self) -> Engine:
        """Checkpoints neither at COMMIT nor when the last connection closes."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        options = {"config": {"checkpoint_threshold": NEVER}}
        engine = create_engine(self._url, poolclass=NullPool, connect_args=options)
        event.listen(engine, "connect", _never_checkpoint)
        event.listen(engine, "connect", self._limit)
        return engine

    @cached_property
    def _reading(self) -> Engine:
        engine = create_engine(self.reading_url, poolclass=NullPool)
        event.listen(engine, "connect", self._limit)
        return engine

    def _limit(self, own: Any, _record: object) -> None:  # noqa: ANN401  the dialect's wrapper around DuckDB's connection
        """How much memory DuckDB may take, unless the address says so itself; beyond it, it spills to disk.

        Without a limit DuckDB takes four fifths of the machine, for each process. Rows keep no order but what ORDER BY
        says, as on every other warehouse: what has to keep it cannot spill.
        """
        threads, memory = own.execute("SELECT current_setting('threads'), current_setting('memory_limit')").fetchone()
        limit = room(threads, memory)
        if limit and "memory_limit" not in self._url.query:
            own.execute(f"SET memory_limit = '{limit}'")
        if "preserve_insertion_order" not in self._url.query:
            own.execute("SET preserve_insertion_order = false")

    def connect(self, explain: shared.Explain, *, read_only: bool = False) -> Connection:
        """Opens the file, waiting for another process that holds it. Raises PlatformError naming that process."""
        engine = self._reading if read_only else self.writing
        deadline = time.monotonic() + self._lock_seconds
        pause, healed = 0.02, False
        while True:
            try:
                return self._open(engine, explain, read_only=read_only)
            except (DBAPIError, HeldError) as error:
                again = is_held(error)
                if not again and is_damaged(error) and not healed:
                    # A process may have been killed since; and a torn log shows only now.
                    again = healed = rescue.beside(self.file).exists() or self._cut_log()
                if not again or time.monotonic() > deadline:
                    shared.raise_explained(error, explain)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _open(self, engine: Engine, explain: shared.Explain, *, read_only: bool) -> Connection:
        if self._kept and self._kept.read_only != read_only:
            self.close()
        self._look_after(explain)
        connection = engine.connect()
        if self._keepers and not self._kept:
            self._kept = Kept(engine.raw_connection(), read_only, time.monotonic())
        return connection

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, the file stays open from one connection to the next, unless one reads and the other writes.

        Opening reads the description of every table: 40 ms of CPU for 200 of them, ten times what a small statement
        takes. What is kept is a file without a transaction, and `resting` closes it after a second.
        """
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self.close()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """After what happens inside, other processes are let in if the file has been open long enough."""
        try:
            yield
        finally:
            if self._kept and (self._kept.spent or time.monotonic() - self._kept.since > KEPT_SECONDS):
                self.close()

    def close_afterwards(self) -> None:
        """The file cannot be used as it is open now: the next connection opens it again."""
        if self._kept:
            self._kept = replace(self._kept, spent=True)

    def close(self) -> None:
        """Closes a file that was kept open."""
        if self._kept:
            self._kept.connection.close()
            self._kept = None

    def settle(self, connection: Connection) -> None:
        """After COMMIT: a checkpoint once the log has become long, so that opening the file stays quick."""
        log_ = rescue.log_of(self.file)
        if log_.exists() and log_.stat().st_size > LOG_BYTES:
            self.checkpoint(connection)

    def checkpoint(self, connection: Connection) -> None:
        """Empties the log into the file, with what that writes over kept aside.

        What was committed stands in any case, so a failure is a warning: the log stays, the next opening settles it.
        """
        try:
            own = connection.connection.dbapi_connection
            assert own is not None  # noqa: S101  for the type: this connection is open
            self._keep_aside(own)
            own.execute("CHECKPOINT")
        except (OSError, duckdb.Error) as error:
            log.warning("%s keeps its log for now, nothing was lost: %s", self.file.name, first_line(error))
            return
        failpoint("checkpointed")
        rescue.beside(self.file).unlink()
        failpoint("rescue_removed")

    def _keep_aside(self, own: Any) -> None:  # noqa: ANN401  the dialect's wrapper around DuckDB's connection
        blocks = [row[0] for row in own.execute("SELECT block_id FROM pragma_metadata_info()").fetchall()]
        size = own.execute("SELECT block_size FROM pragma_database_size()").fetchone()[0]
        descriptor = own_descriptor(self.file)
        if descriptor is None:
            raise OSError("DuckDB's descriptor of the file was not found")
        rescue.keep(self.file, descriptor, blocks, size)
        failpoint("rescue_written")

    def put_in_place(self, fresh: Path, replaced: Path) -> None:
        """Puts `fresh` in place of the file, which is kept as `replaced`. The caller holds the file exclusively."""
        with self._looking_after():
            swap.begin(self.file, fresh, replaced)
            swap.finish(self.file)

    def _looking_after(self) -> AbstractContextManager[None]:
        """One process at a time does what only one may do beside DuckDB."""
        return file_lock(self._lock, "look after the warehouse file", self._lock_seconds)

    def _look_after(self, explain: shared.Explain) -> None:
        """Finishes what a killed process left half done: a file put in place of another, a checkpoint."""
        left = (rescue.beside(self.file), swap.marker(self.file), self._note)
        if not any(path.exists() for path in left) or own_descriptor(self.file) is not None:
            return
        with self._looking_after():
            if swap.marker(self.file).exists():
                with exclusively(self.file) if self.file.exists() else nullcontext():
                    swap.finish(self.file)
            if rescue.beside(self.file).exists():
                with exclusively(self.file) as stream:
                    self._bring_back(stream)
            if self._note.exists() and self._on_healed:
                self._prove(self._on_healed, explain)

    @property
    def _note(self) -> Path:
        """Says what was put back, until it stands in the ledger."""
        return self.file.with_name(self.file.name + ".healed")

    def _bring_back(self, stream: BinaryIO) -> None:
        place = rescue.beside(self.file)
        if not place.exists():  # its process came to the end of its checkpoint while it was waited for
            return
        kept = rescue.read(self.file)
        state = rescue.state_of(stream, rescue.log_of(self.file), kept) if kept else "foreign"
        if kept is None or state == "foreign":
            unused = place.with_name(place.name + ".unused")
            place.replace(unused)
            log.warning("%s is not the rescue of %s as it stands; set aside as %s", place.name, self.file.name, unused)
            return
        if state == "interrupted":
            torn = rescue.put_back(stream, kept)
            if torn:
                self._write_note(Healed(_now(), tuple(torn), len(kept.blocks)))
            failpoint("healed")
        if not self._note.exists():
            place.unlink()

    def _cut_log(self) -> bool:
        """Whether it is worth trying again: the log's torn end is cut off now, or somebody else is at it."""
        aside = self.file.with_name(f"{self.file.name}.wal.torn")
        try:
            with self._looking_after(), exclusively(self.file):
                gone = log_tail.cut(rescue.log_of(self.file), aside)
                if gone:
                    self._write_note(Healed(_now(), log_cut=gone))
        except HeldError:
            return True
        return gone > 0

    def _write_note(self, found: Healed) -> None:
        durable.write(self._note, json.dumps(asdict(found)).encode())

    def _prove(self, on_healed: OnHealed, explain: shared.Explain) -> None:
        """Reads every table once and lets the ledger be proven; only then the rescue is given up."""
        content = json.loads(self._note.read_bytes())
        found = Healed(**content | {"torn": tuple(content["torn"])})
        with shared.transaction(self.writing.connect, explain) as connection:
            read_all(connection)
            on_healed(connection, found)
            failpoint("healing_told")
        failpoint("healing_proven")
        rescue.beside(self.file).unlink(missing_ok=True)
        durable.remove(self._note)
        log.warning(
            "%s had been torn by a kill and was healed: %s; every table was read, nothing is lost",
            self.file.name,
            found.sentence,
        )


def read_all(connection: Connection) -> int:
    """Reads every value of every table once; returns how many tables. Raises what DuckDB raises for a torn block.

    A hash needs the values themselves; a count may be answered from statistics.
    """
    tables = connection.exec_driver_sql(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    ).fetchall()
    for schema, table in tables:
        connection.exec_driver_sql(f'SELECT BIT_XOR(HASH(COLUMNS(*))) FROM "{schema}"."{table}"').fetchone()
    return len(tables)


@contextmanager
def exclusively(file: Path, seconds: float = 0) -> Iterator[BinaryIO]:
    """Holds DuckDB's own lock on the file, which this process must not have open; waits for others.

    Work on the file through what is yielded: closing any other descriptor of it would free the lock. Raises HeldError.
    """
    deadline = time.monotonic() + seconds
    with file.open("r+b", buffering=0) as stream:
        while not _locked(stream):
            if time.monotonic() > deadline:
                raise HeldError(f"held by (PID {_holder(stream)})")
            time.sleep(0.05)
        yield cast("BinaryIO", stream)


def _locked(stream: IO[bytes]) -> bool:
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(stream: IO[bytes]) -> int:
    """The process that holds a lock on the file. The layout is Linux' `struct flock`; elsewhere 0."""
    if sys.platform != "linux":
        return 0
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    return int(struct.unpack("hhqqi4x", fcntl.fcntl(stream, fcntl.F_GETLK, asked))[4])


def own_descriptor(file: Path) -> int | None:
    """The descriptor under which this process has the file open, None when it has not."""
    if not file.exists():
        return None
    own = file.stat()
    for link in Path("/dev/fd").iterdir():
        try:
            there = os.fstat(int(link.name))
        except OSError:  # the one that listed the folder
            continue
        if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino):
            return int(link.name)
    return None


def is_held(error: BaseException) -> bool:
    """Whether another process has the file open."""
    return isinstance(error, HeldError) or "Could not set lock on file" in str(getattr(error, "orig", None) or error)


def is_damaged(error: BaseException) -> bool:
    """Whether DuckDB says that the file is not as it was written."""
    text = str(getattr(error, "orig", None) or error)
    return any(sign in text for sign in DAMAGED)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _never_checkpoint(connection: Any, _record: object) -> None:  # noqa: ANN401
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
