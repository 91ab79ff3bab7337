"""Act 6: the rest of the data under a real headless Airflow, which is stopped again at the end."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

from dataops.lab.airflow.headless import Headless, running
from dataops.lab.airflow.rest import Run
from dataops.lab.demo.acts import BAD_DAY, ONE_DAY, DemoError, Stage, publish_built, reports, say_totals, site
from dataops.lab.demo.memory import Facts
from dataops.lab.demo.screen import Watch, seconds
from dataops.pipeline import jobs

DAGS = ("reference_etl", "sales_etl", "inventory_monitoring")
AFTER = timedelta(days=100)  # purchase orders and movements are dated up to three months after the last order
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Start:
    """One run to trigger."""

    step: str
    dag_id: str
    partition: str
    conf: dict[str, Any] = field(default_factory=dict)


def plan(last: datetime) -> list[Start]:
    """The days after the bad one in one window, the last day as the daily partition it would be, and the others."""
    rest = f"{BAD_DAY + ONE_DAY:%Y-%m-%d}..{last:%Y-%m-%d}"
    stock = f"{BAD_DAY:%Y-%m-%d}..{last + AFTER:%Y-%m-%d}"
    today, before = f"{last:%Y-%m-%d}", f"{last - ONE_DAY:%Y-%m-%d}"
    return [
        Start("airflow: reference", "reference_etl", today),
        Start("airflow: sales, the rest", "sales_etl", before, {"window": rest}),
        Start("airflow: inventory", "inventory_monitoring", f"{today}T23", {"window": stock}),
        Start("airflow: sales, the last day", "sales_etl", today),
    ]


def rest_under_airflow(stage: Stage) -> None:
    """Runs what is not done yet and ties the totals; starts no Airflow when nothing is left to do."""
    last = stage.origin.last_day
    left = [start for start in plan(last) if start.step not in stage.memory]
    stage.screen.act(6, f"The rest, under a real headless Airflow {version('apache-airflow')}")
    if left:
        _run_all(stage, left)
    else:
        stage.screen.note("already there: every run ended well the last time; nothing is published again")
    # Consumers that follow publications, by hand: the demo's Airflow is stopped already.
    publish_built(stage, "the rest")
    say_totals(stage, last + ONE_DAY)
    jobs.renew_copy(stage.work)
    reports(stage)
    site(stage)


def _run_all(stage: Stage, left: list[Start]) -> None:
    watch = Watch()
    paths = stage.work.settings.paths
    settings = {"DATAOPS_SOURCE_URL": stage.origin.url, "DATAOPS_WAREHOUSE_URL": stage.work.settings.warehouse_url}
    airflow = Headless(paths.project, paths.home, environ=os.environ | settings)
    try:
        stage.screen.meanwhile("Airflow boots")
        airflow.start(dags=DAGS)
        stage.screen.timed("boot", watch.took)
        for start in left:
            facts, _ = stage.memory.once(start.step, partial(_run_one, stage, airflow, start))
            stage.screen.timed(f"{facts['dag']:<20} ok  {facts['what']:<22} {facts['tasks']}", facts["took"])
    finally:
        stage.screen.meanwhile("Airflow stops")
        airflow.stop()
    if left_over := running(airflow.pids):
        raise DemoError(f"Airflow is still running: {left_over}")
    stage.screen.timed("Airflow stopped, nothing left running", watch.took)


def _run_one(stage: Stage, airflow: Headless, start: Start) -> Facts:
    watch = Watch()

    def seen(run: Run) -> None:
        now = ", ".join(run.in_state("running")) or run.state
        stage.screen.meanwhile(f"{start.dag_id} {run.done}/{len(run.tasks)} {now} {seconds(watch.took)}")

    run_id = airflow.client.trigger(start.dag_id, start.partition, start.conf)
    run = airflow.client.wait(start.dag_id, run_id, LIMIT_SECONDS, seen)
    if run.state != "success":
        failed = ", ".join(run.in_state("failed")) or "no task"
        raise DemoError(
            f"{start.dag_id} {start.partition}: {failed} failed.\n"
            f"Log: {airflow.folder / 'logs'}; then: make demo, which goes on here"
        )
    skipped = len(run.in_state("skipped"))
    tasks = f"{len(run.tasks)} tasks" + (f", {skipped} skipped" if skipped else "")
    return {"dag": start.dag_id, "what": start.conf.get("window", start.partition), "tasks": tasks, "took": watch.took}
