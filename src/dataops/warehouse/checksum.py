"""DuckDB's checksum of blocks, headers and log entries, so that a torn one is told from a whole one."""

from __future__ import annotations

from functools import reduce
from operator import xor

_WORD = 0xBF58476D1CE4E5B9
_ALL = 2**64 - 1
_MIX = 0xC6A4A7935BD1E995
_SEED = 0xE17A1465


def checksum(content: bytes) -> int:
    """64 bits: the words of eight bytes, multiplied and XOR-ed; a rest of one to seven bytes by MurmurHash64A.

    Source: `src/common/checksum.cpp` of DuckDB 1.5.
    """
    whole = len(content) // 8 * 8
    words = memoryview(content)[:whole].cast("Q")
    found = reduce(xor, map(_WORD.__mul__, words), 5381) & _ALL
    return found ^ _of_rest(content[whole:]) if len(content) > whole else found


def _of_rest(rest: bytes) -> int:
    found = _SEED ^ (len(rest) * _MIX & _ALL) ^ int.from_bytes(rest, "little")
    found = found * _MIX & _ALL
    found = (found ^ found >> 47) * _MIX & _ALL
    return found ^ found >> 47
