"""What every source of rows promises: a schema, a stream of Arrow batches, a name that is safe to print.

Nothing here knows a file format, a database or a warehouse; both ends of an extract import these words.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, Self, runtime_checkable

import pyarrow as pa

from dataops.declared.errors import DeclarationError

PROBLEMS = "_problems"
"""Name of the text column that says why values of a row could not be read; NULL when all could."""

ANY_NUMBER = pa.decimal256(76, 38)
"""Type of a column in which the source keeps numbers of any precision: each value is looked at when it is read."""


@dataclass(frozen=True)
class Window:
    """A half-open interval of time, `start <= cursor < end`; UTC, without a zone."""

    start: datetime
    end: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Window written `A..B`, each a date or an ISO timestamp; raises DeclarationError."""
        start, dots, end = text.partition("..")
        if not dots:
            raise DeclarationError(f"window '{text}' is not of the form A..B; {_EXAMPLE}")
        window = cls(_moment(start, text), _moment(end, text))
        if window.start >= window.end:
            raise DeclarationError(f"window '{text}' is empty: its start is not before its end; {_EXAMPLE}")
        return window

    def pieces(self, length: timedelta) -> "list[Window]":
        """The same time in windows of this length, the last one perhaps shorter."""
        made, start = [], self.start
        while start < self.end:
            made.append(Window(start, min(start + length, self.end)))
            start += length
        return made

    def __str__(self) -> str:
        """As `parse` reads it; the time of day only where there is one."""
        return f"{_spelled(self.start)}..{_spelled(self.end)}"


def merged(windows: Iterable[Window], near: timedelta = timedelta(0)) -> list[Window]:
    """The same times in windows further apart than `near`, oldest first."""
    made: list[Window] = []
    for window in sorted(windows, key=lambda w: w.start):
        if made and window.start - made[-1].end <= near:
            made[-1] = Window(made[-1].start, max(made[-1].end, window.end))
        else:
            made.append(window)
    return made


_EXAMPLE = "for the whole of 1 May 2026 write 2026-05-01..2026-05-02 (the end is not included)"


