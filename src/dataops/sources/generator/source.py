"""The generator as a source: schemas as Microsoft's, rows made on the way, a chunk of about 64,000 at a time."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import numpy as np
import pyarrow as pa

from dataops.declared.errors import DataRejected
from dataops.sources.arrow import nulls
from dataops.sources.generator.columns import Ints, below
from dataops.sources.generator.shape import START, Shape
from dataops.sources.generator.tables import TABLES, Part
from dataops.sources.port import PROBLEMS, Follow, Request, Window, delivered
from dataops.sources.selection import needed_columns, parent_keys, wanted_rows

_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}


class Generator:
    """Source of AdventureWorks-shaped data; the same for the same shape, however it is read."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._keys: dict[tuple[Follow, Window], pa.Table] = {}

    @property
    def name(self) -> str:
        """`generator:scale=1,seed=7`."""
        return self._shape.name

    def schema(self, source_table: str) -> pa.Schema:
        """Columns as in Microsoft's sample."""
        if source_table not in TABLES:
            raise DataRejected(f"{self.name} has no table {source_table}; check `source:` in the contract")
        return _schemas()[source_table]

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002  never changes
        """What is generated is the same at any moment."""
        return nullcontext()

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Rows by index; see `Source.read`."""
        known = self.schema(request.source_table)
        missing = sorted(set(needed_columns(request)) - set(known.names))
        if missing:
            raise DataRejected(f"{self.name}: {request.source_table} has no column {', '.join(missing)}")
        return pa.RecordBatchReader.from_batches(delivered(request.schema), self._batches(request, known))

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def close(self) -> None:
        """Nothing is held."""

    def _batches(self, request: Request, known: pa.Schema) -> Iterator[pa.RecordBatch]:
        wanted = {name: request.schema.field(name).type for name in request.schema.names}
        fields = {name: wanted.get(name, known.field(name).type) for name in needed_columns(request)}
        for part in TABLES[request.source_table]:
            within = _is_within(part, request)
            keys = None if within else self._parents(request)
            for index in _indices(self._shape, part, request.window if within else None):
                batch = wanted_rows(_batch(self._shape, part, index, fields), request, keys)
                if batch.num_rows:
                    yield batch.select([*request.schema.names, PROBLEMS])

    def _parents(self, request: Request) -> pa.Table | None:
        follow, window = request.follow, request.window
        if follow is None or window is None or request.cursor:
            return None
        if (follow, window) not in self._keys:
            self._keys[follow, window] = parent_keys(self.read, self.schema(follow.parent), follow, window)
        return self._keys[follow, window]


@cache
def _schemas() -> dict[str, pa.Schema]:
    declared = json.loads((files(__package__) / "schemas.json").read_text("utf-8"))
    return {
        table: pa.schema([(name, _type(kind)) for name, kind in columns.items()]) for table, columns in declared.items()
    }


def _type(kind: str) -> pa.DataType:
    if kind.startswith("decimal("):
        precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return _TYPES[kind]


def _batch(shape: Shape, part: Part, index: Ints, fields: dict[str, pa.DataType]) -> pa.RecordBatch:
    """Rows of these indices; a column the part does not make is NULL."""
    columns = part.build(shape, index)
    count = len(next(iter(columns.values())))
    arrays = [columns[name].cast(kind) if name in columns else nulls(count, kind) for name, kind in fields.items()]
    return pa.record_batch([*arrays, nulls(count, pa.string())], [*fields, PROBLEMS])


def _is_within(part: Part, request: Request) -> bool:
    """Whether the request's window is one of days that the part's indices are ordered by: no row need be looked at."""
    if part.series is None or request.window is None or request.also:
        return False
    if request.cursor:
        return request.cursor == part.cursor and not part.parent
    follow = request.follow
    if follow is None or follow.also:
        return False
    return (follow.parent, follow.cursor) == (part.parent, part.cursor)


def _indices(shape: Shape, part: Part, window: Window | None) -> Iterator[Ints]:
    start, stop = _span(shape, part, window)
    if shape.delta is not None and part.in_delta:
        for chunk in _delta(shape, part.chunk):
            chosen = _in_days(shape, chunk, window)
            if len(chosen):
                yield chosen
        return
    for first in range(start, stop, part.chunk):
        yield np.arange(first, min(first + part.chunk, stop))


def _span(shape: Shape, part: Part, window: Window | None) -> tuple[int, int]:
    """First and past-the-last index of the part's rows, within the window if there is one."""
    if part.series is None:
        return 0, part.count(shape)
    series = part.series(shape)
    cut = series.before(shape.days * 7 // 10)
    start, stop = {None: (0, series.total), True: (cut, series.total), False: (0, cut)}[part.live]
    if window is not None:
        first, last = _days(window)
        start, stop = max(start, series.before(first)), min(stop, series.before(last))
    return start, stop


def _days(window: Window) -> tuple[int, int]:
    """First day in the window and first day after it: everything happens at midnight."""
    start, end = ((moment.replace(tzinfo=UTC) - _FIRST_DAY) for moment in (window.start, window.end))
    return -(-start // _DAY), -(-end // _DAY)


_DAY = datetime(2011, 6, 1, tzinfo=UTC) - datetime(2011, 5, 31, tzinfo=UTC)
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC) + START * _DAY


def _in_days(shape: Shape, order: Ints, window: Window | None) -> Ints:
    if window is None:
        return order
    first, last = _days(window)
    day = shape.orders.day(order)
    return order[(first <= day) & (day < last)]


def _delta(shape: Shape, chunk: int) -> Iterator[Ints]:
    """Indices of the changed orders, then of the new ones."""
    total = shape.orders.total
    new, changed = (round(total * share) for share in shape.delta or ())
    place = np.arange(changed)
    stride = max(total // max(changed, 1), 1)
    touched = np.minimum(place * total // max(changed, 1) + below(stride, shape.seed, "delta", place), total - 1)
    chosen = np.concatenate([touched, np.arange(total, total + new)])
    for first in range(0, len(chosen), chunk):
        yield chosen[first : first + chunk]
