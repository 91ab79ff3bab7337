"""Makes the compiled lock acceptable to every pip: run by `make lock` on what uv compiled.

In hash mode pip before 23.3 wants `sqlalchemy[asyncio]==2.0.58`, which a dependency asks for, and `sqlalchemy==2.0.58`,
which others ask for, both spelled out; uv writes only the first. So every pin with extras is written twice.
Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PINNED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\[[^\]]+\](?P<rest>==.*)")


def both_spellings(text: str) -> str:
    """The lock with each block `name[extras]==version` preceded by the same block without extras."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if (line[:1].strip() and not line.startswith("#")) or not blocks:
            blocks.append([])
        blocks[-1].append(line)
    lines: list[str] = []
    for block in blocks:
        if found := PINNED.match(block[0]):
            pins = [line for line in block[1:] if not line.lstrip().startswith("#")]
            lines += [found["name"] + found["rest"], *pins]
        lines += block
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(both_spellings(file.read_text(encoding="utf-8")), encoding="utf-8")
