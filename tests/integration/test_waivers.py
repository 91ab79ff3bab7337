"""Waivers: dated, scoped, approved by a second person; looked at again when a batch is published (F17, F18, F36)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from dataops.declared.errors import DataRejected, DeclarationError, VerdictError
from dataops.gate.waivers import Scope
from dataops.ledger import clock, publications
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, stewards
from tests.support.shop import Shop, fetch, load, small_shop
from tests.support.stock import stock

pytestmark = pytest.mark.integration
QTY = "SAL-031"
ORDERS = "SELECT order_id FROM validated.sales_order ORDER BY 1"


def _later(**span: float) -> datetime:
    return clock.now() + timedelta(**span)


def _shop_with(bad: int) -> Shop:
    """The first `bad` orders have a line whose quantity is too high; everything else about it is right."""
    shop = small_shop()
    for number in range(bad):
        shop.lines[2 * number] |= {
            "qty": 2000,
            "price": shop.lines[0]["price"] * 0,
            "amount": shop.lines[0]["amount"] * 0,
        }
        shop.orders[number]["sub_total"] = shop.lines[2 * number + 1]["amount"]
    return shop


def _waive(work: Workspace, scope: Scope, until: datetime | None = None) -> str:
    made = stewards.add_waiver(work, scope, "anna", "agreed with the shop", until or _later(days=1))
    assert made.state == "waiting for approval"
    return str(stewards.approve_waiver(work, made.waiver.waiver_id, "ben").waiver.waiver_id)


def test_a_waived_rule_lets_its_rows_pass_and_the_receipt_names_the_waiver(work: Workspace) -> None:
    shop = _shop_with(1)
    stock(work, shop, "reference")
    waiver = _waive(work, Scope("sales", QTY))
    done = load(work, shop, "sales")
    result = next(r for r in done.verdict.results if r.rule.id == QTY)
    assert (result.outcome, result.failing, result.waivers) == ("waived", 1, (waiver,))
    assert (done.verdict.rows_held, done.verdict.waivers) == (0, (waiver,))
    assert fetch(work, ORDERS) == [(1,), (2,), (3,), (4,)]
    with work.warehouse.reading() as connection:
        kept = publications.find(connection, done.publication.publication_id).waivers
    assert [(w.waiver_id, w.rule_id, w.owner, w.approver) for w in kept] == [(waiver, QTY, "anna", "ben")]


def test_a_waiver_for_keys_covers_those_rows_only(work: Workspace) -> None:
    shop = _shop_with(2)
    stock(work, shop, "reference")
    _waive(work, Scope("sales", QTY, keys=(("1", "1"),)))
    done = load(work, shop, "sales")
    result = next(r for r in done.verdict.results if r.rule.id == QTY)
    assert (result.outcome, result.failing) == ("failed", 2)
    assert fetch(work, ORDERS) == [(1,), (3,), (4,)]
    assert fetch(work, "SELECT DISTINCT order_id FROM quarantine.order_line") == [(2,)]


def test_a_waiver_does_nothing_before_a_second_person_agreed(work: Workspace) -> None:
    shop = _shop_with(1)
    stock(work, shop, "reference")
    made = stewards.add_waiver(work, Scope("sales", QTY), "anna", "agreed", _later(days=1))
    with pytest.raises(DataRejected, match="somebody else has to approve"):
        stewards.approve_waiver(work, made.waiver.waiver_id, "anna")
    assert load(work, shop, "sales").verdict.rows_held == 3


def test_a_held_batch_is_released_by_a_higher_quota_for_this_batch_only(work: Workspace) -> None:
    shop = _shop_with(4)
    stock(work, shop, "reference")
    held = load(work, shop, "sales")
    assert held.verdict.name == "FAILED"
    waiver = _waive(work, Scope("sales", None, held.batch_id, quota=1.0))
    assert jobs.run_gate(work, "sales", held.batch_id).waivers == (waiver,)
    assert jobs.publish(work, "sales", held.batch_id).status == "published"
    assert fetch(work, "SELECT state FROM ops.incidents") == [("waived",)]
    assert load(work, shop, "sales").verdict.name == "FAILED"


def test_a_rule_that_names_no_rows_can_be_waived_for_a_batch(work: Workspace) -> None:
    shop = small_shop(customers=6, orders=0)
    shop.orders, shop.lines = small_shop().orders, small_shop().lines
    stock(work, shop, "reference")
    shop.customers = shop.customers[:1]
    held = load(work, shop, "reference")
    assert held.verdict.name == "FAILED"
    rule = next(r.rule.id for r in held.verdict.results if r.outcome == "failed")
    _waive(work, Scope("reference", rule, held.batch_id))
    assert jobs.run_gate(work, "reference", held.batch_id).passed
    assert jobs.publish(work, "reference", held.batch_id).total("deleted") == 5


@pytest.mark.parametrize("second", [-1, 1])
def test_a_waiver_that_ends_between_gate_and_publish_is_looked_at_again(
    work: Workspace, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = _shop_with(1)
    stock(work, shop, "reference")
    until = _later(minutes=30)
    _waive(work, Scope("sales", QTY), until)
    batch_id = _gated(work, shop)
    monkeypatch.setattr(clock, "now", lambda: until + timedelta(seconds=second))
    if second < 0:
        assert jobs.publish(work, "sales", batch_id).status == "published"
        return
    with pytest.raises(VerdictError, match=r"holds no more \(until .* UTC"):
        jobs.publish(work, "sales", batch_id)
    assert fetch(work, ORDERS) == []
    assert jobs.run_gate(work, "sales", batch_id).rows_held == 3
    assert jobs.publish(work, "sales", batch_id).total("new") == 9


def test_a_waiver_that_is_revoked_between_gate_and_publish_holds_the_batch(work: Workspace) -> None:
    shop = _shop_with(1)
    stock(work, shop, "reference")
    waiver = _waive(work, Scope("sales", QTY))
    batch_id = _gated(work, shop)
    stewards.revoke_waiver(work, waiver, "carl")
    with pytest.raises(VerdictError, match=waiver):
        jobs.publish(work, "sales", batch_id)


def _gated(work: Workspace, shop: Shop) -> str:
    from tests.support.shop import land

    batch_id = land(work, shop, "sales")
    assert jobs.run_gate(work, "sales", batch_id).passed
    return batch_id


def test_an_approval_counts_once_in_time_and_for_the_batch_it_was_given_for(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = _shop_with(4)
    stock(work, shop, "reference")
    held = load(work, shop, "sales").batch_id
    twice = _waive(work, Scope("sales", None, held, quota=0.9))
    with pytest.raises(DataRejected, match=r"in force; it cannot be approved again: ben did"):
        stewards.approve_waiver(work, twice, "carl")
    late = stewards.add_waiver(work, Scope("sales", QTY), "anna", "agreed", _later(hours=1)).waiver.waiver_id
    asked = stewards.ask_for_quota(work, "sales", held, "anna", "agreed", "100%").waiver.waiver_id
    _settle(work, held)
    with pytest.raises(DataRejected, match="is published"):
        stewards.approve_waiver(work, asked, "ben")
    monkeypatch.setattr(clock, "now", lambda: _now() + timedelta(hours=2))
    with pytest.raises(DataRejected, match=f"{late} is ended"):
        stewards.approve_waiver(work, late, "ben")


_now = clock.now


def _settle(work: Workspace, batch_id: str) -> None:
    _waive(work, Scope("sales", None, batch_id, quota=1.0))
    assert jobs.run_gate(work, "sales", batch_id).passed
    jobs.publish(work, "sales", batch_id)


def test_an_approval_for_other_rules_is_refused(work: Workspace) -> None:
    shop = _shop_with(4)
    stock(work, shop, "reference")
    held = load(work, shop, "sales").batch_id
    made = stewards.add_waiver(work, Scope("sales", None, held, quota=1.0), "anna", "agreed", _later(days=1))
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE ops.batches SET rules_hash = 'other'")
    with pytest.raises(DataRejected, match="rules of sales changed since"):
        stewards.approve_waiver(work, made.waiver.waiver_id, "ben")


@pytest.mark.parametrize(
    ("scope", "until", "reason", "says"),
    [
        (Scope("sales", "SAL-999"), timedelta(days=1), "r", "no rule 'SAL-999'"),
        (Scope("sales", "SRC-000:order_line"), timedelta(days=1), "r", "cannot be waived"),
        (Scope("sales", QTY), timedelta(days=-1), "r", "ends in the future"),
        (Scope("sales", QTY), timedelta(days=91), "r", "within 90 days"),
        (Scope("sales", QTY), timedelta(days=1), " ", "says why"),
        (Scope("sales", QTY, keys=(("1",),)), timedelta(days=1), "r", "has the key order_id, line_id"),
        (Scope("sales", None), timedelta(days=1), "r", "raises the quota of one batch"),
        (Scope("sales", QTY, "reference-whole"), timedelta(days=1), "r", "is of group reference"),
    ],
)
def test_what_makes_no_sense_is_refused(
    work: Workspace, scope: Scope, until: timedelta, reason: str, says: str
) -> None:
    stock(work, small_shop(), "reference")
    with pytest.raises(DeclarationError, match=says):
        stewards.add_waiver(work, scope, "anna", reason, clock.now() + until)
    assert stewards.waivers(work) == []


def test_keys_and_references_cannot_be_waived(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    sound = [r.id for r in work.catalog.group("sales").rules if r.type in {"reference", "schema", "duplicate"}]
    assert len(sound) >= 4
    for rule in sound:
        with pytest.raises(DeclarationError, match="cannot be waived"):
            stewards.add_waiver(work, Scope("sales", rule), "anna", "please", _later(days=1))
