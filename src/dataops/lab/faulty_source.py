"""Faults planted into any source, the same ones for the same seed: how tests and the demo deliver bad data.

A fault is a row of the table at the end: which source table it strikes, the columns it looks at, a function over the
stream. The function changes what the source said and never what it could not say: `_problems` stays as it is.
"""

# mypy: disable-error-code="no-any-return"

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa

from dataops import sources
from dataops.declared.errors import DeclarationError
from dataops.sources.arrow import Array, pc, positions
from dataops.sources.opening import meant
from dataops.sources.port import PROBLEMS, Request, Source, delivered

ORDERS, LINES, EMAILS = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail", "Person.EmailAddress"
NOWHERE = 999_999_999
"""A key that no source has, at any scale."""
HOSTILE = ('=HYPERLINK("http://evil.example","invoice")', "<script>alert('order')</script>", "paid \u202eyllaer ton")
"""A spreadsheet formula, a script, a right-to-left override."""

_HUNDRED = pa.scalar(Decimal(100), pa.decimal128(3))

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Bed:
    """What a fault may look at: the source it is planted in, and a seed that is its own."""

    source: Source
    seed: int


@dataclass(frozen=True)
class Fault:
    """A change to the stream of some source tables; `columns` must be in the stream for it to work."""

    tables: tuple[str, ...]
    columns: tuple[str, ...]
    plant: Callable[[Batches, Bed], Batches]


class Faulty:
    """A source with faults planted in it, in the order they are named."""

    def __init__(self, inner: Source, faults: tuple[str, ...], seed: int = 7) -> None:
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

    def read(self, request: Request) -> pa.RecordBatchReader:
        """The inner source's rows, with the faults of this table planted."""
        chosen = {name: FAULTS[name] for name in self._faults if request.source_table in FAULTS[name].tables}
        extra = {column for fault in chosen.values() for column in fault.columns} - set(request.schema.names)
        fields = [field for field in self._inner.schema(request.source_table) if field.name in extra] if extra else []
        wider = replace(request, schema=pa.schema([*request.schema, *fields]))
        batches: Batches = iter(self._inner.read(wider))
        for name, fault in chosen.items():
            batches = fault.plant(batches, Bed(self._inner, zlib.crc32(f"{self._seed}:{name}".encode())))
        narrow = (batch.select([*request.schema.names, PROBLEMS]) for batch in batches)
        return pa.RecordBatchReader.from_batches(delivered(request.schema), narrow)

    def close(self) -> None:
        """Close the inner source."""
        self._inner.close()


def _changed(batch: pa.RecordBatch, column: str, where: Array, value: object) -> pa.RecordBatch:
    """The batch with `value` (a plain value or an array) in the rows where the mask is true."""
    at = batch.schema.get_field_index(column)
    field = batch.schema.field(at)
    new = value.cast(field.type) if isinstance(value, pa.Array) else pa.scalar(value, field.type)
    return batch.set_column(at, field, pc.if_else(where, new, batch.column(at)))


def _row(batch: pa.RecordBatch, at: int) -> Array:
    """Mask of one row."""
    return pc.equal(positions(0, batch.num_rows), at)


def _in_one_row(strike: Callable[[pa.RecordBatch, int], pa.RecordBatch], batches: Batches, bed: Bed) -> Batches:
    """Apply `strike` to one row of the first batch; which one the seed says."""
    first = next(batches, None)
    if first is not None:
        yield strike(first, bed.seed % first.num_rows)
    yield from batches


def price_x100(batches: Batches, bed: Bed) -> Batches:
    """Unit prices of all lines of product line M are 100 times too high, line totals stay: no sum would show it."""
    wanted = [bed.source.schema("Production.Product").field(name) for name in ("product_id", "product_line")]
    products = bed.source.read(Request("Production.Product", pa.schema(wanted))).read_all()
    mountain = products.filter(pc.equal(pc.utf8_rtrim_whitespace(products["product_line"]), "M"))
    for batch in batches:
        where = pc.is_in(batch["product_id"], value_set=mountain["product_id"].combine_chunks())
        yield _changed(batch, "unit_price", where, pc.multiply(batch["unit_price"], _HUNDRED))


