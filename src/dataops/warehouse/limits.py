"""A time limit on what a warehouse computes: beyond it, the statement that runs is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError


class TimeLimitError(PlatformError):
    """A statement was cancelled because it took longer than its setting allows."""


class TimeLimit:
    """May be entered several times: `seconds` are for all of them together. Time spent outside does not count.

    Raises TimeLimitError on leaving, in place of what the driver raised for the cancelled statement.
    """

    def __init__(self, seconds: float, setting: str, what: str, cancel: Callable[[], None]) -> None:
        self._left, self._seconds = seconds, seconds
        self._setting, self._what, self._cancel = setting, what, cancel
        self._fired = False
        self._began = 0.0
        self._done = threading.Event()
        self._watch: threading.Thread | None = None

    def _guard(self, seconds: float) -> None:
        """Cancels again and again: an engine may catch the first error and ask the next question."""
        while not self._done.wait(0.1 if self._fired else max(seconds, 0)):
            self._fired = True
            self._cancel()

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._done.clear()
        self._watch = threading.Thread(target=self._guard, args=(self._left,), daemon=True)
        self._watch.start()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._done.set()
        if self._watch:
            self._watch.join()  # a cancellation on its way must not meet the next statement
        self._left -= time.monotonic() - self._began
        if self._fired and (error is None or isinstance(error, Exception)):
            raise TimeLimitError(
                f"{self._what} was stopped after {self._seconds:g} s; nothing was changed.\n"
                f"Make it smaller, or allow more seconds: {self._setting}"
            ) from error


def limited(connection: Connection, seconds: float, setting: str, what: str) -> TimeLimit:
    """A limit on what this connection does."""
    return TimeLimit(seconds, setting, what, lambda: cancel(connection.connection.dbapi_connection))


def cancel(own: Any) -> None:  # noqa: ANN401  a driver's own connection
    """Cancels what a connection does now; from another thread. DuckDB says interrupt, PostgreSQL's drivers cancel."""
    (getattr(own, "interrupt", None) or own.cancel)()
