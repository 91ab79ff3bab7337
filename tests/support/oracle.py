"""What a crash is measured by: a fixed sequence of steps over the small shop, and how everything stands after each.

A case copies the warehouse as it stood before a step, breaks the step, and compares: at once (previous or next
publication, nothing between) and after the step was run again (S*, the state of an undisturbed run).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared import failpoint, settings
from dataops.gate.waivers import Scope
from dataops.ledger import chain, clock, migrating, tables
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs, stewards
from dataops.sources.port import Window
from dataops.warehouse import duckdb_file
from tests.support.shop import PROJECT, Shop, fetch, land, line, order, small_shop, state

State = dict[str, tuple[int, str]]
DAYS = Window.parse("2014-05-01..2014-05-03")
PUBLISHED = ("validated.", "validated_history.", "curated.", "curated_history.", "ops.publication")


@dataclass(frozen=True)
class Place:
    """Where a case works: a home folder, and a PostgreSQL database unless the warehouse is a file below it."""

    home: Path
    url: str | None = None
    project: Path = PROJECT
    lock_seconds: float = 5
    log_bytes: int = 0  # a checkpoint after every COMMIT that wrote: there is most to be torn by a kill

    @property
    def engine(self) -> str:
        return "postgres" if self.url else "duckdb"

    def remove(self) -> None:
        """Gives the memory back that a case took; hundreds of them do not fit."""
        shutil.rmtree(self.home)

    def open(self) -> Workspace:
        environ = {"DATAOPS_HOME": str(self.home), "DATAOPS_LOCK_SECONDS": str(self.lock_seconds)}
        if self.url:
            environ["DATAOPS_WAREHOUSE_URL"] = self.url
        duckdb_file.LOG_BYTES = self.log_bytes
        return open_workspace(settings.load(environ, project=self.project))


def first_delivery() -> Shop:
    """Four orders; the first has an impossible quantity, so it is held with its lines."""
    shop = small_shop()
    shop.lines[0]["qty"] = 5000
    return shop


def second_delivery() -> Shop:
    """The first order corrected, the second changed and one line shorter, the others as they were."""
    shop = small_shop()
    shop.lines[2] = line(2, 1, qty=7)
    del shop.lines[3]
    shop.orders[1] = order(2, shop.orders[1]["customer_id"], 2, [shop.lines[2]])
    return shop


def _land(group: str, window: Window | None, shop: Callable[[], Shop]) -> Callable[[Workspace], Any]:
    return lambda work: land(work, shop(), group, window)


def _gate(group: str) -> Callable[[Workspace], Any]:
    return lambda work: jobs.run_gate(work, group).name


def _publish(group: str) -> Callable[[Workspace], Any]:
    return lambda work: jobs.publish(work, group).status


def _waived(work: Workspace, rule: str) -> str:
    """A waiver that two people agreed to; asked for once, however often the step is taken."""
    known = {standing.waiver.rule_id: standing for standing in stewards.waivers(work)}
    until = datetime.fromisoformat(f"{clock.now() + timedelta(days=2):%Y-%m-%d}")  # the same when it is asked for again
    made = known.get(rule) or stewards.add_waiver(work, Scope("sales", rule), "anna", "a test", until)
    if made.waiver.approver is None:
        made = stewards.approve_waiver(work, made.waiver.waiver_id, "ben")
    return str(made.state)


STEPS: dict[str, Callable[[Workspace], Any]] = {
    "extract reference": _land("reference", None, first_delivery),
    "gate reference": _gate("reference"),
    "publish reference": _publish("reference"),
    "extract sales": _land("sales", None, first_delivery),
    "gate sales": _gate("sales"),
    "publish sales": _publish("sales"),
    "build": lambda work: jobs.build_candidates(work, "curated").batch_id,
    "gate build": _gate("curated"),
    "publish build": _publish("curated"),
    "extract days": _land("sales", DAYS, second_delivery),
    "gate days": _gate("sales"),
    "publish days": _publish("sales"),
    "build again": lambda work: jobs.build_candidates(work, "curated").batch_id,
    "gate again": _gate("curated"),
    "publish again": _publish("curated"),
    "roll back": lambda work: jobs.roll_back(work, "sales", "sales-0001", "test data").status,
    "extract repeated": _land("reference", None, first_delivery),
    "gate repeated": _gate("reference"),
    "publish repeated": _publish("reference"),
    "extract bad": _land("sales", DAYS, first_delivery),
    "gate bad": _gate("sales"),
    "publish bad": _publish("sales"),
    "waive": lambda work: [_waived(work, rule) for rule in ("SAL-031", "SAL-033")],
    "replay": lambda work: jobs.replay(work, "sales").rows_passing,
}


PUBLISHING = ("publish", "roll back", "replay")


def take(place: Place, step: str) -> Any:
    """Takes one step as a command would, which renews the readers' copy in the end; returns what its verb answered."""
    work = place.open()
    done = STEPS[step](work)
    if step.startswith(PUBLISHING):
        jobs.renew_copy(work)
    return done


def standing(place: Place) -> State:
    """S*, and the landed rows per batch, and on DuckDB how the readers' copy stands."""
    work = place.open()
    found = state(work)
    for table in ("customer", "sales_order", "order_line"):
        rows = [
            (row[1],) for row in fetch(work, f"SELECT _batch, COUNT(*) FROM raw.{table} GROUP BY _batch ORDER BY 1")
        ]
        found[f"raw.{table}"] = (sum(int(row[0]) for row in rows), repr(rows))
    if place.url is None:
        found["published copy"] = _copy(place.home)
    return found


