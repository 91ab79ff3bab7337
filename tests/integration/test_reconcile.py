"""What no load has seen is found by comparing keys and stamps, and loaded: afterwards both sides are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataops.declared.errors import DataRejected
from dataops.pipeline import jobs
from dataops.sources import Window
from tests.conftest import PostgresServer
from tests.support.live_shop import LiveShop, live_shop
from tests.support.shop import small_shop

pytestmark = [pytest.mark.integration, pytest.mark.quick]
DAY = Window.parse("2014-05-04..2014-05-05")
OLD = "modified = '2014-05-01'"


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> Iterator[LiveShop]:
    warehouse = postgres.create_database("live_warehouse") if request.param == "postgres" else None
    made = live_shop(tmp_path, postgres.create_database("live_shop"), warehouse)
    made.load()
    yield made
    made.close()


def differences(shop: LiveShop, **options: Any) -> tuple[dict[str, tuple[int, int, int]], list[str]]:
    with shop.source() as source:
        found = jobs.differences(shop.work, "sales", source, **options)
    return (
        {d.dataset.table: (d.ahead, d.behind, d.differs) for d in found.datasets if not d.is_none},
        [str(window) for window in found.windows],
    )


def reconcile(shop: LiveShop) -> list[str]:
    """Loads what differs; the status of each."""
    with shop.source() as source:
        found = jobs.differences(shop.work, "sales", source)
        done = jobs.load_differences(shop.work, "sales", source, found)
    return [load.publication.status if load.publication else "held" for load in done]


def test_nothing_differs_after_a_load(shop: LiveShop) -> None:
    assert differences(shop) == ({}, [])
    assert differences(shop, values=True) == ({}, [])


def test_what_was_stamped_long_ago_and_came_now_is_found_and_loaded(shop: LiveShop) -> None:
    """F19, beyond the overlap: no load would look so far back."""
    shop.run(*shop.order(9, 20), f"UPDATE sales.sales_order SET {OLD} WHERE order_id = 9")
    shop.run(f"UPDATE sales.order_line SET {OLD} WHERE order_id = 9")
    assert shop.load(DAY).publication.status == "unchanged"
    assert differences(shop) == ({"sales_order": (1, 0, 0), "order_line": (2, 0, 0)}, ["2014-05-20..2014-05-21"])
    assert reconcile(shop) == ["published"]
    assert shop.is_equal()
    assert differences(shop) == ({}, [])


def test_deletions_on_any_day_are_found_and_loaded(shop: LiveShop) -> None:
    shop.run("DELETE FROM sales.order_line WHERE order_id = 1", "DELETE FROM sales.sales_order WHERE order_id = 1")
    shop.run("DELETE FROM sales.order_line WHERE order_id = 3 AND line_id = 2")
    shop.run("UPDATE sales.sales_order SET sub_total = 10 WHERE order_id = 3")  # unstamped
    assert differences(shop)[0] == {"sales_order": (0, 1, 0), "order_line": (0, 3, 0)}
    assert reconcile(shop) == ["published"]
    assert shop.is_equal()


def test_a_day_that_is_empty_now_is_loaded_with_days_around_it(shop: LiveShop) -> None:
    """Alone it would be an empty delivery, which is held."""
    shop.run("DELETE FROM sales.order_line WHERE order_id = 1", "DELETE FROM sales.sales_order WHERE order_id = 1")
    assert differences(shop)[1] == ["2014-05-01..2014-05-03"]
    assert reconcile(shop) == ["published"]
    assert shop.is_equal()


def test_what_waits_in_quarantine_is_known_and_no_difference(shop: LiveShop) -> None:
    shop.run(*shop.order(9, 20, lines=1, qty=5000), *shop.order(10, 21, qty=900))
    assert reconcile(shop) == ["published"]
    assert [row[0] for row in shop.published("sales_order")] == [1, 2, 3, 4, 10]
    assert differences(shop) == ({}, [])
    shop.run("DELETE FROM sales.order_line WHERE order_id = 9", "DELETE FROM sales.sales_order WHERE order_id = 9")
    assert differences(shop)[0] == {"sales_order": (0, 1, 0), "order_line": (0, 1, 0)}


def test_a_change_that_nobody_stamped_is_found_by_its_values(shop: LiveShop) -> None:
    shop.run("UPDATE sales.order_line SET note = 'silent' WHERE order_id = 2")
    assert differences(shop) == ({}, [])
    assert differences(shop, values=True) == ({"order_line": (0, 0, 2)}, ["2014-05-02..2014-05-03"])


def test_an_exchange_of_stamps_is_a_difference(shop: LiveShop) -> None:
    """Rows, and the sum of anything about them, stay the same."""
    stamps = "SELECT modified FROM sales.sales_order WHERE order_id = %s"
    with psycopg.connect(shop.url) as connection:
        connection.execute("UPDATE sales.sales_order SET modified = '2014-05-01' WHERE order_id = 2")
        connection.execute("UPDATE sales.sales_order SET modified = '2014-05-09' WHERE order_id = 3")
    reconcile(shop)
    with psycopg.connect(shop.url) as connection:
        two, three = (connection.execute(stamps, (order,)).fetchone() for order in (2, 3))
        connection.execute("UPDATE sales.sales_order SET modified = %s WHERE order_id = 2", three)
        connection.execute("UPDATE sales.sales_order SET modified = %s WHERE order_id = 3", two)
    assert differences(shop)[0] == {"sales_order": (0, 0, 2)}


def test_a_source_that_was_restored_is_not_read_before_it_is_compared(shop: LiveShop, postgres: PostgresServer) -> None:
    """F23: an older backup under the same address."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS live_older WITH (FORCE)")
        server.execute("CREATE DATABASE live_older TEMPLATE live_shop")
    shop.run(*shop.order(9, 20))
    shop.load(Window.parse("2014-05-01..2014-06-01"))
    assert len(shop.published("sales_order")) == 5
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as server:
        server.execute("DROP DATABASE live_shop WITH (FORCE)")
        server.execute("ALTER DATABASE live_older RENAME TO live_shop")
    with pytest.raises(DataRejected, match=r"(?s)is another database than.*dataops reconcile sales"):
        shop.load(DAY)
    assert reconcile(shop) == ["published"]
    assert shop.is_equal()
    assert shop.load(DAY).publication.status == "unchanged"


