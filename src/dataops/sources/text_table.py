"""Rows of one text file as a request wants them: cut, typed, and only those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa

from dataops.sources.arriving import arriving
from dataops.sources.delimited import Rows, read_rows
from dataops.sources.install_script import FileFormat
from dataops.sources.port import Request
from dataops.sources.quoted import read_quoted
from dataops.sources.selection import needed_columns
from dataops.sources.values import read_values


def text_batches(
    stream: BinaryIO, form: FileFormat, request: Request, keys: pa.Table | None,
    look: Callable[[Rows, FileFormat], None] | None = None,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """The request's columns in order, then `_problems`; `keys` are those of its parents. `look` sees the first rows.

    Raises DataRejected for what is no whole, regular file.
    """
    columns = {column.name: (at, column) for at, column in enumerate(form.columns)}
    chosen = [columns[name] for name in needed_columns(request)]
    wanted = {name: request.schema.field(name).type for name in request.schema.names}
    cut = read_rows if form.written.quote is None else read_quoted
    for number, rows in enumerate(cut(stream, form)):
        if number == 0 and look:
            look(rows, form)
        reads = [
            read_values(rows.column(at), column, wanted.get(column.name, column.type), damaged=rows.damaged)
            for at, column in chosen
        ]
        yield from arriving(form.file, rows.lines, [column.name for _, column in chosen], reads, request, keys)
