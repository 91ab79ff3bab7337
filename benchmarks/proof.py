"""What it costs that receipts commit to their rows: loads with and without the digests, side by side; and the proof.

    python benchmarks/proof.py --scale 1 --scale 10 [--repeat 3]

Each load is a process of its own, in turns, on DuckDB. "without" writes digests of nothing.
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
from pathlib import Path
from statistics import median

GROUPS = ("reference", "inventory", "sales")


def _load(mode: str) -> float:
    from dataops.ledger import row_proof
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import jobs
    from dataops.warehouse import digest

    if mode == "without":
        nothing = {"written": digest.EMPTY, "superseded": digest.EMPTY, "standing": digest.EMPTY}
        row_proof.of_publication = lambda connection, datasets, seq: {  # noqa: ARG005
            d.table: row_proof.sealed(nothing) for d in datasets
        }
    work = open_workspace()
    started = time.perf_counter()
    for group in GROUPS:
        with jobs.source_of(work) as source:
            jobs.load(work, group, None, source)
    jobs.build(work, "curated")
    return time.perf_counter() - started


def _verify() -> float:
    from dataops.ledger.workspace import open_workspace
    from dataops.pipeline import verification

    work = open_workspace()
    started = time.perf_counter()
    with work.warehouse.reading() as connection:
        found = verification.verify(connection, tuple(work.catalog.datasets.values()), rows=True)
    if not found.proven:
        raise SystemExit(str(found))
    return time.perf_counter() - started


def _child(step: str, home: Path, scale: float) -> float:
    environ = os.environ | {"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": f"generator:?scale={scale:g}&seed=7"}
    done = subprocess.run(
        [sys.executable, __file__, "--step", step], env=environ, capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def _compare(scale: float, repeat: int) -> None:
    seconds: dict[str, list[float]] = {"with": [], "without": [], "verify": []}
    for _ in range(repeat):
        for mode in ("with", "without"):
            home = Path(tempfile.mkdtemp(prefix="dataops-bench-"))
            seconds[mode].append(_child(mode, home, scale))
            if mode == "with":
                seconds["verify"].append(_child("verify", home, scale))
            shutil.rmtree(home)
    own, plain, proof = (median(seconds[name]) for name in ("with", "without", "verify"))
    print(
        f"scale {scale:g}: load and build with digests {own:.1f} s, without {plain:.1f} s, ratio {own / plain:.3f};"
        f" verify --rows {proof:.1f} s, {proof / plain:.2f} of a load"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, action="append")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--step", choices=("with", "without", "verify"))
    given = parser.parse_args()
    if given.step:
        print(json.dumps(_verify() if given.step == "verify" else _load(given.step)))
        return
    for scale in given.scale or [1]:
        _compare(scale, given.repeat)


if __name__ == "__main__":
    main()
