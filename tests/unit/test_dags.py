"""Policy over all DAGs: every one is found, documented, owned, retried, pooled, and cheap to parse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataops.airflow import groups
from dataops.airflow.partitions import NoPartitionError, key_of, window_of
from dataops.declared import catalog as catalogs
from dataops.declared.layers import Kind
from dataops.declared.paths import Paths

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "dags").glob("*.py"))
TEXTS = {file.stem: file.read_text("utf-8") for file in FILES}
JOBS = [name for name, text in TEXTS.items() if "load(" in text or "build(" in text]
REPORTS = [name for name, text in TEXTS.items() if "dataops.airflow.reporting" in text]
UPKEEP = [name for name, text in TEXTS.items() if "dataops.airflow.upkeep" in text]
MADE = [name for name, text in TEXTS.items() if "make_reports(" in text]
CONSUMERS = groups.consumers()
EXPECTED = [file.stem for file in FILES]
HEAVY = {"sqlalchemy", "duckdb", "pandas", "numpy", "pyarrow", "great_expectations", "soda_core", "pydantic", "sqlglot"}
OURS = {"dataops", *(f"dataops.airflow{name}" for name in ("", ".blocks", ".groups", ".operators", ".partitions"))}
OURS |= {"dataops.declared", "dataops.declared.layers"}
FOR_PEOPLE = {"dataops.airflow.questions", "dataops.airflow.steward"}
GATED = ["gx_checkpoint", "publish", "soda_scan", "verdict"]
ASKED = ["decide", "agree"]  # wait for a person

LOOK = """
import json, sys, pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
def filled(dag):
    days = [pendulum.datetime(2014, 5, day) for day in (1, 4)]
    kept = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    return [run.partition_key for run in kept.iter_dagrun_infos_between(*days)] if kept.timetable.periodic else []
def told(task):
    return {"group": task.task_group.group_id, "upstream": sorted(task.upstream_task_ids), "pool": task.pool,
            "owner": task.owner, "retries": task.retries,
            "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
            "backoff": task.retry_exponential_backoff, "trigger_rule": task.trigger_rule.value,
            "outlets": [a.name for a in task.outlets]}
print(json.dumps({"errors": bag.import_errors, "dags": {d.dag_id: {
    "doc": d.doc_md, "catchup": d.catchup, "active": d.max_active_runs, "timetable": type(d.timetable).__name__,
    "summary": getattr(d.timetable, "expression", None), "tags": sorted(d.tags), "filled": filled(d),
    "tasks": {t.task_id: told(t) for t in d.tasks}}
    for d in bag.dags.values()}}))
"""

PARSE = """
import json, multiprocessing, runpy, sys
import airflow.sdk
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Asset, BaseOperator, CronPartitionTimetable, Param, PartitionedAssetTimetable
from airflow.sdk import PartitionedAtRuntime, TaskGroup
before = set(sys.modules)
def look(file):
    runpy.run_path(file)
    return sorted(set(sys.modules) - before)
with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as each_in_its_own_process:
    print(json.dumps(dict(zip(sys.argv[1:], each_in_its_own_process.map(look, sys.argv[1:], chunksize=1)))))
"""


def _python(code: str, home: Path, *arguments: object) -> dict[str, Any]:
    """What a process of its own prints last."""
    mine = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")} | mine
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=home)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All DAGs as Airflow itself loads them, in a process of their own."""
    return _python(LOOK, tmp_path_factory.mktemp("airflow"), PROJECT / "dags")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Modules that parsing each DAG file imports, beyond Airflow's own."""
    return _python(PARSE, tmp_path_factory.mktemp("airflow"), *FILES)


