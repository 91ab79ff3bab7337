"""Files that must outlive a kill and a power cut: written aside, synced, renamed, and their folder synced.

Knows nothing of what is in them.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(file: Path) -> None:
    """Waits until the file's content is on the disk."""
    _sync(file, os.O_RDONLY)


def put_in_place(fresh: Path, target: Path) -> None:
    """Renames `fresh` over `target`; after a crash one of the two stands there, whole."""
    sync(fresh)
    fresh.replace(target)
    sync_folder(target)


def write(file: Path, content: bytes) -> None:
    """Writes a small file as a whole or not at all."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    fresh.write_bytes(content)
    put_in_place(fresh, file)


def remove(file: Path) -> None:
    """Removes the file if it is there, so that it does not come back."""
    file.unlink(missing_ok=True)
    sync_folder(file)


def sync_folder(file: Path) -> None:
    """Waits until names in the file's folder are on the disk."""
    _sync(file.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
