"""Named points at which a test can crash, pause or break the process.

In production `failpoint(name)` is one dictionary look-up. Tests set DATAOPS_FAILPOINT to `name=action`, where
action is `kill` (SIGKILL to oneself), `raise`, `term` (SIGTERM), or `wait:<file>` (until the file exists).
The list of names is found by scanning the source, so a point that no test hits is noticed.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


class InjectedError(RuntimeError):
    """What the action `raise` raises."""


def failpoint(name: str) -> None:
    """Does nothing unless a test asked for something to happen here."""
    wanted, _, action = os.environ.get("DATAOPS_FAILPOINT", "").partition("=")
    if wanted == name:
        _act(name, action)


def _act(name: str, action: str) -> None:
    if hit := os.environ.get("DATAOPS_TEST_HIT"):
        Path(hit).write_text(name, encoding="utf-8")
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    elif action == "raise":
        raise InjectedError(name)
    elif action.startswith("wait:"):
        _wait_for(Path(action.removeprefix("wait:")))


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
