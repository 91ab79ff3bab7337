"""`make up` and `make down`: Airflow and the docs site on loopback, left running and stopped by their recorded ids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dataops.declared import settings as settings_
from dataops.declared.errors import DataopsError
from dataops.declared.paths import Paths
from dataops.declared.settings import Settings
from dataops.lab.airflow.headless import Headless, free_port, record, recorded_url, running, stop_recorded
from dataops.lab.demo.scheduled import DAGS
from dataops.lab.demo.screen import Screen

AIRFLOW_PORT, SITE_PORT = 8080, 8081


def main() -> int:
    """`up` or `down`; exit codes as the command line's."""
    screen = Screen()
    try:
        settings = settings_.load()
        if sys.argv[1:] == ["down"]:
            return _down(screen, settings.paths)
        return _up(screen, settings)
    except DataopsError as error:
        screen.line(f"error: {error}")
        return error.exit_code


def _up(screen: Screen, settings: Settings) -> int:
    paths = settings.paths
    site_pids = _site_pids(paths)
    if not running(site_pids):
        _start_site(paths, site_pids)
    # The sample ends in 2014: by the clock, every partition would be held for want of rows.
    airflow = Headless(paths.project, paths.home, port=AIRFLOW_PORT, cron=settings.source_url is not None)
    if running(airflow.pids):
        screen.line("already up")
        url = recorded_url(airflow.pids)
    else:
        screen.meanwhile("Airflow boots")
        _start_airflow(airflow, by_clock=settings.source_url is not None)
        url = airflow.url
    screen.line(f"Airflow  {url}   user admin, password {airflow.password}")
    screen.line(f"         a second person: user approver, password {airflow.approver_password}")
    screen.line(f"site     {recorded_url(site_pids)}")
    screen.line("Only this machine can reach them. Stop both: make down")
    return 0


def _start_airflow(airflow: Headless, *, by_clock: bool) -> None:
    try:
        # With a source of one's own, DAGs stay paused: switching one on is a decision, and starts it by the clock.
        airflow.start(dags=DAGS, paused=by_clock)
    except BaseException:
        airflow.stop()
        raise


def _start_site(paths: Paths, pids: Path) -> None:
    paths.data_docs.mkdir(parents=True, exist_ok=True)
    paths.log.mkdir(parents=True, exist_ok=True)
    port = free_port(SITE_PORT)
    folder = str(paths.data_docs)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder]
    with (paths.log / "site.log").open("ab") as out:
        server = subprocess.Popen(  # noqa: S603
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    record(pids, f"http://127.0.0.1:{port}", {"site": server.pid})


def _down(screen: Screen, paths: Paths) -> int:
    stopped = stop_recorded(paths.home / "airflow" / "pids.json") + stop_recorded(_site_pids(paths))
    screen.line(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _site_pids(paths: Paths) -> Path:
    return paths.home / "site-pids.json"


if __name__ == "__main__":
    sys.exit(main())
