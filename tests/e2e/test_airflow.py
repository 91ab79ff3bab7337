"""The DAGs under a real headless Airflow: what is published, announced, repeated, held."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from tests.support import standard
from tests.support.crash import kill_at, wait_until
from tests.support.mail_server import MailServer, mail_server
from tests.support.marquez import MarquezDouble
from tests.support.slack_double import SlackDouble

from dataops.declared.settings import load
from dataops.lab.airflow.headless import Headless, running
from dataops.lab.airflow.rest import Client, Run
from dataops.ledger import publications, reading, schema
from dataops.ledger import tables as ledger
from dataops.ledger.batches import Batch
from dataops.ledger.enums import VerdictName
from dataops.ledger.incidents import Event, Incident
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import backups, jobs
from dataops.sources import Window

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PROJECT = Path(__file__).resolve().parents[2]
LOADS = ("reference_etl", "sales_etl", "inventory_monitoring")
KEPT_UP = ("data_docs", "readers_copy")  # consumers
DAGS = (*LOADS, *KEPT_UP, "held_batch", "steward_actions", "data_quality", "warehouse_backup", "watchdog")
WEEKLY = ("clv", "campaign_analysis")
FIGURES = (
    "kpis",
    "stock_alerts",
    *WEEKLY,
    *(f"reports_{often}" for often in ("daily", "weekly", "monthly")),
)  # at last
SENDING = ("outbox",)  # only while a test waits for it
CHANNELS = ("#dq-sales", "#dq-reference", "#dq-inventory", "#dq-curated", "#dq-digest", "#dq-operations", "#stock")
OWNER = "sales-data@adventure-works.example"
WEEK = "2011-07-18"
SOURCE = "generator:?scale=0.02&seed=7&days=62"  # about ten orders a day from 2011-05-31
BEFORE, DAY, NEXT, BAD = "2011-07-25", "2011-07-26", "2011-07-27", "2011-07-28"
LATER, LAST, AFTER_ALL = "2011-07-29", "2011-07-30", "2011-07-31"
LIMIT = 600
LOCKED = "database is locked"
WELL = {"dag_processor", "metadatabase", "scheduler", "triggerer"}
DEAD_AFTER = {  # seconds without a sign of life, until a task counts as dead
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


@dataclass
class Installation:
    """An Airflow, and the warehouse its tasks write to."""

    airflow: Headless
    work: Workspace
    slack: SlackDouble
    mails: MailServer
    marquez: MarquezDouble
    runs: dict[str, Run] = field(default_factory=dict)

    def run(self, dag_id: str, partition: str, window: str | None = None) -> Run:
        conf = {"window": window} if window else {}
        run_id = self.airflow.client.trigger(dag_id, partition, conf)
        self.runs[partition] = self.airflow.client.wait(dag_id, run_id, LIMIT)
        return self.runs[partition]

    def publications(self) -> list[str]:
        with self.work.warehouse.reading() as connection:
            query = sa.select(ledger.publications.c.publication_id).order_by(ledger.publications.c.seq)
            return [row[0] for row in connection.execute(query)] if schema.version(connection) else []

    def announced(self, asset: str) -> list[tuple[str, str]]:
        """Partition and publication of every event."""
        return [(e["partition_key"], e["extra"]["publication"]) for e in self.airflow.client.events(asset)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Reference data, the history of sales and a day of stock are published before the first test begins."""
    home = tmp_path_factory.mktemp("home")
    with SlackDouble(channels=CHANNELS) as slack, mail_server() as mails, MarquezDouble() as marquez:
        yield from _installed(home, slack, mails, marquez)


