"""Figures and reports: marts beside their own SELECTs run alone, a delta beside a whole build, reports; peak memory.

    python benchmarks/figures.py --scale 10
    python benchmarks/figures.py --scale 50        # 6 million order lines

Every step runs in a process of its own, whose peak memory is printed. On DuckDB, with the generator (seed 7).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dataops.declared.errors import VerdictError
from dataops.declared.models import SqlModel, render
from dataops.facts import report_list
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.reports import building
from dataops.pipeline import jobs
from dataops.sources import Window
from measure import peak_mib

PROJECT = Path(__file__).resolve().parent.parent
EVERYTHING = Window(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  windows are UTC without a zone
DELTA = "0.01,0"  # shares of new and of changed orders
Told = dict[str, Any]


def load(work: Workspace, groups: str) -> Told:
    """Loads groups; a delta's window covers all, so that it speaks for its own rows only."""
    for group in groups.split("+"):
        with jobs.source_of(work) as source:
            jobs.load(work, group, EVERYTHING if "delta" in str(work.settings.source_url) else None, source)
    return {}


def build(work: Workspace, group: str) -> Told:
    """Builds, judges and publishes a group."""
    with suppress(VerdictError):
        done = jobs.build(work, group)[1]
        return {"rows": done.publication.total("new") + done.publication.total("changed") if done.publication else 0}
    return {}


def alone(work: Workspace, table: str) -> Told:
    """The SELECT of a model by itself, written to a table, as somebody would by hand."""
    model = next(m for m in work.catalog.models if m.table == table)
    if not isinstance(model, SqlModel):
        return {"is_function": True}
    text = render(model, work.warehouse.dialect, work.catalog.schema)
    with work.warehouse.transaction() as connection:
        start = time.perf_counter()
        connection.exec_driver_sql(f"CREATE TEMP TABLE by_hand AS {text}")
        took = time.perf_counter() - start
        rows = connection.exec_driver_sql("SELECT COUNT(*) FROM by_hand").scalar_one()
    return {"seconds": took, "rows": rows}


def build_one(work: Workspace, table: str) -> Told:
    """One model, whole, as a candidate: what the platform adds to its SELECT before any gate."""
    from dataops.pipeline import transforms

    group = work.catalog.group(work.catalog.dataset(table).group)
    start = time.perf_counter()
    transforms.build(work, group, [table], full=True)
    return {"seconds": time.perf_counter() - start}


def report(work: Workspace, name: str) -> Told:
    """One report of the last whole period, all files."""
    start = time.perf_counter()
    made, _ = building.build(work, report_list.required(work, name), None)
    return {"seconds": time.perf_counter() - start, "rows": sum(file.bytes for file in made.files)}


STEPS: dict[str, Callable[[Workspace, str], Told]] = {
    "load": load,
    "build": build,
    "alone": alone,
    "build_one": build_one,
    "report": report,
}


def child(home: Path, url: str, step: str, what: str) -> Told:
    """A step in a process of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DATAOPS_")}
    environ |= {"DATAOPS_HOME": str(home), "DATAOPS_PROJECT": str(PROJECT), "DATAOPS_SOURCE_URL": url}
    done = subprocess.run(
        [sys.executable, __file__, "--step", step, what], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{step} {what} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(name: str, told: Told, ratio: str = "") -> None:
    """One line of the table."""
    print(
        f"{name:<34} {told['seconds']:>8.2f} s {told['peak_mib']:>6} MiB {told.get('rows', ''):>12} {ratio}", flush=True
    )


def measure(scale: str) -> None:
    """Prints the table of one scale."""
    url = f"generator:?scale={scale}&seed=7"
    work = open_workspace()
    with tempfile.TemporaryDirectory(prefix="dataops-figures-") as folder:
        home = Path(folder)
        line("load everything", child(home, url, "load", "reference+sales+inventory"))
        whole = {group: child(home, url, "build", group) for group in work.catalog.built}
        for group, told in whole.items():
            line(f"{group}: build, gate, publish", told)
        for table in (t for group in work.catalog.built[1:] for t in sorted(work.catalog.groups[group].tables)):
            by_hand, ours = child(home, url, "alone", table), child(home, url, "build_one", table)
            times = (
                f"{ours['seconds'] / by_hand['seconds']:.2f} x its SELECT"
                if "is_function" not in by_hand
                else "a function"
            )
            line(f"  {table}", ours | {"rows": by_hand.get("rows", "")}, times)
        for name in report_list.load(work):
            line(f"report {name}", child(home, url, "report", name))
        line("delta of 1 %: load", child(home, f"{url}&delta={DELTA}", "load", "sales"))
        for group in work.catalog.built:
            told = child(home, url, "build", group)
            line(f"delta: {group}", told, f"{told['seconds'] / whole[group]['seconds']:.2f} x the whole")


def main() -> None:
    """A scale, or (from here) one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="10")
    parser.add_argument("--step", nargs=2)
    asked = parser.parse_args()
    if not asked.step:
        measure(asked.scale)
        return
    step, what = asked.step
    work = open_workspace()
    start = time.perf_counter()
    told = STEPS[step](work, what)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mib": peak_mib()} | told))


if __name__ == "__main__":
    main()
