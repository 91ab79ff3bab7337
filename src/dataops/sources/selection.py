"""Which rows of a stream a request asks for: those in its window, or those that follow a parent in it.

For sources that cannot leave the choice to a database. It knows Arrow and the request, no format.
"""

# mypy: disable-error-code="no-any-return"

from collections.abc import Callable, Iterable

import pyarrow as pa

from dataops.sources.arrow import Array, pc, positions
from dataops.sources.port import Also, Follow, Request, Window

ReadParent = Callable[[Request], Iterable[pa.RecordBatch]]


def in_window(cursor: Array, window: Window) -> pa.BooleanArray:
    """Mask of `start <= cursor < end`. A row without a readable cursor is in every window.

    Otherwise it would be in none, and a row that no window ever brings is a row lost without a word.
    """
    start, end = (pa.scalar(moment, pa.timestamp("us")) for moment in (window.start, window.end))
    moments = cursor.cast(pa.timestamp("us"))
    return pc.fill_null(pc.and_(pc.greater_equal(moments, start), pc.less(moments, end)), True)


def parent_keys(read: ReadParent, parent_schema: pa.Schema, follow: Follow, window: Window) -> pa.Table:
    """Distinct keys of the parent's rows in the window: one column per `follow.columns`, named as the child's."""
    extra = follow.also.columns if follow.also else ()
    names = [*dict.fromkeys([*follow.parent_columns, follow.cursor, *extra])]
    schema = pa.schema([parent_schema.field(name) for name in names])
    batches = read(Request(follow.parent, schema, window, follow.cursor, also=follow.also))
    keys = [pa.Table.from_batches([batch]).select(list(follow.parent_columns)) for batch in batches]
    table = pa.concat_tables([*keys, schema.empty_table().select(list(follow.parent_columns))])
    return table.rename_columns(list(follow.columns)).group_by(list(follow.columns)).aggregate([])


def followers(columns: list[Array], keys: pa.Table) -> pa.BooleanArray:
    """Mask of the child rows whose key is among the parents' keys; `columns` in the order of the keys' columns."""
    if len(columns) == 1:
        return pc.is_in(columns[0], value_set=keys.column(0).combine_chunks().cast(columns[0].type))
    names = keys.column_names
    child = pa.table(columns, names).append_column("_position", positions(0, len(columns[0]), 1))
    found = child.join(keys.cast(pa.schema(child.schema.field(n) for n in names)), names, join_type="left semi")
    return pc.is_in(child["_position"].combine_chunks(), value_set=found["_position"].combine_chunks())


def _named(batch: pa.RecordBatch, also: Also) -> pa.BooleanArray:
    """Mask of the rows whose key is named."""
    keys = pa.table([pa.array(values) for values in zip(*also.keys, strict=True)], list(also.columns))
    return followers([batch.column(name) for name in also.columns], keys)


def needed_columns(request: Request) -> list[str]:
    """Columns to read: the wanted ones and those that decide which rows are wanted."""
    deciding: tuple[str, ...] = ()
    if request.window is not None:
        deciding = (request.cursor,) if request.cursor else request.follow.columns if request.follow else ()
        deciding += request.also.columns if request.also else ()
    return [*dict.fromkeys([*request.schema.names, *deciding])]


def wanted_rows(batch: pa.RecordBatch, request: Request, keys: pa.Table | None) -> pa.RecordBatch:
    """The batch's rows that the request asks for; all of them when it names no window."""
    if request.window is not None and request.cursor:
        inside = in_window(batch.column(request.cursor), request.window)
        return batch.filter(pc.or_(inside, _named(batch, request.also)) if request.also else inside)
    if keys is not None and request.follow is not None:
        return batch.filter(followers([batch.column(name) for name in request.follow.columns], keys))
    return batch
