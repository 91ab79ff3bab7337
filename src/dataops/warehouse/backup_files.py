"""How backups are named: the warehouse's own name, then the moment in UTC. Reads names only."""

from __future__ import annotations

import re
from pathlib import Path

STAMP = "%Y%m%dT%H%M%SZ"
_STAMPED = re.compile(r"-\d{8}T\d{6}Z$")


def kept(folder: Path, stem: str, suffix: str) -> list[Path]:
    """The backups of one warehouse, oldest first; other files are none."""
    return sorted(file for file in folder.glob(f"{stem}-*{suffix}") if _STAMPED.search(file.stem))
