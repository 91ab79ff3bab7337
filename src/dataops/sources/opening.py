"""From what a person writes (`csv:<folder>`, `generator:?scale=1`), or from nothing at all, to a source.

Parameters are read strictly: a misspelt one is an error that names its neighbour, never ignored.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl
from zoneinfo import available_timezones

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from dataops.declared.errors import DeclarationError
from dataops.declared.paths import find_project
from dataops.declared.settings import require_one_at
from dataops.sources.download import downloaded
from dataops.sources.install_csv import InstallCsv
from dataops.sources.port import Source

_BESIDE = Path("../shared/adventureworks/oltp-2014")
_FALLBACK = "generator:?scale=1&seed=7"
_FORMS = (
    "write csv:<folder, zip or tar>, files:<folder, zip or pattern>, postgresql://user@host:port/database,"
    " mssql://user@host:port/database, or generator:?scale=1&seed=7"
)

T = TypeVar("T")


@dataclass(frozen=True)
class FoundSource:
    """A source's URL and the sentence that says how it was found; later lines are details for the reader."""

    url: str
    sentence: str


def open_source(url: str | None = None, *, project: Path | None = None, cache: Path | None = None) -> Source:
    """The source of this URL; without one, the one that `find_source` finds. Raises DeclarationError."""
    url = url or find_source(project or Path.cwd(), cache).url
    scheme, colon, rest = url.partition(":")
    schemes = _SCHEMES | {"files": partial(_files, project)}
    if not colon or scheme not in schemes:
        raise DeclarationError(
            f"source '{printable(url)}': scheme '{scheme}' is unknown{meant(scheme, schemes)}; {_FORMS}"
        )
    place, _, query = rest.partition("?")
    parameters = _Parameters(url, query)
    return schemes[scheme](url, place, parameters)


def find_source(project: Path, cache: Path | None = None) -> FoundSource:
    """Where the data is when nobody said it: beside the project, else downloaded into `cache`, else generated.

    Raises DeclarationError for a project of other tables than the sample data has.
    """
    if other := _not_of_the_sample(project):
        raise DeclarationError(
            f"where are the data? {other} is none of the sample's tables, so nothing stands in for your source:"
            f" name it by --source or DATAOPS_SOURCE_URL; {_FORMS}"
        )
    if (project / _BESIDE / "instawdb.sql").is_file():
        return FoundSource(f"csv:{project / _BESIDE}", f"Microsoft's install CSVs, found in {_BESIDE}")
    missing = f"Data: not found in {_BESIDE}"
    if cache is None:
        return FoundSource(_FALLBACK, f"{missing}\n{_GENERATED}")
    folder, failure = downloaded(cache)
    if folder is not None:
        return FoundSource(f"csv:{folder}", f"{missing}\nDownloaded from Microsoft's repository into {folder.name}")
    return FoundSource(_FALLBACK, f"{missing}\nDownload from Microsoft's repository failed: {failure}\n{_GENERATED}")


def _not_of_the_sample(project: Path) -> str:
    """The first table of a contract that only another source has; empty where there is none."""
    from dataops.sources.generator.tables import TABLES

    for file in sorted((project / "contracts").glob("raw/*.yml")):
        match = re.search(r"\bsource:\s*['\"]?([\w.]+)", file.read_text(encoding="utf-8", errors="replace"))
        if match and match[1] not in TABLES:
            return match[1]
    return ""


_GENERATED = """Using the generator instead (scale 1, seed 7): AdventureWorks-shaped, so
the figures will not be Microsoft's. To use the real files:
put them in a folder and run  DATAOPS_SOURCE_URL=csv:<folder> make demo"""


