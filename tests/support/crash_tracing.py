"""System calls of a running process made to fail or to be slow, by strace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.crash import wait_until


@contextmanager
def injected(pid: int, calls: str, fault: str, log: Path) -> Iterator[None]:
    """Injects `fault` (strace's words, e.g. `error=EIO:when=2`) into the calls of a process and its threads."""
    program = shutil.which("strace")
    assert program, "strace is not installed; the tests need it (apt-get install strace)"
    command = [program, "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    with log.with_suffix(".err").open("wb") as errors:
        tracer = subprocess.Popen(command, stderr=errors)
        try:
            wait_until(lambda: _attached(pid, log.with_suffix(".err")), 20, f"strace to attach to {pid}")
            yield
        finally:
            tracer.terminate()
            tracer.wait(20)


def _attached(pid: int, errors: Path) -> bool:
    text = errors.read_text(encoding="utf-8", errors="replace")
    assert "not permitted" not in text, text
    traced = f"/proc/{pid}/status"
    lines = Path(traced).read_text(encoding="utf-8").splitlines() if Path(traced).exists() else []
    return "attached" in text and any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in lines)


def struck(log: Path) -> int:
    """How many calls were tampered with."""
    return log.read_text(encoding="utf-8", errors="replace").replace("(DELAYED)", "(INJECTED)").count("(INJECTED)")
