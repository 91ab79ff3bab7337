"""Incremental equals full: whatever happened before, `build` leaves what `build --full` leaves, for every model."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataops.declared.errors import DataRejected, VerdictError
from dataops.ledger import schema
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources.port import Window
from tests.conftest import PostgresServer
from tests.support.models import add_checkpoint, add_model
from tests.support.oracle import Place, copy_database
from tests.support.shop import Shop, fetch, line, load, own_project, small_shop

pytestmark = pytest.mark.integration
RUNS = int(os.environ.get("DATAOPS_TEST_RUNS", "1"))
STEPS = int(os.environ.get("DATAOPS_TEST_STEPS", "5"))
SEED = int(os.environ.get("DATAOPS_TEST_SEED", "20261127"))
DAY_TOTAL = """
SELECT CAST(f.order_day AS date) AS order_day, CAST(COUNT(*) AS integer) AS line_count,
    CAST(SUM(f.amount) AS numeric(19, 4)) AS amount
FROM curated.fct_line AS f WHERE f.order_day IS NOT NULL GROUP BY f.order_day
"""
ORDER_SIZE = """-- incremental_by: order_id
SELECT CAST(f.order_id AS integer) AS order_id, CAST(COUNT(*) AS integer) AS line_count,
    CAST(SUM(f.amount) AS numeric(19, 4)) AS amount