def _copy(home: Path) -> tuple[int, str]:
    import duckdb

    if not (home / "published.duckdb").exists():
        return 0, ""
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        names = ("validated.customer", "validated.order_line", "curated.fct_line")
        rows = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in names]
    leftovers = sorted(file.name.split(".")[-1] for file in home.glob("published.*") if file.name != "published.duckdb")
    return sum(map(len, rows)), repr([sorted(map(repr, r)) for r in rows]) + repr(leftovers)


def published(found: State) -> State:
    """The part of a state that people read, with its publications."""
    return {name: value for name, value in found.items() if name.startswith(PUBLISHED) and value[0]}


def healed(place: Place) -> int:
    """How often the warehouse's file had been torn and was healed."""
    return int(fetch(place.open(), "SELECT COUNT(*) FROM ops.incidents WHERE kind = 'warehouse'")[0][0])


def without_incidents(found: State, torn: int) -> State:
    """The state; where a file was healed, without incidents and word of them: one more shifts their numbers."""
    return {n: value for n, value in found.items() if not torn or not n.startswith(("ops.incident", "ops.outbox"))}


@dataclass
class Stage:
    """One step undisturbed: how everything stood before and after it, how long it took, which failpoints it passed."""

    step: str
    before: Path | str
    home: Path
    previous: State = field(default_factory=dict)
    next: State = field(default_factory=dict)
    seconds: float = 0
    points: tuple[str, ...] = ()


def record(place: Place, folder: Path) -> list[Stage]:
    """Takes all steps in this process, with a copy of the warehouse before each. For a child."""
    passed: list[str] = []
    _listen(passed)
    stages: list[Stage] = []
    found: State = {}
    for number, step in enumerate(STEPS):
        stage = Stage(step, _copied(place, f"stage_{number}"), folder / str(number), previous=found)
        shutil.copytree(place.home, stage.home)
        passed.clear()
        started = time.monotonic()
        take(place, step)
        stage.seconds = time.monotonic() - started
        stage.points = tuple(dict.fromkeys(passed))
        stage.next = found = standing(place)
        stages.append(stage)
    return stages


def _listen(passed: list[str]) -> None:
    """Replaces the failpoint in every module that has it by one that notes its name."""
    original = failpoint.failpoint
    for module in list(sys.modules.values()):
        if getattr(module, "failpoint", None) is original and module is not failpoint:
            module.failpoint = passed.append  # type: ignore[attr-defined]


def _copied(place: Place, name: str) -> str:
    if place.url is None:
        return ""
    copy_database(place.url, urlsplit(place.url).path.lstrip("/"), f"{name}_{place.home.parent.name}".replace("-", "_"))
    return f"{name}_{place.home.parent.name}".replace("-", "_")


def copy_database(server: str, template: str, name: str) -> str:
    """A database equal to `template`; returns its URL."""
    parts = urlsplit(server)
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return parts._replace(path=f"/{name}").geturl()


class Stages:
    """The recorded steps of one engine, and fresh copies of any of them."""

    def __init__(self, stages: list[Stage], url: str | None, folder: Path, worker: str = "master") -> None:
        folder.mkdir(exist_ok=True)
        self.all = stages
        self._url = url
        self._folder = folder
        self._count = 0
        self._broken = f"broken_{worker}"

    @property
    def engine(self) -> str:
        return "postgres" if self._url else "duckdb"

    def __getitem__(self, step: str) -> Stage:
        return next(stage for stage in self.all if stage.step == step)

    def passing(self, point: str) -> list[Stage]:
        """The steps that pass a failpoint."""
        return [stage for stage in self.all if point in stage.points]

    def before(self, step: str, **options: Any) -> Place:
        """A warehouse as it stood before `step`, for a test to break."""
        stage = self[step]
        self._count += 1
        home = Path(shutil.copytree(stage.home, self._folder / f"case-{self._count}"))
        url = copy_database(self._url, str(stage.before), self._broken) if self._url else None
        return Place(home, url, **options)


def reseal(connection: Connection) -> None:
    """What somebody would do who may write to the ledger and knows how receipts are made."""
    before, p = None, tables.publications
    for link in chain.records(connection).links:
        own = sa.update(p).where(p.c.seq == link.seq)
        connection.execute(own.values(previous_receipt=before))
        (again,) = (other for other in chain.records(connection).links if other.seq == link.seq)
        before = again.expected
        connection.execute(own.values(receipt=before))


VERDICTS_SINCE = 5
WITH_RECEIPTS_OF_FEWER_COLUMNS = (2, 3)


def take_back(work: Workspace, version: int) -> None:
    """The ledger as a release of that version had it: no table of alembic's, the version in the settings."""
    if version < VERDICTS_SINCE:
        with work.warehouse.transaction() as connection:  # DuckDB alters no table that the same transaction has updated
            connection.exec_driver_sql("UPDATE ops.batches SET state = LOWER(verdict) WHERE state = 'judged'")
    with work.warehouse.transaction() as connection:
        migrating.downgrade(connection, version)
        connection.exec_driver_sql("DROP TABLE ops.alembic_version")
        own = tables.settings.c.name == "version"
        connection.execute(sa.update(tables.settings).where(own).values(value=str(version)))
        if version in WITH_RECEIPTS_OF_FEWER_COLUMNS:
            reseal(connection)
