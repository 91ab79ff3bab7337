"""Text of a file turned into typed Arrow values; what cannot be read becomes NULL and is described, never raised.

Whole arrays at a time. It knows Microsoft's spellings in both editions and nothing about where the text came from.
"""

# mypy: disable-error-code="no-any-return"

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa

from dataops.sources.arrow import Array, nulls, pc
from dataops.sources.delimited import UNDECODABLE
from dataops.sources.install_script import FileColumn

_SHOWN = 40  # characters of a bad value in a message: enough to recognise it, too few to leak a document


@dataclass(frozen=True)
class Read:
    """Values of a column and where they could not be read: `bad` is true there (None: nowhere), `why` says it."""

    values: Array
    bad: pa.BooleanArray | None = None
    why: pa.StringArray | None = None


SPELT = {"timestamp[us]": "datetime2", "int16": "smallint", "int32": "int", "int64": "bigint"}
"""The type of SQL Server as which text is read that is to be of an Arrow type, by the latter's name."""


def read_values(text: pa.StringArray, column: FileColumn, wanted: pa.DataType, *, damaged: bool) -> Read:
    """Values of one column in the wanted type. An empty field is NULL: the files cannot tell it from empty text."""
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    clean, unreadable = _without_damage(text) if damaged else (text, None)
    spelled = _SPELLINGS.get(column.sql_type, _as_is)(clean)
    is_moment = column.sql_type in _MOMENTS and pa.types.is_timestamp(wanted)
    values = _MOMENTS[column.sql_type](spelled) if is_moment else cast_or_null(spelled, wanted)
    bad = pc.and_(pc.is_valid(spelled), pc.is_null(values))
    if unreadable is not None:
        bad = pc.or_(bad, unreadable)
    if not pc.any(bad).as_py():
        return Read(values)
    return Read(values, bad, what_is_wrong(text, column.name, wanted, unreadable))


def _without_damage(text: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray]:
    """Values that hold undecodable bytes or NUL become NULL: half a value is worse than none."""
    damaged = pc.fill_null(pc.or_(pc.match_substring(text, UNDECODABLE), pc.match_substring(text, "\0")), False)
    return pc.if_else(damaged, pa.scalar(None, pa.string()), text), damaged


def _as_is(text: pa.StringArray) -> pa.StringArray:
    return text


def _identifier(text: pa.StringArray) -> pa.StringArray:
    """One spelling of a GUID for both editions: upper case, no braces."""
    return pc.utf8_upper(pc.utf8_trim(text, characters="{}"))


def _xml(text: pa.StringArray) -> pa.StringArray:
    """The files put one U+FEFF before each xml value."""
    return pc.utf8_ltrim(text, characters="\ufeff")


def _seven_digits(text: pa.StringArray) -> Array:
    """Of datetime2's seven fraction digits six are kept, the last one rounded, as SQL Server does it."""
    long = pc.equal(pc.utf8_length(text), len("2024-05-01 10:00:00.1234567"))
    values = cast_or_null(pc.if_else(long, pc.utf8_slice_codeunits(text, 0, 26), text), _MICROSECONDS)
    up = pc.fill_null(pc.and_(long, pc.match_substring_regex(text, "[5-9]$")), False)
    return pc.if_else(up, pc.add(values, pa.scalar(1, pa.duration("us"))), values)


def _with_offset(text: pa.StringArray) -> Array:
    """Datetimeoffset as UTC; a value without an offset cannot be read."""
    parts = pc.extract_regex(text, r"^(?P<at>[^+]*?) ?(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d)$")
    numbers = [pc.struct_field(parts, name).cast(pa.int64()) for name in ("hours", "minutes")]
    seconds = pc.add(pc.multiply(numbers[0], 3600), pc.multiply(numbers[1], 60))
    signed = pc.if_else(pc.equal(pc.struct_field(parts, "sign"), "-"), pc.negate(seconds), seconds)
    return pc.subtract(
        _seven_digits(pc.struct_field(parts, "at")), signed.cast(pa.duration("s")).cast(pa.duration("us"))
    )


_MICROSECONDS = pa.timestamp("us")
_MOMENTS: dict[str, Callable[[pa.StringArray], Array]] = {"datetime2": _seven_digits, "datetimeoffset": _with_offset}


