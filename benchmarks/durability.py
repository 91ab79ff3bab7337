"""What it costs that the warehouse's file survives kills: DuckDB's own checkpoints and the platform's, side by side.

    python benchmarks/durability.py --scale 1 --scale 10 [--repeat 5] [--home FOLDER]

Each load and each operation is a process of its own, in turns. "own" is DuckDB as it comes: a checkpoint whenever a
process that wrote closes the file, nothing kept aside. Bytes are those the process handed to the kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import psutil

MIB = 2**20
LOGS = (0, 4, 16)  # MiB
GROUPS = ("reference", "inventory", "sales")


def _child(step: str, mode: str, home: Path, scale: float) -> dict[str, Any]:
    environ = os.environ | {
        "DATAOPS_HOME": str(home),
        "DATAOPS_SOURCE_URL": f"generator:?scale={scale:g}&seed=7",
    }
    command = [sys.executable, __file__, "--step", step, "--mode", mode]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _as(mode: str) -> None:
    """Takes the platform's guards away for `own`; for `always` it checkpoints after every commit."""
    from dataops.warehouse import duckdb_file

    if mode == "own":
        duckdb_file.NEVER = "16MB"
        duckdb_file._never_checkpoint = lambda *_: None  # noqa: SLF001
        duckdb_file.WarehouseFile.settle = lambda *_: None  # type: ignore[method-assign]
    elif mode == "always":
        duckdb_file.LOG_BYTES = 0


def _load() -> None:
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs

    work = open_workspace()
    for group in GROUPS:
        with jobs.source_of(work) as source:
            jobs.load(work, group, None, source)
    jobs.build(work, "curated")


def _operation() -> None:
    """What a judgement, an incident or a waiver writes: a few rows."""
    from dataops.ledger import clock
    from dataops.ledger import tables as ledger
    from dataops.ledger.workspace import open_workspace

    with open_workspace().warehouse.transaction() as connection:
        row = {"rule_id": f"X-{time.time_ns()}", "share": 0.5, "batch": 1, "set_at": clock.now()}
        connection.execute(ledger.baselines.insert().values(row))


STEPS: dict[str, Callable[[], None]] = {"load": _load, "operation": _operation}


def _measured(step: Callable[[], None]) -> dict[str, Any]:

    before, cpu, started = psutil.Process().io_counters().write_chars, time.process_time(), time.perf_counter()
    step()
    written = psutil.Process().io_counters().write_chars - before
    return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu, "mib": written / MIB}


def _opening(file: Path, log_mib: int) -> float:
    """Seconds to open a copy of the file read-only and ask it something, with so long a log beside it."""
    for end in ("", ".wal"):
        (file.with_name("open.duckdb" + end)).unlink(missing_ok=True)
    copy = file.with_name("open.duckdb")
    shutil.copyfile(file, copy)
    with duckdb.connect(str(copy), config={"checkpoint_threshold": "1TB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("CREATE TABLE filler (a BIGINT, b VARCHAR)")
        log = copy.with_name("open.duckdb.wal")
        while log_mib and (not log.exists() or log.stat().st_size < log_mib * MIB):
            connection.execute("INSERT INTO filler SELECT range, 'row ' || range FROM range(5000)")
    started = time.perf_counter()
    with duckdb.connect(str(copy), read_only=True) as connection:
        connection.execute("SELECT COUNT(*) FROM ops.publications").fetchone()
    return time.perf_counter() - started


def _compare(scale: float, repeat: int, home: Path) -> None:
    loads: dict[str, list[dict[str, Any]]] = {"own": [], "ours": []}
    for _ in range(repeat if scale <= 1 else 1):
        for mode, found in loads.items():
            shutil.rmtree(home / mode, ignore_errors=True)
            found.append(_child("load", mode, home / mode, scale))
    file = home / "ours" / "warehouse.duckdb"
    print(f"\nscale {scale:g}: warehouse file {file.stat().st_size / MIB:,.0f} MiB")
    print(f"  {'':34}{'seconds':>9}{'CPU s':>8}{'MiB written':>13}")
    for mode, found in loads.items():
        _line(f"load and build everything, {mode}", found)
    _ratios(loads)
    modes = ("own", "ours", "always")
    few: dict[str, list[dict[str, Any]]] = {mode: [] for mode in modes}
    for _ in range(repeat * 2):
        for mode in modes:
            few[mode].append(_child("operation", mode, home / "own" if mode == "own" else home / "ours", scale))
    for mode, found in few.items():
        _line(f"an operation of one row, {mode}", found)
    _ratios(few)
    with duckdb.connect(str(home / "own" / "warehouse.duckdb"), read_only=True) as connection:
        blocks = connection.execute("SELECT COUNT(*) FROM pragma_metadata_info()").fetchone()
    print(f"  kept aside before a checkpoint: {blocks[0] if blocks else 0} blocks, {(blocks or [0])[0] / 4:.2f} MiB")
    for log_mib in LOGS:
        seconds = median(_opening(home / "own" / "warehouse.duckdb", log_mib) for _ in range(repeat))
        print(f"  opening with a log of {log_mib:>2} MiB: {seconds * 1000:6.0f} ms")


def _line(name: str, found: list[dict[str, Any]]) -> None:
    seconds, cpu, mib = (median(item[key] for item in found) for key in ("seconds", "cpu", "mib"))
    print(f"  {name:34}{seconds:>9.3f}{cpu:>8.3f}{mib:>13.2f}")


def _ratios(found: dict[str, list[dict[str, Any]]]) -> None:
    names = {"seconds": "elapsed", "cpu": "CPU", "mib": "written"}
    ratios = {key: median(r[key] for r in found["ours"]) / median(r[key] for r in found["own"]) for key in names}
    print("  ours / own: " + ", ".join(f"{ratios[key]:.2f} {name}" for key, name in names.items()))


def main() -> None:
    """Prints everything, or measures one step of a child."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, action="append")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--step")
    parser.add_argument("--mode", default="ours")
    given = parser.parse_args()
    if given.step:
        _as(given.mode)
        print(json.dumps(_measured(STEPS[given.step])))
        return
    print(f"DuckDB {duckdb.__version__}, {psutil.cpu_count()} cores; medians")
    for scale in given.scale or [1]:
        with tempfile.TemporaryDirectory(dir=given.home) as folder:
            _compare(scale, given.repeat, Path(folder))


if __name__ == "__main__":
    main()
