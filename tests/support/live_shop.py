"""The shop as a live system: a PostgreSQL whose rows change, commit late and disappear while they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources import Source, Window, open_source
from tests.support.shop import own_project, workspace

MAY = Window.parse("2014-05-01..2014-06-01")
STAMP = """  - name: modified
    data_type: timestamp
"""
WATCHED = """  changes: {by: modified, overlap: 1h}
"""
COMPARED = "  deletes: compare\n"
TABLES = """
CREATE SCHEMA sales;
CREATE TABLE sales.customer (customer_id integer PRIMARY KEY, name text, region text, modified timestamp);
CREATE TABLE sales.sales_order (
  order_id integer PRIMARY KEY, customer_id integer, order_date timestamp, sub_total numeric(19,4),
  modified timestamp DEFAULT (now() AT TIME ZONE 'UTC'));
CREATE TABLE sales.order_line (
  order_id integer, line_id integer, qty integer, price numeric(19,4), amount numeric(19,4), note text,
  modified timestamp DEFAULT (now() AT TIME ZONE 'UTC'), PRIMARY KEY (order_id, line_id));
INSERT INTO sales.customer SELECT n, 'shop', 'DE', '2014-01-01' FROM generate_series(1, 3) n;
"""


def live_project(folder: Path) -> Path:
    """The small project, with a stamp of the last change in orders and lines, and deletions compared."""
    project = own_project(folder)
    for table, more in (("sales_order", WATCHED + COMPARED), ("order_line", WATCHED)):
        file = project / "contracts" / "raw" / f"{table}.yml"
        text = file.read_text("utf-8")
        text = text.replace("  owner:", f"{more}  owner:", 1).replace(
            "checks:\n  - schema", f"{STAMP}checks:\n  - schema"
        )
        file.write_text(text, "utf-8")
    return project


@dataclass
class LiveShop:
    """One database of the shop, and a warehouse that is loaded from it."""

    url: str
    work: Workspace
    through: str | None = None
    """an address that leads to the same database, such as a proxy's"""
    _open: list[psycopg.Connection[Any]] = field(default_factory=list)

    def run(self, *statements: str) -> None:
        """In one transaction."""
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def begin(self) -> psycopg.Connection[Any]:
        """A transaction that stays open until the test ends it."""
        connection = psycopg.connect(self.url)
        self._open.append(connection)
        return connection

    def order(self, number: int, day: int, lines: int = 2, qty: int = 1) -> list[str]:
        """Statements that insert an order with its lines."""
        when = f"'2014-05-{day:02d}'"
        rows = f"FROM generate_series(1, {lines}) n"
        return [
            f"INSERT INTO sales.sales_order VALUES ({number}, {1 + number % 3}, {when}, {10 * qty * lines})",
            f"INSERT INTO sales.order_line SELECT {number}, n, {qty}, 10, {10 * qty} {rows}",
        ]

    def load(self, window: Window | None = MAY, group: str = "sales") -> Any:
        """Extract, gate, publish."""
        with self.source() as source:
            return jobs.load(self.work, group, window, source)

    @contextmanager
    def source(self) -> Iterator[Source]:
        source = open_source(self.through or self.url)
        try:
            yield source
        finally:
            source.close()

    def published(self, table: str) -> list[tuple[Any, ...]]:
        """Rows that stand, without the platform's columns."""
        with self.work.warehouse.reading() as connection:
            rows = connection.exec_driver_sql(f"SELECT * FROM validated.{table}")
            keep = [n for n, name in enumerate(rows.keys()) if not name.startswith("_")]
            return sorted(tuple(row[n] for n in keep) for row in rows)

    def there(self, table: str) -> list[tuple[Any, ...]]:
        """Rows that the source has."""
        with psycopg.connect(self.url) as connection:
            return sorted(connection.execute(f"SELECT * FROM sales.{table}"))

    def is_equal(self) -> bool:
        """Whether both sides hold the same."""
        return all(self.published(table) == self.there(table) for table in ("sales_order", "order_line"))

    def close(self) -> None:
        for connection in self._open:
            connection.close()


def live_shop(home: Path, source_url: str, warehouse_url: str | None = None) -> LiveShop:
    """With customers loaded, four orders at the source and none loaded yet."""
    shop = LiveShop(source_url, workspace(home / "home", warehouse_url, live_project(home / "project")))
    shop.run(TABLES)
    for number in range(1, 5):
        shop.run(*shop.order(number, number))
    assert shop.load(None, "reference").publication
    return shop
