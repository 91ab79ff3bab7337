"""A lock between processes of one machine that says who holds it; the kernel frees it when the holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dataops.declared.errors import PlatformError


@contextmanager
def file_lock(file: Path, purpose: str, seconds: float) -> Iterator[None]:
    """Holds `file` or raises PlatformError naming the process that holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    note = file.with_suffix(".holder")
    lock = FileLock(str(file))
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        holder = note.read_text(encoding="utf-8") if note.exists() else "another process"
        raise PlatformError(
            f"{file.stem} is busy: {holder} holds it; waited {seconds:g} s. Nothing was changed; run this again later."
        ) from None
    try:
        note.write_text(f"PID {os.getpid()} ({purpose})", encoding="utf-8")
        yield
    finally:
        lock.release()
