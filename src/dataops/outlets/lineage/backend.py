"""Where lineage goes: whatever a standard transport of OpenLineage reaches. One attempt each; who calls, tries again.

With its defaults the http transport blocks for seconds and loses the event when nobody answers: so it has no retries
of its own here, and says what became of the event.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field

from dataops.declared.errors import DeclarationError
from dataops.declared.yaml_files import Strict, read
from dataops.facts.document import Fields
from dataops.outlets.refusals import LaterError, RefusedError, UnconfiguredError

if TYPE_CHECKING:
    from requests import RequestException

FILE = "lineage/openlineage.yml"
URL, KEY = "DATAOPS_LINEAGE_URL", "DATAOPS_LINEAGE_KEY"
SECONDS = 5.0
PORTS = {"http": 80, "https": 443}
NOT_US = (401, 403)
BUSY, BROKEN = 429, 500  # HTTP


class Configured(Strict):
    """The file lineage/openlineage.yml: a transport as OpenLineage's client is given one; none: it goes nowhere."""

    transport: Fields | None = Field(default=None)


class Backend:
    """A transport that says what became of an event."""

    def __init__(self, transport: Mapping[str, object]) -> None:
        """Raises DeclarationError for a transport that there is not, or that lacks something."""
        from dataops.outlets.lineage import openlineage

        own = dict(transport)
        if own.get("type") == "http":
            own = {"timeout": SECONDS} | own | {"retry": {"total": 0, "status_forcelist": []}}
        try:
            self._transport = openlineage.transport(own)
        except Exception as error:  # noqa: BLE001  whatever a transport makes of its options
            raise DeclarationError(f"{FILE}: {_first_line(error)}") from None
        place = urlsplit(str(own.get("url", "")))
        port = place.port or PORTS.get(place.scheme)
        self.name = f"{place.hostname}:{port}" if place.hostname else str(own["type"])

    def send(self, event: Fields) -> None:
        """Raises LaterError when it did not get through, RefusedError when it will never be taken."""
        from requests import RequestException

        try:
            self._transport.emit(event)  # type: ignore[arg-type]  # it writes whatever JSON it is given
        except RequestException as error:
            raise _translated(error) from None
        except OSError as error:
            raise LaterError(f"{type(error).__name__}: {error.strerror}", for_all=True) from None

    def has(self, event: Fields) -> bool:
        """Whether it has this event already, as far as it can be asked; an event of unknown fate is sent again."""
        from dataops.outlets.lineage import openlineage

        return openlineage.has(self._transport, event)

    def close(self) -> None:
        """After the last event."""
        self._transport.close()


def configured(project: Path, environ: Mapping[str, str] | None = None) -> Backend:
    """What DATAOPS_LINEAGE_URL names, else lineage/openlineage.yml; over HTTP with DATAOPS_LINEAGE_KEY, if it is set.

    Raises UnconfiguredError where nothing is named, DeclarationError for what is no transport.
    """
    environ = os.environ if environ is None else environ
    key = environ.get(KEY)
    secret: Fields = {"auth": {"type": "api_key", "apiKey": key}} if key else {}
    if url := environ.get(URL):
        return Backend({"type": "http", "url": url} | secret)
    path = project / FILE
    transport = read(path, Configured, FILE).transport if path.exists() else None
    if transport is None:
        raise UnconfiguredError(f"lineage goes nowhere: set {URL}, or a transport in {FILE}")
    return Backend(secret | transport if transport.get("type") == "http" else transport)


def _translated(error: RequestException) -> Exception:
    """No error repeats an address or a header: either may hold a secret."""
    if error.response is None:
        return LaterError(f"no answer: {type(error).__name__}", for_all=True)
    status = error.response.status_code
    if status in NOT_US:
        return LaterError(f"answers {status}: it does not know us; see {KEY}", for_all=True, not_taken=True)
    if status == BUSY:
        return LaterError("asks to wait", float(error.response.headers.get("Retry-After") or 30), not_taken=True)
    if status > BROKEN:
        return LaterError(f"answers {status}", for_all=True)  # somebody before it, or it is starting
    return LaterError(f"answers {status}") if status == BROKEN else RefusedError(f"answers {status}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