FROM curated.fct_line AS f GROUP BY f.order_id
"""
REGION_TOTAL = """
SELECT CAST(f.region AS varchar) AS region, CAST(SUM(s.amount) AS numeric(19, 4)) AS amount
FROM (SELECT DISTINCT order_id, region FROM curated.fct_line) AS f
JOIN curated.order_size AS s ON s.order_id = f.order_id WHERE f.region IS NOT NULL GROUP BY f.region
"""
MONEY = "numeric(19, 4)"
MODELS = {  # table: SQL, columns, key
    "day_total": (DAY_TOTAL, {"order_day": "date", "line_count": "integer", "amount": MONEY}, ("order_day",)),
    "order_size": (ORDER_SIZE, {"order_id": "integer", "line_count": "integer", "amount": MONEY}, ("order_id",)),
    "region_total": (REGION_TOTAL, {"region": "varchar", "amount": MONEY}, ("region",)),
}
Twin = Callable[[Place], Place]


def _project(folder: Path, group: str) -> Path:
    own = own_project(folder)
    if group != "curated":
        add_checkpoint(own, group)
    for number, (table, (sql, columns, key)) in enumerate(MODELS.items(), start=1):
        add_model(own, table, sql, columns, key, number, group)
    return own


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], tuple[Place, Twin]]:
    """A warehouse over a project with more models in `group`, and how to make a copy of how it stands."""

    def make(group: str) -> tuple[Place, Twin]:
        own = _project(tmp_path / "project", group)
        server: PostgresServer | None = None
        if request.param == "postgres":
            server = request.getfixturevalue("postgres")
        first = Place(
            tmp_path / "home", server.create_database("incremental") if server else None, own, log_bytes=2**22
        )
        first.home.mkdir()

        def twin(of: Place) -> Place:
            home = tmp_path / "twin"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(of.home, home)
            return Place(
                home, copy_database(str(of.url), "incremental", "twin") if of.url else None, own, log_bytes=2**22
            )

        return first, twin

    return make


def _groups(work: Workspace) -> list[str]:
    return [name for name, group in work.catalog.groups.items() if group.layer != "raw"]


def _build(work: Workspace, *, full: bool) -> list[str]:
    """All groups of models, those of the facts first; what each ended in."""
    found = []
    for name in sorted(_groups(work)):
        try:
            built, done = jobs.build(work, name, full=full)
        except (DataRejected, VerdictError) as error:
            found.append(str(error).splitlines()[0])
            continue
        found.append(done.verdict.name if done.verdict and built.models else "PASSED")
    return found


def _standing(work: Workspace) -> dict[str, Any]:
    """What is published of every model, and what waits."""
    found = {}
    for table in ("fct_line", *MODELS):
        columns = ", ".join(work.catalog.dataset(table).column_names)
        found[table] = sorted(map(repr, fetch(work, f"SELECT {columns} FROM curated.{table}")))
        waiting = (
            f"SELECT DISTINCT {columns} FROM quarantine.{table} WHERE _closed IS NULL"
            " AND _batch IN (SELECT batch FROM ops.publications)"
        )
        found[f"{table} waiting"] = sorted(map(repr, fetch(work, waiting)))
    return found


def test_a_whole_model_reads_the_whole_of_an_incremental_one_of_its_group(
    place: Callable[[str], tuple[Place, Twin]],
) -> None:
    """It was made of the keys that changed alone: a tenth of the rows, a hundredth of the money."""
    here, _ = place("curated")
    work = here.open()
    shop = small_shop(orders=9)
    load(work, shop, "reference")
    load(work, shop, "sales")
    jobs.build(work, "curated")
    shop.add_order(10, 1, 10, [line(10, 1), line(10, 2)])
    load(work, shop, "sales", Window.parse("2014-05-10..2014-05-11"))
    built, _ = jobs.build(work, "curated")
    assert set(built.models) == {"fct_line", *MODELS}
    assert fetch(work, "SELECT COUNT(*), SUM(line_count), SUM(amount) FROM curated.day_total") == [
        (10, 20, Decimal("290.0000"))
    ]
    assert fetch(work, "SELECT SUM(amount) FROM curated.region_total") == [(Decimal("290.0000"),)]
    scope = "SELECT scope FROM ops.batch_datasets WHERE table_name = 'fct_line' ORDER BY batch DESC LIMIT 1"
    assert fetch(work, scope) == [("keys:order_id",)]


def _strict(here: Place, limit: int | None) -> None:
    """The suite of the facts lets amounts up to `limit` pass, or all."""
    file = here.project / "expectations" / "curated" / "fct_line.yml"
    text = file.read_text()
    start = text.index('"min_value": 0')
    end = text.index("}", start)
    most = "" if limit is None else f', "max_value": {limit}'
    file.write_text(f'{text[:start]}"min_value": 0{most}{text[end:]}')


def _lenient(here: Place) -> None:
    """Half of the rows of a group may be held."""
    file = here.project / "checkpoints" / "curated.yml"
    file.write_text(file.read_text().replace("rows: 0%", "rows: 60%"))


def test_a_corrected_rule_of_a_model_lets_its_rows_pass_with_the_next_build(
    place: Callable[[str], tuple[Place, Twin]],
) -> None:
    here, _ = place("totals")
    _lenient(here)
    _strict(here, 15)  # second lines cost 20
    work = here.open()
    load(work, small_shop(), "reference")
    load(work, small_shop(), "sales")
    jobs.build(work, "curated")
    assert fetch(work, "SELECT COUNT(*) FROM curated.fct_line") == [(4,)]
    _strict(here, None)
    _, done = jobs.build(here.open(), "curated")
    assert done.publication is not None
    assert fetch(work, "SELECT COUNT(*) FROM curated.fct_line") == [(8,)]
    assert fetch(work, "SELECT DISTINCT _closed FROM quarantine.fct_line") == [("released",)]


def test_a_model_made_of_rows_that_are_held_is_not_published(place: Callable[[str], tuple[Place, Twin]]) -> None:
    """In the group of the facts they would be counted, although nobody may read them."""
    here, _ = place("curated")
    _lenient(here)
    _strict(here, 15)
    work = here.open()
    load(work, small_shop(), "reference")
    load(work, small_shop(), "sales")
    _, done = jobs.build(work, "curated")
    assert done.verdict is not None
    assert done.verdict.name == "FAILED"
    assert "curated.day_total is computed from curated.fct_line, of which 4 rows are held" in done.verdict.reasons[0]
    assert fetch(work, "SELECT COUNT(*) FROM curated.day_total") == [(0,)]


class History:
    """A random sequence of what changes the inputs, the rules or what stands."""

    def __init__(self, here: Place, chance: random.Random) -> None:
        self.here, self.chance = here, chance
        self.shop: Shop = small_shop(customers=4, orders=6)
        self.done: list[str] = []

    def step(self) -> None:
        steps = [
            self.change,
            self.change,
            self.add,
            self.remove,
            self.move,
            self.corrupt,
            self.rule,
            self.back,
            self.replay,
        ]
        chosen = self.chance.choice(steps)
        self.done.append(chosen.__name__)
        chosen()

    def _load(self, *groups: str) -> None:
        work = self.here.open()
        for group in groups or ("reference", "sales"):
            load(work, self.shop, group)

    def _total(self, number: int) -> None:
        order = next(o for o in self.shop.orders if o["order_id"] == number)
        own = [row for row in self.shop.lines if row["order_id"] == number]
        order["sub_total"] = sum((row["amount"] for row in own), Decimal(0))

    def change(self) -> None:
        """Some lines get another quantity, and an order another day: only its window is loaded."""
        row = self.chance.choice(self.shop.lines)
        row |= line(row["order_id"], row["line_id"], qty=self.chance.randint(1, 4))
        self._total(row["order_id"])
        self._load("sales")

    def add(self) -> None:
        number = max(o["order_id"] for o in self.shop.orders) + 1
        lines = [line(number, n, qty=self.chance.randint(1, 3)) for n in range(1, self.chance.randint(2, 4))]
        self.shop.add_order(number, self.chance.randint(1, 4), self.chance.randint(1, 28), lines)
        self._load("sales")

    def remove(self) -> None:
        if len(self.shop.orders) > 2:
            gone = self.shop.orders.pop(self.chance.randrange(len(self.shop.orders)))["order_id"]
            self.shop.lines = [row for row in self.shop.lines if row["order_id"] != gone]
        self._load("sales")

    def move(self) -> None:
        """A customer moves, so the region of all his orders changes."""
        self.chance.choice(self.shop.customers)["region"] = self.chance.choice(["DE", "FR", "US"])
        self._load("reference")

    def corrupt(self) -> None:
        """A line that waits in quarantine with its order, until it is changed again."""
        row = self.chance.choice(self.shop.lines)
        row["qty"] = 5000
        self._load("sales")

    def rule(self) -> None:
        _strict(self.here, self.chance.choice([None, 15, 25, 35]))

    def back(self) -> None:
        work = self.here.open()
        group = self.chance.choice(["sales", "reference", *_groups(work)])
        with work.warehouse.reading() as connection:
            if schema.version(connection) is None:
                return
        ids = [r[0] for r in fetch(work, f"SELECT publication_id FROM ops.publications WHERE group_name = '{group}'")]
        if ids:
            try:
                jobs.roll_back(work, group, self.chance.choice(ids), "a test")
            except DataRejected:
                self.done[-1] += " refused"

    def replay(self) -> None:
        jobs.replay(self.here.open(), "sales")


@pytest.mark.parametrize("group", ["curated", "totals"])
@pytest.mark.parametrize("run", range(RUNS))
def test_build_leaves_what_a_full_build_leaves(
    place: Callable[[str], tuple[Place, Twin]], group: str, run: int
) -> None:
    here, twin = place(group)
    _lenient(here)
    seed = SEED + run
    history = History(here, random.Random(seed))  # noqa: S311  a seeded test
    history._load()
    for _ in range(STEPS):
        history.step()
        other = twin(here)
        full, some = _build(other.open(), full=True), _build(here.open(), full=False)
        assert some == full, (seed, history.done)
        assert _standing(here.open()) == _standing(other.open()), (seed, history.done)
