"""The shop: customers, orders and lines in memory, behind the same port as any source."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataops.declared import settings
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline.intake import extraction
from dataops.sources.port import Request, Window, delivered

PROJECT = Path(__file__).parent / "project"
MONEY = pa.decimal128(19, 4)
SCHEMAS = {
    "Sales.Customer": pa.schema(
        [("customer_id", pa.int32()), ("name", pa.string()), ("region", pa.string()), ("modified", pa.timestamp("us"))]
    ),
    "Sales.SalesOrder": pa.schema(
        [
            ("order_id", pa.int32()),
            ("customer_id", pa.int32()),
            ("order_date", pa.timestamp("us")),
            ("sub_total", MONEY),
        ]
    ),
    "Sales.OrderLine": pa.schema(
        [
            ("order_id", pa.int32()),
            ("line_id", pa.int32()),
            ("qty", pa.int32()),
            ("price", MONEY),
            ("amount", MONEY),
            ("note", pa.string()),
        ]
    ),
    "Sales.Rate": pa.schema([("region", pa.string()), ("rate", MONEY)]),
}
Row = dict[str, Any]


def customer(number: int, region: str = "DE", name: str = "shop") -> Row:
    return {"customer_id": number, "name": name, "region": region, "modified": datetime(2014, 1, 1)}


def line(order: int, number: int, qty: int = 1, price: str = "10.00") -> Row:
    amount = Decimal(price) * qty
    return {"order_id": order, "line_id": number, "qty": qty, "price": Decimal(price), "amount": amount, "note": None}


def order(number: int, customer_id: int, day: int, lines: list[Row]) -> Row:
    total = sum((row["amount"] for row in lines), Decimal(0))
    return {"order_id": number, "customer_id": customer_id, "order_date": datetime(2014, 5, day), "sub_total": total}


@dataclass
class Shop:
    """A source whose rows a test sets; `schemas` may be changed to let the source drift."""

    customers: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    rates: list[Row] = field(default_factory=list)
    schemas: dict[str, pa.Schema] = field(default_factory=lambda: dict(SCHEMAS))
    name: str = "shop"

    def add_order(self, number: int, customer_id: int, day: int, lines: list[Row]) -> None:
        self.orders.append(order(number, customer_id, day, lines))
        self.lines.extend(lines)

    def schema(self, source_table: str) -> pa.Schema:
        return self.schemas[source_table]

    def rows(self, source_table: str) -> list[Row]:
        return {
            "Sales.Customer": self.customers,
            "Sales.SalesOrder": self.orders,
            "Sales.OrderLine": self.lines,
            "Sales.Rate": self.rates,
        }[source_table]

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002  the port's words
        return nullcontext()

    def read(self, request: Request) -> pa.RecordBatchReader:
        rows = [row for row in self.rows(request.source_table) if self._wanted(row, request)]
        plain = [
            {name: row.get(name) for name in request.schema.names} | {"_problems": row.get("_problems")} for row in rows
        ]
        table = pa.Table.from_pylist(plain, schema=delivered(request.schema))
        return table.to_reader(max_chunksize=1000)

    def _wanted(self, row: Row, request: Request) -> bool:
        window = request.window
        if window is None:
            return True
        if request.follow:
            also = request.follow.also
            asked = Request(request.follow.parent, SCHEMAS["Sales.SalesOrder"], window, "order_date", also=also)
            return row["order_id"] in {o["order_id"] for o in self.orders if self._wanted(o, asked)}
        named = request.also and tuple(row[name] for name in request.also.columns) in request.also.keys
        return bool(named) or _inside(row[str(request.cursor)], window)

    def close(self) -> None:
        """Nothing is held."""


def _inside(moment: datetime | None, window: Window) -> bool:
    return moment is None or window.start <= moment < window.end


def small_shop(customers: int = 3, orders: int = 4) -> Shop:
    """A clean shop: orders on the days 1, 2, … of May 2014 with two lines each."""
    shop = Shop(customers=[customer(n) for n in range(1, customers + 1)])
    for number in range(1, orders + 1):
        shop.add_order(number, 1 + number % customers, number, [line(number, 1), line(number, 2, qty=2)])
    return shop


def workspace(home: Path, url: str | None = None, project: Path = PROJECT) -> Workspace:
    """A workspace of the small project; DuckDB below `home`, or the given PostgreSQL database.

    DuckDB gets one thread: a second one costs more than a few rows do, and tests run beside each other.
    """
    url = url or f"duckdb:///{home}/warehouse.duckdb?threads=1"
    environ = {"DATAOPS_HOME": str(home), "DATAOPS_LOCK_SECONDS": "5", "DATAOPS_WAREHOUSE_URL": url}
    return open_workspace(settings.load(environ, project=project))


def own_project(folder: Path) -> Path:
    """A copy of the small project whose declarations a test may change."""
    return Path(shutil.copytree(PROJECT, folder))


def land(work: Workspace, shop: Shop, group: str, window: Window | None = None) -> str:
    """Extracts a batch under the group's lock; returns its id."""
    with work.warehouse.lock(group, "test"):
        return extraction.extract(work, work.catalog.group(group), shop, window)