def _installed(home: Path, slack: SlackDouble, mails: MailServer, marquez: MarquezDouble) -> Iterator[Installation]:
    mine = {"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": SOURCE, "DATAOPS_LINEAGE_URL": marquez.url}
    others = {k: v for k, v in os.environ.items() if not k.startswith(("DATAOPS_", "AIRFLOW_"))}
    mine |= {"AIRFLOW_CONN_SLACK_DEFAULT": slack.bot, "AIRFLOW_CONN_SMTP_DEFAULT": mails.connection}
    airflow = Headless(PROJECT, home, environ=others | mine)
    try:
        airflow.start(dags=DAGS)
        ready = Installation(airflow, open_workspace(load(others | mine, PROJECT)), slack, mails, marquez)
        first = ready.run("reference_etl", BEFORE), ready.run("inventory_monitoring", f"{BEFORE}T23")
        assert [run.state for run in first] == ["success", "success"], first
        history = ready.run("sales_etl", BEFORE, f"2011-05-31..{DAY}")
        assert history.state == "success", history
        yield ready
    finally:
        family = [child for entry in running(airflow.pids).values() for child in _family(entry)]
        airflow.stop()
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def test_no_dag_file_fails_to_import_in_a_running_airflow(installation: Installation) -> None:
    assert installation.airflow.client.import_errors() == []
    assert installation.airflow.client.dags() == sorted([*DAGS, *FIGURES, *SENDING])


def test_each_day_is_a_partition_that_only_its_publication_announces(installation: Installation) -> None:
    for day in (DAY, NEXT):
        run = installation.run("sales_etl", day)
        assert run.state == "success", run
    assert [key for key, _ in installation.announced("validated/sales")] == [BEFORE, DAY, NEXT]
    assert [key for key, _ in installation.announced("curated/all")][-2:] == [DAY, NEXT]


def test_a_task_cleared_after_its_success_publishes_and_announces_nothing_more(installation: Installation) -> None:
    client = installation.airflow.client
    run_id = installation.runs[NEXT].run_id
    before = _everything(installation)
    for tasks, downstream in ((["sales.publish"], False), (["sales.extract"], True)):
        client.clear("sales_etl", run_id, tasks, downstream=downstream)
        assert client.wait("sales_etl", run_id, LIMIT).state == "success"
    assert _everything(installation) == before


def _everything(installation: Installation) -> list[object]:
    assets = ("validated/sales", "validated/reference", "curated/all")
    return [installation.publications(), *(installation.announced(asset) for asset in assets)]


def test_a_held_day_blocks_everything_after_its_verdict_and_is_not_retried(installation: Installation) -> None:
    before = installation.publications()
    installation.airflow.restart("scheduler", {"DATAOPS_SOURCE_URL": f"{SOURCE}&faults=price_x100,orphan_customer"})
    try:
        run = installation.run("sales_etl", BAD)
    finally:
        installation.airflow.restart("scheduler", {"DATAOPS_SOURCE_URL": SOURCE})
    assert run.state == "failed"
    assert run.in_state("failed") == ["sales.verdict"]
    assert run.tasks["ask_steward"] == "success"
    blocked = ["curated.build", "curated.gx_checkpoint", "curated.publish", "curated.soda_scan", "curated.verdict"]
    assert run.in_state("upstream_failed") == [*blocked, "sales.publish"]
    assert installation.publications() == before
    assert BAD not in [key for key, _ in installation.announced("validated/sales")]
    log = installation.airflow.client.log("sales_etl", run.run_id, "sales.verdict")
    assert "GateBlocked" in log
    assert "dataops quarantine list sales" in log


def _relayed(installation: Installation) -> None:
    """A run of the DAG `outbox`, which no clock starts here."""
    client = installation.airflow.client
    client.pause("outbox", paused=False)
    made = len(client.runs("outbox"))
    done = client.wait("outbox", client.trigger("outbox", f"2011-08-01T10:{made:02d}"), LIMIT)
    client.pause("outbox", paused=True)
    assert done.state == "success", done


