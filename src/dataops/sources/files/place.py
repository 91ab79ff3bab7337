"""Where files lie: a folder, a zip, or what a pattern matches. It knows no format."""

from __future__ import annotations

import fnmatch
import glob
import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.sources.archive import slashed


@dataclass(frozen=True)
class Found:
    """One file: its name within the place, and a value that changes when it does."""

    name: str
    version: object


class Place(Protocol):
    """Files by their names within it."""

    def matching(self, pattern: str) -> list[Found]:
        """In the order of their names."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Stream of a file's bytes, unpacked where it is a .gz."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


def open_place(text: str) -> Place:
    """The place of an address `files:<text>`. Raises DeclarationError where there is none."""
    path = Path(text).expanduser()
    if path.is_file() and zipfile.is_zipfile(path):
        return Zip(path)
    place = Folder(path)
    if not place.files():
        raise DeclarationError(f"files:{text}: there is no such folder, file or match; is the path right?")
    return place


class Folder:
    """Files of a file system: below a folder, or those that a pattern matches."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> dict[str, Path]:
        """As they lie there now, by the names that patterns see."""
        if self._path.is_dir():
            below = (file for file in self._path.rglob("*") if file.is_file())
            return {file.relative_to(self._path).as_posix(): file for file in below}
        found = [Path(name) for name in glob.glob(str(self._path), recursive=True)]  # noqa: PTH207  a whole path
        inside = [file for folder in found if folder.is_dir() for file in folder.iterdir()]
        return {file.as_posix(): file for file in (*found, *inside) if file.is_file()}

    def matching(self, pattern: str) -> list[Found]:
        """Those that are there now."""
        files = self.files()
        return [Found(name, _version(files[name])) for name in sorted(files) if fits(name, pattern)]

    def open(self, name: str) -> BinaryIO:
        """Stream of the file's bytes."""
        try:
            return unpacked(name, (self._path / name if self._path.is_dir() else Path(name)).open("rb"))
        except FileNotFoundError:
            raise DataRejected(f"{name} is gone; deliver it again") from None

    def close(self) -> None:
        """Nothing is held."""


def _version(file: Path) -> object:
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


class Zip:
    """A zip, read in place; its members do not change."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._names = {slashed(name): name for name in self._zip.namelist() if not name.endswith("/")}

    def matching(self, pattern: str) -> list[Found]:
        """Members whose name, or its last part, fits."""
        return [
            Found(name, self._zip.getinfo(self._names[name]).CRC) for name in sorted(self._names) if fits(name, pattern)
        ]

    def open(self, name: str) -> BinaryIO:
        """Stream of the member's bytes."""
        try:
            return unpacked(name, cast("BinaryIO", self._zip.open(self._names[name])))
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
            raise DataRejected(f"{name} cannot be unpacked: {error}; deliver it again") from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


def fits(name: str, pattern: str) -> bool:
    """Whether a file is meant by a pattern: as a path if the pattern has folders, else by its last part; .gz or not."""
    name = name.removesuffix(".gz")
    return fnmatch.fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern.removesuffix(".gz"))


def unpacked(name: str, stream: BinaryIO) -> BinaryIO:
    """The stream itself, or what a .gz holds."""
    return cast("BinaryIO", _Packed(stream)) if name.endswith(".gz") else stream


class _Packed(gzip.GzipFile):
    """What a stream holds; it is closed as well."""

    def __init__(self, inner: BinaryIO) -> None:
        super().__init__(fileobj=inner, mode="rb")
        self._inner = inner

    def close(self) -> None:
        """Both."""
        super().close()
        self._inner.close()