def test_a_source_that_was_restored_and_is_the_same_is_read_on_after_a_comparison(
    shop: LiveShop, postgres: PostgresServer
) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS live_same WITH (FORCE)")
        server.execute("CREATE DATABASE live_same TEMPLATE live_shop")
        server.execute("DROP DATABASE live_shop WITH (FORCE)")
        server.execute("ALTER DATABASE live_same RENAME TO live_shop")
    with pytest.raises(DataRejected, match="is another database"):
        shop.load(DAY)
    assert reconcile(shop) == []
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = now() AT TIME ZONE 'UTC' WHERE order_id = 2")
    assert shop.load(DAY).publication.status == "published"
    assert shop.is_equal()


def test_the_nightly_comparison_loads_what_differs_and_leaves_files_alone(shop: LiveShop) -> None:
    shop.run("UPDATE sales.sales_order SET customer_id = 3, modified = '2014-06-01' WHERE order_id = 2")
    with shop.source() as source:
        done = jobs.reconcile_live(shop.work, source)
    assert {group: [load.publication.status for load in loads] for group, loads in done.items()} == {
        "sales": ["published"]
    }
    assert shop.is_equal()
    assert jobs.reconcile_live(shop.work, small_shop()) == {}


def test_nothing_can_be_compared_before_anything_was_loaded(tmp_path: Path, postgres: PostgresServer) -> None:
    shop = live_shop(tmp_path, postgres.create_database("live_shop"))
    with pytest.raises(DataRejected, match="dataops load sales --window"):
        differences(shop)
