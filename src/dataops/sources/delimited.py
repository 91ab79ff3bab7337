"""A delimited file cut into Arrow arrays of text, chunk by chunk: bytes -> rows -> fields, no loop over rows.

It knows encodings, terminators and where a row stands in its file; it knows no type and no table.
"""

# mypy: disable-error-code="no-any-return"

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from dataops.declared.errors import DataRejected
from dataops.sources.arrow import ListArray, pc, positions
from dataops.sources.install_script import FileFormat

UNDECODABLE = "\ufdd0"
"""Stands for bytes that are no text in the file's encoding: a code point Unicode keeps free of characters."""

_CHUNK = 1 << 22  # bytes per read: about 35,000 order lines; memory stays at a few times this
_LONGEST_ROW = 1 << 26  # characters; a file without row terminators must not be collected whole
_MARKS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16 (big endian)"}

codecs.register_error("dataops-mark", lambda error: (UNDECODABLE, _resume(error)))


def _resume(error: UnicodeError) -> int:
    if isinstance(error, UnicodeDecodeError):
        return error.end
    raise error


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of a file; `column` gives the values of the field at a position, as many as `lines`."""

    column: Callable[[int], Any]
    lines: pa.Int64Array
    damaged: bool


def read_rows(stream: BinaryIO, form: FileFormat) -> Iterator[Rows]:
    """Rows of the file in order; raises DataRejected with file and line for what is not a whole, regular file."""
    line, rest, terminator, before = 1, "", "", 0
    declared, last = form.written.row_terminator, form.written.last_row
    for text in decoded(stream, form):
        rest += text
        terminator = terminator or _terminator(rest, declared)
        end = rest.rfind(terminator) if terminator else -1
        if end >= 0:
            rows, count = _split(rest[:end], terminator, (line, before), form)
            before += count
            line += rest.count("\n", 0, end + len(terminator))
            rest = rest[end + len(terminator) :]
            yield rows
            if last is not None and before >= last:
                return
        elif len(rest) > _LONGEST_ROW:
            raise DataRejected(f"{form.file} line {line}: no end of row within {_LONGEST_ROW:,} characters")
    if rest:
        raise DataRejected(
            f"{form.file} line {line}: the file ends in the middle of a row: its last row has no terminator "
            f"({terminator or declared!r}); the file was cut short, deliver it again"
        )


def decoded(stream: BinaryIO, form: FileFormat) -> Iterator[str]:
    """The file's text in pieces, without its byte order mark; bytes that are no text are `UNDECODABLE`."""
    encoding = form.written.encoding
    decoder = codecs.getincrementaldecoder(encoding)("dataops-mark")
    first, foreign = True, encoding == "cp1252"
    while chunk := stream.read(_CHUNK):
        body = _without_mark(chunk, form) if first else chunk
        first = False
        if foreign and not body.isascii():
            _refuse_utf8(body, form)
            foreign = False
        yield decoder.decode(body)
    if first and form.written.wide:
        _without_mark(b"", form)
    yield decoder.decode(b"", final=True)


def _without_mark(head: bytes, form: FileFormat) -> bytes:
    """The first chunk less its byte order mark; a mark that the script does not announce is another edition's."""
    found = next(((mark, name) for mark, name in _MARKS.items() if head.startswith(mark)), (b"", "none"))
    expected = codecs.BOM_UTF16_LE if form.written.wide else b""
    if found[0] == expected or (found[1] == "UTF-8" and form.written.encoding == "utf-8"):
        return head[len(found[0]) :]
    raise DataRejected(
        f"{form.file} line 1: byte order mark is {found[1]}, but {form.said_by} says the file is "
        f"{'UTF-16' if form.written.wide else form.written.encoding}; files of two editions must not be mixed"
    )


def _refuse_utf8(body: bytes, form: FileFormat) -> None:
    """Text in UTF-8 reads as Windows-1252 without an error, and wrongly; the reverse hardly ever happens."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(body)
    except UnicodeDecodeError:
        return
    raise DataRejected(
        f"{form.file} is written in UTF-8, but {form.said_by} says Windows-1252; files of two"
        " editions must not be mixed"
    )


def _terminator(text: str, declared: str) -> str:
    r"""The terminator this file uses: `\n` in the script stands for CR LF or LF, whichever the first row ends with."""
    windows = declared.removesuffix("\n") + "\r\n"
    end = text.find(declared)
    windows_end = text.find(windows)
    if end < 0 and windows_end < 0:
        return ""
    return windows if windows_end >= 0 and (end < 0 or windows_end < end) else declared


def _split(text: str, terminator: str, start: tuple[int, int], form: FileFormat) -> tuple[Rows, int]:
    """Those rows of the text that are wanted, and how many it holds; `start`: line, and number of rows before."""
    line, before = start
    rows = pc.split_pattern(pa.scalar(text, pa.large_string()), terminator).values.cast(pa.string())
    count = len(rows)
    breaks = pc.cumulative_sum(pc.add(pc.count_substring(rows, "\n"), terminator.count("\n"))).cast(pa.int64())
    lines = pc.add(pa.concat_arrays([positions(0, 1), breaks[:-1]]), line)
    first = max(form.written.first_row - 1 - before, 0)
    end = count if form.written.last_row is None else max(form.written.last_row - before, 0)
    rows, lines = rows[first:end], lines[first:end]
    _require_one_line_end(rows, lines, terminator, form)
    fields = pc.split_pattern(rows, form.written.field_terminator)
    _require_width(rows, fields, lines, form)
    flat, width = fields.flatten(), len(form.columns)
    marked = UNDECODABLE in text or "\0" in text
    return Rows(lambda at: flat.take(positions(at, len(flat), width)), lines, marked), count


def _require_one_line_end(rows: pa.StringArray, lines: pa.Int64Array, terminator: str, form: FileFormat) -> None:
    """A file has one; of two, the other one would be part of values. Fields may hold line breaks, but not this one."""
    declared = form.written.row_terminator
    other = declared if terminator != declared else declared.removesuffix("\n") + "\r\n"
    found = pc.ends_with(rows, "\r") if declared == terminator == "\n" else pc.match_substring(rows, other)
    if not declared.endswith("\n") or not pc.any(found).as_py():
        return
    line = lines[pc.index(found, True).as_py()].as_py()
    it, others = ("LF", "CR LF") if terminator.endswith("\r\n") else ("CR LF", "LF")
    raise DataRejected(
        f"{form.file} line {line}: it ends with {it}, lines before it with {others}; a file has one line end,"
        " deliver it again"
    )


def _require_width(rows: pa.StringArray, fields: ListArray, lines: pa.Int64Array, form: FileFormat) -> None:
    widths = pc.list_value_length(fields)
    irregular = pc.not_equal(widths, len(form.columns))
    if pc.any(irregular).as_py():
        first = pc.index(irregular, True).as_py()
        raise DataRejected(
            wrong_width(form, lines[first].as_py(), widths[first].as_py(), is_empty=rows[first].as_py() == "")
            + f"; {pc.sum(irregular).as_py()} such rows in this part of the file; deliver it again"
        )


def wrong_width(form: FileFormat, line: int, width: int, *, is_empty: bool) -> str:
    """What is said of a row that has not as many fields as its table has columns."""
    has = "an empty line" if is_empty else f"{width} fields"
    return f"{form.file} line {line}: {has} where {form.source_table} has {len(form.columns)} columns"