def load(work: Workspace, shop: Shop, group: str, window: Window | None = None) -> Any:
    """Extract, gate, publish: returns jobs.Load."""
    from dataops.pipeline import jobs

    batch_id = land(work, shop, group, window)
    with work.warehouse.lock(group, "test"):
        return jobs.gate_and_publish(work, batch_id)


IGNORED = {
    "_since",
    "created_at",
    "sealed_at",
    "judged_at",
    "published_at",
    "opened_at",
    "last_seen_at",
    "resolved_at",
    "happened_at",
    "routed_at",
    "doubted",
    "due_at",
    "tried_at",
    "settled_at",
    "approved_at",
    "set_at",
    "_closed_at",
    "attempt",
    "receipt",
    "previous_receipt",
    "salt",
    "commitment",
    "results",  # with the moment at which they were judged
}
NOT_OF_STATE = {"ops.outbox": " WHERE kind <> 'lineage'"}
"""What a run that broke off and went on tells twice: that it was judged."""
SCHEMAS_OF_STATE = (
    "validated",
    "validated_history",
    "curated",
    "curated_history",
    "marts",
    "marts_history",
    "quarantine",
    "ops",
)


def state(work: Workspace) -> dict[str, tuple[int, str]]:
    """S*: (rows, hash) of every table people or the ledger rely on, without times and random ids.

    Numbers are given once, whatever becomes of them, so a run that broke off leaves a gap: batches, incidents and
    waivers are known by their order instead.
    """
    with work.warehouse.reading() as connection:
        places = connection.exec_driver_sql(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            f" WHERE table_schema IN ({', '.join(repr(s) for s in SCHEMAS_OF_STATE)}) AND table_name <> 'numbers'"
            " ORDER BY 1, 2, ordinal_position"
        ).fetchall()
        columns: dict[str, list[str]] = {}
        for schema, table, column in places:
            if column not in IGNORED:
                columns.setdefault(f"{schema}.{table}", []).append(column)
        order = Order(connection)
        return {place: _digest(_rows(connection, place, names, order)) for place, names in columns.items()}


def _rows(connection: Any, place: str, names: list[str], order: Order) -> list[tuple[Any, ...]]:
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in names)
    found = connection.exec_driver_sql(f"SELECT {texts} FROM {place}{NOT_OF_STATE.get(place, '')}")
    return [tuple(order.known(place, name, value) for name, value in zip(names, row, strict=True)) for row in found]


class Order:
    """Says the rank of a batch, incident or waiver instead of its number or id."""

    def __init__(self, connection: Any) -> None:
        self.ranks: dict[str, dict[str, str]] = {}
        self.names: dict[str, str] = {}
        for kind, column in (("batches", "batch_id"), ("incidents", "incident_id"), ("waivers", "waiver_id")):
            found = connection.exec_driver_sql(f"SELECT seq, {column} FROM ops.{kind} ORDER BY seq").fetchall()
            self.ranks[kind] = {str(seq): f"{kind} {rank}" for rank, (seq, _) in enumerate(found)}
            stems = [name.partition(".")[0] if kind == "batches" else kind for _, name in found]
            self.names |= {name: f"{stems[n]} {stems[:n].count(stems[n])}" for n, (_, name) in enumerate(found)}
        for kind in ("incident_events", "outbox", "deliveries"):
            counted = connection.exec_driver_sql(f"SELECT seq FROM ops.{kind} ORDER BY seq").fetchall()
            self.ranks[kind] = {str(row[0]): f"{kind} {rank}" for rank, row in enumerate(counted)}
        self._any = re.compile("|".join(rf"{re.escape(n)}(?![\w.])" for n in sorted(self.names, key=len, reverse=True)))

    def known(self, place: str, column: str, value: str | None) -> str | None:
        table = place.removeprefix("ops.")
        if value is None:
            return None
        if column == "seq" and table in self.ranks:
            return self.ranks[table][value]
        if column == "what" and value.startswith("INC-"):  # INC-0001/12 is the step with that number
            incident, _, step = value.partition("/")
            return f"{self.names[incident]}, {self.ranks['incident_events'][step]}"
        kind = {"batch": "batches", "_batch": "batches", "incident": "incidents"}.get(column)
        if kind and value.isdigit():
            return self.ranks[kind].get(value, "forgotten" if int(value) else value)
        if self.names:
            value = self._any.sub(lambda found: self.names[found.group()], value)
        return re.sub(r'(?<="batches": )\[([\d, ]+)\]', lambda m: str(len(m[1].split(","))), value)


def _digest(rows: Any) -> tuple[int, str]:
    lines = sorted(repr(tuple(row)) for row in rows)
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def fetch(work: Workspace, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query, as tuples."""
    with work.warehouse.reading() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]
