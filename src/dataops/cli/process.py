"""The process around a command: its exit code, its log file, its signals, and what it says when it fails.

0 done, 1 data rejected, 2 usage or declaration, 3 platform, verdict ERROR or unexpected, 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import typer

from dataops.cli.screen import tell
from dataops.cli.secrets import masked
from dataops.declared.errors import DataopsError, DeclarationError
from dataops.facts.text import labelled

INTERRUPTED = 130
UNEXPECTED = 3
TRACEBACKS = 2  # -vv
_FLAGS = {"-q": -1, "--quiet": -1, "-v": 1, "--verbose": 1, "-vv": 2, "--no-color": 0}
_COLUMN = 79


class TerminatedError(SystemExit):
    """SIGTERM arrived: raised in the main thread, so that open transactions are rolled back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; never raises for what a command does."""
    _speak_utf8()
    flags, rest = hoisted(sys.argv[1:] if arguments is None else arguments)
    verbosity = -1 if {"-q", "--quiet"} & set(flags) else sum(_FLAGS[flag] for flag in flags)
    if "--no-color" in flags or os.environ.get("TERM") == "dumb":
        os.environ["NO_COLOR"] = "1"
    log = RunLog()
    with log.attached(verbosity), _terminable():
        return _flushed(_guarded(lambda: _run([*flags, *rest]), log, verbosity))


def _speak_utf8() -> None:
    """Files and pipes get UTF-8 whatever the locale says; a screen gets what it can show, and ? for the rest."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            own = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=own, errors="replace")


def hoisted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags that every command takes, wherever they stand, and the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [a for a in arguments[:end] if a in _FLAGS]
    return flags, [a for a in arguments[:end] if a not in _FLAGS] + list(arguments[end:])


def _run(arguments: Sequence[str]) -> int:
    from dataops.cli.app import app

    code = app(list(arguments), prog_name="dataops", standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt  # typer made a number of it; it must still be said
    return code if isinstance(code, int) else 0


def _guarded(command: Callable[[], int], log: RunLog, verbosity: int) -> int:
    try:
        return command()
    except DataopsError as error:
        details = log.keep(error) if error.exit_code == UNEXPECTED else None
        return _failed(str(error), error.exit_code, details, verbosity)
    except TerminatedError:
        return _failed(
            "stopped by SIGTERM; what was not committed was rolled back.\nIt is safe to run again.", UNEXPECTED
        )
    except KeyboardInterrupt:
        return _failed("interrupted; what was not committed was rolled back.", INTERRUPTED)
    except typer.Abort:
        return _failed("not done: not confirmed", 2)
    except Exception as error:  # noqa: BLE001  the last place where anything can be said
        return _unforeseen(error, log, verbosity)


def _unforeseen(error: Exception, log: RunLog, verbosity: int) -> int:
    """Wrong usage of the command line, or something that nobody thought of."""
    usage = getattr(error, "format_message", None)
    if usage is not None:
        return _failed(_usage(str(usage()), getattr(error, "ctx", None)), 2)
    first = (str(error).strip().splitlines() or [""])[0]
    return _failed(f"unexpected {type(error).__name__}: {first}", UNEXPECTED, log.keep(error), verbosity)


def _usage(message: str, context: object) -> str:
    path = getattr(context, "command_path", "dataops")
    return message if message.startswith("Usage") else f"{message}\nSee: {path} --help"


def _failed(message: str, code: int, details: str | None = None, verbosity: int = 0) -> int:
    """Says what, where and what next in the form that all errors have."""
    if details:
        message += f"\nDetails: {details}"
    lines = labelled("error:", message, 7)
    end = f"(exit {code})"
    if len(lines[-1]) + len(end) + 1 > _COLUMN:
        lines.append("")
    lines[-1] = f"{lines[-1]:<{_COLUMN - len(end)}}{end}"
    tell("\n".join(lines))
    if verbosity >= TRACEBACKS and sys.exc_info()[0]:
        tell(traceback.format_exc())
    return code


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


@contextmanager
def _terminable() -> Iterator[None]:
    """Turns the first SIGTERM into an exception of the main thread; a second one must not break the roll-back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TerminatedError(UNEXPECTED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class RunLog:
    """var/log/run-<id>.log: made when there is something to keep; libraries' warnings go there, not to the screen."""

    def __init__(self) -> None:
        self._name = f"run-{datetime.now(tz=UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}.log"

    def keep(self, error: BaseException) -> str | None:
        """Writes the traceback; returns the file as a message names it, None when it could not be written."""
        text = "".join(traceback.format_exception(error))
        with suppress(OSError, DeclarationError):
            file, shown = self._place()
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(masked(text))
            return shown
        return None

    def _place(self) -> tuple[Path, str]:
        from dataops.declared.paths import Paths, find_project

        project = find_project()
        paths = Paths(project, Path(os.environ.get("DATAOPS_HOME") or project / "var").resolve())
        return paths.log / self._name, paths.shown(paths.log / self._name)

    @contextmanager
    def attached(self, verbosity: int) -> Iterator[None]:
        """Sends what is logged to the file; the platform's own warnings (with -v: statements) to the screen as well."""
        root, level = logging.getLogger(), logging.INFO if verbosity > 0 else logging.WARNING
        handlers = [_ToFile(self), _ToScreen(level)]
        statements = logging.getLogger("sqlalchemy.engine")
        before = root.level, statements.level
        logging.captureWarnings(capture=True)
        if verbosity > 0:
            statements.setLevel(logging.INFO)
        root.handlers += handlers
        try:
            yield
        finally:
            root.handlers = [h for h in root.handlers if h not in handlers]
            root.setLevel(before[0])
            statements.setLevel(before[1])
            logging.captureWarnings(capture=False)


class _ToFile(logging.Handler):
    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, DeclarationError):
            file, _ = self._log._place()  # noqa: SLF001  the log's own handler
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(masked(self.format(record)) + "\n")


class _ToScreen(logging.Handler):
    """Only what concerns the user: the platform's own warnings, and statements when they were asked for."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] in {"dataops", "sqlalchemy"}:
            tell(f"{record.levelname.lower()}: {record.getMessage()}")
