"""Measures load, gate, publish and build side by side with hand-written SQL, and prints one plain table.

Without --warehouse on DuckDB; with a PostgreSQL URL, the database that it names is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
DELTA = "0.01,0.002"  # shares of new and of changed orders
GATE = ("gate: soda", "gate: gx", "gate: judge")


@dataclass
class Place:
    """A home and a warehouse whose state can be kept and brought back, so that a step can be repeated."""

    home: Path
    url: str | None

    def keep(self, name: str) -> None:
        """Remembers the warehouse as it is now."""
        if self.url:
            self._replace(f"{make_url(self.url).database}_{name}", str(make_url(self.url).database))
        else:
            self._copy("warehouse.duckdb", f"{name}.kept")

    def bring_back(self, name: str) -> None:
        """The warehouse as it was when `keep(name)` was called."""
        if self.url:
            self._replace(str(make_url(self.url).database), f"{make_url(self.url).database}_{name}")
        else:
            self._copy(f"{name}.kept", "warehouse.duckdb")

    def _copy(self, source: str, target: str) -> None:
        """The file and its log, which belong together."""
        for end in ("", ".wal"):
            (self.home / f"{target}{end}").unlink(missing_ok=True)
            if (self.home / f"{source}{end}").exists():
                shutil.copyfile(self.home / f"{source}{end}", self.home / f"{target}{end}")

    def empty(self) -> None:
        """Starts anew."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if self.url:
            self._replace(str(make_url(self.url).database), "template1")

    def _replace(self, database: str, template: str) -> None:
        url = make_url(str(self.url)).set(database="postgres", drivername="postgresql+psycopg")
        with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            connection.exec_driver_sql(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')


@dataclass
class Found:
    """All measurements of one scale: step -> seconds of every run, and the last run's other figures."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, step: str, told: dict[str, Any]) -> dict[str, Any]:
        for name, seconds in told["seconds"].items():
            self.seconds.setdefault(name, []).extend(seconds)
            self.cpu.setdefault(name, []).extend(told["cpu"][name])
            self.peak[name] = max(self.peak.get(name, 0), told["peak_mib"])
            if "rows" in told:
                self.rows[name] = told["rows"]
        self.statements |= told["statements"]
        self.facts[step] = told
        return told

    def median(self, *names: str, cpu: bool = False) -> float:
        """Median over the runs of the sum of these steps' seconds (or of their CPU seconds)."""
        measured = self.cpu if cpu else self.seconds
        return float(median(sum(run) for run in zip(*(measured[name] for name in names), strict=True)))


def main() -> None:
    """Runs every scale asked for and prints its table."""
    asked = _arguments()
    print("\n".join(_header(asked)), flush=True)
    with _home(asked.home) as home:
        found = {}
        for scale in asked.scale:
            place = Place(home / f"scale-{scale}", asked.warehouse)
            found[scale] = _measure(place, scale, asked)
            print("\n".join(_table(scale, found[scale])), flush=True)
            if not asked.home:
                shutil.rmtree(place.home, ignore_errors=True)
    print("\n".join(_growth(found)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", action="append", help="generator scale; may be given several times; default 1, 10")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each step, of which the median is printed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--warehouse", help="PostgreSQL URL; its database is replaced. Default: DuckDB below --home")
    parser.add_argument("--home", type=Path, help="keep everything here; default: a temporary folder, removed")
    asked = parser.parse_args()
    asked.scale = asked.scale or ["1", "10"]
    return asked


@contextmanager
def _home(asked: Path | None) -> Iterator[Path]:
    """The folder asked for, or a temporary one."""
    if asked:
        yield asked.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="dataops-bench-") as folder:
        yield Path(folder)


def _measure(place: Place, scale: str, asked: argparse.Namespace) -> Found:
    found = Found()
    source = f"generator:?scale={scale}&seed={asked.seed}"
    few = asked.repeat if float(scale) <= 10 else 1  # minutes each beyond

    def run(step: str, batch: str = "-", source: str = source, repeat: int = asked.repeat) -> dict[str, Any]:
        return found.add(step, _child(place, step, batch, source, repeat))

    place.empty()
    run("others")
    place.keep("others")
    batch = ""
    for _ in range(few):
        place.bring_back("others")
        batch = run("load")["batch"]
    run("judge", batch)
    run("judge_bad", batch)
    place.keep("judged")
    for _ in range(few):
        place.bring_back("judged")
        run("publish", batch)
    place.keep("published")
    for _ in range(few):
        place.bring_back("published")
        run("build")
    delta = run("load_delta", source=f"{source}&delta={DELTA}")["batch"]
    run("judge_delta", delta)
    place.keep("delta")
    for _ in range(asked.repeat):
        place.bring_back("delta")
        run("by_hand_delta", delta)
        place.bring_back("delta")
        run("publish_delta", delta)
    if float(scale) <= 1:  # a hundred times the history of more would not fit
        place.bring_back("delta")
        run("age")
        place.keep("aged")
        for _ in range(asked.repeat):
            place.bring_back("aged")
            run("publish_aged", delta)
            place.bring_back("delta")
            run("publish_delta", delta)
    run("build_delta")
    return found


def _child(place: Place, step: str, batch: str, source: str, repeat: int) -> dict[str, Any]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DATAOPS_")}
    environ |= {"DATAOPS_HOME": str(place.home), "DATAOPS_PROJECT": str(PROJECT), "DATAOPS_SOURCE_URL": source}
    environ |= {"DATAOPS_WAREHOUSE_URL": place.url} if place.url else {}
    command = [sys.executable, str(HERE / "step.py"), step, batch, str(repeat)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"step {step} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _header(asked: argparse.Namespace) -> Iterator[str]:
    scales = " ".join(f"--scale {scale}" for scale in asked.scale)
    memory = psutil.virtual_memory().total / 2**30
    python = f"{platform.system()}, Python {platform.python_version()}"
    changed = " with changes in src/" if _git("status", "--porcelain", "src") else ""
    yield f"commit     {_git('rev-parse', '--short', 'HEAD')}{changed}"
    yield f"command    python benchmarks/run.py {scales} --repeat {asked.repeat}"
    yield f"machine    {psutil.cpu_count()} cores, {memory:.0f} GiB, {python}"
    kind = "PostgreSQL" if asked.warehouse else "DuckDB"
    yield f"warehouse  {kind}; seed {asked.seed}; medians of {asked.repeat} runs"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip()


def _table(scale: str, found: Found) -> Iterator[str]:
    yield f"\nscale {scale}"
    titles = f"{'rows':>12}{'seconds':>10}{'CPU s':>9}{'rows/s':>12}{'peak MiB':>10}{'statements':>12}"
    yield f"  {'step':<36}{titles}"
    for name in found.seconds:
        seconds, rows = found.median(name), found.rows.get(name)
        speed = f"{rows / seconds:,.0f}" if rows else "-"
        yield (
            f"  {name:<36}{f'{rows:,}' if rows else '-':>12}{seconds:>10.2f}{found.median(name, cpu=True):>9.2f}"
            f"{speed:>12}{found.peak[name]:>10,}{found.statements[name]:>12,}"
        )
    judged = found.facts["judge"]
    yield f"  process start of a gate (both engines imported): {judged['process_start']:.1f} s"
    for name, ratio in RATIOS.items():
        if ratio is _aged_ratio and "age" not in found.facts:
            continue
        yield f"  {name}: {ratio(found):.2f}; in CPU time {ratio(found, cpu=True):.2f}"
    verdicts = (f"{step} {told['verdict']}" for step, told in found.facts.items() if "verdict" in told)
    yield f"  verdicts: {', '.join(verdicts)}"
    yield f"  rules that gate and hand count differently: {', '.join(judged['disagree']) or 'none'}"


def _gate_ratio(found: Found, *, cpu: bool = False) -> float:
    return found.median(*GATE, cpu=cpu) / found.median("gate by hand", cpu=cpu)


def _delta_ratio(found: Found, *, cpu: bool = False) -> float:
    return found.median("delta: publish", cpu=cpu) / found.median("delta by hand", cpu=cpu)


def _bad_ratio(found: Found, *, cpu: bool = False) -> float:
    return found.median("gate: 0.5 % bad rows", cpu=cpu) / found.median("gate: clean", cpu=cpu)


def _aged_ratio(found: Found, *, cpu: bool = False) -> float:
    return found.median("delta: publish, 100 x history", cpu=cpu) / found.median("delta: publish", cpu=cpu)


RATIOS = {
    "gate (soda + gx + judge) / by hand": _gate_ratio,
    "gate with 0.5 % bad rows / clean": _bad_ratio,
    "delta publish / by hand": _delta_ratio,
    "delta publish with 100 x history and 1,000,000 rule results / without": _aged_ratio,
}


def _growth(found: dict[str, Found]) -> Iterator[str]:
    """How the delta's cost grows with the table: per delivered row, and against the hand-written one."""
    scales = sorted(found, key=float)
    for small, large in pairwise(scales):
        a, b = found[small], found[large]
        per_row = [f.median("delta: publish") / f.rows["delta: publish"] for f in (a, b)]
        yield f"\nfrom scale {small} to {large}"
        yield f"  delta publish, seconds per row written: x {per_row[1] / per_row[0]:.2f}"
        grows = _delta_ratio(b) / _delta_ratio(a)
        yield f"  delta publish / by hand: {_delta_ratio(a):.2f} -> {_delta_ratio(b):.2f}, x {grows:.2f}"


if __name__ == "__main__":
    main()
