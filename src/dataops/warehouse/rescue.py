"""What a checkpoint of DuckDB writes over, kept aside before it and put back when a kill tore it.

A checkpoint rewrites blocks of metadata in place although the header that still counts needs them; whoever is killed
between two pages of such a write leaves a file that cannot be opened. The log is whole until the new header is on the
disk, so the old blocks and headers are all that is needed. Knows the layout of the file's three headers, no SQL.
docs/explanation/durability.md has the measurements.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

from dataops.declared import durable
from dataops.declared.failpoint import failpoint
from dataops.warehouse.checksum import checksum

PAGE = 4096
HEADERS = 3 * PAGE  # one for the whole file, then two that checkpoints write in turns
MAGIC = b"dataops rescue 1\n"
DIGEST = 32
CHUNK = 2**20

State = Literal["interrupted", "completed", "foreign"]


@dataclass(frozen=True)
class Kept:
    """A rescue file, read and verified: the headers, and each block with its number."""

    headers: bytes
    blocks: dict[int, bytes]
    log_bytes: int
    log_digest: str


def beside(file: Path) -> Path:
    """Where the rescue of a warehouse file lies."""
    return file.with_name(file.name + ".rescue")


def log_of(file: Path) -> Path:
    """The write-ahead log of a warehouse file."""
    return file.with_name(file.name + ".wal")


def keep(file: Path, descriptor: int, blocks: Sequence[int], block_bytes: int) -> None:
    """Writes `blocks` and the headers of the file to its rescue, durably. Raises OSError when that cannot be done.

    `descriptor` must be the one DuckDB itself holds: closing any other one would free DuckDB's lock on the file.
    """
    target, log = beside(file), log_of(file)
    fresh = target.with_name(f"{target.name}.tmp")
    size = log.stat().st_size
    about = {"block_bytes": block_bytes, "log_bytes": size, "log_digest": digest_of(log, size)}
    try:
        with fresh.open("wb", buffering=0) as out:
            for part in _sealed(json.dumps(about).encode() + b"\n", _read(descriptor, blocks, block_bytes)):
                out.write(part)
                failpoint("rescue_writing")
        durable.put_in_place(fresh, target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _read(descriptor: int, blocks: Sequence[int], block_bytes: int) -> Iterator[bytes]:
    yield os.pread(descriptor, HEADERS, 0)
    for number in blocks:
        content = os.pread(descriptor, block_bytes, HEADERS + number * block_bytes)
        if len(content) == block_bytes:  # one that was never written is needed by nobody
            yield struct.pack("<q", number) + content


def _sealed(about: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    seal = hashlib.blake2b(digest_size=DIGEST)
    for part in chain((MAGIC, about), parts):
        seal.update(part)
        yield part
    yield seal.digest()


def read(file: Path) -> Kept | None:
    """The rescue beside a warehouse file; None when it is cut short, changed, or no rescue at all."""
    content = beside(file).read_bytes()
    body, seal = content[:-DIGEST], content[-DIGEST:]
    if not body.startswith(MAGIC) or hashlib.blake2b(body, digest_size=DIGEST).digest() != seal:
        return None
    line, _, rest = body.removeprefix(MAGIC).partition(b"\n")
    about = json.loads(line)
    step = 8 + about["block_bytes"]
    blocks = {struct.unpack_from("<q", rest, at)[0]: rest[at + 8 : at + step] for at in range(HEADERS, len(rest), step)}
    return Kept(rest[:HEADERS], blocks, about["log_bytes"], about["log_digest"])


def state_of(stream: BinaryIO, log: Path, kept: Kept) -> State:
    """How far the checkpoint came before which the rescue was kept; `foreign`: it belongs to another file or time.

    A checkpoint writes the header whose turn it is, as its last step; the other one stays as it was.
    """
    stream.seek(0)
    headers = stream.read(HEADERS)
    old = max((1, 2), key=lambda slot: _turn(_slot(kept.headers, slot)))
    new = 3 - old
    if _slot(headers, 0) != _slot(kept.headers, 0) or _slot(headers, old) != _slot(kept.headers, old):
        return "foreign"
    after = _slot(headers, new)
    if _is_valid(after) and _turn(after) > _turn(_slot(kept.headers, old)):
        return "completed"
    there = log.exists() and log.stat().st_size >= kept.log_bytes
    return "interrupted" if there and digest_of(log, kept.log_bytes) == kept.log_digest else "foreign"


def put_back(stream: BinaryIO, kept: Kept) -> list[int]:
    """Writes the kept blocks, then the headers, over the file, durably. The numbers of the blocks that were torn.

    Safe to repeat: as long as the rescue lies there, the same is done again. `stream` is unbuffered.
    """
    torn = []
    for number, content in kept.blocks.items():
        place = HEADERS + number * len(content)
        stream.seek(place)
        there = stream.read(len(content))
        if there == content:
            continue
        if not _is_valid(there):
            torn.append(number)
        stream.seek(place)
        stream.write(content)
        failpoint("healing")
    os.fsync(stream.fileno())
    stream.seek(0)
    stream.write(kept.headers)
    os.fsync(stream.fileno())
    return torn


def digest_of(file: Path, length: int) -> str:
    """Of the first `length` bytes."""
    seal = hashlib.blake2b(digest_size=DIGEST)
    with file.open("rb") as stream:
        while length > 0 and (part := stream.read(min(CHUNK, length))):
            seal.update(part)
            length -= len(part)
    return seal.hexdigest()


def _slot(headers: bytes, number: int) -> bytes:
    return headers[number * PAGE : (number + 1) * PAGE]


def _turn(header: bytes) -> int:
    """How many checkpoints had been made when it was written."""
    return int(struct.unpack_from("<Q", header, 8)[0])


def _is_valid(block: bytes) -> bool:
    """Whether a header or block carries its own checksum."""
    return len(block) >= PAGE and checksum(block[8:]) == struct.unpack_from("<Q", block)[0]
