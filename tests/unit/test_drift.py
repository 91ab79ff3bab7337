"""Drift told apart: what is new, missing, renamed, re-typed or moved, and what a contract lets pass."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.shop import PROJECT, SCHEMAS, own_project

from dataops.declared import catalog, settings
from dataops.declared.errors import DeclarationError
from dataops.pipeline.intake.drift import compare, in_words

pytestmark = pytest.mark.unit

LINE = SCHEMAS["Sales.OrderLine"]
DATASET = catalog.load(settings.load({}, project=PROJECT).paths).dataset("order_line")


def differences(schema: pa.Schema) -> list[str]:
    return [" ".join(str(d).split()) for d in compare(DATASET, schema).differences]


def fields(*changes: tuple[str, str | None, pa.DataType | None]) -> pa.Schema:
    """The agreed schema with columns renamed, re-typed or (None) left out."""
    found = {f.name: f for f in LINE}
    for name, new, kind in changes:
        found[name] = pa.field(new, kind or found[name].type) if new else None
    return pa.schema([f for f in found.values() if f])


def test_the_agreed_columns_are_no_drift() -> None:
    drift = compare(DATASET, LINE)
    assert (drift.differences, drift.blocking, drift.readable) == ((), (), LINE)


def test_a_column_gone_and_another_of_its_type_is_taken_for_renamed_by_name_or_place() -> None:
    assert differences(fields(("price", "unit_price", None))) == ["renamed? price -> unit_price (numeric(19,4))"]
    assert differences(fields(("note", "xyz", None))) == ["renamed? note -> xyz (varchar)"]


def test_another_type_or_neither_name_nor_place_is_not_a_renaming() -> None:
    assert differences(fields(("price", "unit_price", pa.string()))) == [
        "missing price (numeric(19,4))",
        "new unit_price (varchar)",
    ]
    schema = fields(("price", None, None)).append(pa.field("zone", LINE.field("price").type))
    assert differences(schema) == ["missing price (numeric(19,4))", "new zone (numeric(19,4))"]


def test_of_two_candidates_the_more_alike_is_the_renamed_one_and_none_is_taken_twice() -> None:
    schema = fields(("price", None, None), ("amount", None, None))
    schema = schema.append(pa.field("prices", LINE.field("price").type)).append(
        pa.field("amount_", LINE.field("price").type)
    )
    assert sorted(differences(schema)) == [
        "renamed? amount -> amount_ (numeric(19,4))",
        "renamed? price -> prices (numeric(19,4))",
    ]


def test_types_are_named_as_contracts_name_them() -> None:
    assert differences(fields(("qty", "qty", pa.int64()))) == ["re-typed qty: agreed integer, found bigint"]
    assert [in_words(kind) for kind in (pa.decimal128(9, 2), pa.float64(), pa.timestamp("us"))] == [
        "numeric(9,2)",
        "double",
        "timestamp",
    ]


def test_a_moved_column_is_named_and_those_around_it_are_not() -> None:
    schema = pa.schema([LINE.field(n) for n in ("order_id", "line_id", "price", "amount", "note", "qty")])
    assert differences(schema) == ["moved qty: agreed place 3, found place 6"]
    assert compare(DATASET, schema).blocking == ()


def test_by_default_only_new_and_moved_columns_let_a_load_pass() -> None:
    schema = fields(("note", None, None), ("qty", "qty", pa.int64())).append(pa.field("colour", pa.int32()))
    drift = compare(DATASET, schema)
    assert [d.what for d in drift.blocking] == ["missing", "retyped"]
    assert [line.endswith("(ignored)") for line in drift.lines()] == [False, False, True]


@pytest.mark.parametrize("policy", ["{new: evolve}", "{missing: ignore}", "{colour: block}", "block"])
def test_a_policy_that_does_not_exist_is_an_error_of_the_contract(tmp_path: Path, policy: str) -> None:
    contract = own_project(tmp_path / "project") / "contracts/raw/order_line.yml"
    contract.write_text(contract.read_text().replace("  follows:", f"  drift: {policy}\n  follows:"))
    with pytest.raises(DeclarationError, match=r"contracts/raw/order_line\.yml"):
        catalog.load(settings.load({}, project=tmp_path / "project").paths)