def test_the_held_day_is_told_to_its_channel_and_its_owner_and_the_message_follows_what_people_do(
    installation: Installation,
) -> None:
    """By Airflow's own scheduler, hooks and connections."""
    slack, client = installation.slack, installation.airflow.approver
    _relayed(installation)
    [first] = slack.top("#dq-sales")
    assert first.body["text"].startswith("■ Sales held: ")
    assert "INC-0001" in installation.mails.to(OWNER)[0].get_body(("plain",)).get_content()
    form = {"action": "acknowledge", "incident": "INC-0001", "reason": "looking"}
    assert client.wait("steward_actions", client.trigger("steward_actions", conf=form), LIMIT).state == "success"
    _relayed(installation)
    assert [m.body["text"] for m in slack.thread(first)] == ["Acknowledged by approver: looking"]


def test_airflows_own_runs_reach_the_lineage_server_and_ours_name_them_as_their_root(
    installation: Installation,
) -> None:
    """By Airflow's listener and the outbox: the held day's gate is FAILED in both voices, and each event came once."""
    events = _told(installation)
    verdict = [event for event in events["sales_etl.sales.verdict"] if event["eventType"] == "FAIL"][-1]
    facets = verdict["run"]["facets"]
    assert (facets["dataops_batch"]["verdict"], facets["dataops_batch"]["group"]) == ("FAILED", "sales")
    assert "fail" in {test["status"] for test in facets["test"]["tests"]}
    assert [p for p in standard.problems(_only(verdict, "dataops_batch", "test")) if ".facets" in p] == []
    gates = [event for event in events["gate.sales_order_detail"] if event["eventType"] == "FAIL"]
    root = gates[-1]["run"]["facets"]["parent"]["root"]
    assert (root["job"]["namespace"], root["job"]["name"]) == (verdict["job"]["namespace"], "sales_etl")
    assert root["run"]["runId"] in {event["run"]["runId"] for event in events["sales_etl"]}
    assert [name for name in events if name.startswith("outbox")] == []
    keys = [(e["run"]["runId"], e["eventType"], e["eventTime"]) for told in events.values() for e in told]
    assert len(keys) == len(set(keys))


def _told(installation: Installation) -> dict[str, list[dict[str, Any]]]:
    """What the server got, by job, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for (body,) in installation.marquez.store.execute("SELECT body FROM events ORDER BY seq"):
        event = json.loads(body)
        found.setdefault(event["job"]["name"], []).append(event)
    return found


def _only(event: dict[str, Any], *facets: str) -> dict[str, Any]:
    run = event["run"] | {"facets": {name: event["run"]["facets"][name] for name in facets}}
    return event | {"run": run, "job": event["job"] | {"facets": {}}}


def _answer(client: Client, run_id: str, task: str, choice: str, form: dict[str, str] | None = None) -> None:
    """Answers as a person would: after the scheduler has gone round twice since the question was asked.

    An answer that comes before the executor's word lets Airflow try the task again, each time later.
    """
    rounds: set[str] = set()

    def answered() -> bool:
        if task in client.questions("held_batch", run_id):
            rounds.add(client.call("GET", "/monitor/health")["scheduler"]["latest_scheduler_heartbeat"])
            if len(rounds) > 2:
                client.answer("held_batch", run_id, task, choice, form)
                rounds.clear()
        return client.run("held_batch", run_id).tasks.get(task) == "success"

    wait_until(answered, 240, f"the answer to {task}")


def test_two_people_release_a_held_day_and_the_corrected_delivery_closes_quarantine(installation: Installation) -> None:
    """The steward's walk: held, incident, waiver, second approver, receipt, corrected day; continues the test above."""
    airflow, work = installation.airflow, installation.work
    with work.warehouse.reading() as connection:
        query = sa.select(ledger.batches).where(ledger.batches.c.verdict == VerdictName.FAILED)
        held = reading.every(connection, Batch, query)[0]
    run_id = f"{held.batch_id}__{str(held.rules_hash)[:12]}"
    form = {"reason": "price import, agreed", "quota": "100%"}
    _answer(airflow.client, run_id, "decide", "release with waiver", form)
    _answer(airflow.approver, run_id, "agree", "agree")
    ended = airflow.client.wait("held_batch", run_id, LIMIT)
    assert ended.state == "success", ended
    assert [key for key, _ in installation.announced("validated/sales")][-1] == BAD
    with work.warehouse.reading() as connection:
        made = _waivers(connection)
        states = [row[0] for row in connection.execute(sa.select(ledger.incidents.c.state))]
        waiting = connection.exec_driver_sql(WAITING).scalar_one()
    assert made == [("admin", "approver", "price import, agreed")]
    assert states == ["waived"]
    assert waiting > 0
    [told] = installation.slack.top("#dq-sales")
    _relayed(installation)
    assert told.body["text"].startswith("◪ Sales published under a waiver")
    assert installation.slack.thread(told)[-1].body["text"].startswith("Waived by approver: under WAI-")
    again = installation.run("sales_etl", BAD)
    assert again.state == "success", again
    with work.warehouse.reading() as connection:
        assert connection.exec_driver_sql(WAITING).scalar_one() == 0
        assert _waivers(connection) == []


