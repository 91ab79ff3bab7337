"""Events that others made, in files, until the ledger has them: writing one asks nobody and survives a power cut."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

from dataops.declared.failpoint import failpoint
from dataops.declared.paths import Paths
from dataops.facts.document import Fields
from dataops.ledger import lineage
from dataops.ledger.lineage import Kept
from dataops.ledger.schema import writing
from dataops.warehouse import Warehouse

FOLDER = "lineage"
TOGETHER = 100  # files in one transaction


def put(paths: Paths, event: str) -> Path:
    """Keeps an event, as JSON; it is on the disk when this returns. Files are named in the order of writing."""
    folder = paths.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json"
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(event)
        stream.flush()
        os.fsync(stream.fileno())
    new.rename(file)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return file


def waiting(paths: Paths) -> list[Path]:
    """What the ledger does not have yet, oldest first."""
    return sorted((paths.home / FOLDER).glob("*.json"))


def unreadable(paths: Paths) -> list[Path]:
    """Files that were put aside."""
    return sorted((paths.home / FOLDER).glob("*.bad"))


def hand_in(paths: Paths, warehouse: Warehouse) -> int:
    """Takes the files into the ledger, and returns how many there were. One that is no event is put aside."""
    taken = 0
    while files := waiting(paths)[:TOGETHER]:
        with writing(warehouse) as connection:
            lineage.hand_in(connection, [event for file in files if (event := _read(file))])
        failpoint("spool_handed_in")
        for file in files:
            file.unlink(missing_ok=True)
        taken += len(files)
    return taken


def _read(file: Path) -> Kept | None:
    text = file.read_text(encoding="utf-8")
    try:
        event: Fields = json.loads(text)
        job = f"{event['job']['namespace']}/{event['job']['name']}".replace(" ", "_")
        what = f"{event['run']['runId']} {event['eventType']} {event['eventTime']}"
    except (ValueError, KeyError, TypeError):
        file.rename(file.with_suffix(".bad"))
        return None
    return Kept(what=what, subject=f"{job} {event['eventType']}", content=text)
