"""Building blocks that DAG files are wired from: a schedule, a policy, and the gate as topology.

Every group goes the same way, and the graph shows it: nothing after `verdict` runs unless it passed.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, Param, PartitionedAtRuntime, TaskGroup

from dataops.airflow.operators import AskSteward, Audit, Build, Extract, Judge, Publish
from dataops.airflow.partitions import WINDOW

POOL = "warehouse"  # one slot on DuckDB: one process may write its file

TASKS: dict[str, Any] = {
    "owner": "data-platform",
    "pool": POOL,
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=2),
    "execution_timeout": timedelta(minutes=30),
}
POLICY: dict[str, Any] = {
    "start_date": datetime(2011, 5, 31, tzinfo=UTC),  # first order; a back-fill may begin here
    "catchup": False,
    "max_active_runs": 1,
    "default_args": TASKS,
}
ONE_WINDOW: dict[str, Any] = {
    "window": Param(
        None,
        type=["null", "string"],
        pattern=WINDOW,
        description="Load this window in one run, A..B, the end not included, instead of the partition's day",
    )
}

PATIENCE: dict[str, Any] = {
    "minutes": Param(10, type="number", minimum=0, description="how long after a publication its consumers may start")
}
KEPT: dict[str, Any] = {"keep": Param(7, type="integer", minimum=1, description="how many backups stay in var/backups")}


def each(cron: str, key_format: str = "%Y-%m-%d") -> CronPartitionTimetable | PartitionedAtRuntime:
    """A partition per interval of `cron`, in UTC; a run at the end of an interval is for the interval that ended.

    With `AIRFLOW__DATAOPS__CRON=off` runs start only by hand, by back-fill or by assets: for sample data that ends
    in 2014, where today's partition would always be held for want of rows.
    """
    if os.environ.get("AIRFLOW__DATAOPS__CRON", "on").lower() == "off":
        return PartitionedAtRuntime()
    return CronPartitionTimetable(cron, timezone="UTC", run_offset=-1, key_format=key_format)


def asset_of(layer: str, group: str) -> Asset:
    """What a publication of a group is announced as; one partition per publication."""
    return Asset(name=f"{layer}/{group}", uri=f"x-dataops://warehouse/{layer}/{group}", group="dataops")


def _assets() -> dict[str, Asset]:
    """What each group's publications are announced as; a group that is built has a layer of its own name."""
    project = Path(os.environ.get("DATAOPS_PROJECT") or Path(__file__).parents[3])
    names = sorted(file.stem for file in (project / "checkpoints").glob("*.yml"))
    built = {name for name in names if (project / "contracts" / name).is_dir()}
    return {name: asset_of(name, "all") if name in built else asset_of("validated", name) for name in names}


ASSETS = _assets()
CONSUMERS = {"data_docs": "curated"}
"""DAGs that start from a publication -> its group; the watchdog sees to it that they do."""


def load(group: str, *, windowed: bool) -> TaskGroup:
    """Extract -> gx_checkpoint, soda_scan -> verdict -> publish, for a group that comes from a source.

    Beside it `ask_steward`, after a verdict that failed; outside, so that what follows waits for publish only.
    """
    with TaskGroup(group, tooltip=f"{group}: source to validated") as tasks:
        extract = Extract(task_id="extract", group=group, windowed=windowed)
        verdict = _gate_and_publish(extract, group, ASSETS[group], replaceable=False)
    verdict >> AskSteward(task_id="ask_steward", trigger_rule="one_failed", **_batch_of(extract, group))
    return tasks


def build(group: str = "curated") -> TaskGroup:
    """Build -> gx_checkpoint, soda_scan -> verdict -> publish, for a group made of models."""
    with TaskGroup(group, tooltip=f"{group}: models over what is published") as tasks:
        built = Build(task_id="build", group=group)
        _gate_and_publish(built, group, ASSETS[group], replaceable=True)
    return tasks


def _batch_of(source: Extract | Build, group: str, *, replaceable: bool = False) -> dict[str, Any]:
    # A template rather than `source.output`, which would draw an edge from the source to every task of the gate.
    batch_id = f"{{{{ ti.xcom_pull(task_ids='{source.task_id}') }}}}"
    return {"batch_id": batch_id, "group": group, "replaceable": replaceable}


def _gate_and_publish(source: Extract | Build, group: str, asset: Asset, *, replaceable: bool) -> Judge:
    batch = _batch_of(source, group, replaceable=replaceable)
    gx = Audit(task_id="gx_checkpoint", engine="gx", **batch)
    soda = Audit(task_id="soda_scan", engine="soda", **batch)
    verdict = Judge(task_id="verdict", **batch)
    source >> [gx, soda] >> verdict >> Publish(task_id="publish", asset=asset, **batch)
    return verdict