def _waivers(connection: sa.Connection) -> list[tuple[str, str | None, str]]:
    """Owner, approver and reason of what the newest publication of sales was waived."""
    made = publications.last(connection, "sales")
    assert made is not None
    return [(kept.owner, kept.approver, kept.reason) for kept in made.waivers]


WAITING = "SELECT COUNT(*) FROM quarantine.sales_order_detail WHERE _closed IS NULL"


def test_the_form_does_what_the_command_line_does_with_the_name_of_who_filled_it_in(installation: Installation) -> None:
    client = installation.airflow.approver
    form = {"action": "reopen", "incident": "INC-0001", "reason": "seen again by the shop"}
    done = client.wait("steward_actions", client.trigger("steward_actions", conf=form), LIMIT)
    assert done.state == "success", done
    form = {"action": "resolve", "incident": "INC-0001", "resolution": "no-such", "reason": "x"}
    refused = client.wait("steward_actions", client.trigger("steward_actions", conf=form), LIMIT)
    assert refused.state == "failed", refused
    with installation.work.warehouse.reading() as connection:
        query = sa.select(ledger.incident_events).order_by(ledger.incident_events.c.seq)
        last = reading.every(connection, Event, query)[-1]
    assert (last.who, last.action, last.text) == ("approver", "reopened", "seen again by the shop")


def _publish_unannounced(home: Path, source: str, day: str, last: bool) -> None:
    """What a run does that is killed after its COMMIT: the publication stands, nobody was told."""
    work = open_workspace(load({"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": source}, PROJECT))
    if last:
        jobs.build(work, "curated")
    else:
        with jobs.source_of(work) as opened:
            jobs.load(work, "sales", Window.parse(day), opened)


def _picked_up(installation: Installation) -> set[tuple[str, str]]:
    """Consumers, and the newest publication of each group that they read and have started from."""
    with installation.work.warehouse.reading() as connection:
        pickups, publications = ledger.pickups, ledger.publications
        query = sa.select(pickups.c.consumer, publications.c.publication_id)
        rows = connection.execute(query.join(publications, pickups.c.publication == publications.c.seq))
        return {(str(consumer), str(publication)) for consumer, publication in rows}


def _newest(installation: Installation) -> str:
    with installation.work.warehouse.reading() as connection:
        return str(publications.last(connection, "curated").publication_id)


def _watch(installation: Installation) -> None:
    client = installation.airflow.client
    done = client.wait("watchdog", client.trigger("watchdog", f"{DAY}T10:00", {"minutes": 0}), LIMIT)
    assert done.state == "success", done


def _wait_for_consumers(installation: Installation) -> None:
    """The site from the newest curated publication, the readers' copy from those of all groups."""
    with installation.work.warehouse.reading() as connection:
        newest = {publications.last(connection, name) for name in installation.work.catalog.groups}
    wanted = {("readers_copy", made.publication_id) for made in newest if made}
    wanted.add(("data_docs", _newest(installation)))
    wait_until(lambda: wanted <= _picked_up(installation), LIMIT, f"consumers to start from {wanted}")


