"""Six million order lines in a PostgreSQL: read, landed and compared; beside bare COPY, pandas and a row by row copy.

Each way in a process of its own, one after another on the same server, so rates and memory are side by side. Keys are
compared with a hundred rows deleted at the source; the bytes that came over are counted by a proxy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine

import measuring
from dataops.declared import settings
from dataops.lab.live.server import new_postgres
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import reconcile
from dataops.pipeline.intake import landing
from dataops.pipeline.intake.blocks import Cost
from dataops.pipeline.intake.drift import compare
from dataops.sources import open_source
from dataops.sources.port import Request

PROJECT = Path(__file__).resolve().parents[1]
TABLE, GROUP, DATASET = "Sales.SalesOrderDetail", "sales", "sales_order_detail"
COLUMNS = """sales_order_id, sales_order_detail_id, carrier_tracking_number, order_qty, product_id, special_offer_id,
unit_price, unit_price_discount, line_total, rowguid, modified_date"""
MAKE = """CREATE SCHEMA sales;
CREATE TABLE sales.sales_order_detail (sales_order_id integer, sales_order_detail_id integer,
  carrier_tracking_number text, order_qty smallint, product_id integer, special_offer_id integer,
  unit_price numeric(19,4), unit_price_discount numeric(19,4), line_total numeric(38,6), rowguid uuid,
  modified_date timestamp);
INSERT INTO sales.sales_order_detail SELECT 43659 + n / 4, n, '4911-403C-98', 1 + n % 5, 700 + n % 250, 1,
  2024.994 + n % 100, 0, (1 + n % 5) * (2024.994 + n % 100), gen_random_uuid(),
  timestamp '2011-05-31' + n * interval '16 second' FROM generate_series(1, {rows}) n;
ALTER TABLE sales.sales_order_detail ADD PRIMARY KEY (sales_order_id, sales_order_detail_id);
CREATE TABLE sales.sales_order_header AS SELECT DISTINCT sales_order_id, timestamp '2011-05-31' AS order_date
  FROM sales.sales_order_detail;
ANALYZE"""
PANDAS = 1_000_000  # rows: all of them do not fit

Measured = tuple[int, float, float]
"""Rows, seconds, MiB at most."""


def main() -> int:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000_000)
    asked = parser.parse_args()
    server = new_postgres()
    server.start()
    try:
        url = server.create_database("live")
        with psycopg.connect(url) as connection:
            connection.execute(MAKE.format(rows=asked.rows))
        with tempfile.TemporaryDirectory() as home:
            ways = {"bare COPY": _copy, "read": _read, "read and landed": _land, "pandas.read_sql": _pandas}
            found = {name: _apart(way, url, home) for name, way in ways.items()}
            base = _rate(found["bare COPY"])
            for name, (rows, seconds, peak) in found.items():
                rate = rows / seconds
                told = f"{rows:>10,} rows {seconds:6.1f} s {rate:>10,.0f} rows/s"
                print(f"{name:<16} {told} {rate / base:5.2f} x {peak:6,.0f} MiB", flush=True)
            _compare(url, Path(home), asked.rows)
    finally:
        server.remove()
    return 0


def _rate(measured: Measured) -> float:
    return measured[0] / measured[1]


def _apart(way: Callable[[str, str], int], *arguments: str) -> Measured:
    """In a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    child = context.Process(target=_told, args=(way, queue, *arguments))
    child.start()
    measured: Measured = queue.get()
    child.join()
    return measured


def _told(way: Callable[[str, str], int], queue: Any, *arguments: str) -> None:  # noqa: ANN401  multiprocessing's
    began = time.perf_counter()
    rows = way(*arguments)
    queue.put((rows, time.perf_counter() - began, measuring.peak()))


def _copy(url: str, _: str) -> int:
    """What the server alone takes: binary rows, thrown away."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY (SELECT {COLUMNS} FROM sales.sales_order_detail) TO STDOUT (FORMAT binary)") as rows:
            for _chunk in rows:
                pass
        return cursor.rowcount


def _read(url: str, _: str) -> int:
    source = open_source(url)
    with source.snapshot([TABLE]):
        rows = sum(batch.num_rows for batch in source.read(Request(TABLE, source.schema(TABLE))))
    source.close()
    return rows


def _workspace(home: str) -> Workspace:
    return open_workspace(settings.load({"DATAOPS_HOME": home}, PROJECT))


def _land(url: str, home: str) -> int:
    work = _workspace(home)
    group = work.catalog.group(GROUP)
    dataset = group.dataset(DATASET)
    with writing(work.warehouse, group.datasets):
        """Its tables are there."""
    source = open_source(url)
    with source.snapshot([TABLE]):
        drift = compare(dataset, landing.columns_of(source, dataset))
        arrival = landing.land(work, source, group, drift, landing.Selection(None), 1)
    source.close()
    return arrival.rows


def _pandas(url: str, _: str) -> int:
    import pandas as pd

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    return len(pd.read_sql(f"SELECT {COLUMNS} FROM sales.sales_order_detail LIMIT {PANDAS}", engine))


def _compare(url: str, home: Path, rows: int) -> None:
    """A hundred rows are deleted at the source, everywhere in the table."""
    work = _workspace(str(home))
    group = work.catalog.group(GROUP)
    names = ", ".join(f'"{name}"' for name in group.dataset(DATASET).column_names)
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO validated.{DATASET} ({names}, _publication) SELECT {names}, 1 FROM raw.{DATASET}"
        )
    with psycopg.connect(url) as connection:
        step = rows // 100
        connection.execute("DELETE FROM sales.sales_order_detail WHERE sales_order_detail_id %% %s = 7", (step,))
    sys.path.insert(0, str(PROJECT))
    from tests.support.proxy import proxied

    with proxied(url) as proxy:
        source = open_source(proxy.through(url))
        side = reconcile.Side(work, source, group, group.dataset(DATASET), None)
        cost, began = Cost(), time.perf_counter()
        with source.snapshot([TABLE]):
            ranges = reconcile.doubtful(side, cost)
            found = reconcile.Difference(side.dataset, cost=cost)
            reconcile.read_both(side, ranges, found)
        seconds = time.perf_counter() - began
        source.close()
    print(
        f"compared         {rows:>10,} rows {seconds:6.1f} s; {found.behind} of them gone at the source;"
        f" {cost.questions} questions, {cost.lines:,} lines, {sum(proxy.got):,} bytes; all keys would be {8 * rows:,}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
