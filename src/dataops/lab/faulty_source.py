"""Faults planted into any source, the same ones for the same seed: how tests and the demo deliver bad data.

What a fault does is declared (`planted`). It changes what the source said and never what it could not say: `_problems`
stays as it is.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa

from dataops import sources
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import find_project
from dataops.lab import planted
from dataops.lab.planted import Among, Change, Fault, Sharing
from dataops.sources.arrow import Array, pc, positions
from dataops.sources.port import PROBLEMS, Position, Request, Source, delivered

Batches = Iterator[pa.RecordBatch]
Strike = Callable[[pa.RecordBatch, Array], pa.RecordBatch]
"""What becomes of a batch where a mask is true."""


@dataclass(frozen=True)
class Bed:
    """What a fault may look at: the source it is planted in, and a seed that is its own."""

    source: Source
    seed: int


class Faulty:
    """A source with faults planted in it, in the order they are named."""

    def __init__(self, inner: Source, faults: Mapping[str, Fault], seed: int = 7) -> None:
        self._inner = inner
        self._faults = faults
        self._seed = seed

    @property
    def name(self) -> str:
        """The inner source's name and the faults: a bad delivery never passes for a good one."""
        return f"{self._inner.name}?faults={','.join(self._faults)}"

    def schema(self, source_table: str) -> pa.Schema:
        """The inner source's."""
        return self._inner.schema(source_table)

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:
        """That of the inner source."""
        return self._inner.snapshot(source_tables)

    def read(self, request: Request) -> pa.RecordBatchReader:
        """The inner source's rows, with the faults of this table planted."""
        chosen = {name: fault for name, fault in self._faults.items() if request.source_table == fault.table}
        extra = {column for fault in chosen.values() for column in fault.columns} - set(request.schema.names)
        fields = [field for field in self._inner.schema(request.source_table) if field.name in extra] if extra else []
        wider = replace(request, schema=pa.schema([*request.schema, *fields]))
        batches: Batches = iter(self._inner.read(wider))
        for name, fault in chosen.items():
            batches = _plant(fault, batches, Bed(self._inner, zlib.crc32(f"{self._seed}:{name}".encode())))
        narrow = (batch.select([*request.schema.names, PROBLEMS]) for batch in batches)
        return pa.RecordBatchReader.from_batches(delivered(request.schema), narrow)

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading tells what was planted."""

    def position(self) -> Position | None:
        """That of the inner source."""
        return self._inner.position()

    def close(self) -> None:
        """Close the inner source."""
        self._inner.close()


def _plant(fault: Fault, batches: Batches, bed: Bed) -> Batches:
    """The stream with the fault in it. One row is one of the first batch; which one the seed says."""
    first = next(batches, None)
    if first is None:
        return
    if fault.send == "half":
        yield first.slice(0, first.num_rows // 2)
        return
    at, strike = bed.seed % first.num_rows, _strike(fault)
    if fault.rows == "one":
        yield from _at(fault, first, at, strike)
        yield from batches
        return
    mask = _masks(fault, first, at, bed)
    for batch in chain([first], batches):
        yield strike(batch, mask(batch))


def _at(fault: Fault, batch: pa.RecordBatch, at: int, strike: Strike) -> Batches:
    """One row, or as many neighbours as a list of values has, fewer if there are not so many."""
    lists = {name: values for name, values in fault.set.items() if isinstance(values, list)}
    if not lists:
        yield strike(batch, _row(batch, at))
        return
    for name, values in lists.items():
        start = min(at, max(batch.num_rows - len(values), 0))
        for offset, value in enumerate(values):
            batch = _changed(batch, name, _row(batch, start + offset), value)
    yield batch


def _masks(fault: Fault, first: pa.RecordBatch, at: int, bed: Bed) -> Callable[[pa.RecordBatch], Array]:
    rows = fault.rows
    if isinstance(rows, Among):
        known = _known(bed.source, rows)
        return lambda batch: pc.is_in(batch[rows.column], value_set=known)
    if isinstance(rows, Sharing):
        victim = first[rows.sharing][at]
        return lambda batch: pc.equal(batch[rows.sharing], victim)
    raise DeclarationError(f"{planted.NAME}: a fault of {fault.table} says no rows")


def _known(source: Source, among: Among) -> Array:
    """Values of the column in the rows of the other table; texts are compared without blanks at their end."""
    schema = source.schema(among.of)
    wanted = pa.schema([schema.field(name) for name in (among.column, *among.where)])
    table = source.read(Request(among.of, wanted)).read_all()
    for name, value in among.where.items():
        table = table.filter(pc.equal(pc.utf8_rtrim_whitespace(table[name]), value))
    return table[among.column].combine_chunks()


def _strike(fault: Fault) -> Strike:
    if fault.send == "twice":
        return _twice
    if fault.send == "never":
        return lambda batch, mask: batch.filter(pc.invert(mask))
    if fault.swap:
        one, other = fault.swap
        return lambda batch, mask: _changed(_changed(batch, one, mask, batch[other]), other, mask, batch[one])
    return lambda batch, mask: _set(fault, batch, mask)


def _twice(batch: pa.RecordBatch, mask: Array) -> pa.RecordBatch:
    """The struck row is sent again, right after itself."""
    at = pc.index(mask, value=True).as_py()
    return batch.take(pa.concat_arrays([positions(0, at + 1), positions(at, batch.num_rows)]))


def _set(fault: Fault, batch: pa.RecordBatch, mask: Array) -> pa.RecordBatch:
    for name, value in fault.set.items():
        batch = _changed(batch, name, mask, _new(batch[name], value) if isinstance(value, Change) else value)
    return batch


def _new(values: Array, change: Change) -> Array:
    if change.replace is not None:
        return pc.replace_substring(values, *change.replace)
    if change.times is None:
        raise DeclarationError(f"{planted.NAME}: a change says times or replace")
    if pa.types.is_decimal(values.type):
        digits = len(str(abs(change.times)))
        return pc.multiply(values, pa.scalar(Decimal(change.times), pa.decimal128(digits)))
    return pc.multiply(values, pa.scalar(change.times, values.type))


def _changed(batch: pa.RecordBatch, column: str, where: Array, value: object) -> pa.RecordBatch:
    """The batch with `value` (a plain value or an array) in the rows where the mask is true."""
    at = batch.schema.get_field_index(column)
    field = batch.schema.field(at)
    new = value.cast(field.type) if isinstance(value, pa.Array) else pa.scalar(value, field.type)
    return batch.set_column(at, field, pc.if_else(where, new, batch.column(at)))


def _row(batch: pa.RecordBatch, at: int) -> Array:
    """Mask of one row."""
    return pc.equal(positions(0, batch.num_rows), at)


def open_source(url: str | None = None, *, project: Path | None = None, cache: Path | None = None) -> Source:
    """As `sources.open_source`, with the faults planted that the URL names: `?faults=<name>,<name>&fault_seed=<n>`.

    Raises DeclarationError for an unknown fault, and what `sources.open_source` raises.
    """
    place, _, query = (url or "").partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    ours = dict(pair for pair in given if pair[0] in {"faults", "fault_seed"})
    if url is None or not ours:
        return sources.open_source(url, project=project, cache=cache)
    names = tuple(name for name in ours.get("faults", "").split(",") if name)
    faults = planted.named(planted.load(project or find_project()), names, url)
    if not (seed := ours.get("fault_seed", "7")).isdecimal():
        raise DeclarationError(f"source '{url}': fault_seed='{seed}' cannot be read; write a whole number")
    others = urlencode([pair for pair in given if pair[0] not in ours], safe=",")
    source = sources.open_source(f"{place}?{others}" if others else place, project=project, cache=cache)
    return Faulty(source, faults, int(seed)) if faults else source