def _missed_starts(installation: Installation) -> list[tuple[str, int]]:
    with installation.work.warehouse.reading() as connection:
        where = (ledger.incidents.c.kind == "late") & ledger.incidents.c.sentence.like("data_docs%")
        query = sa.select(ledger.incidents).where(where).order_by(ledger.incidents.c.seq)
        return [(found.state, found.times) for found in reading.every(connection, Incident, query)]


def test_a_consumer_starts_from_a_publication_whose_run_died_before_it_announced_it(installation: Installation) -> None:
    """F05: killed after COMMIT; the watchdog announces from the ledger, once, and closes what it opened."""
    _wait_for_consumers(installation)
    home = installation.work.settings.paths.home
    window = f"{LATER}..{LAST}"
    _publish_unannounced(home, SOURCE, window, False)
    kill_at("after_commit", _publish_unannounced, home, SOURCE, window, True)
    assert ("data_docs", _newest(installation)) not in _picked_up(installation)
    announced = len(installation.announced("curated/all"))
    _watch(installation)
    _wait_for_consumers(installation)
    assert installation.announced("curated/all")[announced:] == [(LATER, _newest(installation))]
    assert _missed_starts(installation) == [("resolved", 1)]


def test_a_consumer_that_airflow_never_started_is_started_by_the_watchdog_once(installation: Installation) -> None:
    """F10: the event is there and no run of the consumer; as when two events of one partition meet."""
    client = installation.airflow.client
    client.pause("data_docs", paused=True)
    run = installation.run("sales_etl", LAST)
    assert run.state == "success", run
    client.pause("data_docs", paused=False)
    assert installation.announced("curated/all")[-1] == (LAST, _newest(installation))
    assert ("data_docs", _newest(installation)) not in _picked_up(installation)
    _watch(installation)
    _wait_for_consumers(installation)
    runs = client.runs("data_docs")
    _watch(installation)
    assert client.runs("data_docs") == runs
    assert _missed_starts(installation) == [("resolved", 1), ("resolved", 1)]


def test_the_readers_copy_follows_every_publication_in_a_task_of_its_own(installation: Installation) -> None:
    client = installation.airflow.client
    states = [client.run("readers_copy", run_id).state for run_id in client.runs("readers_copy")]
    assert len(states) > len(LOADS)
    assert "failed" not in states
    with installation.work.warehouse.reading() as connection:
        newest = publications.ids(connection)[-1]
    wait_until(lambda: (installation.work.warehouse.readers_about() or {}).get("publication") == newest, LIMIT, newest)


def test_the_nightly_look_tries_what_waits_and_proves_the_receipts(installation: Installation) -> None:
    run = installation.run("data_quality", LAST)
    assert run.state == "success", run
    assert run.in_state("success") == ["audit", "receipts", "reconcile", "would_pass"]


def test_the_nightly_backup_is_proven_and_can_be_restored_from(installation: Installation) -> None:
    run = installation.run("warehouse_backup", LAST)
    assert run.state == "success", run
    made = backups.latest(installation.work.settings)
    with installation.work.warehouse.trial(made) as connection:
        assert publications.last(connection, "curated").publication_id == _newest(installation)


