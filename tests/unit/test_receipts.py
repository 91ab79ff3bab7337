"""What a receipt is made of, without a warehouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataops.cli import receipt as pages
from dataops.declared import settings
from dataops.declared.catalog import Dataset, load
from dataops.declared.errors import DeclarationError
from dataops.facts.explanation import carried, parsed_key
from dataops.facts.publication import Allowed, DatasetCounts, PublicationDocument
from dataops.ledger import receipts
from dataops.ledger.chain import Records, _link, walk
from dataops.ledger.publications import PublicationDataset
from dataops.ledger.row_proof import DIGESTS

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).parents[1] / "support" / "project"
MOMENT = datetime(2014, 5, 1, 9, 18, 4, 120)


def publication(seq: int = 1, **values: Any) -> dict[str, Any]:
    made = {"seq": seq, "publication_id": f"sales-{seq:04d}", "group_name": "sales", "kind": "load", "batch": seq}
    whole = {"previous": None, "window_end": None, "reason": None, "waivers": None, "published_at": MOMENT}
    return made | whole | {"rules_hash": "91be" * 16, "verdict": "PASSED", "previous_receipt": None} | values


def counts(**values: Any) -> dict[str, Any]:
    rows = {"received": 4, "new": 1, "changed": 1, "unchanged": 1, "quarantined": 1, "deleted": 0, "retained": 0}
    parts = {"published_controls": {"amount": "2.50"}, "unchanged_controls": {"amount": "1"}}
    whole = {"controls": {"amount": "4.50"}, "quarantined_controls": {"amount": "1.00"}}
    return {"publication": 1, "table_name": "order_line"} | rows | parts | whole | values


def batch(**values: Any) -> dict[str, Any]:
    window = {"window_start": None, "window_end": None, "rules_hash": "91be" * 16, "horizon": None}
    return {"seq": 1, "batch_id": "sales-whole", "source": "csv:oltp-2014", "state": "published"} | window | values


def sealed(number: int) -> list[dict[str, Any]]:
    """A ledger of so many publications, each sealed over the one before it."""
    made: list[dict[str, Any]] = []
    for seq in range(1, number + 1):
        linked = publication(seq, previous_receipt=made[-1]["receipt"] if made else None)
        made.append(linked | {"receipt": receipts.digest(linked, [counts(publication=seq)], None)})
    return made


def records(made: list[dict[str, Any]], first: int = 0) -> Records:
    """As `chain.records` reads them."""
    rows = dict.fromkeys(("results", "receipt", "commitment", *DIGESTS))
    links = tuple(_link(rows | p, [rows | counts(publication=p["seq"])], None) for p in made)
    return Records(links, (), first)


def test_the_canonical_text_does_not_depend_on_order_zone_or_the_text_of_json() -> None:
    here = MOMENT.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=2)))
    one = {"b": [1, {"y": None, "x": Decimal("1.50")}], "a": MOMENT, "c": 2.0, "d": None}
    other = {"c": 2, "a": here, "b": (1, {"x": "1.50"})}
    assert receipts.canonical(one) == receipts.canonical(other)
    assert receipts.canonical(one) == '{"a":"2014-05-01T09:18:04.000120+00:00","b":[1,{"x":"1.50"}],"c":2}'


def test_values_that_differ_have_different_canonical_texts() -> None:
    values = [1, "1", True, [1], {"1": 1}, "1.0", Decimal("1.00"), 1.5, [[1]], [], {}, "", MOMENT]
    texts = [receipts.canonical(value) for value in values]
    assert len(set(texts)) == len(values)
    with pytest.raises(ValueError, match="JSON"):
        receipts.canonical(float("nan"))


def test_a_receipt_does_not_depend_on_the_order_in_which_datasets_are_read_but_on_each_value() -> None:
    two = [counts(), counts(table_name="sales_order")]
    digest = receipts.digest(publication(), two, batch())
    assert digest == receipts.digest(publication(), two[::-1], batch())
    assert digest == receipts.digest(publication(receipt="anything"), two, batch(state="other"))
    changed = [
        receipts.digest(publication(waivers=[{"waiver_id": "WAI-0001"}]), two, batch()),
        receipts.digest(publication(previous_receipt="5d10"), two, batch()),
        receipts.digest(publication(published_at=MOMENT + timedelta(microseconds=1)), two, batch()),
        receipts.digest(publication(), [*two, counts(table_name="third")], batch()),
        receipts.digest(publication(), [counts(new=2), two[1]], batch()),
        receipts.digest(publication(), two, batch(source="elsewhere")),
        receipts.digest(publication(), two, None),
    ]
    assert len({digest, *changed}) == len(changed) + 1


def test_a_column_that_a_later_release_adds_changes_no_older_receipt() -> None:
    digest = receipts.digest(publication(), [counts()], batch())
    assert digest == receipts.digest(publication(later=None), [counts(later=None)], batch())


@pytest.mark.parametrize(
    ("values", "tied"),
    [
        ({}, True),
        ({"received": 5}, False),
        ({"quarantined_controls": {"amount": "1.01"}}, False),
        ({"published_controls": None}, True),
        ({"published_controls": {}}, False),
    ],
)
def test_a_dataset_ties_when_rows_and_every_control_total_add_up(values: dict[str, Any], tied: bool) -> None:
    assert PublicationDataset.of(counts(**values)).ties is tied


def test_the_part_that_is_left_is_exact() -> None:
    assert receipts.parts({"amount": "0.3"}, {"amount": "0.1"}, {}) == {"amount": "0.2"}
    assert receipts.parts({"amount": "1E+2"}, {"amount": "0.00"}) == {"amount": "100.00"}


def test_a_chain_is_proven_from_its_first_receipt_and_names_its_first_bad_link() -> None:
    made = sealed(4)
    assert walk(records(made)).proven
    assert walk(records(made)).receipts == 4
    made[1]["reason"] = "edited"
    made[3]["reason"] = "edited"
    found = records(made)
    broken = walk(found)
    assert broken.broken
    assert (broken.broken.what, broken.broken.publication, broken.receipts) == ("edited", "sales-0002", 1)
    assert broken.unproven == 3
    assert broken.broken.found == made[1]["receipt"]
    assert broken.broken.expected == found.links[1].expected
    assert walk(found, start=3, end=3).proven


def test_publications_that_are_older_than_receipts_are_counted_and_not_covered() -> None:
    old = [publication(0, publication_id="sales-0000")]
    assert walk(records(old + sealed(3), first=1)).earlier == 1
    assert walk(records(old, first=1)).receipts == 0


def test_a_page_is_narrow_and_names_the_waivers_it_rests_on() -> None:
    waiver = Allowed(
        waiver_id="WAI-0003", rule_id="SAL-014", batch=None, keys=None, quota=None, owner="ann", approver="bob",
        until="2014-06-01", reason="the supplier sends it again on Monday, agreed with sales on the phone",
    )  # fmt: skip
    made = publication(receipt="7f3c" * 16)
    names = ("kind", "verdict", "published_at", "window_end", "previous", "reason", "rules_hash", "receipt")
    row = PublicationDataset.of(counts())
    own = row.model_dump(exclude={"publication", "table"})
    shown = PublicationDocument(
        **{name: made[name] for name in names}, publication="sales-0001", number=1, group="sales", next=None,
        previous_receipt=None, batch="sales-whole", source="csv:oltp-2014", window_start=None,
        rules={"passed": 61, "warned": 1}, waivers=(waiver,), anomalies=(),
        datasets=(DatasetCounts(**own, table_name=row.table, ties=row.ties),),
    )  # fmt: skip
    text = "\n".join(pages.page(shown))
    assert all(len(line) <= 80 for line in text.splitlines()), text
    for said in ("WAI-0003", "ann and bob", "61 passed and 1 warned", "ties", "1 waiver ·", "7f3c" * 16):
        assert said in " ".join(text.split())
    document = shown.content()
    assert document["waivers"][0]["approver"] == "bob"
    assert document["datasets"][0]["ties"] is True


def order_line() -> Dataset:
    return load(settings.load({}, project=PROJECT).paths).dataset("order_line")


def test_a_key_is_given_by_column_and_a_single_column_needs_no_name() -> None:
    catalog = load(settings.load({}, project=PROJECT).paths)
    assert parsed_key(order_line(), "line_id=2, order_id=1") == {"order_id": "1", "line_id": "2"}
    assert parsed_key(catalog.dataset("customer"), "a,b") == {"customer_id": "a,b"}
    assert parsed_key(catalog.dataset("customer"), "customer_id=7") == {"customer_id": "7"}


@pytest.mark.parametrize("text", ["1", "order_id=1", "order_id=1,line_id=2,qty=3", "order_id=1,nope=2", ""])
def test_anything_else_is_refused_with_the_columns_of_the_key(text: str) -> None:
    with pytest.raises(DeclarationError, match="whose key is order_id, line_id"):
        parsed_key(order_line(), text)


def test_only_columns_that_a_model_passes_on_unchanged_name_its_input_rows() -> None:
    (model,) = load(settings.load({}, project=PROJECT).paths).models
    assert carried(model) == {"order_id", "line_id", "customer_id", "region", "amount"}