def orphan_customer(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One order names a customer that does not exist."""
    return _changed(batch, "customer_id", _row(batch, at), NOWHERE)


def duplicate_order(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One order header is sent twice, the second time right after the first."""
    twice = pa.concat_arrays([positions(0, at + 1), positions(at, batch.num_rows)])
    return batch.take(twice)


def drop_lines(batches: Batches, bed: Bed) -> Batches:
    """All lines of one order are missing."""
    first = next(batches, None)
    if first is None:
        return
    victim = first["sales_order_id"][bed.seed % first.num_rows]
    for batch in chain([first], batches):
        yield batch.filter(pc.not_equal(batch["sales_order_id"], victim))


def null_required(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One order has no due date."""
    return _changed(batch, "due_date", _row(batch, at), None)


def swapped_dates(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """Order date and due date of one order changed places."""
    ordered, due = batch["order_date"], batch["due_date"]
    return _changed(_changed(batch, "order_date", _row(batch, at), due), "due_date", _row(batch, at), ordered)


def truncated_batch(batches: Batches, bed: Bed) -> Batches:  # noqa: ARG001 - the same signature for all
    """The order lines stop half-way through the first batch, and nothing says so."""
    for batch in batches:
        yield batch.slice(0, batch.num_rows // 2)
        return


def negative_quantity(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One line sells less than nothing."""
    return _changed(batch, "order_qty", _row(batch, at), pc.negate(batch["order_qty"]))


def unknown_product(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One line names a product that does not exist."""
    return _changed(batch, "product_id", _row(batch, at), NOWHERE)


def bad_email(batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """One e-mail address is written out: `ken0 at adventure-works.com`."""
    return _changed(batch, "email_address", _row(batch, at), pc.replace_substring(batch["email_address"], "@", " at "))


def hostile_text(column: str, batch: pa.RecordBatch, at: int) -> pa.RecordBatch:
    """Three rows (fewer if there are not so many) hold what attacks spreadsheets, browsers and readers."""
    at = min(at, max(batch.num_rows - len(HOSTILE), 0))
    for offset, text in enumerate(HOSTILE):
        batch = _changed(batch, column, _row(batch, at + offset), text)
    return batch


FAULTS: dict[str, Fault] = {
    "price_x100": Fault((LINES,), ("product_id", "unit_price"), price_x100),
    "orphan_customer": Fault((ORDERS,), ("customer_id",), partial(_in_one_row, orphan_customer)),
    "duplicate_order": Fault((ORDERS,), (), partial(_in_one_row, duplicate_order)),
    "drop_lines": Fault((LINES,), ("sales_order_id",), drop_lines),
    "null_required": Fault((ORDERS,), ("due_date",), partial(_in_one_row, null_required)),
    "swapped_dates": Fault((ORDERS,), ("order_date", "due_date"), partial(_in_one_row, swapped_dates)),
    "truncated_batch": Fault((LINES,), (), truncated_batch),
    "negative_quantity": Fault((LINES,), ("order_qty",), partial(_in_one_row, negative_quantity)),
    "unknown_product": Fault((LINES,), ("product_id",), partial(_in_one_row, unknown_product)),
    "bad_email": Fault((EMAILS,), ("email_address",), partial(_in_one_row, bad_email)),
    "hostile_text": Fault((ORDERS,), ("comment",), partial(_in_one_row, partial(hostile_text, "comment"))),
}
"""Faults by the name that `?faults=` takes."""


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
    for name in names:
        if name not in FAULTS:
            raise DeclarationError(
                f"source '{url}': fault '{name}' is unknown{meant(name, FAULTS)}; known: {', '.join(FAULTS)}"
            )
    if not (seed := ours.get("fault_seed", "7")).isdecimal():
        raise DeclarationError(f"source '{url}': fault_seed='{seed}' cannot be read; write a whole number")
    others = urlencode([pair for pair in given if pair[0] not in ours], safe=",")
    source = sources.open_source(f"{place}?{others}" if others else place, project=project, cache=cache)
    return Faulty(source, names, int(seed)) if names else source