def test_a_metadata_database_that_locks_after_the_commit_leaves_one_publication_and_every_consumer_starts(
    installation: Installation, tmp_path: Path
) -> None:
    """F34: Airflow cannot note how the task ended; whatever is tried again, nothing is published or announced twice."""
    hit, go = tmp_path / "committed", tmp_path / "go"
    airflow, before = installation.airflow, _of_stock(installation)
    waits = {"DATAOPS_FAILPOINT": f"after_commit=wait:{go}", "DATAOPS_TEST_HIT": str(hit)}
    airflow.restart("scheduler", waits | DEAD_AFTER)
    try:
        run_id = airflow.client.trigger("inventory_monitoring", f"{NEXT}T23", {"window": f"{NEXT}..{BAD}"})
        wait_until(hit.exists, LIMIT, "the commit")
        log = airflow.folder / "api-server.log"
        noticed = log.read_text("utf-8").count(LOCKED)
        with closing(sqlite3.connect(airflow.folder / "airflow.db", isolation_level=None)) as metadata:
            metadata.execute("BEGIN EXCLUSIVE")
            go.touch()
            wait_until(lambda: log.read_text("utf-8").count(LOCKED) > noticed, LIMIT, "Airflow to notice")
        wait_until(lambda: not airflow.revive() and set(airflow.client.healthy()) >= WELL, LIMIT, "Airflow to be well")
        run = airflow.client.wait("inventory_monitoring", run_id, LIMIT)
        assert len(_of_stock(installation)[0]) == len(before[0]) + 1
        if run.state != "success":  # Airflow gave it up: somebody clears it, as after any outage
            airflow.client.clear("inventory_monitoring", run_id, ["inventory.publish"], downstream=True)
            run = airflow.client.wait("inventory_monitoring", run_id, LIMIT)
    finally:
        airflow.restart("scheduler", {"DATAOPS_FAILPOINT": "", "DATAOPS_TEST_HIT": ""})
    assert run.state == "success", run
    _watch(installation)
    _wait_for_consumers(installation)
    published, told = _of_stock(installation)
    assert len(published) == len(before[0]) + 1
    assert told == sorted(set(told))  # the word may be lost with the task, and is never given twice by it


def _of_stock(installation: Installation) -> tuple[list[str], list[str]]:
    """Publications of stock, and the partitions under which their own runs announced them.

    The watchdog may give the word once more, for a consumer that Airflow has not started.
    """
    published = [name for name in installation.publications() if name.startswith("inventory-")]
    events = installation.airflow.client.events("validated/inventory")
    return published, [e["partition_key"] for e in events if e["source_dag_id"] == "inventory_monitoring"]


def test_figures_follow_publications_and_a_report_waits_for_its_day(installation: Installation) -> None:
    """KPIs and stock start from an announcement, reports when they are asked.

    A day of sales is held since an earlier test: days before it are reported, those after it wait and say why.
    """
    client = installation.airflow.client
    for dag in FIGURES:
        client.pause(dag, paused=False)
    assert installation.run("inventory_monitoring", f"{DAY}T23", f"{DAY}..{NEXT}").state == "success"
    assert installation.run("sales_etl", AFTER_ALL).state == "success"
    wanted = {("kpis", _newest(installation)), ("stock_alerts", _newest(installation))}
    wait_until(lambda: wanted <= _picked_up(installation), LIMIT, f"consumers to start from {wanted}")
    wait_until(lambda: {"marts/kpis", "marts/stock"} <= _announced(installation), LIMIT, "figures to be announced")
    run = installation.run("reports_daily", DAY)
    assert run.state == "success", run
    home = installation.work.settings.paths.archive
    assert {file.suffix for file in (home / DAY).glob("sales_daily_*")} == {".xlsx", ".pdf", ".html", ".csv", ".json"}
    for dag in (*WEEKLY, "reports_weekly"):
        run = installation.run(dag, WEEK)
        assert run.state == "success", run
    assert [installation.announced(f"marts/{group}")[-1][0] for group in ("clv", "campaigns")] == [WEEK, WEEK]
    weekly = {file.name.partition("_2011-W29")[0] for file in (home / "2011-W29").iterdir()}
    assert weekly == {"campaigns", "customer_value", "sales_weekly"}
    waiting = client.trigger("reports_daily", "2030-01-01", {})
    wait_until(
        lambda: client.run("reports_daily", waiting).tasks.get("sales_daily.fresh") == "up_for_reschedule",
        LIMIT,
        "it to wait",
    )
    log = client.log("reports_daily", waiting, "sales_daily.fresh")
    assert "waits: sales is held (INC-" in log


def _announced(installation: Installation) -> set[str]:
    return {asset for asset in ("marts/kpis", "marts/stock") if installation.announced(asset)}
