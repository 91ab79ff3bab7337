"""Microsoft's install files fetched from its public repository, for a machine that has no copy of them.

All or nothing: the folder appears under its name only when it is whole. Being offline is an answer, not an error.
"""

import contextlib
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from dataops.declared.errors import DataopsError
from dataops.sources.install_script import InstallScript

_COMMIT = "eddb7b339505eb791532581da967d5262483d762"  # the last one with the 2014 edition
_BASE = (
    f"https://raw.githubusercontent.com/microsoft/sql-server-samples/{_COMMIT}"
    "/samples/databases/adventure-works/oltp-install-script"
)
_TIMEOUT = 5.0  # seconds without an answer
_FOLDER = "oltp-2014"
# Schemas whose files the platform has no table for are not fetched.
_SCHEMAS = ("Sales.", "Production.", "Purchasing.", "Person.")


def downloaded(cache: Path) -> tuple[Path | None, str]:
    """The folder of files below `cache`, fetched if need be; or None and the reason in a few words."""
    folder = cache / _FOLDER
    if folder.is_dir():
        return folder, ""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{_FOLDER}-", dir=cache) as partial:
            _fetch_all(Path(partial))
            _take(Path(partial), folder)
    except urllib.error.HTTPError as error:
        return None, f"the server answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return None, str(getattr(error.reason, "strerror", None) or error.reason).lower()
    except (OSError, DataopsError) as error:
        return None, str(error).lower()
    return folder, ""


def _fetch_all(target: Path) -> None:
    _fetch("instawdb.sql", target)
    script = InstallScript((target / "instawdb.sql").read_text("utf-8-sig"))
    files = [script.format_of(name).file for name in script.tables if name.startswith(_SCHEMAS)]
    for file in files:
        if file not in _UNUSED:
            _fetch(file, target)


_UNUSED = {"ProductPhoto.csv", "Document.csv", "Illustration.csv", "ProductDocument.csv", "Password.csv"}


def _fetch(file: str, target: Path) -> None:
    address = f"{_BASE}/{file}"
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, (target / file).open("wb") as out:  # noqa: S310 - https, above
        shutil.copyfileobj(answer, out, 1 << 20)


def _take(partial: Path, folder: Path) -> None:
    """Another process may have been faster: then its folder stays and ours goes."""
    inner = partial / _FOLDER
    inner.mkdir()
    for file in [path for path in partial.iterdir() if path != inner]:
        file.rename(inner / file.name)
    with contextlib.suppress(OSError):
        inner.rename(folder)
    if not folder.is_dir():
        raise OSError(f"{folder} could not be created")
