"""The demo's second source: a PostgreSQL that people work in while it is loaded; in the end both sides are equal.

`python -m dataops.lab.demo.live`, below the demo's home, in a warehouse of its own. Everything is stopped at the end.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from dataops.declared import settings as settings_
from dataops.declared.errors import DataopsError
from dataops.facts.text import counted
from dataops.lab.airflow.headless import Headless, running
from dataops.lab.demo.acts import DemoError
from dataops.lab.demo.screen import Screen, Watch
from dataops.lab.demo.shop_floor import ShopFloor
from dataops.lab.live.filling import fill
from dataops.lab.live.server import PostgresServer, new_postgres
from dataops.lab.source_probe import probe
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs
from dataops.pipeline.jobs import Differences
from dataops.sources import FoundSource, Window, find_source, open_source
from dataops.sources.port import Source

HISTORY, MONTH = Window.parse("2011-05-31..2014-05-01"), Window.parse("2014-05-01..2014-06-01")
READER = "reader"
LIMIT = 900  # seconds
RIGHTS = """DO $$ DECLARE s text; BEGIN
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_)' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO reader', s);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO reader', s);
  END LOOP; END $$"""


def main() -> int:
    """Plays it; exit codes as the command line's."""
    screen, watch = Screen(), Watch()
    server: PostgresServer | None = None
    try:
        server = new_postgres()
        _play(screen, server)
    except DataopsError as error:
        screen.note(f"FAILED after {watch.took:.0f} s: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        screen.note("interrupted")
        return 130
    finally:
        if server:
            server.remove()
    screen.line()
    screen.line(f"Done in {watch.took:.0f} s; PostgreSQL and Airflow are stopped, nothing is left running.")
    return 0


def _play(screen: Screen, server: PostgresServer) -> None:
    base = settings_.load()
    project, home = base.paths.project, base.paths.home / "live"
    shutil.rmtree(home, ignore_errors=True)
    found = FoundSource(base.source_url, base.source_url) if base.source_url else find_source(project, home / "source")
    play = partial(_filled, screen, server, project, home, found)
    _step(screen, 1, "PostgreSQL as the application's database", play)
    url = server.url("shop", READER)
    work = open_workspace(settings_.load({"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": url}, project))
    _step(screen, 2, "Can it be loaded from?   dataops source test", partial(_tried, screen, work, url))
    _step(screen, 3, "Reference data and three years of orders, while nobody works", partial(_history, screen, work))
    play = partial(_worked, screen, work, url, ShopFloor(server.url("shop"), MONTH))
    _step(screen, 4, "A month of orders under Airflow, while people work in it", play)
    _step(screen, 5, "What differs now?   dataops reconcile sales", partial(_reconciled, screen, work))


def _step(screen: Screen, number: int, title: str, play: Callable[[], None]) -> None:
    watch = Watch()
    screen.line(f"[{number}/5] {title}")
    play()
    screen.timed("", watch.took)


def _filled(screen: Screen, server: PostgresServer, project: Path, home: Path, found: FoundSource) -> None:
    source = open_source(found.url)
    tables = {
        str(d.contract.platform.source): d.contract.platform.key
        for d in open_workspace(settings_.load({"DATAOPS_HOME": str(home)}, project)).catalog.datasets.values()
        if d.contract.platform.source
    }
    server.start()
    rows = fill(server.create_database("shop"), source, tables, tables)
    source.close()
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("ANALYZE")
        connection.execute(sql.SQL("CREATE ROLE reader LOGIN PASSWORD {}").format(server.password))
        connection.execute(RIGHTS)
    screen.note(found.sentence)
    screen.note(f"{rows:,} rows in {counted(len(tables), 'table')}; a login that may only read")


def _tried(screen: Screen, work: Workspace, url: str) -> None:
    with jobs.source_of(work, url) as source:
        for finding in probe(source, work.catalog):
            screen.note(f"{finding.level:<5} {finding.subject:<11} {finding.fact}")
            if finding.level == "FAIL":
                raise DemoError(finding.advice)


def _history(screen: Screen, work: Workspace) -> None:
    with jobs.source_of(work) as source:
        for group, window in (("reference", None), ("sales", HISTORY)):
            done = jobs.load(work, group, window, source)
            if done.publication is None:
                raise DemoError(f"{group} was held; see: dataops batches show {done.batch_id}")
            screen.note(f"{done.publication.publication_id}: {done.publication.total('new'):,} new rows")


def _worked(screen: Screen, work: Workspace, url: str, floor: ShopFloor) -> None:
    paths = work.settings.paths
    airflow = Headless(paths.project, paths.home, environ=os.environ | {"DATAOPS_SOURCE_URL": url})
    try:
        airflow.start(dags=["sales_etl"])
        floor.open()
        for partition, window in (("2014-05-31", str(MONTH)), ("2014-05-31T1", "2014-05-31..2014-06-01")):
            run_id = airflow.client.trigger("sales_etl", partition, {"window": window})
            run = airflow.client.wait("sales_etl", run_id, LIMIT)
            if run.state != "success":
                raise DemoError(
                    f"sales_etl {window}: {', '.join(run.in_state('failed'))} failed; log: {airflow.folder}"
                )
            screen.note(f"sales_etl {window}: {run.state}; meanwhile {_said(floor)}")
    finally:
        airflow.stop()
        floor.close()
    if left_over := running(airflow.pids):
        raise DemoError(f"Airflow is still running: {left_over}")


def _said(floor: ShopFloor) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(floor.done.items()))


def _reconciled(screen: Screen, work: Workspace) -> None:
    with jobs.source_of(work) as source:
        found = jobs.differences(work, "sales", source)
        _show(screen, found)
        for window, done in zip(found.windows, jobs.load_differences(work, "sales", source, found), strict=True):
            if done.publication is None:
                raise DemoError(f"{window} was held; see: dataops batches show {done.batch_id}")
            screen.note(f"loaded {window}: {done.publication.publication_id or 'nothing new'}")
        _require_equal(screen, work, source)


def _show(screen: Screen, found: Differences) -> None:
    for one in found.datasets:
        if not one.is_none:
            screen.note(f"{one.dataset.table}: {one.ahead} only there, {one.behind} only here, {one.differs} differ")
    lines = sum(one.cost.lines for one in found.datasets)
    screen.note(f"{counted(lines, 'line')} came over to know it")


def _require_equal(screen: Screen, work: Workspace, source: Source) -> None:
    """Every value of every row on both sides."""
    found = jobs.differences(work, "sales", source, values=True)
    if differing := [one.dataset.table for one in found.datasets if not one.is_none]:
        raise DemoError(f"both sides differ in {', '.join(differing)}; see: dataops reconcile sales --values")
    rows = sum(one.cost.lines for one in found.datasets) // 2
    screen.note(f"both sides are equal: {rows:,} rows, every value")


if __name__ == "__main__":
    sys.exit(main())