def _moment(text: str, window: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DeclarationError(f"window '{window}': '{text}' is neither a date nor a timestamp; {_EXAMPLE}") from None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _spelled(moment: datetime) -> str:
    text = moment.isoformat()
    return text.removesuffix("T00:00:00")


@dataclass(frozen=True)
class Also:
    """Rows that are wanted whatever the window says: those whose `columns` equal one of `keys`."""

    columns: tuple[str, ...]
    keys: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Touched:
    """Rows of a table that follow a wanted one: where their `stamp` is late, the row that `columns` name is wanted."""

    source_table: str
    columns: tuple[str, ...]
    stamp: str


@dataclass(frozen=True)
class Changed:
    """Rows that are wanted because they changed since an earlier reading, as their `stamp` says.

    Of a table with `key`, also those of which a row that follows was `touched`. Only rows whose cursor lies `within`
    one of these windows; none named: all.
    """

    since: datetime
    within: tuple[Window, ...]
    stamp: str | None
    key: tuple[str, ...]
    touched: tuple[Touched, ...] = ()


@dataclass(frozen=True)
class Follow:
    """Rows that travel with a parent: those whose `columns` equal `parent_columns` of a parent row in the window.

    `also` and `changed` name parents outside the window whose rows travel too.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    cursor: str
    also: Also | None = None
    changed: Changed | None = None


@dataclass(frozen=True)
class Between:
    """Rows whose column, a whole number, lies in one of these half-open ranges."""

    column: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Request:
    """What to read: one source table, its wanted columns and types, and which of its rows.

    Without a window all rows are read. With one, `cursor` names the table's own column, or `follow` its parent's;
    `also` and `changed` add rows of the table outside the window; `between` leaves only some of all these.
    """

    source_table: str
    schema: pa.Schema
    window: Window | None = None
    cursor: str | None = None
    follow: Follow | None = None
    also: Also | None = None
    changed: Changed | None = None
    between: Between | None = None


SUMS = pa.schema([("block", pa.int64()), ("rows", pa.int64()), ("first", pa.int64()), ("second", pa.int64())])
"""What `Source.sums` tells of each block: its number, its rows, and two sums by which equal rows are known."""


@dataclass(frozen=True)
class Position:
    """Where a source that goes on by itself stood at a moment, as it says so itself.

    `identity` is the database's own: another one after a restore; `mark` and `next` never become less while it is the
    same. `now` is the clock that stamps its rows. `oldest` is the number of the first transaction that may still
    change something unseen, `next` that of the first one to begin after it; equal where nobody is writing. `caveat`
    says why what is read is not of one moment, if it is not. `deletions` is the number up to which the database keeps
    deletions, where it does.
    """

    identity: str
    mark: int
    now: datetime
    oldest: int
    next: int
    caveat: str = ""
    deletions: int | None = None

    def settled(self, earlier: "Position | None", settled_then: datetime | None) -> datetime:
        """Until when no change can come to light any more that was not there at this reading.

        At an earlier reading, once every transaction that was at work then has ended. What a transaction stamps with
        a time before its first change is found by looking back further.
        """
        if earlier is None or settled_then is None or self.oldest >= self.next:
            return self.now
        return min(earlier.now, self.now) if self.oldest >= earlier.next else settled_then


@dataclass(frozen=True)
class Remark:
    """Something about a source that who connects it should know. `advice` says what to do about it."""

    level: Literal["ok", "warn", "FAIL"]
    subject: str
    fact: str
    advice: str = ""


@runtime_checkable
class Server(Protocol):
    """A source that is a server: it can say how it may be used."""

    def remarks(self) -> Sequence[Remark]:
        """Connection, rights, isolation, clock. Raises PlatformError where it cannot be reached."""
        ...

    def estimated_rows(self, source_table: str) -> int | None:
        """How many rows the server believes the table to have; None where it does not know."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """A source that keeps which rows were deleted."""

    def deleted(self, source_table: str, key: pa.Schema, since: int) -> pa.Table | None:
        """Keys of rows that were deleted after this number; None where it is not kept, or no longer for so long."""
        ...


@runtime_checkable
class Watchful(Protocol):
    """A source that cannot always be read as of one moment, but knows whether that made a difference."""

    def has_moved(self) -> bool:
        """Inside a snapshot with a caveat: whether rows that were read in it are not what they were."""
        ...


class Source(Protocol):
    """Where rows come from."""

    @property
    def name(self) -> str:
        """Short and safe to print: no secret, no absolute path."""
        ...

    def schema(self, source_table: str) -> pa.Schema:
        """Columns the source has at this moment, snake_case; raises DataRejected for a table it does not have."""
        ...

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:
        """What is read inside is of one moment; raises PlatformError at its end where the source changed meanwhile."""
        ...

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Stream of the request's columns in order, then `_problems`; errors may be raised while it is consumed."""
        ...

    def sums(self, request: Request, low: int, size: int) -> pa.Table | None:
        """Checksums (`SUMS`) of the request's rows by blocks: of the first column from `low` on, `size` values each.

        The columns are whole numbers, or last a timestamp. None where only reading the rows would tell.
        """
        ...

    def position(self) -> Position | None:
        """Where the source stands, inside a snapshot that of the snapshot; None where it cannot change by itself."""
        ...

    def close(self) -> None:
        """Release what is held; the source is not used afterwards."""
        ...


def squeezed(name: str) -> str:
    """A name without what spellings differ in: case, blanks and underscores."""
    return name.replace("_", "").replace(" ", "").lower()


def delivered(schema: pa.Schema) -> pa.Schema:
    """Schema of what `read` yields for a request of this schema."""
    return schema.append(pa.field(PROBLEMS, pa.string()))