def _moment(text: pa.StringArray) -> pa.StringArray:
    """Nine fraction digits, of which SQL Server fills three, cut to the six that a microsecond holds."""
    nine = pc.and_(pc.equal(pc.utf8_length(text), 29), pc.ends_with(text, "000"))
    text = pc.if_else(nine, pc.utf8_slice_codeunits(text, 0, 26), text)
    return _in_the_calendar(text)


def _in_the_calendar(text: pa.StringArray) -> pa.StringArray:
    """Arrow has a year 0, no calendar here has."""
    return pc.if_else(pc.starts_with(text, "0000"), "?", text)


def _whole(text: pa.StringArray) -> pa.StringArray:
    """Arrow reads 0x1F as 31; no edition writes numbers so, hence it is damage."""
    return pc.replace_substring(text, "x", "?")


_SPELLINGS: dict[str, Callable[[pa.StringArray], pa.StringArray]] = {
    "uniqueidentifier": _identifier,
    "xml": _xml,
    "datetime": _moment,
    "datetime2": _in_the_calendar,
    "datetimeoffset": _in_the_calendar,
    "smalldatetime": _in_the_calendar,
    "int": _whole,
    "smallint": _whole,
    "tinyint": _whole,
    "bigint": _whole,
}


def cast_or_null(text: pa.StringArray, wanted: pa.DataType) -> Array:
    """The cast, with NULL for each value it refuses: halves are tried until the refused values stand alone."""
    if pa.types.is_string(wanted):
        return text
    try:
        return _midnight(text).cast(wanted) if pa.types.is_date(wanted) else text.cast(wanted)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return nulls(1, wanted)
    half = len(text) // 2
    return pa.concat_arrays([cast_or_null(text[:half], wanted), cast_or_null(text[half:], wanted)])


def _midnight(text: pa.StringArray) -> pa.StringArray:
    """A date column of a datetime field: Arrow reads dates without a time only."""
    return pc.replace_substring_regex(text, r"[ T]00:00:00(\.0+)?$", "")


def what_is_wrong(
    text: pa.StringArray, name: str, wanted: pa.DataType, unreadable: pa.BooleanArray | None = None
) -> pa.StringArray:
    """A sentence per value, for those that are no `wanted`, or hold what cannot be decoded."""
    shown = pc.utf8_slice_codeunits(text, 0, _SHOWN)
    shown = pc.replace_substring(pc.replace_substring(shown, UNDECODABLE, "\ufffd"), "\0", "\\0")
    plain = pc.binary_join_element_wise(f"{name}: '", shown, f"' is not {_called(wanted)}", "")
    if unreadable is None:
        return plain
    broken = pc.binary_join_element_wise(f"{name}: '", shown, "' holds undecodable bytes or NUL", "")
    return pc.if_else(unreadable, broken, plain)


def _called(wanted: pa.DataType) -> str:
    if pa.types.is_decimal(wanted):
        return f"a number of {wanted.precision} digits, {wanted.scale} of them decimals"
    if pa.types.is_integer(wanted):
        return f"a whole number of {wanted.bit_width} bits"
    if pa.types.is_boolean(wanted):
        return "0 or 1"
    return "a date" if pa.types.is_date(wanted) else "a timestamp"


def joined_problems(file: str, lines: pa.Int64Array, reads: list[Read]) -> Array:
    """One text per row: NULL, or all that could not be read there, joined by `; `."""
    faulty = [(read.bad, read.why) for read in reads if read.bad is not None]
    nothing = nulls(len(lines), pa.string())
    if not faulty:
        return nothing
    prefix = pc.binary_join_element_wise(f"{file} line ", lines.cast(pa.string()), ", ", "")
    told = [pc.if_else(bad, pc.binary_join_element_wise(prefix, why, ""), nothing) for bad, why in faulty]
    return reduce(_both, told)


def _both(first: Array, second: Array) -> Array:
    """Texts of two arrays, joined where both are there; Arrow's own join with `skip` returns too few values."""
    return pc.coalesce(pc.binary_join_element_wise(first, second, "; "), first, second)
