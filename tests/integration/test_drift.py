"""F22: the source's shape changes. Nothing is loaded under a wrong agreement, and the message names the column."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from dataops import jobs
from dataops.errors import DataRejected, PlatformError
from dataops.workspace import Workspace
from tests.support.shop import SCHEMAS, Shop, fetch, load, small_shop, state, workspace

pytestmark = pytest.mark.integration

LINES, ORDERS = "Sales.OrderLine", "Sales.SalesOrder"


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return workspace(tmp_path / "home", url)


@pytest.fixture
def shop(work: Workspace) -> Shop:
    shop = small_shop()
    load(work, shop, "reference")
    load(work, shop, "sales")
    return shop


def without(schema: pa.Schema, name: str) -> pa.Schema:
    return schema.remove(schema.get_field_index(name))


def renamed(schema: pa.Schema, old: str, new: str) -> pa.Schema:
    return pa.schema([field_.with_name(new) if field_.name == old else field_ for field_ in schema])


def retyped(schema: pa.Schema, name: str, kind: pa.DataType) -> pa.Schema:
    return pa.schema([field_.with_type(kind) if field_.name == name else field_ for field_ in schema])


DRIFTS = {
    "column missing": (without(SCHEMAS[LINES], "price"), ["lacks 1 agreed column", "price"]),
    "column renamed": (
        renamed(SCHEMAS[LINES], "price", "unit_price"),
        ["lacks 1 agreed column(s): price", "unknown ones: unit_price (renamed?)"],
    ),
    "column retyped": (
        retyped(SCHEMAS[LINES], "price", pa.string()),
        ["column price is string, agreed is decimal128(19, 4)"],
    ),
    "column widened": (retyped(SCHEMAS[LINES], "qty", pa.int64()), ["column qty is int64, agreed is int32"]),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_source_of_another_shape_is_refused_by_column(work: Workspace, shop: Shop, drift: str) -> None:
    before = state(work)
    shop.schemas[LINES], said = DRIFTS[drift]
    with pytest.raises(DataRejected) as caught:
        load(work, shop, "sales")
    for part in (*said, LINES, "contracts/raw/order_line.yml", "Nothing was loaded"):
        assert part in str(caught.value)
    after = state(work)
    assert {name: after[name] for name in before if name != "ops.batches"} == {
        name: before[name] for name in before if name != "ops.batches"
    }
    shop.schemas = dict(SCHEMAS)
    assert load(work, shop, "sales").publication.status == "unchanged"


def test_a_new_column_is_ignored_and_noted(work: Workspace, shop: Shop) -> None:
    shop.schemas[LINES] = SCHEMAS[LINES].append(pa.field("colour", pa.string()))
    shop.lines[0]["note"] = "blue"
    done = load(work, shop, "sales")
    assert done.publication.total("changed") == 1
    notes = fetch(
        work,
        "SELECT CAST(d.notes AS VARCHAR) FROM ops.batch_datasets d JOIN ops.batches b ON b.seq = d.batch"
        f" WHERE b.batch_id = '{done.batch_id}' AND d.table_name = 'order_line'",
    )
    assert "column colour of the source is not in the contract and was ignored" in notes[0][0]


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
    with pytest.raises((PlatformError, DataRejected), match=column):
        load(work, changing, "sales")
    with pytest.raises(DataRejected, match=r"not landed completely|no batch"):
        jobs.publish(work, batch_id="sales-whole.2")
    assert load(work, shop, "sales").publication.status == "unchanged"
    assert fetch(work, "SELECT COUNT(*) FROM ops.publications WHERE group_name = 'sales'") == [(1,)]
