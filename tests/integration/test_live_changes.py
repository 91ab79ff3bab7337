"""What changes at a live source is found by the next load: late, moved, deleted, whatever window it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dataops.lab.faulty_source import Faulty
from dataops.ledger import publications, readings
from dataops.pipeline import jobs
from dataops.sources import Source, Window
from dataops.sources.port import Position, Request
from tests.conftest import PostgresServer
from tests.support.live_shop import MAY, LiveShop, live_shop

pytestmark = [pytest.mark.integration, pytest.mark.quick]
ONE_DAY = Window.parse("2014-05-04..2014-05-05")


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> Iterator[LiveShop]:
    warehouse = postgres.create_database("live_warehouse") if request.param == "postgres" else None
    made = live_shop(tmp_path, postgres.create_database("live_shop"), warehouse)
    for table in ("sales_order", "order_line"):  # beyond the overlap: nothing comes again for its stamp alone
        made.run(f"UPDATE sales.{table} SET modified = '2014-06-01'")
    assert made.load().publication.status == "published"
    yield made
    made.close()


def test_a_load_of_one_day_brings_what_changed_on_others(shop: LiveShop) -> None:
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = now() AT TIME ZONE 'UTC' WHERE order_id = 1")
    shop.run("UPDATE sales.order_line SET note = 'x', modified = now() AT TIME ZONE 'UTC' WHERE order_id = 2")
    assert shop.load(ONE_DAY).publication.status == "published"
    assert shop.is_equal()


def test_what_changed_outside_of_the_loaded_windows_does_not_come(shop: LiveShop) -> None:
    """Half a month would look like a whole one."""
    shop.run(*[s.replace("2014-05", "2014-07") for s in shop.order(9, 1)])
    shop.load(ONE_DAY)
    assert [row[0] for row in shop.published("sales_order")] == [1, 2, 3, 4]


def test_a_row_that_commits_after_it_was_stamped_is_found(shop: LiveShop) -> None:
    """F19: stamped before the load, visible after it."""
    late = shop.begin()
    for statement in shop.order(7, 2):
        late.execute(statement)
    assert shop.load(ONE_DAY).publication.status == "unchanged"
    late.commit()
    assert shop.load(ONE_DAY).publication.status == "published"
    assert shop.is_equal()


def test_what_a_transaction_stamped_long_before_it_wrote_is_found_by_looking_back(shop: LiveShop) -> None:
    """F19: it had no number when others were read; only the overlap reaches back to its beginning."""
    late = shop.begin()
    late.execute("SELECT now()")
    for _ in range(2):
        shop.load(ONE_DAY)
    for statement in shop.order(7, 2):
        late.execute(statement)
    late.commit()
    assert shop.load(ONE_DAY).publication.status == "published"
    assert shop.is_equal()


class Asked(Faulty):
    """The source, and since when it was asked for changes."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner, {})
        self.since: list[datetime] = []

    def read(self, request: Request) -> pa.RecordBatchReader:
        self.since += [request.changed.since] if request.changed else []
        return super().read(request)


def test_as_long_as_a_writer_is_at_work_every_load_looks_back_before_it(shop: LiveShop) -> None:
    with shop.work.warehouse.reading() as connection:
        before = readings.last(connection, "sales")
    late = shop.begin()
    late.execute("UPDATE sales.sales_order SET customer_id = 3 WHERE order_id = 1")
    with shop.source() as source:
        asked = Asked(source)
        for _ in range(3):
            jobs.load(shop.work, "sales", ONE_DAY, asked)
    assert asked.since == [before.now - timedelta(hours=1)] * 3
    late.commit()
    with shop.source() as source:
        asked = Asked(source)
        for _ in range(2):
            jobs.load(shop.work, "sales", ONE_DAY, asked)
    assert asked.since[1] > before.now - timedelta(hours=1)


def test_new_errors_on_other_days_count_for_the_quota(shop: LiveShop) -> None:
    """What waited before is no reason to hold today's rows; what broke since is."""
    shop.run(*shop.order(5, 5, lines=4), *shop.order(6, 6, lines=4))
    assert shop.load().publication.status == "published"
    shop.run("UPDATE sales.order_line SET qty = 5000, modified = now() AT TIME ZONE 'UTC' WHERE order_id <> 4")
    assert shop.load(ONE_DAY).publication is None


