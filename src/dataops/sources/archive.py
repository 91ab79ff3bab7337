"""A delivery of files: a folder, a zip or a tar, looked into by file name. It knows no format of the files inside."""

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from dataops.declared.errors import DataRejected, DeclarationError, PlatformError


class Archive(Protocol):
    """Files by bare name, all from the folder that holds the marker file."""

    def open(self, file: str) -> BinaryIO:
        """Stream of the file's bytes; raises DataRejected when it is not there."""
        ...

    def version(self, file: str) -> object:
        """A value that changes when the file does."""
        ...

    def close(self) -> None:
        """Release handles and temporary files."""
        ...


def open_archive(path: Path, marker: str) -> Archive:
    """The delivery at `path`; the folder inside it that holds `marker` is taken as its root."""
    if path.is_dir():
        return Folder(path, marker)
    if not path.exists():
        raise DeclarationError(f"csv:{path}: there is no such folder or file; is the path in DATAOPS_SOURCE_URL right?")
    with readable(path.name):
        if zipfile.is_zipfile(path):
            return Zip(path, marker)
        if tarfile.is_tarfile(path):
            return Tar(path, marker)
    raise DataRejected(f"{path.name} is neither a folder nor a whole zip or tar (.gz, .xz) archive; deliver it again")


@contextmanager
def readable(file: str) -> Iterator[None]:
    """What goes wrong while bytes are read, said in our terms: damage is the data's fault, the rest the machine's."""
    try:
        yield
    except _DAMAGE as error:
        raise DataRejected(f"{file} is damaged and cannot be unpacked: {error}; deliver it again") from error
    except OSError as error:
        raise PlatformError(f"{file} cannot be read: {error.strerror or error}; check the disk, run again") from error


_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


class Folder:
    """A delivery that is a plain folder; the marker may lie one level down."""

    def __init__(self, path: Path, marker: str) -> None:
        found = [path / marker] if (path / marker).is_file() else sorted(path.glob(f"*/{marker}"))
        names = [file.relative_to(path).as_posix() for file in found]
        self._root = path / _root(names, path.name, marker)

    def open(self, file: str) -> BinaryIO:
        """Stream of the file's bytes."""
        try:
            return (self._root / file).open("rb")
        except FileNotFoundError:
            raise DataRejected(_missing(file, self._root.name)) from None

    def version(self, file: str) -> object:
        """Modification time and size, or None while the file is missing."""
        try:
            state = (self._root / file).stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size

    def close(self) -> None:
        """Nothing is held."""


class Zip:
    """A zip, read in place."""

    def __init__(self, path: Path, marker: str) -> None:
        self._zip = zipfile.ZipFile(path)
        self._name = path.name
        self._names = {slashed(name): name for name in self._zip.namelist()}
        self._root = _root(list(self._names), path.name, marker)

    def open(self, file: str) -> BinaryIO:
        """Stream of the member's bytes."""
        try:
            return cast("BinaryIO", self._zip.open(self._names[self._root + file]))
        except KeyError:
            raise DataRejected(_missing(file, self._name)) from None
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
            raise DataRejected(f"{file} in {self._name} cannot be unpacked: {error}; deliver it again") from error

    def version(self, file: str) -> object:
        """A zip is opened once: its members do not change."""
        return file

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


class Tar:
    """A tar, unpacked once into a temporary folder: a compressed tar cannot be read from the middle."""

    def __init__(self, path: Path, marker: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dataops-tar-")
        self._name = path.name
        try:
            self._unpack(path, marker)
        except BaseException:
            self._folder.cleanup()
            raise

    def _unpack(self, path: Path, marker: str) -> None:
        with tarfile.open(path) as tar:
            root = _root([slashed(member.name) for member in tar], path.name, marker)
        with tarfile.open(path) as tar:
            for member in tar:
                file = slashed(member.name).removeprefix(root)
                stream = tar.extractfile(member) if member.isfile() and "/" not in file else None
                if stream is not None:
                    with stream, (Path(self._folder.name) / file).open("wb") as target:
                        shutil.copyfileobj(stream, target, 1 << 20)

    def open(self, file: str) -> BinaryIO:
        """Stream of the member's bytes."""
        try:
            return (Path(self._folder.name) / file).open("rb")
        except FileNotFoundError:
            raise DataRejected(_missing(file, self._name)) from None

    def version(self, file: str) -> object:
        """A tar is unpacked once: its members do not change."""
        return file

    def close(self) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()


def _root(names: list[str], archive: str, marker: str) -> str:
    """Folder prefix (with its slash, or empty) of the one shallowest member named `marker`. Raises DataRejected."""
    found = sorted((name.count("/"), name) for name in names if name.rpartition("/")[2] == marker)
    if not found:
        raise DataRejected(_no_marker(archive, marker))
    as_deep = [name.removesuffix(marker) for depth, name in found if depth == found[0][0]]
    if len(as_deep) > 1:
        raise DataRejected(
            f"{archive} holds {len(as_deep)} deliveries, in {', '.join(as_deep)}; which one is meant cannot be known:"
            " name the folder of one of them as the source"
        )
    return as_deep[0]


def slashed(name: str) -> str:
    """A member's name, of whatever system wrote it."""
    return name.replace("\\", "/").removeprefix("./")


def _no_marker(where: str, marker: str) -> str:
    return f"{where} holds no {marker}, which says how its files are written; put Microsoft's {marker} beside the files"


def _missing(file: str, where: str) -> str:
    return f"{file} is missing in {where}; put the file there (same edition as the others) and load again"
