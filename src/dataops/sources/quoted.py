"""A file of quoted fields (RFC 4180) cut into Arrow arrays of text, as `delimited` does for files without quotes.

Arrow's own reader cuts; what it cannot know is where a row stands in the file, and that a file was cut short.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import csv as py_csv
import io
from collections.abc import Iterator
from functools import reduce
from typing import Any, BinaryIO, Literal

import pyarrow as pa
from pyarrow import csv

from dataops.declared.errors import DataRejected
from dataops.sources.arrow import Array, pc, positions
from dataops.sources.delimited import UNDECODABLE, Rows, decoded, wrong_width
from dataops.sources.install_script import FileFormat

_BLOCK = 1 << 22  # bytes that Arrow cuts at once
_LINE_ENDS = ("\n", "\r\n")


def read_quoted(stream: BinaryIO, form: FileFormat) -> Iterator[Rows]:
    """Rows of the file in order; raises DataRejected with file and line for what is not a whole, regular file."""
    written = form.written
    if len(written.field_terminator) != 1 or written.row_terminator not in _LINE_ENDS:
        raise DataRejected(
            f"{form.file}: quoted fields are read with one character between fields and LF or CR LF after rows, not"
            f" {written.field_terminator!r} and {written.row_terminator!r}"
        )
    text, odd = _Utf8(decoded(stream, form), str(written.quote)), _Irregular(form)
    line, left = written.first_row, None if written.last_row is None else written.last_row - written.first_row + 1
    last: str | None = None
    try:
        for batch in _opened(text, form, odd):
            rows, line = _rows(batch if left is None else batch.slice(0, left), line, form)
            last = batch.column(batch.num_columns - 1)[-1].as_py() if batch.num_rows else last
            yield rows
            left = None if left is None else left - len(rows.lines)
            if left == 0:
                return
    except pa.ArrowInvalid as error:
        if not text.is_empty and not odd.sentence:
            raise DataRejected(f"{form.file}: {' '.join(str(error).split())}; deliver it again") from error
    if odd.sentence and not text.is_cut_off(""):
        raise DataRejected(odd.sentence)
    if text.is_cut_off(last):
        raise DataRejected(
            f"{form.file}: the file ends in the middle of a row: its last row has no line end, or a quote is not"
            " closed; the file was cut short, deliver it again"
        )


def header(stream: BinaryIO, form: FileFormat) -> list[str]:
    """The fields of the first line. Raises DataRejected for a file without one."""
    line = ""
    for piece in decoded(stream, form):
        line += piece
        if "\n" in line or len(line) > _BLOCK:
            break
    line, end, _ = line.partition("\n")
    if not end:
        raise DataRejected(f"{form.file}: no line that names the columns; deliver it again, or say header: false")
    if form.written.quote is None:
        return line.removesuffix("\r").split(form.written.field_terminator)
    return next(py_csv.reader([line], delimiter=form.written.field_terminator, quotechar=form.written.quote))


def _opened(text: _Utf8, form: FileFormat, odd: _Irregular) -> csv.CSVStreamingReader:
    names = [f"f{at}" for at in range(len(form.columns))]
    parsed: Any = csv.ParseOptions(
        delimiter=form.written.field_terminator, quote_char=form.written.quote or False, double_quote=True,
        newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=odd,
    )  # fmt: skip
    read = csv.ReadOptions(
        use_threads=False, column_names=names, block_size=_BLOCK, skip_rows_after_names=form.written.first_row - 1
    )
    texts = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""],
        quoted_strings_can_be_null=False,
    )  # fmt: skip
    whole_blocks: Any = io.BufferedReader(text, _BLOCK)  # or rows lie across more than two
    return csv.open_csv(whole_blocks, read, parsed, texts)


def _rows(batch: pa.RecordBatch, line: int, form: FileFormat) -> tuple[Rows, int]:
    """The batch's rows, the first of which stands in `line`, and the line of the row after it."""
    lengths = positions(1, batch.num_rows + 1)
    for column in batch.columns:
        breaks = pc.fill_null(pc.count_substring(column, "\n"), 0)
        lengths = pc.add(lengths, pc.cumulative_sum(breaks.cast(pa.int64())))
    ends = pc.add(lengths, line)
    lines = pa.concat_arrays([positions(line, line + 1), ends[:-1]]) if batch.num_rows else ends
    _require_values(batch, lines, form)
    following = ends[-1].as_py() if batch.num_rows else line
    return Rows(batch.column, lines, any(_is_marked(column) for column in batch.columns)), following


def _require_values(batch: pa.RecordBatch, lines: pa.Int64Array, form: FileFormat) -> None:
    """Arrow makes of an empty line a row without values."""
    empty = reduce(pc.and_, (pc.is_null(column) for column in batch.columns))
    if batch.num_columns > 1 and pc.any(empty).as_py():
        line = lines[pc.index(empty, True).as_py()].as_py()
        raise DataRejected(f"{wrong_width(form, line, 0, is_empty=True)}; deliver it again")


def _is_marked(column: Array) -> bool:
    return pc.any(pc.or_(pc.match_substring(column, UNDECODABLE), pc.match_substring(column, "\0"))).as_py() or False


class _Irregular:
    """Stops at the first row of another width, and says which."""

    def __init__(self, form: FileFormat) -> None:
        self.form = form
        self.sentence = ""

    def __call__(self, row: csv.InvalidRow) -> Literal["error"]:
        said = wrong_width(self.form, row.number or 0, row.actual_columns, is_empty=not row.text)
        self.sentence = said.replace(" line ", " row ", 1) + "; deliver it again"
        return "error"


class _Utf8(io.RawIOBase):
    """The file in UTF-8, as Arrow wants it; knows afterwards how it ended."""

    def __init__(self, pieces: Iterator[str], quote: str) -> None:
        self._pieces = (piece.encode() for piece in pieces)
        self._quote = quote.encode()
        self._left = b""
        self._last = b""
        self._quotes = 0

    @property
    def is_empty(self) -> bool:
        return not self._last

    def is_cut_off(self, value: str | None) -> bool:
        """Whether the text ends in a row, or in a quoted `value` that it never closes."""
        in_quotes = self._quotes % 2 == 1 and (value or "\n").endswith("\n")
        return self._last not in {b"", b"\n"} or in_quotes

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: Any) -> int:  # noqa: ANN401  a buffer
        """The next bytes."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left, self._last = piece, piece[-1:] or self._last
            self._quotes += piece.count(self._quote)
        size = min(len(target), len(self._left))
        target[:size], self._left = self._left[:size], self._left[size:]
        return size
