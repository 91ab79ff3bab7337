"""Whatever happens to a live source, and whatever is loaded in between: after a comparison both sides are the same.

DATAOPS_TEST_HISTORIES says how many random histories are played.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dataops.declared.errors import DataRejected
from dataops.pipeline import jobs
from dataops.sources import Window
from tests.conftest import PostgresServer
from tests.support.live_shop import MAY, LiveShop, live_shop
from tests.support.shop import workspace

pytestmark = pytest.mark.integration
HISTORIES = int(os.environ.get("DATAOPS_TEST_HISTORIES", "2"))
STEPS, PER_STEP = 7, 12
STAMPED = "modified = (now() AT TIME ZONE 'UTC') + interval '{skew} minutes'"


class History:
    """Random things done to the shop; each is a committed transaction unless it is kept for later."""

    def __init__(self, shop: LiveShop, seed: int) -> None:
        self.shop, self.chance = shop, random.Random(seed)  # noqa: S311
        self.next, self.late = 100, list[psycopg.Connection]()

    def step(self) -> None:
        kinds = (self.insert, self.insert, self.insert, self.update, self.delete, self.move, self.renumber)
        for _ in range(PER_STEP):
            self.chance.choice(kinds)()

    def insert(self) -> None:
        """Now and then with a quantity that is held, and now and then committed later."""
        qty = 5000 if self.chance.random() < 0.1 else self.chance.randint(1, 900)
        statements = self.shop.order(self.next, self.chance.randint(1, 28), self.chance.randint(1, 3), qty)
        self.next += 1
        if self.chance.random() < 0.2 and len(self.late) < 5:
            transaction = self.shop.begin()
            for statement in statements:
                transaction.execute(statement)
            self.late.append(transaction)
        else:
            self.shop.run(*statements)

    def update(self) -> None:
        """By somebody whose clock is anything up to three hours wrong."""
        stamped = STAMPED.format(skew=self.chance.randint(-180, 180))
        self.one(f"UPDATE sales.sales_order SET customer_id = 1 + customer_id %% 3, {stamped} WHERE order_id = %s")

    def delete(self) -> None:
        self.one(
            "DELETE FROM sales.order_line WHERE order_id = %s", "DELETE FROM sales.sales_order WHERE order_id = %s"
        )

    def move(self) -> None:
        """To another day, unstamped."""
        day = self.chance.randint(1, 28)
        self.one(f"UPDATE sales.sales_order SET order_date = '2014-05-{day:02d}' WHERE order_id = %s")

    def renumber(self) -> None:
        self.next += 1
        lines = f"UPDATE sales.order_line SET order_id = {self.next} WHERE order_id = %s"
        self.one(lines, f"UPDATE sales.sales_order SET order_id = {self.next} WHERE order_id = %s")
        self.next += 1

    def one(self, *statements: str) -> None:
        """The statements, for one of the orders that can be seen."""
        with psycopg.connect(self.shop.url) as connection:
            seen = [row[0] for row in connection.execute("SELECT order_id FROM sales.sales_order ORDER BY 1")]
            chosen = self.chance.choice(seen)
            for statement in statements:
                connection.execute(statement, (chosen,))  # type: ignore[arg-type]

    def settle(self) -> None:
        for transaction in self.late:
            transaction.commit()
            transaction.close()
        self.late.clear()


@pytest.fixture
def shop(postgres: PostgresServer, tmp_path: Path) -> Iterator[LiveShop]:
    made = live_shop(tmp_path, postgres.create_database("live_shop"))
    made.load()
    yield made
    made.close()


def copied(server: PostgresServer, old: str, new: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{new}" WITH (FORCE)')  # type: ignore[arg-type]
        connection.execute(f'CREATE DATABASE "{new}" TEMPLATE "{old}"')  # type: ignore[arg-type]


def reconciled(shop: LiveShop) -> None:
    with shop.source() as source:
        for window in jobs.differences(shop.work, "sales", source, values=True).windows:
            jobs.load(shop.work, "sales", window, source, renewed=True)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_after_a_comparison_both_sides_are_the_same(
    shop: LiveShop, postgres: PostgresServer, tmp_path: Path, seed: int
) -> None:
    """And the same as what a load of everything into an empty warehouse makes of the source."""
    history = History(shop, seed)
    copied(postgres, "live_shop", "live_backup")
    for number in range(STEPS):
        history.step()
        start = history.chance.randint(1, 20)
        shop.load(history.chance.choice((MAY, Window.parse(f"2014-05-{start:02d}..2014-05-{start + 8:02d}"))))
        if number == STEPS // 2:
            history.settle()
            copied(postgres, "live_backup", "live_shop")
            with pytest.raises(DataRejected, match="dataops reconcile sales"):
                shop.load()
            reconciled(shop)
    history.settle()
    reconciled(shop)
    fresh = LiveShop(shop.url, workspace(tmp_path / "fresh", project=tmp_path / "project"))
    fresh.load(None, "reference")
    fresh.load(None)
    for table in ("sales_order", "order_line"):
        assert shop.published(table) == fresh.published(table), f"seed {seed}: {table}"
    there, stands = shop.there("sales_order"), shop.published("sales_order")
    held = {row[0] for row in there} - {row[0] for row in stands}
    assert [row for row in there if row[0] not in held] == stands
    with psycopg.connect(shop.url) as connection:
        bad = connection.execute("SELECT DISTINCT order_id FROM sales.order_line WHERE qty > 1000").fetchall()
    assert held == {row[0] for row in bad}
