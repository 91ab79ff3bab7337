"""What the engine asks of a warehouse; one shared test-suite runs against every implementation.

A warehouse holds the layers and the ledger. It knows connections, locks, bulk loads and types, not what a batch is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa
from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.layers import Layers

Dialect = Literal["duckdb", "postgres"]


class CommitUnknownError(PlatformError):
    """COMMIT raised: the transaction may or may not be durable. The ledger decides, see `publish`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the warehouse did not confirm COMMIT: {reason}\nIt is safe to run again.")
        self.reason = reason


@dataclass(frozen=True)
class Consumer:
    """A connection with a consumer's rights, and where it reads: published rows, no file, no network, no writing.

    `relations`: published tables that have to be read through a query of ours instead, in PostgreSQL's dialect.
    """

    connection: Connection
    place: str
    relations: Mapping[str, str]


class Warehouse(Protocol):
    """A database with the schemas of its `layers`."""

    @property
    def layers(self) -> Layers:
        """The project's layers: which schemas there are, and which of them people read."""

    @property
    def name(self) -> str:
        """Safe to print: no password."""

    @property
    def dialect(self) -> Dialect:
        """The dialect that SQL is rendered in."""

    def audit_url(self) -> AbstractContextManager[str]:
        """SQLAlchemy URL for an engine that opens connections of its own, to read; holds the password.

        Raises PlatformError when the warehouse cannot be opened now.
        """

    @property
    def gate_role(self) -> str | None:
        """The role that an engine's own connection takes; None where there are no roles."""

    def judging(self, connection: Connection) -> AbstractContextManager[None]:
        """Inside a transaction: SQL of people runs with the gate's rights, and reaches no file and no host."""

    def initialise(self) -> list[str]:
        """Makes what only an administrator can make: schemas, roles and their rights. Returns the statements.

        Raises PlatformError when this login may not.
        """

    def init_statements(self) -> list[str]:
        """What `initialise` would run; none where a warehouse has no roles."""

    def session(self) -> AbstractContextManager[None]:
        """Transactions follow one another here, and what opening costs is paid once; may be nested."""

    def transaction(self, scratch: Sequence[str] = ()) -> AbstractContextManager[Connection]:
        """A short write transaction; commits on exit.

        It changes rows or the shape of tables and never both: there are warehouses that commit at DDL. `scratch` are
        the temporary tables it needs, each as `name (column TYPE, …)`, made before it begins.
        Raises PlatformError when the warehouse cannot be reached or breaks, CommitUnknownError when COMMIT raised.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """One consistent snapshot, for reading only."""

    def land(self, table: str, reader: pa.RecordBatchReader) -> None:
        """Appends Arrow batches to `raw.<table>` in one transaction of its own; columns by position."""

    def fetch(self, connection: Connection, sql: str, schema: pa.Schema) -> pa.Table:
        """Rows of a query inside a transaction, as Arrow of this schema; columns by position."""

    def stage(self, connection: Connection, place: str, rows: pa.Table) -> None:
        """Appends Arrow to a table inside a transaction; columns by name."""

    def lock(self, name: str, purpose: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Only one process at a time; waits for the configured time, then PlatformError naming the holder.

        `shared`: several at a time that only read, and none that holds it alone. One file lets in one at a time anyway.
        """

    def serialize_publications(self, connection: Connection) -> None:
        """Inside a transaction: publications follow one another from here to its end."""

    def refresh_published(self, describe: Callable[[Connection], Mapping[str, str]]) -> None:
        """Brings what consumers read up to date, off the critical path; it then says `describe` of itself.

        Nothing is done where it says the newest `publication` already, or there is none yet.
        """

    def consumer(
        self, publication: str, relations: Mapping[str, str], *, past: bool
    ) -> AbstractContextManager[Consumer]:
        """A consumer's connection that keeps no writer out, however long it is used.

        `publication` is the one to read as of, `past` whether it is not the newest. `relations` says for each
        published table that is going to be read, `<layer>.<table>`, which query gives its rows as of then.
        """

    def readers_about(self) -> dict[str, str] | None:
        """What consumers' copy says of itself; None where they read the warehouse, and no copy is needed."""

    def copy_to(self, file: Path) -> None:
        """A consistent copy of everything as one durable file, while others go on or wait.

        Raises PlatformError when there is nothing to copy or no room.
        """

    def restore(self, file: Path, statements: Sequence[str]) -> str:
        """Everything is as in `file`, which `copy_to` made, after `statements`; at once, or not at all.

        Says what became of what stood there. Raises PlatformError for a file that is no such copy.
        """

    def trial(self, file: Path) -> AbstractContextManager[Connection]:
        """A connection to what `file`, a copy, holds, in a place of its own."""

    def tune(self, connection: Connection, layer: str, table: str, key: tuple[str, ...]) -> None:
        """Indexes for a table that was just created."""

    def analyze(self, connection: Connection, relation: str) -> None:
        """Statistics for the planner, after much was written."""

    def free_bytes(self) -> int | None:
        """Room left for the warehouse, where it can be known from here."""
