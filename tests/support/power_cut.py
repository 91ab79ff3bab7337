"""What a disk may hold when the power goes, for every prefix of a recorded run of writes.

Of what was not synced, a file has any choice of pages, a folder its names up to any point. Recorded by strace from a
real process. The model is a journaling file system (ext4, xfs): fsync of a file also keeps the names given before it;
pages of 4 KiB are written whole or not at all, in any order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

PAGE = 4096
CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat"
CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+=\s+(-?\d+)")
NAMED = re.compile(r"^(\d+)<([^>]*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
Keeps = Callable[[int], bool]
Kind = Literal["create", "write", "truncate", "sync", "rename", "unlink"]


@dataclass(frozen=True)
class Call:
    """One system call on a file of the folder. `at` is None for a write at the end."""

    kind: Kind
    name: str
    at: int | None = None
    data: bytes = b""
    to: str = ""


def recorded(command: list[str], folder: Path, trace: Path) -> list[Call]:
    """Runs a command under strace; what it did to files of `folder`, in order."""
    program = shutil.which("strace")
    assert program, "strace is not installed; the tests need it (apt-get install strace)"
    options = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", "400000", "-e", f"trace={CALLS}", "-o", str(trace)]
    subprocess.run([program, *options, *command], check=True)
    return list(_parsed(trace.read_text(encoding="ascii"), folder))


def _parsed(text: str, folder: Path) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in text.splitlines():
        thread = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        whole = line
        if "resumed>" in line:
            whole = begun.pop(thread) + line.partition("resumed>")[2]
        if (found := CALL.match(whole)) and int(found[4]) >= 0:
            yield from _call(found[2], found[3], folder)


def _call(name: str, arguments: str, folder: Path) -> Iterator[Call]:
    texts = [bytes.fromhex(part.replace("\\x", "")) for part in TEXT.findall(arguments)]
    if name == "openat":
        path = _inside(texts[0].decode(), folder)
        if path and ("O_CREAT" in arguments or "O_TRUNC" in arguments):
            yield Call("create", path, at=0 if "O_TRUNC" in arguments else None)
    elif name.startswith("rename"):
        source, target = (_inside(text.decode(), folder) for text in texts)
        if source and target:
            yield Call("rename", source, to=target)
    elif name.startswith("unlink"):
        if path := _inside(texts[0].decode(), folder):
            yield Call("unlink", path)
    elif (named := NAMED.match(arguments)) and (path := _inside(_decoded(named[2]), folder)):
        yield _of_descriptor(name, arguments, path, texts)


def _of_descriptor(name: str, arguments: str, path: str, texts: list[bytes]) -> Call:
    if name == "pwrite64":
        return Call("write", path, at=int(arguments.rpartition(",")[2]), data=texts[0])
    if name == "write":
        return Call("write", path, data=texts[0])
    if name == "ftruncate":
        return Call("truncate", path, at=int(arguments.rpartition(",")[2]))
    return Call("sync", path)


def _decoded(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def _inside(path: str, folder: Path) -> str | None:
    """The name below the folder; `.` for itself."""
    wanted = Path(path)
    return str(wanted.relative_to(folder)) if wanted.is_relative_to(folder) else None


@dataclass
class File:
    """Content that is on the disk for certain, and what was written since."""

    kept: bytearray = field(default_factory=bytearray)
    since: list[Call] = field(default_factory=list)
    size: int = 0

    def add(self, call: Call) -> None:
        at = self.size if call.at is None else call.at
        if call.kind == "write":
            self.size = max(self.size, at + len(call.data))
            bounds = [at, *range((at // PAGE + 1) * PAGE, at + len(call.data), PAGE), at + len(call.data)]
            for start, end in pairwise(bounds):
                self.since.append(Call("write", call.name, start, call.data[start - at : end - at]))
        else:
            self.size = at
            self.since.append(call)

    def sync(self) -> None:
        self.kept, self.since = self.as_left(lambda _: True), []

    def as_left(self, keeps: Keeps) -> bytearray:
        """The content if the disk wrote those pages since the last sync, by their order, that `keeps` says."""
        found = bytearray(self.kept)
        for number, call in enumerate(self.since):
            if not keeps(number):
                continue
            at = call.at or 0
            if call.kind == "truncate":
                del found[at:]
                found.extend(bytes(at - len(found)))
            else:
                found.extend(bytes(max(0, at - len(found))))
                found[at : at + len(call.data)] = call.data
        return found


class Disk:
    """A folder, as calls change it and as a power cut may leave it."""

    def __init__(self, folder: Path) -> None:
        self._kept = {
            str(path.relative_to(folder)): File(bytearray(path.read_bytes()), size=path.stat().st_size)
            for path in folder.rglob("*")
            if path.is_file()
        }
        self._now = dict(self._kept)
        self._names: list[dict[str, File]] = []  # after each change of names since the last sync

    def apply(self, call: Call) -> None:
        if call.kind == "create":
            self._create(call)
        elif call.kind == "rename":
            self._now[call.to] = self._now.pop(call.name)
            self._names.append(dict(self._now))
        elif call.kind == "unlink":
            self._now.pop(call.name, None)
            self._names.append(dict(self._now))
        elif call.kind == "sync":
            if call.name in self._now:
                self._now[call.name].sync()
            self._kept, self._names = dict(self._now), []
        elif call.name in self._now:
            self._now[call.name].add(call)

    def _create(self, call: Call) -> None:
        if call.name not in self._now:
            self._now[call.name] = File()
            self._names.append(dict(self._now))
        elif call.at is not None:
            self._now[call.name].add(Call("truncate", call.name, 0))

    def left(self, folder: Path, names: Callable[[int], int], keeps: Keeps) -> None:
        """Writes to `folder` what a cut now may leave: `names` picks one of so many states of the names."""
        states = [self._kept, *self._names]
        for name, file in states[names(len(states))].items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.as_left(keeps))


def main() -> None:
    """The process that is recorded: commits, their acknowledgements, a readers' copy; a checkpoint at every third."""
    from tests.support import checkpoint_kills

    folder, commits = Path(sys.argv[1]), int(sys.argv[2])
    warehouse = checkpoint_kills.Warehouse(folder, healing=True)
    for number in range(1, commits + 1):
        checkpoint_kills.duckdb_file.LOG_BYTES = 2**30 if number % 3 else 0
        warehouse.write(number)
        warehouse.open().refresh_published(lambda _, n=number: {"publication": str(n)})  # type: ignore[misc]


if __name__ == "__main__":
    main()
