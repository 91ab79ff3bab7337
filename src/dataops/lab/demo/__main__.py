"""Acts 3 to 6, inside .venv: `python -m dataops.lab.demo`. Exit codes as the command line's."""

from __future__ import annotations

import logging
import signal
import sys
import warnings

from dataops.declared.errors import DataopsError
from dataops.lab.demo import told
from dataops.lab.demo.acts import Stage, bad_delivery, data_found, first_look, still_holds
from dataops.lab.demo.memory import Memory
from dataops.lab.demo.origin import Origin
from dataops.lab.demo.scheduled import rest_under_airflow
from dataops.lab.demo.screen import Screen, Watch
from dataops.ledger import incidents, publications
from dataops.ledger.enums import IncidentState
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.sources.opening import FoundSource, find_source


def main() -> int:
    """Plays the acts; a failed one says what to do, and the next `make demo` resumes with it."""
    already = next((float(a.partition("=")[2]) for a in sys.argv[1:] if a.startswith("--started=")), 0.0)
    screen, watch = Screen(), Watch(already)
    # As Ctrl-C: on its way out the exception stops the Airflow that act 6 started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _play(screen, watch)
    except DataopsError as error:
        screen.note(f"FAILED after {watch.took:.0f} s: {error}")
        screen.note("Finished steps are kept; correct this, then: make demo")
        return error.exit_code
    except KeyboardInterrupt:
        screen.note("interrupted; `make demo` goes on with the step that was not finished")
        return 130


def _play(screen: Screen, watch: Watch) -> int:
    work = open_workspace()
    _keep_quiet(work)
    found = _found(work)
    memory = Memory(work.settings.paths.home / "demo.json")
    memory.forget_unless(still_holds(work))
    before = _publications(work)
    stage = Stage(work, Origin(found.url), screen, memory)
    data_found(stage, found.sentence)
    first_look(stage)
    bad_delivery(stage)
    rest_under_airflow(stage)
    _farewell(stage, watch, before)
    return 0


def _keep_quiet(work: Workspace) -> None:
    """Warnings and log lines of libraries go to a file: the screen belongs to the acts."""
    work.settings.paths.log.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=work.settings.paths.log / "demo.log", level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")


def _found(work: Workspace) -> FoundSource:
    if url := work.settings.source_url:
        return FoundSource(url, f"Source as DATAOPS_SOURCE_URL says: {url}")
    return find_source(work.settings.paths.project, work.settings.paths.home / "source")


def _publications(work: Workspace) -> int:
    with work.warehouse.reading() as connection:
        return publications.horizon(connection) if is_there(connection) else 0


def _farewell(stage: Stage, watch: Watch, before: int) -> None:
    screen, made = stage.screen, _publications(stage.work) - before
    with stage.work.warehouse.reading() as connection:
        states = [incident.state for incident in incidents.newest(connection, None, 1000)]
    minutes, rest = divmod(round(watch.took), 60)
    took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    solved = states.count(IncidentState.RESOLVED)
    made_text = f"{made} publications" if made else "nothing was published, all was there already"
    screen.line()
    screen.line(f"Done in {took}: {made_text}; {len(states)} incident opened, {solved} solved.")
    screen.line()
    paths = stage.work.settings.paths
    front = paths.shown(paths.data_docs / "index.html")
    screen.note(f"steward site   {front:<35} (double click, no server)")
    screen.note(f"messages       {paths.shown(told.folder(stage.work)):<35} (what people would have got)")
    screen.note("Airflow, site  make up")
    screen.note("next           .venv/bin/dataops status")
    screen.note('               .venv/bin/dataops query "select * from curated.fct_sales limit 5"')
    screen.note("               .venv/bin/dataops incidents show INC-0001")


if __name__ == "__main__":
    sys.exit(main())
