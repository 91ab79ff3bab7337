"""People at work in the live source: orders come, change and disappear, some of it committed late, while it is read."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from dataops.sources.port import Window

HERE = Path(__file__).parent
ORDERS_OF = "SELECT sales_order_id FROM sales.sales_order_header WHERE order_date >= %s AND order_date < %s ORDER BY 1"
FIRST_NEW, SHIFT = 900_000, 10_000_000
PAUSE = 0.1  # seconds between two transactions
WORK = ("new", "other quantity", "gone")
FILES = {"other quantity": "live_other_quantity.sql", "gone": "live_gone.sql"}
LATE = 20  # transactions that pass before one that was begun is committed


@dataclass
class ShopFloor:
    """A thread that writes orders of a window until it is stopped; `done` counts what it did."""

    url: str
    window: Window
    seed: int = 7
    done: Counter[str] = field(default_factory=Counter)
    problem: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def open(self) -> None:
        """People come to work."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """They go home, once everything begun is committed. Raises what stopped one of them."""
        self._stop.set()
        if self._thread:
            self._thread.join(60)
        if self.problem:
            raise self.problem

    def _work(self) -> None:
        try:
            with psycopg.connect(self.url) as today, psycopg.connect(self.url) as late:
                self._write(today, late)
        except Exception as problem:  # noqa: BLE001  told by `close`
            self.problem = problem

    def _write(self, today: psycopg.Connection[Any], late: psycopg.Connection[Any]) -> None:
        chance = random.Random(self.seed)  # noqa: S311  a play
        orders = [row[0] for row in today.execute(ORDERS_OF, (self.window.start, self.window.end))]
        today.commit()
        models, others = orders[::2], orders[1::2]  # some are copied, others change or go, each once
        number = 0
        while not self._stop.wait(PAUSE):
            number += 1
            [what] = chance.choices(WORK, weights=(60, 37, 3)) if others else ["new"]
            if number % LATE == 1:
                late.commit()
                _order(late, chance.choice(models), FIRST_NEW + number)
                self.done["committed late"] += 1
                continue
            if what == "new":
                _order(today, chance.choice(models), FIRST_NEW + number)
            else:
                _run(today, FILES[what], order=others.pop(chance.randrange(len(others))))
            today.commit()
            self.done[what] += 1
        late.commit()


def _order(connection: psycopg.Connection[Any], like: int, number: int) -> None:
    _run(connection, "live_new_order.sql", like=like, order=number, shift=SHIFT + 100 * number)


def _run(connection: psycopg.Connection[Any], file: str, **values: int) -> None:
    text = (HERE / file).read_text("utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            connection.execute(statement, values)
