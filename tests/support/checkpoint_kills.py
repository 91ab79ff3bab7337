"""A writer that checkpoints after every COMMIT, killed in the middle of the checkpoint again and again.

    python -m tests.support.checkpoint_kills --kills 3000 [--seed N] [--without-healing] [--folder DIR]

Prints one JSON line: kills, files that a kill tore, of them healed, files that could not be opened any more,
acknowledged commits that were lost. A process of its own, since it forks: nothing may be open or running in it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import duckdb
import duckdb_sqlalchemy
from sqlalchemy.engine import Connection

import dataops.warehouse.duckdb
from dataops.declared.layers import Layers
from dataops.warehouse import duckdb_file, rescue
from dataops.warehouse.duckdb_file import Healed

__all__ = ["duckdb_sqlalchemy"]  # imported once, not by every child

TABLES = 30
ROUNDS = 6  # kills before the file is made anew
FORK = multiprocessing.get_context("fork")


@dataclass
class Tally:
    """What was seen."""

    seed: int
    kills: int = 0
    torn: int = 0
    healed: int = 0
    unreadable: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)


class Warehouse:
    """A small file of many tables, and the commits that were acknowledged."""

    def __init__(self, folder: Path, *, healing: bool) -> None:
        self.file = folder / "w.duckdb"
        self.acknowledged = folder / "acknowledged"
        self.healed: list[Healed] = []
        self._healing = healing

    def open(self) -> dataops.warehouse.duckdb.DuckDBWarehouse:
        folder, note = self.file.parent, lambda _, found: self.healed.append(found)
        return dataops.warehouse.duckdb.DuckDBWarehouse(
            f"duckdb:///{self.file}",
            folder / "published.duckdb",
            folder / "backups",
            folder / "locks",
            5,
            Layers(),
            note,
        )

    def write(self, number: int) -> None:
        """One commit over four tables, and its acknowledgement."""
        with self.open().transaction() as connection:
            _change(connection, number)
            connection.info["number"] = number
        with self.acknowledged.open("a") as stream:
            stream.write(f"{number}\n")

    def missing(self) -> set[int]:
        """Acknowledged commits that are not there. Raises when the file cannot be read."""
        if not self._healing:
            rescue.beside(self.file).unlink(missing_ok=True)
        with self.open().transaction() as connection:
            duckdb_file.read_all(connection)
            there = {row[0] for row in connection.exec_driver_sql("SELECT k FROM s.log")}
        said = self.acknowledged.read_text().split() if self.acknowledged.exists() else []
        return {int(line) for line in said} - there


def _change(connection: Connection, number: int) -> None:
    for step in range(4):
        table = f"s.t{(number + step) % TABLES}"
        connection.exec_driver_sql(f"INSERT INTO {table} SELECT range, 'x' || range FROM range({200 + number % 50})")
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE a % 7 = {number % 7}")
    connection.exec_driver_sql(f"INSERT INTO s.log VALUES ({number})")


def _make(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.log (k BIGINT)")
        for number in range(TABLES):
            connection.execute(f"CREATE TABLE s.t{number} (a BIGINT, b VARCHAR)")
            connection.execute(f"INSERT INTO s.t{number} SELECT range, 'y' || range FROM range(500)")


def _child(warehouse: Warehouse, number: int, told: Pipe) -> None:
    """Says when the checkpoint begins and when it is over."""
    duckdb_file.LOG_BYTES = 0
    duckdb_file.failpoint = _telling(told)  # type: ignore[attr-defined]
    warehouse.write(number)


def _telling(told: Pipe) -> Callable[[str], None]:
    def failpoint(name: str) -> None:
        if name in {"rescue_written", "checkpointed"}:
            told.send(time.monotonic())

    return failpoint


def _killed(warehouse: Warehouse, number: int, delay: float | None) -> tuple[bool, float]:
    """Whether the writer was killed within `delay` seconds after its checkpoint began, and how long that took."""
    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_child, args=(warehouse, number, there))
    child.start()
    there.close()
    began = _received(here)
    if delay is None:
        child.join()
        return False, _received(here) - began
    child.join(max(0.0, began + delay - time.monotonic()))
    if child.is_alive():
        os.kill(int(child.pid or 0), signal.SIGKILL)
    child.join()
    return child.exitcode == -signal.SIGKILL, 0.0


def _received(pipe: Pipe) -> float:
    try:
        return float(pipe.recv())
    except EOFError:
        return time.monotonic()


def run(kills: int, seed: int, folder: Path, *, healing: bool = True, torn: int | None = None) -> Tally:
    """Until so many kills were made, or so many torn files seen."""
    dice, tally = random.Random(seed), Tally(seed)  # noqa: S311  a test's dice
    base = folder / "base.duckdb"
    _make(base)
    number, length = 0, 0.0
    while tally.kills < kills and (torn is None or tally.torn + tally.unreadable < torn):
        place = Path(tempfile.mkdtemp(dir=folder))
        warehouse = Warehouse(place, healing=healing)
        shutil.copy(base, warehouse.file)
        for _ in range(2 if not length else 0):
            number += 1
            length = max(length, _killed(warehouse, number, None)[1])
        for _ in range(ROUNDS):
            number += 1
            tally.kills += _killed(warehouse, number, dice.uniform(0, length * 1.1))[0]
            if not _looked_at(warehouse, tally):
                break
        shutil.rmtree(place)
    return tally


def _looked_at(warehouse: Warehouse, tally: Tally) -> bool:
    """Whether the file can be used further."""
    before = len(warehouse.healed)
    try:
        lost = warehouse.missing()
    except Exception as error:  # noqa: BLE001  whatever it is, it is counted and shown
        tally.unreadable += 1
        tally.faults.append(str(error).splitlines()[0][:200])
        return False
    tally.healed += len(warehouse.healed) - before
    tally.torn += len(warehouse.healed) - before
    tally.lost += len(lost)
    if lost:
        tally.faults.append(f"lost {sorted(lost)}")
    return not lost


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Runs and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--torn", type=int, default=None)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    parser.add_argument("--without-healing", action="store_true")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        tally = run(given.kills, given.seed, Path(folder), healing=not given.without_healing, torn=given.torn)
    found = asdict(tally) | {"duckdb": duckdb.__version__, "healing": not given.without_healing}
    sys.stdout.write(json.dumps(found) + "\n")
    return found


if __name__ == "__main__":
    main()
