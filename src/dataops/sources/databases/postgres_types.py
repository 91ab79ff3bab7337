"""How each type of PostgreSQL is read as a value that the port knows.

Text forms are those of the install files: one spelling of an identifier, of bytes and of a time of day, whatever the
source.
"""

from __future__ import annotations

import pyarrow as pa

from dataops.sources.databases.tables import Column
from dataops.sources.install_script import snake_case
from dataops.sources.port import ANY_NUMBER

_PRECISION_SHIFT, _HEADER = 16, 4  # of a numeric's type modifier
_DIGITS = 38  # that a decimal of 128 bits holds
_LAST = "9999-12-31 23:59:59.999999"
_UNFIT = f"NOT isfinite({{0}}) OR {{0}} < '0001-01-01' OR {{0}} > '{_LAST}'"
_TEXT = "{}::text"

# type -> (type, how it is read, when it cannot be)
_PLAIN: dict[str, tuple[pa.DataType, str, str | None]] = {
    "bool": (pa.bool_(), "{}", None),
    "int2": (pa.int16(), "{}", None),
    "int4": (pa.int32(), "{}", None),
    "int8": (pa.int64(), "{}", None),
    "float4": (pa.float64(), "{}::float8", None),
    "float8": (pa.float64(), "{}", None),
    "money": (ANY_NUMBER, "{}::numeric::text", None),
    "date": (pa.date32(), "{}", _UNFIT),
    "timestamp": (pa.timestamp("us"), "{}", _UNFIT),
    "timestamptz": (pa.timestamp("us"), "({} AT TIME ZONE 'UTC')", _UNFIT),
    "text": (pa.string(), "{}", None),
    "varchar": (pa.string(), "{}::text", None),
    "uuid": (pa.string(), "upper({}::text)", None),
    "bytea": (pa.string(), "upper(encode({}, 'hex'))", None),
    "time": (pa.string(), "(to_char({}, 'HH24:MI:SS.US') || '0')", None),
}


def column(name: str, base: str, modifier: int) -> Column:
    """A column of a base type with its modifier (-1: none). What is not known is read as its text."""
    label = snake_case(name)
    if base == "numeric":
        return Column(name, label, _numeric(modifier), _TEXT)
    if base == "bpchar":  # a cast to text would take off the blanks that pad it
        width = modifier - _HEADER
        return Column(name, label, pa.string(), f"rpad({{}}::text, {width})" if width > 0 else _TEXT)
    kind, sql, unfit = _PLAIN.get(base, (pa.string(), _TEXT, None))
    return Column(name, label, kind, sql, unfit, is_absolute=base == "timestamptz")


def _numeric(modifier: int) -> pa.DataType:
    if modifier < 0:
        return ANY_NUMBER
    precision = (modifier - _HEADER) >> _PRECISION_SHIFT & 0xFFFF
    scale = ((modifier - _HEADER) & 0x7FF ^ 0x400) - 0x400  # eleven bits with a sign
    return pa.decimal128(precision, scale) if precision <= _DIGITS and 0 <= scale <= precision else ANY_NUMBER
