"""Arrow columns made from numpy arrays without copying value by value, and noise that is a function of its place.

The noise is a hash of (seed, stream, index): the same value however the table is cut into chunks, in any order.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataops.sources.arrow import Array, pc

Ints = npt.NDArray[np.int64]
Noise = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_DAY = 86_400_000_000  # microseconds
_buffer: Any = pa.py_buffer  # the stubs do not know that numpy arrays are buffers
_HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)


def noise(seed: int, stream: str, index: Ints) -> Noise:
    """Uniform 64-bit values, one per index: SplitMix64 (Steele, Lea, Flood 2014) over a key of seed and stream."""
    key = np.array([zlib.crc32(stream.encode()) << 32 | seed & 0xFFFFFFFF], np.uint64)
    return _mixed(index.astype(np.uint64) * _GOLDEN + _mixed(key * _GOLDEN))


def _mixed(value: Noise) -> Noise:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def below(limit: int | Ints, seed: int, stream: str, index: Ints) -> Ints:
    """Whole numbers from 0 up to, not including, `limit`."""
    value: Ints = (noise(seed, stream, index) >> np.uint64(2)).astype(np.int64) % limit
    return value


def whole(values: npt.ArrayLike, kind: pa.DataType) -> Array:
    """Integers of this Arrow type."""
    array = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(array), [None, _buffer(array)])


def decimals(units: Ints, precision: int, scale: int) -> Array:
    """Exact decimals from whole numbers of the smallest unit: 12345 with scale 4 is 1.2345."""
    words = np.empty((len(units), 2), np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(units), [None, _buffer(words)])


def money(units: Ints) -> Array:
    """SQL Server's money from ten-thousandths."""
    return decimals(units, 19, 4)


def moments(days: Ints) -> Array:
    """Midnights, from days since 1970-01-01."""
    return pa.Array.from_buffers(pa.timestamp("us"), len(days), [None, _buffer(days.astype(np.int64) * _DAY)])


def flags(values: Mask) -> Array:
    """Booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _buffer(np.packbits(values, bitorder="little"))])


def texts(values: Sequence[str]) -> Array:
    """A text column of given values; for lists, not for tables."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    buffers = [None, _buffer(offsets), _buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def picked(values: Sequence[str], index: Ints) -> Array:
    """`values[index]` as a text column; an index beyond the list starts over."""
    array: Array = texts(values).take(whole(index % len(values), pa.int64()))
    return array


def repeated(value: str, count: int) -> Array:
    """One text in every row."""
    return picked([value], np.zeros(count, np.int64))


def joined(*parts: Array | str) -> Array:
    """Texts side by side; numbers in their shortest form."""
    arrays = [part if isinstance(part, str) else part.cast(pa.string()) for part in parts]
    text: Array = pc.binary_join_element_wise(*arrays, "")
    return text


def padded(prefix: str, values: Ints, width: int) -> Array:
    """The prefix and the last `width` digits of each value, zeros in front: AW00000001."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    digits = (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    head = np.broadcast_to(np.frombuffer(prefix.encode(), np.uint8), (len(values), len(prefix)))
    return fixed(np.hstack([head, digits]))


def fixed(characters: npt.NDArray[np.uint8]) -> Array:
    """Texts of equal width from a matrix of ASCII codes."""
    count, width = characters.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32) if width else np.zeros(count + 1, np.int32)
    buffers = [None, _buffer(offsets), _buffer(np.ascontiguousarray(characters))]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def hexadecimal(seed: int, stream: str, index: Ints, digits: int) -> npt.NDArray[np.uint8]:
    """Matrix of upper-case hexadecimal characters, `digits` per index, at most 32."""
    words = np.stack([noise(seed, f"{stream}/{part}", index) for part in range((digits + 15) // 16)], axis=1)
    octets = words.view(np.uint8)
    nibbles = np.empty((len(index), octets.shape[1] * 2), np.uint8)
    nibbles[:, 0::2] = octets >> 4
    nibbles[:, 1::2] = octets & 15
    return _HEX[nibbles[:, :digits]]


def guids(seed: int, stream: str, index: Ints) -> Array:
    """A uniqueidentifier per index, upper case, no braces."""
    digits = hexadecimal(seed, f"{stream}.guid", index, 32)
    dash = np.full((len(index), 1), ord("-"), np.uint8)
    parts = [digits[:, :8], dash, digits[:, 8:12], dash, digits[:, 12:16], dash, digits[:, 16:20], dash, digits[:, 20:]]
    return fixed(np.hstack(parts))


def hidden(where: Mask, values: Array) -> Array:
    """The values, NULL where the mask is true."""
    array: Array = pc.if_else(flags(where), pa.scalar(None, values.type), values)
    return array