def test_after_a_roll_back_what_it_took_back_is_looked_for_again(shop: LiveShop) -> None:
    """Changes since the last reading that stands, which is that of the publication gone back to."""

    def standing() -> int | None:
        with shop.work.warehouse.reading() as connection:
            found = readings.last(connection, "sales", standing=True)
        return found.batch if found else None

    with shop.work.warehouse.reading() as connection:
        first = publications.last(connection, "sales")
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = now() AT TIME ZONE 'UTC' WHERE order_id = 1")
    assert shop.load(ONE_DAY).publication.status == "published"
    assert shop.load(ONE_DAY).publication.status == "unchanged"
    assert standing() != first.batch
    jobs.roll_back(shop.work, "sales", first.publication_id, "by mistake")
    assert standing() == first.batch
    assert not shop.is_equal()
    assert shop.load(ONE_DAY).publication.status == "published"
    assert shop.is_equal()


def test_a_row_that_is_deleted_goes_with_its_children_when_its_window_is_loaded(shop: LiveShop) -> None:
    """F24: it moves to history with its publication."""
    shop.run("DELETE FROM sales.order_line WHERE order_id = 2", "DELETE FROM sales.sales_order WHERE order_id = 2")
    done = shop.load(MAY).publication
    assert {c.table: c.deleted for c in done.counts} == {"sales_order": 1, "order_line": 2}
    assert shop.is_equal()
    with shop.work.warehouse.reading() as connection:
        left = connection.exec_driver_sql("SELECT order_id, _operation FROM validated_history.sales_order").all()
    assert [tuple(row) for row in left] == [(2, "deleted")]
    shop.run(*shop.order(2, 3, lines=1, qty=4))
    assert shop.load(MAY).publication.status == "published"
    assert shop.is_equal()


def test_another_key_is_a_row_that_went_and_one_that_came(shop: LiveShop) -> None:
    """F24: change of a primary key, to a row that nobody stamped."""
    shop.run("UPDATE sales.sales_order SET order_id = 40 WHERE order_id = 4")
    shop.run("UPDATE sales.order_line SET order_id = 40 WHERE order_id = 4")
    assert shop.load(MAY).publication.status == "published"
    assert shop.is_equal()


def test_a_row_that_moved_to_another_day_is_not_taken_for_deleted(shop: LiveShop) -> None:
    """Its cursor changed and its stamp did not: the load of its old day asks for it by its key."""
    shop.run("UPDATE sales.sales_order SET order_date = '2014-05-20' WHERE order_id = 4")
    done = shop.load(ONE_DAY)
    assert done.publication.counts[0].deleted == 0
    assert shop.is_equal()


def test_a_delivery_that_lost_more_than_is_allowed_is_held(shop: LiveShop) -> None:
    file = shop.work.settings.paths.checkpoints / "sales.yml"
    file.write_text(file.read_text("utf-8").replace("deletions: 100%", "deletions: 50%"), "utf-8")
    shop.run("DELETE FROM sales.order_line WHERE order_id > 1", "DELETE FROM sales.sales_order WHERE order_id > 1")
    from dataops.ledger.workspace import open_workspace

    again = LiveShop(shop.url, open_workspace(shop.work.settings))
    held = again.load(MAY)
    assert held.publication is None
    assert "3 of 4 published rows of the window are gone" in str(held.verdict)


class Recording(Faulty):
    """The source, with what Change Tracking of a SQL Server would have kept."""

    def __init__(self, inner: Source, gone: dict[str, list[tuple[int, ...]]]) -> None:
        super().__init__(inner, {})
        self._gone = gone

    def position(self) -> Position | None:
        position = super().position()
        return replace(position, deletions=7) if position else None

    def deleted(self, source_table: str, key: pa.Schema, since: int) -> pa.Table | None:
        assert since == 7
        rows = [dict(zip(key.names, values, strict=True)) for values in self._gone.get(source_table, [])]
        return pa.Table.from_pylist(rows, schema=key)


def test_deletions_that_the_source_keeps_come_with_any_window(shop: LiveShop) -> None:
    """Of an order of another day; of a line of a third, whose order comes whole; of one that is there again."""
    with shop.source() as source:
        jobs.load(shop.work, "sales", ONE_DAY, Recording(source, {}))
    shop.run("DELETE FROM sales.order_line WHERE order_id = 1", "DELETE FROM sales.sales_order WHERE order_id = 1")
    shop.run("DELETE FROM sales.order_line WHERE order_id = 2 AND line_id = 2")
    shop.run("UPDATE sales.sales_order SET sub_total = 10 WHERE order_id = 2")
    kept = {"Sales.SalesOrder": [(1,), (3,)], "Sales.OrderLine": [(1, 1), (1, 2), (2, 2)]}
    with shop.source() as source:
        jobs.load(shop.work, "sales", ONE_DAY, Recording(source, kept))
    assert shop.is_equal()
