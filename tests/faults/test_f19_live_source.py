"""F19 to F24 on a live PostgreSQL: nothing half, nothing mixed, nothing lost, whatever happens while it is read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from dataops.declared.errors import DataopsError, DataRejected, PlatformError
from dataops.lab.faulty_source import Faulty
from dataops.ledger import batches
from dataops.pipeline import jobs
from dataops.sources.port import Request, Source, Window
from tests.conftest import PostgresServer, new_postgres
from tests.support.live_shop import MAY, LiveShop, live_shop
from tests.support.proxy import Fault, proxied

pytestmark = [pytest.mark.faults]
DAY = Window.parse("2014-05-04..2014-05-05")
LOST = 5  # of a hundred transactions, that nothing but a comparison may find


@pytest.fixture
def shop(postgres: PostgresServer, tmp_path: Path) -> Iterator[LiveShop]:
    made = live_shop(tmp_path, postgres.create_database("live_shop"))
    yield made
    made.close()


class Meddled(Faulty):
    """A source to which something happens between the tables of a group: before it reads one of them."""

    def __init__(self, inner: Source, table: str, meddle: Callable[[], Any]) -> None:
        super().__init__(inner, {})
        self._before, self._meddle = table, meddle

    def read(self, request: Request) -> pa.RecordBatchReader:
        if request.source_table == self._before:
            self._before = ""
            self._meddle()
        return super().read(request)


def load_meddled(shop: LiveShop, table: str, meddle: Callable[[], Any], window: Window | None = MAY) -> Any:
    with shop.source() as source:
        return jobs.load(shop.work, "sales", window, Meddled(source, table, meddle))


def states(shop: LiveShop) -> list[str]:
    with shop.work.warehouse.reading() as connection:
        return [batch.state.value for batch in batches.newest(connection, "sales", 100)]


def test_f20_a_writer_between_two_tables_is_not_seen_by_either(shop: LiveShop) -> None:
    """Orders are read, then a new order comes with its lines: the lines must not come without it."""
    done = load_meddled(shop, "Sales.OrderLine", lambda: shop.run(*shop.order(9, 9), *_one_more_line(1)))
    assert done.publication.status == "published"
    assert {row[0] for row in shop.published("order_line")} == {1, 2, 3, 4}
    assert len(shop.published("order_line")) == 8
    assert shop.load().publication.status == "published"
    assert shop.is_equal()


def _one_more_line(order: int) -> list[str]:
    stamp = "modified = now() AT TIME ZONE 'UTC'"
    return [
        f"INSERT INTO sales.order_line VALUES ({order}, 3, 1, 10, 10)",
        f"UPDATE sales.sales_order SET sub_total = sub_total + 10, {stamp} WHERE order_id = {order}",
    ]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_f21_a_connection_that_is_cut_leaves_nothing_and_the_next_load_brings_all(shop: LiveShop, share: float) -> None:
    """At 1, 50 and 99 % of the bytes of the largest stream."""
    lines = "INSERT INTO sales.order_line SELECT 1, n, 1, 10, 10, repeat('x', 200) FROM generate_series(3, 20000) n"
    shop.run(lines, "UPDATE sales.sales_order SET sub_total = 200000 WHERE order_id = 1")
    with proxied(shop.url) as proxy:
        shop.through = proxy.through(shop.url)
        with shop.source() as source:
            assert (
                sum(b.num_rows for b in source.read(Request("Sales.OrderLine", source.schema("Sales.OrderLine"))))
                > 19_000
            )
        whole = max(proxy.got)
        proxy.arm(Fault("cut", limit=int(whole * share)))
        with pytest.raises(PlatformError, match=r"cannot be read: reading Sales\..*server closed the connection"):
            shop.load()
        assert proxy.struck.is_set()
        assert states(shop) == ["open"]
        assert shop.published("sales_order") == []
        assert shop.load().publication.status == "published"
    assert shop.is_equal()
    assert states(shop) == ["published"]


DDL = {
    "added": ("ALTER TABLE sales.order_line ADD COLUMN colour text", "colour"),
    "dropped": ("ALTER TABLE sales.order_line DROP COLUMN note", "note"),
    "widened": ("ALTER TABLE sales.order_line ALTER COLUMN qty TYPE bigint", "qty"),
    "renamed": ("ALTER TABLE sales.order_line RENAME COLUMN price TO unit_price", "price"),
    "emptied": ("TRUNCATE sales.order_line", "rewritten"),
    "gone": ("DROP TABLE sales.order_line", "order_line"),
}


@pytest.mark.parametrize("what", DDL)
def test_f22_a_table_that_is_altered_in_the_middle_is_no_batch(shop: LiveShop, what: str) -> None:
    """Between the reading of two tables; also what leaves no trace in the columns."""
    statement, named = DDL[what]
    with pytest.raises(DataopsError, match=named):
        load_meddled(shop, "Sales.OrderLine", lambda: shop.run(statement))
    assert states(shop) == ["open"]
    assert shop.published("sales_order") == []


def test_f23_a_stamp_in_the_future_hides_nothing_that_comes_after(shop: LiveShop) -> None:
    """2999-12-31: what is remembered is when the source was read, not the newest stamp."""
    shop.load()
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = '2999-12-31' WHERE order_id = 1")
    flagged = shop.load(DAY)
    assert flagged.publication.status == "published"
    with shop.work.warehouse.reading() as connection:
        brought = batches.datasets(connection, batches.required(connection, flagged.batch_id).seq)
    [note] = brought["sales_order"].notes
    assert note == "rows that say they changed later than it is: 1, up to 2999-12-31 00:00:00"
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = now() AT TIME ZONE 'UTC' WHERE order_id = 2")
    assert shop.load(DAY).publication.status == "published"
    assert shop.is_equal()


def test_f23_a_server_set_back_to_an_older_backup_is_not_read_on(tmp_path: Path) -> None:
    """The same server, its data directory of an hour ago: its log stands before what was read."""
    import shutil
    import subprocess

    server = new_postgres()
    server.start()
    try:
        shop = live_shop(tmp_path, server.create_database("live_shop"))
        server.stop()
        kept = server.folder / "kept"
        subprocess.run(["cp", "-a", server.folder / "data", kept], check=True)
        server.start()
        shop.run(*shop.order(9, 9))
        assert shop.load().publication.status == "published"
        server.stop()
        shutil.rmtree(server.folder / "data")
        kept.rename(server.folder / "data")
        server.start()
        with pytest.raises(DataRejected, match=r"(?s)went back behind what was read.*dataops reconcile sales"):
            shop.load()
        with shop.source() as source:
            found = jobs.differences(shop.work, "sales", source)
            for window in found.windows:
                jobs.load(shop.work, "sales", window, source, renewed=True)
        assert shop.is_equal()
        assert shop.load(DAY).publication.status == "unchanged"
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def test_f19_a_thousand_interleavings_of_late_commits_lose_none(shop: LiveShop) -> None:
    """Transactions begin, stamp, commit or roll back anywhere between loads; a few are stamped far too early.

    What commits within the overlap is brought by loads of another day; what does not, by a comparison.
    """
    seed = 20261129
    chance = random.Random(seed)  # noqa: S311
    open_: dict[int, psycopg.Connection[Any]] = {}
    number, too_early, rolled_back = 100, set[int](), set[int]()
    shop.load()
    loads = 0
    while number < 1100 or open_:
        if number < 1100 and (len(open_) < 8 or chance.random() < 0.5) and len(open_) < 15:
            open_[number] = shop.begin()
            for statement in shop.order(number, chance.randint(1, 28), lines=chance.randint(1, 3)):
                open_[number].execute(statement)
            if chance.random() < LOST / 100:
                early = f"modified = '2014-05-01' WHERE order_id = {number}"
                open_[number].execute(f"UPDATE sales.sales_order SET {early}")
                open_[number].execute(f"UPDATE sales.order_line SET {early}")
                too_early.add(number)
            number += 1
        elif open_:
            ended = chance.choice(list(open_))
            if chance.random() < 0.1:
                open_[ended].rollback()
                rolled_back.add(ended)
            else:
                open_[ended].commit()
            open_.pop(ended).close()
        if number % 100 == 0 and number // 100 > loads:
            loads = number // 100
            shop.load(DAY)
    shop.load(DAY)
    there, stand = ({row[0] for row in rows} for rows in (shop.there("sales_order"), shop.published("sales_order")))
    assert loads >= 10
    assert len(too_early - rolled_back) > 20
    assert there - stand <= too_early, f"seed {seed}"
    assert there - stand, "nothing was left for the comparison to find"
    with shop.source() as source:
        for window in jobs.differences(shop.work, "sales", source).windows:
            jobs.load(shop.work, "sales", window, source)
    assert shop.is_equal(), f"seed {seed}"
