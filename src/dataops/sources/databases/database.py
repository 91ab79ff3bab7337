"""What databases as sources do alike: find tables, write statements, type what comes, tell a change of shape."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

import pyarrow as pa
from sqlalchemy.engine import URL

from dataops.declared.errors import DataRejected, PlatformError
from dataops.sources.databases.reading import typed
from dataops.sources.databases.statements import Dialect, Statement, Writer
from dataops.sources.databases.tables import Column, Table, changed_between
from dataops.sources.port import SUMS, Position, Request, delivered

ATTEMPTS = 4
PAUSE = 0.5  # seconds before the second attempt; twice as long before each further one
APART = 60  # seconds between two clocks that are worth a word

T = TypeVar("T")


class Database(ABC):
    """A server that goes on while it is read. Not for use by two threads at once."""

    dialect: ClassVar[Dialect]

    def __init__(self, url: URL, timeout: int) -> None:
        """`timeout`: seconds that one statement may take."""
        self._url = url
        self._timeout = timeout
        self._position: Position | None = None  # of the snapshot that is open
        self._tables: dict[str, Table] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """Kind, host, port and database."""

    @abstractmethod
    def _table_now(self, source_table: str) -> Table | None:
        """The table as it is at this moment, snapshot or not; None where it is gone. Raises DataRejected."""

    @abstractmethod
    def _batches(self, statement: Statement, source_table: str) -> Iterator[pa.RecordBatch]:
        """What a query gives, in the snapshot if there is one."""

    def schema(self, source_table: str) -> pa.Schema:
        """Columns as the server has them now, also inside a snapshot."""
        return self._look_at(source_table).arrow_schema

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Rows in no order of their own; see `Source.read`."""
        statement = self._writer.select(request)
        table = self._find(request.source_table)
        columns = [table.column(name, self.name) for name in request.schema.names]
        return pa.RecordBatchReader.from_batches(delivered(request.schema), self._streamed(statement, columns, request))

    def sums(self, request: Request, low: int, size: int) -> pa.Table | None:
        """One scan at the server; a line per block comes over."""
        statement = self._writer.sums(request, low, size)
        return None if statement is None else self._fetched(statement, request.source_table, SUMS)

    @property
    def _writer(self) -> Writer:
        return Writer(self.dialect, self._find, self.name)

    def _fetched(self, statement: Statement, source_table: str, schema: pa.Schema) -> pa.Table:
        """A small answer, columns by position."""
        batches = list(self._batches(statement, source_table))
        table = pa.Table.from_batches(batches) if batches else schema.empty_table()
        return table.rename_columns(schema.names).cast(schema)

    def _streamed(self, statement: Statement, columns: Sequence[Column], request: Request) -> Iterator[pa.RecordBatch]:
        for batch in self._batches(statement, request.source_table):
            yield typed(batch, columns, request.schema)

    def _find(self, source_table: str) -> Table:
        """As it was when it was last looked at; reading asks for what `schema` has told."""
        return self._tables.get(source_table) or self._look_at(source_table)

    def _look_at(self, source_table: str) -> Table:
        found = self._table_now(source_table)
        if found is None:
            raise DataRejected(f"{self.name}: {source_table} is gone, or the login may not see its columns")
        self._tables[source_table] = found
        return found

    def _refuse_change(self, before: Sequence[Table], after: Sequence[Table | None]) -> None:
        """Raises PlatformError where tables got another shape, or were made anew, between the two."""
        if changed := changed_between(before, after):
            raise PlatformError(
                f"{self.name} changed while it was read: {'; '.join(changed)}. The batch mixes two shapes, so it cannot"
                " be judged; nothing was published. Run this again."
            )


def patiently(connect: Callable[[], T], may_pass: Callable[[Exception], bool]) -> T:
    """Tries again for a moment where the server may only be busy. Raises what the last attempt raised."""
    pause = PAUSE
    for _ in range(1, ATTEMPTS):
        try:
            return connect()
        except Exception as error:
            if not may_pass(error):
                raise
            time.sleep(pause)
            pause *= 2
    return connect()
