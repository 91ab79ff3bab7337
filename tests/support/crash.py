"""Children to kill: one step of the engine per process, forked from a process that has imported everything already.

Importing GX and Soda takes about eight seconds, a fork of a process that has them about 20 ms; no warehouse is open
in the parent, so a child is as good as a fresh process.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "src" / "dataops"
POINT = re.compile(r"""\bfailpoint\(\s*["'](\w+)["']\s*\)""")


class TerminatedError(SystemExit):
    """What the command line raises on SIGTERM, so that open transactions are rolled back."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its value, or the class names (own class first) and the text of what it raised."""

    value: Any = None
    raised: tuple[str, ...] = ()
    text: str = ""
    trace: str = ""

    @property
    def done(self) -> Any:
        """The value. Fails with the child's traceback when it raised."""
        assert not self.raised, self.trace
        return self.value


def points() -> dict[str, Path]:
    """Every failpoint that the source names, and the file it stands in."""
    return {
        name: file
        for file in sorted(SOURCE.rglob("*.py"))
        for name in POINT.findall(file.read_text(encoding="utf-8"))
        if file.name != "failpoint.py"
    }


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.crash_preload"])
    return context


class Child:
    """A process that runs `function(*arguments)`; both must be importable and picklable."""

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        failpoint: str = "",
        environ: Mapping[str, str] | None = None,
        termination: str = "die",
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dataops-child-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.hit = self._folder / "hit"
        self._outcome = self._folder / "outcome"
        own = {"DATAOPS_FAILPOINT": failpoint, "DATAOPS_TEST_HIT": str(self.hit)} | dict(environ or {})
        self.process: ForkServerProcess = _context().Process(
            target=_run, args=(function, arguments, own, self._outcome, termination)
        )
        self.process.start()

    @property
    def pid(self) -> int:
        return int(self.process.pid or 0)

    def started(self) -> bool:
        """Whether the step has begun (the fork and its preparations are over)."""
        return (self._folder / "output").exists() or not self.process.is_alive()

    def reach(self, timeout: float = 60) -> None:
        """Waits until the child stands at its failpoint."""
        wait_until(lambda: self.hit.exists() or not self.process.is_alive(), timeout, "the failpoint")
        assert self.hit.exists(), f"ended before its failpoint: {self.outcome()}"

    def code(self, timeout: float = 120) -> int:
        """Exit code; negative: the signal that ended it."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.stop()
            raise AssertionError(f"child {self.pid} did not end within {timeout:g} s")
        return int(self.process.exitcode or 0)

    def outcome(self, timeout: float = 120) -> Outcome:
        """How the step ended. Fails when the child was killed."""
        code = self.code(timeout)
        assert code == 0, f"the child ended with {code}"
        found = pickle.loads(self._outcome.read_bytes())  # noqa: S301  written by our own child
        assert isinstance(found, Outcome)
        return found

    def signal(self, number: int) -> None:
        """To a process that may have ended since it was looked at; `code` tells."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self) -> None:
        if self.process.is_alive():
            self.signal(signal.SIGKILL)
            self.process.join()


def run(function: Callable[..., Any], *arguments: Any, **options: Any) -> Outcome:
    """Runs a step in a child, undisturbed unless a failpoint is named."""
    return Child(function, *arguments, **options).outcome()


def hold_open(file: Path, ready: Path, go: Path) -> None:
    """A notebook that has the warehouse file open until the test says so. For a child."""
    import duckdb

    with duckdb.connect(str(file), read_only=True):
        ready.touch()
        wait_until(go.exists, 60, "the test")


def kill_at(point: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Runs a step that kills itself at `point`; fails unless that happened there."""
    child = Child(function, *arguments, failpoint=f"{point}=kill", **options)
    code = child.code()
    assert code == -signal.SIGKILL, f"{point}: ended with {code}: {child.outcome()}"
    assert child.hit.read_text(encoding="utf-8") == point


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Polls; fails naming `what` when it does not come true in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(0.01)


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], environ: dict[str, str], outcome: Path, termination: str
) -> None:
    os.environ.update(environ)
    signal.signal(signal.SIGTERM, _stop if termination == "raise" else signal.SIG_DFL)
    quiet = os.open(outcome.with_name("output"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        found = Outcome(function(*arguments))
    except BaseException as error:  # noqa: BLE001  every end is reported
        names = tuple(cls.__name__ for cls in type(error).__mro__)
        found = Outcome(None, names, str(error), "".join(traceback.format_exception(error)))
    fresh = outcome.with_suffix(".new")
    fresh.write_bytes(pickle.dumps(found))
    fresh.replace(outcome)
    sys.stdout.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    """As the command line does: the first SIGTERM raises, a second one must not break the roll-back."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TerminatedError(3)
