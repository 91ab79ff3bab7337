"""The chain of receipts over loads, builds and roll-backs, and a row explained, on both warehouses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dataops.cli import explain as explained
from dataops.declared.errors import DeclarationError
from dataops.facts import explanation
from dataops.facts.answers import VerificationDocument
from dataops.facts.document import Document
from dataops.facts.explanation import ExplanationDocument, InputFacts
from dataops.ledger import chain, publications
from dataops.ledger.chain import Proof
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, verification
from tests.support.shop import Shop, fetch, line, load, small_shop
from tests.support.stock import stock

pytestmark = pytest.mark.integration
SCHEMAS = Path(__file__).parents[2] / "docs/reference/json"


def verify(work: Workspace, **options: Any) -> Proof:
    with work.warehouse.reading() as connection:
        found = verification.verify(connection, tuple(work.catalog.datasets.values()), **options)
    _valid(VerificationDocument.of(found))
    return found


def explain(work: Workspace, dataset: str, key: str, as_of: str | None = None) -> ExplanationDocument:
    found = explanation.explain(work, dataset, key, as_of)
    _valid(found)
    assert all(len(said) <= 80 for said in explained.lines(found))
    return found


def _valid(document: Document) -> None:
    schema = json.loads((SCHEMAS / f"{document.document}.json").read_text("utf-8"))
    jsonschema.validate(document.content(), schema)


def history(work: Workspace) -> Shop:
    """Reference, sales with a bad first order, the models, then the first two orders changed."""
    shop = small_shop()
    shop.lines[0]["qty"] = 5000
    stock(work, shop, "reference", "sales")
    jobs.build(work, "curated")
    shop.lines[0]["qty"] = 1
    shop.lines[2] = line(2, 1, qty=7)
    shop.orders[1]["sub_total"] = shop.lines[2]["amount"] + shop.lines[3]["amount"]
    load(work, shop, "sales")
    jobs.build(work, "curated")
    return shop


def test_every_publication_is_sealed_over_the_one_before_it_and_the_figures_tie_to_the_rows(work: Workspace) -> None:
    history(work)
    jobs.roll_back(work, "sales", "sales-0001", "test data")
    jobs.build(work, "curated")
    found = verify(work)
    assert found.proven, found
    chain = fetch(work, "SELECT publication_id, kind, receipt, previous_receipt FROM ops.publications ORDER BY seq")
    assert [kind for _, kind, _, _ in chain] == ["load", "load", "build", "load", "build", "rollback", "build"]
    assert [previous for *_, previous in chain] == [None, *(receipt for _, _, receipt, _ in chain)][:-1]
    assert (found.receipts, found.earlier, found.head) == (7, 0, chain[-1][2])
    with work.warehouse.reading() as connection:
        assert all(row.ties for number in range(1, 8) for row in publications.datasets(connection, number))
    for _, _, receipt, _ in chain:
        assert verify(work, head=receipt[:16]).proven
    assert verify(work, start=4, end=6).receipts == 3


def _records(work: Workspace) -> chain.Records:
    with work.warehouse.reading() as connection:
        return chain.records(connection)


def test_a_receipt_that_was_never_made_and_a_text_that_is_none_are_told_apart(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    cut = verify(work, head="0" * 64)
    assert cut.broken
    assert (cut.broken.what, cut.broken.publication) == ("tail cut", "reference-0001")
    for text in ("1234567890abcde", "g" * 16, "0" * 65):
        with pytest.raises(DeclarationError, match="is no receipt"):
            verify(work, head=text)


def test_the_chain_begins_with_the_first_publication_of_a_release_that_has_receipts(work: Workspace) -> None:
    """The ledger came from an older release: it was brought up when nothing was sealed yet."""
    stock(work, small_shop(), "reference")
    _change(work, "UPDATE ops.publications SET receipt = NULL, published_at = published_at")
    _change(work, "UPDATE ops.settings SET value = '2' WHERE name = 'receipts from'")
    load(work, small_shop(), "sales")
    found = verify(work)
    assert (found.proven, found.receipts, found.earlier) == (True, 1, 1)


@pytest.mark.parametrize("also", ["", "DELETE FROM ops.settings WHERE name = 'receipts from'"])
def test_receipts_that_were_taken_away_are_missed(work: Workspace, also: str) -> None:
    """It said PROVEN: no publication had a receipt, so none was wrong."""
    history(work)
    _change(work, "UPDATE ops.publications SET receipt = NULL, reason = 'x', rules_hash = 'y'")
    if also:
        _change(work, also)
    found = verify(work)
    assert found.broken
    assert (found.broken.what, found.broken.publication) == ("unsealed", "reference-0001")


def _change(work: Workspace, sql: str) -> None:
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql(sql)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE validated.order_line SET amount = amount + 1 WHERE order_id = 3 AND line_id = 1",
            "amount of the rows",
        ),
        ("DELETE FROM validated.customer WHERE customer_id = 1", "3 rows were published, 2 are there"),
        ("DELETE FROM validated_history.sales_order", "1 rows were superseded, 0 are in history"),
        ("UPDATE validated.customer SET _publication = 99 WHERE customer_id = 1", "the ledger does not"),
    ],
)
def test_a_published_row_that_was_touched_contradicts_its_receipt(work: Workspace, change: str, says: str) -> None:
    history(work)
    _change(work, change)
    found = verify(work)
    assert not found.proven
    assert found.broken is None
    assert any(says in mismatch.says for mismatch in found.mismatches), found.mismatches


def test_a_validated_row_leads_to_its_batch_rules_and_receipt(work: Workspace) -> None:
    history(work)
    found = explain(work, "order_line", "order_id=3,line_id=1")
    assert found.version
    assert found.batch
    assert (found.state, found.version.values["qty"], found.version.publication) == (
        "published", 1, "sales-0001",
    )  # fmt: skip
    assert found.batch.batch == "sales-whole"
    assert found.version.receipt == _records(work).links[1].receipt
    outcomes = {rule.rule_id: (rule.outcome, rule.observed) for rule in found.rules}
    assert outcomes["SAL-014"] == ("passed", "0")
    assert outcomes["SAL-031"] == ("failed", "1")
    assert (found.others, found.quarantine, found.inputs) == ((), (), ())


def test_a_superseded_version_is_explained_as_of_its_publication_and_listed_as_an_earlier_one(work: Workspace) -> None:
    history(work)
    now = explain(work, "validated.order_line", "order_id=2,line_id=1")
    assert now.version
    assert (now.version.values["qty"], now.version.publication) == (7, "sales-0002")
    (earlier,) = now.others
    assert earlier.replaced_by
    assert (earlier.values["qty"], earlier.operation, earlier.replaced_by) == (
        1, "changed", "sales-0002",
    )  # fmt: skip
    before = explain(work, "order_line", "order_id=2,line_id=1", "curated-0001")
    assert before.version
    assert before.version.values["qty"] == 1
    assert "until       sales-0002 (changed)" in explained.lines(before)
    assert explain(work, "order_line", "order_id=2,line_id=1", "reference-0001").state == "not published yet"


def test_a_rolled_back_row_leads_through_the_roll_back_to_the_batch_that_brought_it(work: Workspace) -> None:
    history(work)
    jobs.roll_back(work, "sales", "sales-0001", "test data")
    found = explain(work, "order_line", "order_id=2,line_id=1")
    assert found.version
    assert found.batch
    assert (found.version.values["qty"], found.version.kind) == (1, "rollback")
    assert (found.restored_from, found.batch.batch) == ("sales-0001", "sales-whole")
    gone = explain(work, "sales_order", "1")
    assert (gone.state, gone.version) == ("quarantined", None)  # as it was then: it waits again


def test_a_curated_row_leads_to_the_rows_it_was_made_of_as_they_stood_for_that_build(work: Workspace) -> None:
    history(work)
    now = explain(work, "curated.fct_line", "order_id=2,line_id=1")
    assert {item.dataset.rpartition(".")[2]: _made(item) for item in now.inputs} == {
        "order_line": ("sales-0002", 7),
        "sales_order": ("sales-0002", None),
        "customer": ("reference-0001", None),
    }
    before = explain(work, "fct_line", "order_id=2,line_id=1", "curated-0001")
    assert {item.dataset.rpartition(".")[2]: _made(item) for item in before.inputs}["order_line"] == ("sales-0001", 1)
    assert now.batch
    assert now.batch.batch == "curated-build.2"


def _made(item: InputFacts) -> tuple[str, int | None]:
    assert item.publication
    assert item.values
    return item.publication, item.values.get("qty")


def test_a_quarantined_row_says_which_rules_it_broke_and_in_which_batch(work: Workspace) -> None:
    shop = small_shop()
    shop.lines[0]["qty"] = 5000
    stock(work, shop, "reference", "sales")
    found = explain(work, "order_line", "order_id=1,line_id=1")
    assert (found.state, found.version) == ("quarantined", None)
    (held,) = found.quarantine
    assert (held.rules, held.batch, held.closed) == ("SAL-031,SAL-033", "sales-whole", None)
    (fallen,) = explain(work, "order_line", "order_id=1,line_id=2").quarantine
    assert (fallen.rules, fallen.fell_with) == ("", "family of sales_order")
    shop.lines[0]["qty"] = 1
    load(work, shop, "sales")
    solved = explain(work, "order_line", "order_id=1,line_id=1")
    assert (solved.state, solved.quarantine[0].released) == ("published", "sales-0002")


def test_a_key_that_never_came_and_what_does_not_exist_are_told_apart(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    found = explain(work, "customer", "99")
    assert (found.state, found.version, found.others, found.quarantine) == ("never seen", None, (), ())
    for dataset, key, said in (
        ("nope", "1", "there are customer, fct_line, order_line, sales_order"),
        ("customer", "name=x", "whose key is customer_id"),
        ("customer", "x", "'x' is no key of"),
    ):
        with pytest.raises(DeclarationError, match=said):
            explain(work, dataset, key)
    with pytest.raises(DeclarationError, match="no publication 'sales-9'"):
        explain(work, "customer", "1", "sales-9")
