"""The SELECT of a request, once for every server: which rows, as conditions; how columns are read, as their table says.

Values are written by the server's dialect, which escapes them or makes parameters of them; names come from the server's
own catalogue and are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from dataops.sources.checksums import grouped
from dataops.sources.databases.tables import Column, Table
from dataops.sources.port import PROBLEMS, Also, Changed, Request, Window

Keys = Sequence[tuple[Any, ...]]


class Dialect(Protocol):
    """How a server's language writes things."""

    def quoted(self, name: str) -> str:
        """A name."""
        ...

    def moment(self, value: datetime, column: Column) -> str:
        """A moment to compare the column with."""
        ...

    def keys(self, columns: Sequence[Column], keys: Keys, parameters: list[str]) -> str:
        """A relation with columns k0, k1, … that holds the keys."""
        ...

    def microseconds(self, value: str) -> str:
        """A timestamp as a whole number of microseconds since 1970."""
        ...

    def problem(self, column: Column, value: str) -> str:
        """What is wrong with a value that is unfit, a text; NULL where it is fit."""
        ...

    def joined(self, problems: Sequence[str]) -> str:
        """One text of several of which some are NULL; NULL where all are."""
        ...


@dataclass
class Statement:
    """A query, and the texts that stand for its parameters."""

    sql: str = ""
    parameters: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Writer:
    """Writes statements on the tables of one source."""

    dialect: Dialect
    find: Callable[[str], Table]
    source: str

    def select(self, request: Request) -> Statement:
        """The request's rows: its columns by their labels, then `_problems`. Raises DataRejected."""
        table = self.find(request.source_table)
        chosen = [table.column(name, self.source) for name in request.schema.names]
        own = [
            f"{self._read(c)} AS {self.dialect.quoted(n)}" for c, n in zip(chosen, request.schema.names, strict=True)
        ]
        faults = [self.dialect.problem(c, self._at("r", c)) for c in chosen if c.unfit]
        body = (
            f"SELECT {', '.join([*own, f'{self.dialect.joined(faults)} AS {PROBLEMS}'])} FROM {self.place(table)} AS r"
        )
        return self._chosen(table, request, body)

    def sums(self, request: Request, low: int, size: int) -> Statement | None:
        """Checksums of the request's rows; None where its columns are of kinds that have none."""
        table = self.find(request.source_table)
        columns = [table.column(name, self.source) for name in request.schema.names]
        values = [self._summed(column) for column in columns]
        if not all(values) or pa.types.is_timestamp(columns[0].type):
            return None
        names = [f"c{n}" for n in range(len(columns))]
        own = ", ".join(f"{value} AS {name}" for value, name in zip(values, names, strict=True))
        made = self._chosen(table, request, f"SELECT {own} FROM {self.place(table)} AS r")
        made.sql = grouped(made.sql, names, low, size)
        return made

    def _summed(self, column: Column) -> str | None:
        """The column as a whole number: a moment as microseconds since 1970."""
        if pa.types.is_integer(column.type):
            return f"COALESCE({self._read(column)}, 0)"
        if pa.types.is_timestamp(column.type):
            return f"COALESCE({self.dialect.microseconds(self._read(column))}, 0)"
        return None

    def _chosen(self, table: Table, request: Request, body: str) -> Statement:
        """`body`, of the rows `r` that the request wants."""
        made = Statement()
        parts = list(self._parts(table, request, made.parameters)) or ["1 = 1"]
        if request.between:
            column = table.column(request.between.column, self.source)
            at = self._at("r", column)
            ranges = " OR ".join(f"({at} >= {low:d} AND {at} < {high:d})" for low, high in request.between.ranges)
            parts = [f"({part}) AND ({ranges})" for part in parts]
        made.sql = " UNION ALL ".join(f"{body} WHERE {part}" for part in parts)
        return made

    def place(self, table: Table) -> str:
        """The table's name, quoted."""
        return f"{self.dialect.quoted(table.schema)}.{self.dialect.quoted(table.name)}"

    def _read(self, column: Column) -> str:
        at = self._at("r", column)
        value = column.sql.format(at)
        return f"CASE WHEN {column.unfit.format(at)} THEN NULL ELSE {value} END" if column.unfit else value

    def _at(self, alias: str, column: Column) -> str:
        return f"{alias}.{self.dialect.quoted(column.name)}"

    def _parts(self, table: Table, request: Request, parameters: list[str]) -> Iterator[str]:
        """Conditions that exclude each other: rows in the window, then those that are wanted all the same."""
        window, follow = request.window, request.follow
        if window is None:
            return
        if request.cursor:
            inside = self._inside(table, "r", request.cursor, [window])
            yield inside
            keys = list(self._extra(table, request.cursor, request.also, request.changed, parameters))
            if keys:
                names = request.also.columns if request.also else request.changed.key if request.changed else ()
                yield f"NOT {inside} AND {self._among(table, names, keys)}"
        elif follow:
            parent = self.find(follow.parent)
            inside = self._inside(parent, "r", follow.cursor, [window])
            wanted = f"{self._keys(parent, follow.parent_columns)} WHERE {inside}"
            extra = self._extra(parent, follow.cursor, follow.also, follow.changed, parameters)
            yield self._among(table, follow.columns, [wanted, *extra])

    def _inside(self, table: Table, alias: str, cursor: str, windows: Sequence[Window]) -> str:
        """In one of the windows; a row without a cursor is in every window, else it would be in none."""
        column = table.column(cursor, self.source)
        at = self._at(alias, column)
        spans = (
            f"({at} >= {self.dialect.moment(w.start, column)} AND {at} < {self.dialect.moment(w.end, column)})"
            for w in windows
        )
        return f"({' OR '.join([*spans, f'{at} IS NULL'])})"

    def _among(self, table: Table, names: Sequence[str], queries: Sequence[str]) -> str:
        """Rows `r` whose columns are in one of the queries, which name theirs k0, k1 and so on."""
        pairs = (
            f"w.k{n} = {self._key(table.column(name, self.source), 'r')}" for n, name in enumerate(names)
        )  # fmt: skip
        return f"EXISTS (SELECT 1 FROM ({' UNION ALL '.join(queries)}) AS w WHERE {' AND '.join(pairs)})"

    def _key(self, column: Column, alias: str) -> str:
        return column.sql.format(self._at(alias, column))

    def _keys(self, table: Table, names: Sequence[str]) -> str:
        columns = (f"{self._key(table.column(name, self.source), 'r')} AS k{n}" for n, name in enumerate(names))
        return f"SELECT {', '.join(columns)} FROM {self.place(table)} AS r"

    def _extra(
        self, table: Table, cursor: str, also: Also | None, changed: Changed | None, parameters: list[str]
    ) -> Iterator[str]:
        """Queries of the keys of rows that are wanted outside the window."""
        if also:
            columns = [table.column(name, self.source) for name in also.columns]
            yield f"SELECT * FROM {self.dialect.keys(columns, also.keys, parameters)} AS a"
        if changed is None:
            return
        within = self._inside(table, "r", cursor, changed.within) if changed.within else "1 = 1"
        own = self._keys(table, changed.key)
        if changed.stamp:
            yield f"{own} WHERE {self._late(table, 'r', changed.stamp, changed.since)} AND {within}"
        for child in changed.touched:
            other = self.find(child.source_table)
            pairs = (
                f"{self._at('c', other.column(theirs, self.source))} = {self._at('r', table.column(ours, self.source))}"
                for theirs, ours in zip(child.columns, changed.key, strict=True)
            )
            late = self._late(other, "c", child.stamp, changed.since)
            yield (
                f"{own} WHERE {within} AND EXISTS (SELECT 1 FROM {self.place(other)} AS c"
                f" WHERE {late} AND {' AND '.join(pairs)})"
            )

    def _late(self, table: Table, alias: str, stamp: str, since: datetime) -> str:
        column = table.column(stamp, self.source)
        return f"{self._at(alias, column)} >= {self.dialect.moment(since, column)}"
