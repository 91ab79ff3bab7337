"""Building blocks that DAG files are wired from: a schedule, a policy, and the gate as topology.

Every group goes the same way, and the graph shows it: nothing after `verdict` runs unless it passed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    Param,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    TaskGroup,
)

from dataops.airflow import groups
from dataops.airflow.operators import AskSteward, Audit, Build, Extract, Judge, Publish
from dataops.airflow.partitions import WINDOW
from dataops.declared.layers import Kind

POOL = "warehouse"  # one slot on DuckDB: one process may write its file

Options = dict[str, Any]
"""Keyword arguments of Airflow's classes."""
TASKS: Options = {
    "owner": "data-platform",
    "pool": POOL,
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=2),
    "execution_timeout": timedelta(minutes=30),
}
POLICY: Options = {
    "start_date": groups.first_day(),  # a back-fill may begin here
    "catchup": False,
    "max_active_runs": 1,
    "default_args": TASKS,
}
ONE_WINDOW: Options = {
    "window": Param(
        None,
        type=["null", "string"],
        pattern=WINDOW,
        description="Load this window in one run, A..B, the end not included, instead of the partition's day",
    )
}

PATIENCE: Options = {
    "minutes": Param(10, type="number", minimum=0, description="how long after a publication its consumers may start")
}
KEPT: Options = {"keep": Param(7, type="integer", minimum=1, description="how many backups stay in var/backups")}

A_DAY: Options = {
    "day": Param(None, type=["null", "string"], format="date", description="any day of the period, 2026-05-01"),
}
PATIENT: Options = {"poke_interval": 300, "timeout": 24 * 3600}
"""Of a task that waits for a publication, a day at most."""


def each(cron: str, key_format: str = "%Y-%m-%d") -> CronPartitionTimetable | PartitionedAtRuntime:
    """A partition per interval of `cron`, in UTC; a run at the end of an interval is for the interval that ended.

    With `AIRFLOW__DATAOPS__CRON=off` runs start only by hand or by assets: for sample data that ended long ago, where
    today's partition would always be held for want of rows. Airflow back-fills nothing then, for want of a schedule.
    """
    if os.environ.get("AIRFLOW__DATAOPS__CRON", "on").lower() == "off":
        return PartitionedAtRuntime()
    return CronPartitionTimetable(cron, timezone="UTC", run_offset=-1, key_format=key_format)


GROUPS = groups.declared()
ASSETS: dict[str, Asset] = {name: group.asset for name, group in GROUPS.items()}
"""What each group's publications are announced as."""


def after(reads: Sequence[str]) -> PartitionedAssetTimetable:
    """A run for every partition that any of these groups announces. Raises KeyError for a group that is not there."""
    first, *others = groups.read_by(reads)
    condition = ASSETS[first]
    for name in others:
        condition |= ASSETS[name]
    return PartitionedAssetTimetable(assets=condition)


def load(group: str, *, windowed: bool) -> TaskGroup:
    """Extract -> gx_checkpoint, soda_scan -> verdict -> publish, for a group that comes from a source.

    Beside it `ask_steward`, after a verdict that failed; outside, so that what follows waits for publish only.
    """
    with TaskGroup(group, tooltip=f"{group}: source to validated") as tasks:
        extract = Extract(task_id="extract", group=group, windowed=windowed)
        verdict = _gate_and_publish(extract, group, ASSETS[group], replaceable=False)
    verdict >> AskSteward(task_id="ask_steward", trigger_rule="one_failed", **_batch_of(extract, group))
    return tasks


def build(group: str) -> TaskGroup:
    """Build -> gx_checkpoint, soda_scan -> verdict -> publish, for a group made of models."""
    with TaskGroup(group, tooltip=f"{group}: models over what is published") as tasks:
        built = Build(task_id="build", group=group)
        _gate_and_publish(built, group, ASSETS[group], replaceable=True)
    return tasks


def build_all() -> list[TaskGroup]:
    """All groups made of models, one after the other."""
    built = [build(name) for name, group in GROUPS.items() if group.kind is Kind.BUILT]
    for first, second in pairwise(built):
        first >> second
    return built


def _batch_of(source: Extract | Build, group: str, *, replaceable: bool = False) -> Options:
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