def meant(word: str, known: Iterable[str]) -> str:
    """`, did you mean '…'?` where a known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


def printable(url: str) -> str:
    """The address without its password."""
    return re.sub(r"(//[^/?#]*?:)[^/?#]*@", r"\1***@", url)


class _Parameters:
    """The `name=value` pairs after the `?`, taken one by one; what is left over at the end was misspelt."""

    def __init__(self, url: str, query: str) -> None:
        self._url = printable(url)
        self._known: list[str] = []
        self._given: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in self._given:
                raise DeclarationError(f"source '{printable(url)}': parameter '{name}' is given twice")
            self._given[name] = value

    def take(self, name: str, read: Callable[[str], T], default: T) -> T:
        self._known.append(name)
        text = self._given.pop(name, None)
        if text is None:
            return default
        try:
            return read(text)
        except (ValueError, InvalidOperation):
            raise DeclarationError(f"source '{self._url}': {name}='{text}' cannot be read; {_FORMS}") from None

    def done(self) -> None:
        for name in self._given:
            known = ", ".join(self._known)
            raise DeclarationError(
                f"source '{self._url}': parameter '{name}' is unknown{meant(name, self._known)}; known: {known}"
            )


def _install_csv(url: str, place: str, parameters: _Parameters) -> Source:
    parameters.done()
    if not place:
        raise DeclarationError(f"source '{printable(url)}' names no folder; {_FORMS}")
    return InstallCsv(Path(place).expanduser())


def _files(project: Path | None, url: str, place: str, parameters: _Parameters) -> Source:
    from dataops.sources.files.source import Files

    parameters.done()
    if not place:
        raise DeclarationError(f"source '{printable(url)}' names no folder; {_FORMS}")
    return Files(place, project or find_project())


def _generator(url: str, place: str, parameters: _Parameters) -> Source:
    if place:
        raise DeclarationError(f"source '{printable(url)}': the generator has no path; {_FORMS}")
    from dataops.sources.generator import Generator, Shape

    shape = Shape(
        scale=parameters.take("scale", _number, Decimal(1)),
        seed=parameters.take("seed", int, 7),
        days=parameters.take("days", int, Shape.days),
        delta=parameters.take("delta", _pair, None),
    )
    parameters.done()
    return Generator(shape)


def _pair(text: str) -> tuple[Decimal, Decimal] | None:
    new, _, changed = text.partition(",")
    return _number(new), _number(changed)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _postgres(url: str, place: str, parameters: _Parameters) -> Source:
    from dataops.sources.databases.postgres import PostgresSource

    address = _address(url, place)
    zone = parameters.take("zone", _zone, "UTC")
    timeout = parameters.take("timeout", _seconds, 3600)
    libpq = {name: parameters.take(name, str, "") for name in _LIBPQ}
    parameters.done()
    return PostgresSource(address.set(query={name: text for name, text in libpq.items() if text}), zone, timeout)


def _sqlserver(url: str, place: str, parameters: _Parameters) -> Source:
    from dataops.sources.databases.sqlserver import SqlServerSource

    address = _address(url, place)
    clock = parameters.take("clock", _clock, "local")
    timeout = parameters.take("timeout", _seconds, 3600)
    driver = {name: parameters.take(name.lower(), str, "") for name in _DRIVER}
    parameters.done()
    return SqlServerSource(address.set(query={name: text for name, text in driver.items() if text}), clock, timeout)


_DRIVER = (
    "Encrypt", "TrustServerCertificate", "HostnameInCertificate", "ServerCertificate", "Authentication", "ServerSPN",
    "Trusted_Connection", "MultiSubnetFailover", "ApplicationIntent", "PacketSize",
)  # fmt: skip


def _clock(text: str) -> str:
    if text not in {"local", "utc"}:
        raise ValueError(text)
    return text


_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "service", "passfile", "krbsrvname", "target_session_attrs")


def _address(url: str, place: str) -> URL:
    """The address without its parameters. Raises DeclarationError, which does not repeat a password."""
    scheme = url.partition(":")[0]
    require_one_at("the source's address", f"{scheme}:{place}")
    try:
        address = make_url(f"{scheme}:{place}")
    except (ArgumentError, ValueError):
        raise DeclarationError(f"source '{printable(url)}' is no address; {_FORMS}") from None
    if not address.database:
        raise DeclarationError(f"source '{printable(url)}' names no database; {_FORMS}")
    return address


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError(text)
    return text


def _seconds(text: str) -> int:
    if int(text) <= 0:
        raise ValueError(text)
    return int(text)


_SCHEMES: dict[str, Callable[[str, str, _Parameters], Source]] = {
    "csv": _install_csv,
    "postgresql": _postgres,
    "mssql": _sqlserver,
    "generator": _generator,
}