def test_the_light_reading_of_checkpoints_agrees_with_the_strict_one() -> None:
    catalog = catalogs.load(Paths(PROJECT, PROJECT / "var"))
    strict = {name: (group.layer, group.is_loaded) for name, group in catalog.groups.items()}
    read = groups.declared()
    assert {name: (group.layer, group.kind is Kind.LOADED) for name, group in read.items()} == strict
    assert [name for name in read if name in catalog.built] == list(catalog.built)


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs everything in one worker")
def test_tests_that_share_a_modules_fixture_run_in_one_worker(
    found: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """pytest-xdist says so by what it adds to the node's id; beside pytest 9.2 it silently did not."""
    assert found
    assert request.node.nodeid.endswith("@tests/unit/test_dags.py")


def test_there_are_these_dags_and_none_fails_to_import(found: dict[str, Any]) -> None:
    assert found["errors"] == {}
    assert sorted(found["dags"]) == EXPECTED


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_a_dag_says_when_it_runs_what_it_touches_and_what_to_do_on_failure(found: dict[str, Any], dag_id: str) -> None:
    doc = found["dags"][dag_id]["doc"]
    assert all(part in doc for part in ("**When.**", "**Reads**", "**Writes**", "**When it fails.**"))


@pytest.mark.parametrize("dag_id", sorted({*JOBS, *UPKEEP, *REPORTS}))
def test_every_task_has_owner_retries_back_off_time_limit_and_pool(found: dict[str, Any], dag_id: str) -> None:
    dag = found["dags"][dag_id]
    timetable = "PartitionedAssetTimetable" if dag_id in CONSUMERS else "CronPartitionTimetable"
    assert (dag["catchup"], dag["active"], dag["timetable"]) == (False, 1, timetable)
    for task_id, task in dag["tasks"].items():
        rule = "one_failed" if task_id == "ask_steward" else "all_success"
        kept = (task["pool"], task["owner"], task["retries"], task["backoff"], task["trigger_rule"])
        assert kept == ("warehouse", "data-platform", 2, 2, rule), task_id
        assert task["timeout"] <= 3600, task_id


@pytest.mark.parametrize("dag_id", JOBS)
def test_nothing_is_published_but_behind_a_verdict_on_both_engines(found: dict[str, Any], dag_id: str) -> None:
    tasks = found["dags"][dag_id]["tasks"]
    for group in {task["group"] for task in tasks.values() if task["group"]}:
        members = sorted(task_id.rpartition(".")[2] for task_id, task in tasks.items() if task["group"] == group)
        source = next(name for name in members if name not in GATED)
        assert members == sorted([*GATED, source])
        assert tasks[f"{group}.publish"]["upstream"] == [f"{group}.verdict"]
        assert tasks[f"{group}.verdict"]["upstream"] == [f"{group}.gx_checkpoint", f"{group}.soda_scan"]
        for engine in ("gx_checkpoint", "soda_scan"):
            assert tasks[f"{group}.{engine}"]["upstream"] == [f"{group}.{source}"]


def test_curated_is_built_only_after_the_load_is_published(found: dict[str, Any]) -> None:
    for dag_id, group in (
        ("sales_etl", "sales"),
        ("reference_etl", "reference"),
        ("inventory_monitoring", "inventory"),
    ):
        assert found["dags"][dag_id]["tasks"]["curated.build"]["upstream"] == [f"{group}.publish"]


def test_only_publish_tasks_the_release_and_the_watchdog_announce_an_asset(found: dict[str, Any]) -> None:
    tasks = [item for dag in found["dags"].values() for item in dag["tasks"].items()]
    everything = sorted(group.asset.name for group in groups.declared().values())
    announced = {task_id: task["outlets"] for task_id, task in tasks if task["outlets"]}
    assert {task_id: sorted(names) for task_id, names in announced.items()} == {
        "release": everything,
        "watch": everything,
        "sales.publish": ["validated/sales"],
        "reference.publish": ["validated/reference"],
        "inventory.publish": ["validated/inventory"],
        "curated.publish": ["curated/all"],
        "kpis.publish": ["marts/kpis"],
        "clv.publish": ["marts/clv"],
        "campaigns.publish": ["marts/campaigns"],
        "stock.publish": ["marts/stock"],
    }


def test_the_schedules_are_those_of_the_mission(found: dict[str, Any]) -> None:
    schedules = {dag_id: dag["summary"] for dag_id, dag in found["dags"].items()}
    by_clock = [dag_id for dag_id in JOBS if dag_id not in CONSUMERS]
    upkeep = ("data_quality", "warehouse_backup", "watchdog")
    assert {dag_id: schedules[dag_id] for dag_id in [*by_clock, *MADE, *upkeep]} == {
        "reports_daily": "0 6 * * *",
        "reports_weekly": "0 6 * * 1",
        "reports_monthly": "0 6 1 * *",
        "watchdog": "*/10 * * * *",
        "data_quality": "0 4 * * *",
        "warehouse_backup": "30 3 * * *",
        "reference_etl": "30 1 * * *",
        "sales_etl": "0 2 * * *",
        "inventory_monitoring": "0 * * * *",
        "clv": "0 4 * * 1",
        "campaign_analysis": "30 4 * * 1",
    }
    assert {dag_id for dag_id, dag in found["dags"].items() if dag["timetable"] == "NullTimetable"} == {
        "held_batch",
        "steward_actions",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_parsing_a_dag_file_imports_nothing_heavy(file: Path, imported: dict[str, list[str]]) -> None:
    new = imported[str(file)]
    assert not {name for name in new if name.partition(".")[0] in HEAVY}
    rooms = {"dataops.airflow.upkeep": UPKEEP, "dataops.airflow.reporting": REPORTS}
    beside = {room for room, dags in rooms.items() if file.stem in dags}
    beside |= set() if beside or file.stem in JOBS else FOR_PEOPLE
    assert {name for name in new if name.partition(".")[0] == "dataops"} == OURS | beside


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_is_schedule_wiring_and_documentation_only(file: Path) -> None:
    code = file.read_text(encoding="utf-8").split('"""')[2].strip().splitlines()
    assert len(code) <= 15
    imports = [line for line in code if line.startswith(("import ", "from "))]
    assert all(line.startswith(("from airflow.sdk import", "from dataops.airflow")) for line in imports)


def test_airflows_own_back_fill_makes_a_run_for_each_day_of_the_range(found: dict[str, Any]) -> None:
    """The end is not included; each run's window is the day of its partition."""
    days = ["2014-05-01", "2014-05-02", "2014-05-03"]
    assert found["dags"]["sales_etl"]["filled"] == days
    assert [window_of(day, None) for day in days][-1] == "2014-05-03..2014-05-04"


def test_a_partition_is_one_day_and_an_hour_means_its_day() -> None:
    assert window_of("2014-05-01", None) == "2014-05-01..2014-05-02"
    assert window_of("2014-05-01T13", None) == "2014-05-01..2014-05-02"


def test_a_long_window_is_announced_once_under_its_last_day() -> None:
    assert window_of("2014-06-29", "2014-05-02..2014-06-30") == "2014-05-02..2014-06-30"
    assert key_of(None, "2014-05-02..2014-06-30") == "2014-06-29"


@pytest.mark.parametrize("key", [None, "", "yesterday"])
def test_a_run_that_names_no_day_is_refused_with_advice(key: str | None) -> None:
    with pytest.raises(NoPartitionError, match="partition key"):
        window_of(key, None)


def test_a_person_who_takes_his_time_occupies_no_slot_and_decides_only_with_a_second_one(found: dict[str, Any]) -> None:
    tasks = found["dags"]["held_batch"]["tasks"]
    assert [(tasks[name]["pool"], tasks[name]["timeout"]) for name in ASKED] == [("default_pool", None)] * 2
    ways = {name: tasks[name]["upstream"] for name in ("request", "agree", "release")}
    assert ways == {"request": ["decide"], "agree": ["request"], "release": ["agree"]}


def test_the_form_offers_exactly_what_a_steward_can_do() -> None:
    from dataops.airflow.questions import ACTIONS
    from dataops.pipeline.actions import ACTIONS as KNOWN

    assert list(ACTIONS) == list(KNOWN)


@pytest.mark.parametrize("dag_id", CONSUMERS)
def test_a_consumer_starts_from_the_groups_that_its_file_names(found: dict[str, Any], dag_id: str) -> None:
    assert dag_id in found["dags"]  # whose name is its file's: that is how the watchdog knows it
    assert set(CONSUMERS[dag_id]) <= groups.declared().keys()
    assert "after(READS)" in TEXTS[dag_id]
    assert "reads=READS" in TEXTS[dag_id]
