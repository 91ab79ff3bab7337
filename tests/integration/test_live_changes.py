"""What changes at a live source is found by the next load: late, moved, deleted, whatever window it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dataops.declared.errors import DataRejected
from dataops.lab.faulty_source import Faulty
from dataops.ledger import batches, publications, readings
from dataops.ledger.workspace import open_workspace
from dataops.pipeline import jobs
from dataops.pipeline.intake import extraction
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
    again = LiveShop(shop.url, open_workspace(shop.work.settings))
    held = again.load(MAY)
    assert held.publication is None
    assert "3 of 4 published rows of the window are gone" in str(held.verdict)


class Recording(Faulty):
    """The source, with what Change Tracking of a SQL Server would have kept."""

    def __init__(self, inner: Source, gone: dict[str, list[tuple[int, ...]]], forgot: str = "") -> None:
        super().__init__(inner, {})
        self._gone = gone
        self._forgot = forgot

    def position(self) -> Position | None:
        position = super().position()
        return replace(position, deletions=7) if position else None

    def deleted(self, source_table: str, key: pa.Schema, since: int) -> pa.Table | None:
        assert since == 7
        if source_table == self._forgot:
            return None
        rows = [dict(zip(key.names, values, strict=True)) for values in self._gone.get(source_table, [])]
        return pa.Table.from_pylist(rows, schema=key)


def trusting(shop: LiveShop) -> LiveShop:
    """The same shop, whose contract of orders takes the source's word for what was deleted."""
    file = shop.work.settings.paths.contracts / "raw" / "sales_order.yml"
    file.write_text(file.read_text("utf-8").replace("deletes: compare", "deletes: from_source"), "utf-8")
    return LiveShop(shop.url, open_workspace(shop.work.settings))


def test_where_the_source_is_trusted_its_record_alone_says_what_is_gone(shop: LiveShop) -> None:
    """What was deleted behind its back is found by the comparison."""
    shop = trusting(shop)
    with shop.source() as source:
        jobs.load(shop.work, "sales", ONE_DAY, Recording(source, {}))
    for order in (1, 2):
        shop.run(f"DELETE FROM sales.order_line WHERE order_id = {order}")
        shop.run(f"DELETE FROM sales.sales_order WHERE order_id = {order}")
    with shop.source() as source:
        recording = Recording(source, {"Sales.SalesOrder": [(1,)], "Sales.OrderLine": [(1, 1), (1, 2)]})
        jobs.load(shop.work, "sales", MAY, recording)
        assert [row[0] for row in shop.published("sales_order")] == [2, 3, 4]
        found = jobs.differences(shop.work, "sales", source)
        assert jobs.load_differences(shop.work, "sales", source, found)
    assert shop.is_equal()


@pytest.mark.parametrize("forgot", ["Sales.SalesOrder", "Sales.OrderLine"])
def test_a_source_without_a_record_of_deletions_cannot_be_trusted_with_them(shop: LiveShop, forgot: str) -> None:
    """Neither for the orders nor for the lines that go with them."""
    shop = trusting(shop)
    with shop.source() as source, pytest.raises(DataRejected, match=f"no record of what was deleted from {forgot}"):
        jobs.load(shop.work, "sales", ONE_DAY, Recording(source, {}, forgot=forgot))
    with pytest.raises(DataRejected, match=r"Switch Change Tracking on .* deletes: compare"):
        shop.load(ONE_DAY)


class Restless(Faulty):
    """The source, of which rows change while they are read, as often as it says."""

    def __init__(self, inner: Source, moves: int) -> None:
        super().__init__(inner, {})
        self.moves = moves
        self.readings = 0

    def position(self) -> Position | None:
        position = super().position()
        return replace(position, caveat="table by table") if position else None

    def has_moved(self) -> bool:
        self.readings += 1
        return self.readings <= self.moves


@pytest.mark.parametrize(("moves", "readings", "notes"), [(0, 1, 0), (2, 3, 0), (9, 3, 2)])
def test_what_moved_while_it_was_read_is_read_again_a_few_times(
    shop: LiveShop, moves: int, readings: int, notes: int
) -> None:
    """F20, where no snapshot is to be had: of one moment without a word, or else each dataset says that it is not."""
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = now() AT TIME ZONE 'UTC' WHERE order_id = 1")
    with shop.source() as source:
        restless = Restless(source, moves)
        done = jobs.load(shop.work, "sales", MAY, restless)
    assert restless.readings == readings
    assert done.publication.status == "published"
    assert shop.is_equal()
    with shop.work.warehouse.reading() as connection:
        brought = batches.datasets(connection, batches.newest_number(connection, "sales"))
        seqs = connection.exec_driver_sql("SELECT DISTINCT _batch FROM raw.sales_order").all()
    assert sum("table by table" in dataset.notes for dataset in brought.values()) == notes
    assert len(seqs) <= 2  # nothing is left of a reading that did not count


def test_a_long_reading_is_not_repeated(shop: LiveShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "QUICK", 0.0)
    with shop.source() as source:
        restless = Restless(source, 9)
        jobs.load(shop.work, "sales", MAY, restless)
    assert restless.readings == 1


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
