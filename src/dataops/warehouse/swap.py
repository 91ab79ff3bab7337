"""Puts one warehouse file in the place of another, so that a kill leaves the one or the other, never a mixture.

A marker is written before the first step; whoever opens the file next finishes what it says. What stood there is kept
beside it under another name.
"""

from __future__ import annotations

import json
from pathlib import Path

from dataops.declared import durable
from dataops.declared.failpoint import failpoint
from dataops.warehouse import rescue


def marker(file: Path) -> Path:
    """What says that a file is being put in place of `file`."""
    return file.with_name(file.name + ".swap")


def begin(file: Path, fresh: Path, replaced: Path) -> None:
    """Decides that `fresh` (complete and synced, in the same folder) takes the place of `file`; `finish` does it."""
    durable.sync(fresh)
    durable.write(marker(file), json.dumps({"fresh": fresh.name, "replaced": replaced.name}).encode())
    failpoint("swap_begun")


def finish(file: Path) -> None:
    """Takes the steps that are left of a decided swap; none where none was decided."""
    if not marker(file).exists():
        return
    names = json.loads(marker(file).read_bytes())
    fresh, replaced = file.with_name(names["fresh"]), file.with_name(names["replaced"])
    if fresh.exists():
        # Log and rescue first: beside another file they would be taken for that file's.
        for place in (rescue.log_of, rescue.beside, Path):
            if place(file).exists():
                place(file).replace(place(replaced))
            failpoint("swapping")
        failpoint("swap_cleared")
        fresh.replace(file)
        durable.sync_folder(file)
        failpoint("swapped")
    durable.remove(marker(file))
