"""F22: the source's shape changes. Nothing is loaded under a wrong agreement, and the message names the column."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from dataops.declared.errors import DataRejected, PlatformError
from dataops.facts import status
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from tests.support.shop import SCHEMAS, Shop, fetch, land, load, own_project, small_shop, state, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

LINES, ORDERS = "Sales.OrderLine", "Sales.SalesOrder"


@pytest.fixture
def shop(work: Workspace) -> Shop:
    shop = small_shop()
    stock(work, shop, "reference", "sales")
    return shop


def without(schema: pa.Schema, name: str) -> pa.Schema:
    return schema.remove(schema.get_field_index(name))


def renamed(schema: pa.Schema, old: str, new: str) -> pa.Schema:
    return pa.schema([field_.with_name(new) if field_.name == old else field_ for field_ in schema])


def retyped(schema: pa.Schema, name: str, kind: pa.DataType) -> pa.Schema:
    return pa.schema([field_.with_type(kind) if field_.name == name else field_ for field_ in schema])


def moved(schema: pa.Schema, name: str) -> pa.Schema:
    return without(schema, name).append(schema.field(name))


DRIFTS = {
    "column missing": (without(SCHEMAS[LINES], "price"), ["missing     price (numeric(19,4))"]),
    "column renamed": (
        renamed(SCHEMAS[LINES], "price", "unit_price"),
        ["renamed?    price -> unit_price (numeric(19,4))"],
    ),
    "column retyped": (
        retyped(SCHEMAS[LINES], "price", pa.string()),
        ["re-typed    price: agreed numeric(19,4), found varchar"],
    ),
    "column widened": (
        retyped(SCHEMAS[LINES], "qty", pa.int64()).append(pa.field("colour", pa.string())),
        ["re-typed    qty: agreed integer, found bigint\n", "new         colour (varchar)  (ignored)"],
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_source_of_another_shape_is_refused_by_column_with_an_incident(
    work: Workspace, shop: Shop, drift: str
) -> None:
    """Until a batch of the agreed shape is landed; the same drift again counts, it opens nothing."""
    before = state(work)
    shop.schemas[LINES], said = DRIFTS[drift]
    for _ in range(2):
        with pytest.raises(DataRejected) as caught:
            load(work, shop, "sales")
        for part in (*said, LINES, "contracts/raw/order_line.yml", "Nothing was loaded", "incidents show INC-0001"):
            assert part in str(caught.value)
    after = state(work)
    written = {"ops.batches", "ops.incidents", "ops.incident_events", "ops.outbox"}
    assert {name: after[name] for name in after if name not in written} == {
        name: before[name] for name in before if name not in written
    }
    incident = "SELECT incident_id, kind, fingerprint, state, times FROM ops.incidents"
    assert fetch(work, incident) == [("INC-0001", "drift", "sales:drift:order_line", "open", 2)]
    assert status.read(work).held
    with pytest.raises(DataRejected, match="not landed completely"):
        jobs.publish(work, batch_id="sales-whole.2")
    shop.schemas = dict(SCHEMAS)
    land(work, shop, "sales")
    assert fetch(work, incident) == [("INC-0001", "drift", "sales:drift:order_line", "resolved", 2)]
    assert load(work, shop, "sales").publication.status == "unchanged"
    assert not status.read(work).held


def test_drift_of_two_datasets_is_two_incidents(work: Workspace, shop: Shop) -> None:
    shop.schemas = {**SCHEMAS, LINES: without(SCHEMAS[LINES], "note"), ORDERS: without(SCHEMAS[ORDERS], "sub_total")}
    with pytest.raises(DataRejected, match=r"(?s)Sales.SalesOrder.*sub_total.*Sales.OrderLine.*note"):
        load(work, shop, "sales")
    found = fetch(work, "SELECT fingerprint FROM ops.incidents ORDER BY 1")
    assert found == [("sales:drift:order_line",), ("sales:drift:sales_order",)]


def with_policy(work: Workspace, folder: Path, policy: str) -> Workspace:
    """The same warehouse under a contract of order lines that says what to do with drift."""
    project = own_project(folder)
    contract = project / "contracts/raw/order_line.yml"
    contract.write_text(contract.read_text().replace("  follows:", f"  drift: {policy}\n  follows:"))
    url = None if work.warehouse.dialect == "duckdb" else work.settings.warehouse_url
    return workspace(work.settings.paths.home, url, project)


def test_what_evolves_is_read_as_agreed_and_told(work: Workspace, shop: Shop, tmp_path: Path) -> None:
    """A missing column is NULL; a re-typed one is cast, and the row whose value cannot be is held."""
    work = with_policy(work, tmp_path / "project", "{missing: evolve, retyped: evolve}")
    for row in shop.lines:
        row["qty"] = str(row["qty"])
    shop.lines[0]["qty"] = "a dozen"
    shop.schemas[LINES] = retyped(without(SCHEMAS[LINES], "note"), "qty", pa.string())
    done = load(work, shop, "sales")
    assert (done.verdict.name, done.verdict.rows_held) == ("PASSED", 3)
    problems = fetch(work, "SELECT _problems FROM quarantine.order_line WHERE _problems IS NOT NULL")
    assert problems == [("qty: is not integer",)]
    assert "column note is missing at the source and was filled with NULL" in notes(work, done.batch_id)
    assert "column qty is varchar at the source and was read as integer" in notes(work, done.batch_id)
    assert fetch(work, "SELECT SUM(qty) FROM validated.order_line WHERE order_id > 1") == [(9,)]


def test_a_key_never_evolves_away(work: Workspace, shop: Shop, tmp_path: Path) -> None:
    work = with_policy(work, tmp_path / "project", "{missing: evolve}")
    shop.schemas[LINES] = without(SCHEMAS[LINES], "line_id")
    with pytest.raises(DataRejected, match="missing     line_id"):
        load(work, shop, "sales")


@pytest.mark.parametrize(
    ("policy", "schema", "said"),
    [
        ("{new: block}", SCHEMAS[LINES].append(pa.field("colour", pa.string())), r"new         colour \(varchar\)\n"),
        ("{reordered: block}", moved(SCHEMAS[LINES], "qty"), "moved       qty: agreed place 3, found place 6"),
    ],
    ids=["new", "reordered"],
)
def test_a_contract_may_block_what_is_ignored_else(
    work: Workspace, shop: Shop, tmp_path: Path, policy: str, schema: pa.Schema, said: str
) -> None:
    shop.schemas[LINES] = schema
    assert load(work, shop, "sales").publication.status == "unchanged"
    work = with_policy(work, tmp_path / "project", policy)
    with pytest.raises(DataRejected, match=said):
        load(work, shop, "sales")


def notes(work: Workspace, batch_id: str) -> str:
    found = fetch(
        work,
        "SELECT CAST(d.notes AS VARCHAR) FROM ops.batch_datasets d JOIN ops.batches b ON b.seq = d.batch"
        f" WHERE b.batch_id = '{batch_id}' AND d.table_name = 'order_line'",
    )
    return str(found[0][0])


def test_a_new_column_is_ignored_and_noted(work: Workspace, shop: Shop) -> None:
    shop.schemas[LINES] = SCHEMAS[LINES].append(pa.field("colour", pa.string()))
    shop.lines[0]["note"] = "blue"
    done = load(work, shop, "sales")
    assert done.publication.total("changed") == 1
    assert "column colour of the source is not in the contract and was ignored" in notes(work, done.batch_id)
    assert fetch(work, "SELECT COUNT(*) FROM ops.incidents") == [(0,)]


@dataclass
class ChangingShop(Shop):
    """Its schema of order lines changes once the orders have been read."""

    later: pa.Schema = field(default_factory=lambda: SCHEMAS[LINES])

    def read(self, request: object) -> pa.RecordBatchReader:
        if request.source_table == ORDERS:  # type: ignore[attr-defined]
            self.schemas[LINES] = self.later
        return super().read(request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("later", "column"),
    [
        (SCHEMAS[LINES].append(pa.field("colour", pa.string())), "colour"),
        (retyped(SCHEMAS[LINES], "note", pa.int32()), "note"),
        (without(SCHEMAS[LINES], "note"), "note"),
    ],
    ids=["added", "retyped", "dropped"],
)
def test_a_change_while_it_is_read_is_an_error_and_no_batch(
    work: Workspace, shop: Shop, later: pa.Schema, column: str
) -> None:
    changing = ChangingShop(shop.customers, shop.orders, shop.lines, later=later)
    with pytest.raises(PlatformError, match=f"changed while it was read: {column}"):
        load(work, changing, "sales")
    with pytest.raises(DataRejected, match=r"not landed completely|no batch"):
        jobs.publish(work, batch_id="sales-whole.2")
    assert load(work, shop, "sales").publication.status == "unchanged"
    assert fetch(work, "SELECT COUNT(*) FROM ops.publications WHERE group_name = 'sales'") == [(1,)]
