"""The end of a DuckDB log that a power cut tore: a commit that nobody was told of, cut off again.

DuckDB itself leaves out a log's end that is cut short, but refuses a log whose pages reached the disk in another order.
A log is one entry after the other: length, checksum, content; a commit ends with an entry that is always the same.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from dataops.declared import durable
from dataops.warehouse.checksum import checksum

HEAD = 16
COMMITTED = b"d\0d\xff\xff"  # the content of a commit's last entry


def cut(log: Path, aside: Path) -> int:
    """Ends the log after its last whole commit if only the end is torn; the whole of it is kept as `aside`.

    Returns how many bytes went; 0 when nothing is torn, or more than the end, which nothing explains.
    """
    content = log.read_bytes()
    end, torn_at = _last_commit(content)
    rest = content[torn_at:]
    mark = struct.pack("<QQ", len(COMMITTED), checksum(COMMITTED)) + COMMITTED
    if not rest or rest.removesuffix(mark).count(mark):
        return 0
    durable.write(aside, content)
    with log.open("r+b") as stream:
        stream.truncate(end)
        os.fsync(stream.fileno())
    return len(content) - end


def _last_commit(content: bytes) -> tuple[int, int]:
    """(where the last whole commit ends, where the first entry that is not whole begins)."""
    end = at = _first_entry(content)
    while at + HEAD <= len(content):
        size, expected = struct.unpack_from("<QQ", content, at)
        entry = content[at + HEAD : at + HEAD + size]
        if len(entry) < size or checksum(entry) != expected:
            break
        at += HEAD + size
        if entry == COMMITTED:
            end = at
    return end, at


def _first_entry(content: bytes) -> int:
    """Behind the header, which has neither length nor checksum of its own; 0 for a log without a whole one."""
    for at in range(min(64, len(content))):
        if content[at : at + 2] == b"\xff\xff":
            return at + 2
    return 0
