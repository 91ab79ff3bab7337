"""Random histories for as long as you like: loads, corruptions, waivers, discards, replays, roll-backs, kills.

    python -m tests.support.soak [--engine duckdb|postgres] [--seconds 1200] [--seed N]

Every verb is a process of its own; every third is killed at a random moment and taken again, as a scheduler does. After
each verb the invariants are looked at; the first deviation ends the run with the seed and what was done.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dataops.declared.errors import DataRejected, DeclarationError, VerdictError
from dataops.gate.waivers import Scope
from dataops.ledger import clock, tables
from dataops.ledger.publications import PublicationDataset
from dataops.ledger.reading import every
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, stewards, verification
from dataops.sources.port import Window
from tests.conftest import new_postgres
from tests.support.crash import Child
from tests.support.oracle import Place, copy_database
from tests.support.shop import Shop, fetch, land, line, own_project, small_shop

QTY = "SAL-031"
VERBS = (
    *("change", "change", "add", "remove", "corrupt", "move"),
    *("build", "build", "replay", "back", "waive", "revoke", "discard"),
)
KILLED = 1 / 3
REFUSED = (DataRejected, DeclarationError, VerdictError)
DANGLING = (
    "SELECT order_id FROM validated.order_line WHERE order_id NOT IN (SELECT order_id FROM validated.sales_order)"
    " UNION ALL SELECT order_id FROM validated.sales_order WHERE customer_id NOT IN"
    " (SELECT customer_id FROM validated.customer)"
)
UNBALANCED = (
    "SELECT o.order_id FROM validated.sales_order o LEFT JOIN (SELECT order_id, SUM(amount) AS total"
    " FROM validated.order_line GROUP BY order_id) l ON l.order_id = o.order_id"
    " WHERE ABS(o.sub_total - COALESCE(l.total, 0)) > 0.01"
)
BAD = "SELECT order_id FROM validated.order_line WHERE qty NOT BETWEEN 1 AND 1000"
FACTS = (
    "SELECT l.order_id, l.line_id, l.amount FROM validated.order_line l"
    " JOIN validated.sales_order o ON o.order_id = l.order_id"
    " JOIN validated.customer c ON c.customer_id = o.customer_id"
)


def load(place: Place, shop: Shop, group: str, window: str | None) -> str:
    """What became of the delivery."""
    work = place.open()
    batch = land(work, shop, group, Window.parse(window) if window else None)
    verdict = jobs.run_gate(work, group, batch)
    return jobs.publish(work, group, batch).status if verdict.passed else verdict.name


def build(place: Place, full: bool) -> str:
    _, done = jobs.build(place.open(), "curated", full=full)
    return done.publication.status if done.publication else str(done.verdict and done.verdict.name)


def replay(place: Place) -> int:
    return jobs.replay(place.open(), "sales").rows_passing


def roll_back(place: Place, group: str, publication: str) -> str:
    return jobs.roll_back(place.open(), group, publication, "soak").status


def waive(place: Place, hours: float) -> str:
    """A rule is waived by two people for a while."""
    work = place.open()
    until = clock.now() + timedelta(hours=hours)
    made = stewards.add_waiver(work, Scope("sales", QTY), "anna", "soak", until)
    return str(stewards.approve_waiver(work, made.waiver.waiver_id, "ben").waiver.waiver_id)


def revoke(place: Place) -> int:
    work = place.open()
    standing = [row for row in stewards.waivers(work) if row.state == "in force"]
    for row in standing:
        stewards.revoke_waiver(work, row.waiver.waiver_id, "ben")
    return len(standing)


def discard(place: Place) -> dict[str, int]:
    return stewards.discard(place.open(), "order_line", QTY, None, "anna", "soak")


@dataclass
class Soak:
    """One history over one warehouse."""

    place: Place
    seed: int
    chance: random.Random = field(init=False)
    shop: Shop = field(default_factory=lambda: small_shop(customers=4, orders=6))
    done: list[str] = field(default_factory=list)
    kills: int = 0
    waived: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311  a seeded test
        self.take(load, self.shop, "reference", None)
        self.take(load, self.shop, "sales", None)

    def take(self, verb: Any, *arguments: Any) -> Any:
        """In a process of its own, which may be killed; then once more, undisturbed."""
        self.done.append(f"{verb.__name__} {[a for a in arguments if not isinstance(a, Shop)]}")
        if self.chance.random() < KILLED:
            child = Child(verb, self.place, *arguments)
            child.process.join(self.chance.random() * 3)
            if child.process.is_alive():
                child.stop()
                self.kills += 1
                self.done[-1] += " (killed first)"
        found = Child(verb, self.place, *arguments).outcome(300)
        if found.raised and not any(kind.__name__ in found.raised for kind in REFUSED):
            raise AssertionError(found.trace)
        return found.value

    def step(self) -> None:
        work = self.place.open()
        match self.chance.choice(VERBS):
            case "build":
                self.take(build, self.chance.random() < 0.3)
                self.facts()
            case "replay":
                self.take(replay)
            case "back":
                found = fetch(work, "SELECT group_name, publication_id FROM ops.publications ORDER BY seq")
                self.take(roll_back, *self.chance.choice(found))
            case "waive":
                self.waived = True
                self.take(waive, 1)
            case "revoke":
                self.take(revoke)
            case "discard":
                self.take(discard)
            case "move":
                self.chance.choice(self.shop.customers)["region"] = self.chance.choice(["DE", "FR", "US", "de"])
                self.take(load, self.shop, "reference", None)
            case change:
                getattr(self, f"_{change}")()
                self.take(load, self.shop, "sales", self.chance.choice([None, None, "2014-05-01..2014-05-15"]))
        self.look()

    def _change(self) -> None:
        row = self.chance.choice(self.shop.lines)
        row |= line(row["order_id"], row["line_id"], qty=self.chance.randint(1, 4))
        self._total(row["order_id"])

    def _add(self) -> None:
        number = max(o["order_id"] for o in self.shop.orders) + 1
        lines = [line(number, n, qty=self.chance.randint(1, 3)) for n in range(1, self.chance.randint(2, 4))]
        self.shop.add_order(number, self.chance.randint(1, 4), self.chance.randint(1, 28), lines)

    def _remove(self) -> None:
        if len(self.shop.orders) > 3:
            gone = self.shop.orders.pop(self.chance.randrange(len(self.shop.orders)))["order_id"]
            self.shop.lines = [row for row in self.shop.lines if row["order_id"] != gone]

    def _corrupt(self) -> None:
        row = self.chance.choice(self.shop.lines)
        row |= line(row["order_id"], row["line_id"], qty=5000, price="0.01")
        self._total(row["order_id"])

    def _total(self, number: int) -> None:
        order = next(o for o in self.shop.orders if o["order_id"] == number)
        own = [row["amount"] for row in self.shop.lines if row["order_id"] == number]
        order["sub_total"] = sum(own, Decimal(0))

    def look(self) -> None:
        """The invariants that hold after every verb."""
        work = self.place.open()
        with work.warehouse.reading() as connection:
            proof = verification.verify(connection, tuple(work.catalog.datasets.values()), rows=True)
        assert proof.proven, proof
        assert fetch(work, DANGLING) == []
        assert fetch(work, UNBALANCED) == []
        assert self.waived or fetch(work, BAD) == []
        for row in self._counts(work):
            assert row.ties, row
        twice = "SELECT batch_id FROM ops.batches GROUP BY batch_id HAVING COUNT(*) > 1"
        assert fetch(work, twice) == []
        published = "SELECT batch FROM ops.publications WHERE batch IS NOT NULL"
        half = f"SELECT batch_id FROM ops.batches WHERE state = 'published' AND seq NOT IN ({published})"
        assert fetch(work, half) == []

    def _counts(self, work: Workspace) -> list[PublicationDataset]:
        with work.warehouse.reading() as connection:
            return every(connection, PublicationDataset, sa.select(tables.publication_datasets))

    def facts(self) -> None:
        """The facts are the join of what is validated, whatever was built before; and a whole build changes nothing."""
        work = self.place.open()
        stands = fetch(work, "SELECT order_id, line_id, amount FROM curated.fct_line ORDER BY 1, 2")
        assert stands == sorted(fetch(work, FACTS)), (stands, sorted(fetch(work, FACTS)))
        twin = Place(self.place.home.with_name("twin"), None, self.place.project)
        shutil.rmtree(twin.home, ignore_errors=True)
        shutil.copytree(self.place.home, twin.home)
        if self.place.url:
            twin = Place(twin.home, copy_database(str(self.place.url), "soak", "soak_twin"), self.place.project)
        jobs.build(twin.open(), "curated", full=True)
        assert fetch(twin.open(), "SELECT order_id, line_id, amount FROM curated.fct_line ORDER BY 1, 2") == stands


def soak(engine: str, seconds: float, seed: int) -> tuple[int, int, int]:
    """(histories, verbs, kills) until the time is over. Raises AssertionError at the first deviation."""
    server = new_postgres() if engine == "postgres" else None
    if server:
        server.start()
    deadline, histories, verbs, kills = time.monotonic() + seconds, 0, 0, 0
    try:
        while time.monotonic() < deadline:
            folder = Path(tempfile.mkdtemp(prefix="dataops-soak-"))
            url = server.create_database("soak") if server else None
            history = Soak(Place(folder / "home", url, own_project(folder / "project"), 60, 2**20), seed + histories)
            try:
                for _ in range(25):
                    history.step()
                    if time.monotonic() > deadline:
                        break
            except BaseException:
                print(f"DEVIATION engine {engine} seed {history.seed}: {'; '.join(history.done)}", flush=True)  # noqa: T201
                raise
            histories, verbs, kills = histories + 1, verbs + len(history.done), kills + history.kills
            print(f"{engine} seed {history.seed}: {len(history.done)} verbs, {history.kills} kills, sound", flush=True)  # noqa: T201
            shutil.rmtree(folder)
    finally:
        if server:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
    return histories, verbs, kills


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--engine", choices=("duckdb", "postgres"), action="append")
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    for engine in given.engine or ("duckdb", "postgres"):
        histories, verbs, kills = soak(engine, given.seconds, given.seed)
        print(f"{engine}: {histories} histories from seed {given.seed}, {verbs} verbs, {kills} kills, 0 deviations")  # noqa: T201


if __name__ == "__main__":
    main()
