"""`verify --rows`: whatever value is changed, in what stands or in history, is found; and what was not, is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy.engine import Connection

from dataops.ledger import chain
from dataops.ledger.chain import Proof
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, verification
from tests.support.shop import fetch, line, small_shop
from tests.support.stock import stock

pytestmark = pytest.mark.integration
TABLES = ("customer", "sales_order", "order_line", "fct_line")
OTHER = {  # of every type another value, as near as may be
    "integer": "{0} + 1000",
    "smallint": "{0} + 1000",
    "bigint": "{0} + 1000",
    "numeric": "{0} + 0.0001",
    "varchar": "{0} || ' '",
    "date": "{0} + 1000",
    "timestamp": "{0} + INTERVAL '1 microsecond'",
}


@pytest.fixture
def filled(work: Workspace) -> Workspace:
    """Loads, a change and a deletion, builds and a roll-back: every table has rows that stand and rows that do not."""
    shop = small_shop()
    for row in shop.lines:
        row["note"] = "n"
    stock(work, shop, "reference", "sales")
    jobs.build(work, "curated")
    shop.lines[0] = line(1, 1, qty=3) | {"note": "m"}
    shop.orders[0]["sub_total"] = shop.lines[0]["amount"] + shop.lines[1]["amount"]
    shop.customers[0]["name"] = "another"
    stock(work, shop, "reference", "sales")
    jobs.build(work, "curated")
    jobs.roll_back(work, "sales", "sales-0001", "a test")
    jobs.build(work, "curated")
    return work


def verify(connection: Connection, work: Workspace) -> Proof:
    return verification.verify(connection, tuple(work.catalog.datasets.values()), rows=True)


class UndoneError(Exception):
    """Rolls a transaction back."""


@contextmanager
def undone(work: Workspace) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with suppress(UndoneError), work.warehouse.transaction() as connection:
        yield connection
        raise UndoneError


def _changes(work: Workspace, table: str, place: str) -> Iterator[str]:
    """Each column of one row gets another value, and none."""
    dataset = work.catalog.dataset(table)
    key = ", ".join(dataset.key)
    rows = fetch(work, f"SELECT {key} FROM {place}.{table} ORDER BY {key}, _publication LIMIT 1")
    assert rows, (place, table)
    where = " AND ".join(f"{name} = {value!r}" for name, value in zip(dataset.key, rows[0], strict=True))
    columns = {column.name: OTHER[column.data_type].format(column.name) for column in dataset.columns}
    columns |= {"_publication": "_publication + 1000"}
    if place.endswith("history"):
        columns |= {"_superseded": "_superseded + 1000", "_operation": "_operation || '!'"}
    for column, value in columns.items():
        yield f"UPDATE {place}.{table} SET {column} = {value} WHERE {where}"
        yield f"UPDATE {place}.{table} SET {column} = NULL WHERE {where}"


def test_any_single_changed_value_is_found(filled: Workspace) -> None:
    """Each column of each table once, in what stands and in history."""
    for table in TABLES:
        dataset = filled.catalog.dataset(table)
        places = (dataset.published_layer, f"{dataset.published_layer}_history")
        changes = [change for place in places for change in _changes(filled, table, place)]
        assert len(changes) > 20
        for change in changes:
            with undone(filled) as connection:
                assert connection.exec_driver_sql(change).rowcount, change
                assert verification.contents(connection, chain.records(connection), [dataset]), change


MOVED = """UPDATE validated.sales_order SET sub_total = sub_total + CASE WHEN order_id = 2 THEN 1000 ELSE -1000 END
 WHERE order_id IN (2, 3)"""
SWAPPED = """UPDATE validated.sales_order SET customer_id = CASE WHEN customer_id = 1 THEN 2 ELSE 1 END
 WHERE customer_id IN (1, 2)"""
BARED = """UPDATE ops.publication_datasets SET salt = NULL, written = NULL, superseded = NULL, standing = NULL,
 commitment = NULL"""
CHANGES = [
    MOVED,
    SWAPPED,
    BARED,
    "UPDATE validated.customer SET name = 'x' || name",
    "DELETE FROM validated_history.customer",
    "INSERT INTO validated.customer SELECT 77, name, region, modified, _publication FROM validated.customer LIMIT 1",
    "UPDATE ops.check_results SET observed = '7' WHERE rule_id = 'SAL-022'",
    "UPDATE ops.check_results SET outcome = 'passed', failing = 1 WHERE rule_id = 'SAL-031'",
    "DELETE FROM ops.check_results WHERE rule_id = 'CUR-012'",
    "UPDATE ops.publication_datasets SET standing = written",
    "UPDATE ops.publication_datasets SET salt = NULL",
]


def test_changes_that_keep_every_total_are_found(filled: Workspace) -> None:
    """These said PROVEN: names, swapped customers, money moved between two orders, results that were edited.

    What nobody touched is proven, also when a contract gains a column: older rows have nothing in it.
    """
    with undone(filled) as connection:
        found = verify(connection, filled)
        assert (found.proven, found.receipts) == (True, 8), found
        for schema in ("validated", "validated_history"):
            connection.exec_driver_sql(f"ALTER TABLE {schema}.customer ADD COLUMN nickname VARCHAR")
        assert verify(connection, filled).proven
    for change in CHANGES:
        with undone(filled) as connection:
            assert connection.exec_driver_sql(change).rowcount
            assert not verify(connection, filled).proven, change
