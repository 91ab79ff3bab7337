"""An incident is one root cause: it counts what recurs, records who did what, and ends by a publication or a person."""

from __future__ import annotations

from typing import Any

import pytest

from dataops.declared.errors import DeclarationError
from dataops.facts import status
from dataops.ledger import incidents, schema
from dataops.ledger import tables as ledger
from dataops.ledger.incidents import Detail, Incident
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from tests.support.shop import Shop, customer, fetch, line, load, small_shop
from tests.support.stock import stock

pytestmark = [pytest.mark.integration, pytest.mark.quick]


@pytest.fixture
def shop(work: Workspace) -> Shop:
    """Twenty orders; those of customer 1 and 3, in region FR, are bad, so the batch is over its quota."""
    shop = small_shop(customers=4, orders=20)
    stock(work, shop, "reference", "sales")
    return shop


@pytest.fixture
def empty(work: Workspace) -> Workspace:
    with work.warehouse.transaction() as connection:
        schema.ensure(connection, work.catalog.layers)
    return work


def spoil(shop: Shop, price: str = "-1.00") -> None:
    for row in shop.lines:
        if row["line_id"] == 1:
            row.update(line(row["order_id"], 1, price=price), note="till 7")
    for row in shop.orders:
        row["sub_total"] = sum(each["amount"] for each in shop.lines if each["order_id"] == row["order_id"])


DETAIL = {"verdict": "FAILED", "first": {"table": "order_line", "rule": "SAL-031"}, "rules": [], "rows_held": 4}


def opened(work: Workspace, batch: int, sentence: str = "quantity is 1 to 1000", **detail: Any) -> str:
    with work.warehouse.transaction() as connection:
        return incidents.open_for(connection, "sales", batch, sentence, Detail.of(DETAIL | detail))


def step(work: Workspace, name: str, *arguments: Any, **named: Any) -> None:
    with work.warehouse.transaction() as connection:
        getattr(incidents, name)(connection, *arguments, **named)


def known(work: Workspace, name: str) -> tuple[Incident, list[tuple[str, str, str | None]]]:
    with work.warehouse.reading() as connection:
        incident = incidents.required(connection, name)
        return incident, [(e.action, e.who, e.text) for e in incidents.history(connection, incident)]


def test_the_same_root_cause_is_counted_whatever_its_sentence_says(empty: Workspace) -> None:
    first = opened(empty, 1, "4 rows are wrong")
    for sentence in ("5 rows are wrong", "judged again"):
        assert opened(empty, 2, sentence, rows_held=5) == first
    incident, events = known(empty, first)
    assert (incident.times, incident.batch, incident.sentence) == (2, 2, "judged again")
    assert (incident.detail.rows_held, incident.detail.batches) == (5, (1, 2))
    assert events == [("opened", "gate", "4 rows are wrong"), ("seen", "gate", "5 rows are wrong")]


def test_another_rule_dataset_or_kind_is_another_incident(empty: Workspace) -> None:
    causes = [
        {},
        {"first": {"table": "order_line", "rule": "SAL-032"}},
        {"first": {"table": "sales_order", "rule": "SAL-031"}},
        {"verdict": "ERROR"},
    ]
    assert [opened(empty, 1, **cause) for cause in causes] == ["INC-0001", "INC-0002", "INC-0003", "INC-0004"]
    assert [i.kind for i in (known(empty, f"INC-000{n}")[0] for n in (1, 4))] == ["held", "error"]


def test_every_step_stands_in_the_history_with_who_did_it(empty: Workspace) -> None:
    name = opened(empty, 1)
    step(empty, "acknowledge", name, "anna", "asked the ERP team")
    step(empty, "assign", name, "bert", "anna")
    step(empty, "assign", name, "carl", "anna")
    step(empty, "comment", name, "a till was broken", "carl")
    step(empty, "close", name, "source-fixed", "till replaced", "carl")
    step(empty, "reopen", name, "it broke again", "anna")
    step(empty, "waive", name, "WAI-0001", "dora")
    incident, events = known(empty, name)
    assert (incident.state, incident.assignee, incident.resolution) == (
        "waived",
        "carl",
        "published under WAI-0001",
    )
    assert events[1:] == [
        ("acknowledged", "anna", "asked the ERP team"),
        ("assigned", "anna", "to bert"),
        ("assigned", "anna", "to carl (before: bert)"),
        ("commented", "carl", "a till was broken"),
        ("resolved", "carl", "source fixed: till replaced"),
        ("reopened", "anna", "it broke again"),
        ("waived", "dora", "under WAI-0001"),
    ]


def test_a_step_that_the_state_does_not_allow_is_refused_with_who_and_when(empty: Workspace) -> None:
    name = opened(empty, 1)
    with pytest.raises(DeclarationError, match="is open; there is nothing to reopen"):
        step(empty, "reopen", name, "why not", "anna")
    step(empty, "acknowledge", name, "anna")
    with pytest.raises(DeclarationError, match=r"was acknowledged by anna on .* UTC already"):
        step(empty, "acknowledge", name, "bert")
    step(empty, "close", name, "duplicate", "see INC-0009", "bert")
    for refused in (
        ("close", name, "duplicate", "again", "carl"),
        ("acknowledge", name, "carl"),
        ("waive", name, "W", "c"),
    ):
        with pytest.raises(DeclarationError, match=r"was resolved by bert on 20.* UTC \(duplicate\)"):
            step(empty, *refused)
    assert opened(empty, 2) == "INC-0002"
    with pytest.raises(DeclarationError, match="INC-0002 is open for the same cause"):
        step(empty, "reopen", name, "it is back", "anna")
    assert len(known(empty, name)[1]) == 3


def test_closing_needs_a_known_reason_and_a_comment(empty: Workspace) -> None:
    name = opened(empty, 1)
    with pytest.raises(DeclarationError, match="there are source-fixed, rule-fixed, expected-change"):
        step(empty, "close", name, "because", "so", "anna")
    with pytest.raises(DeclarationError, match=r"no reason 'duplicate' .* there are stock-take"):
        step(empty, "close", name, "duplicate", "so", "anna", reasons=("stock take",))
    for who, text in (("anna", " "), ("", "so")):
        with pytest.raises(DeclarationError):
            step(empty, "close", name, "duplicate", text, who)
    with pytest.raises(DeclarationError, match="no incident 'INC-0099'"):
        step(empty, "comment", "INC-0099", "text", "anna")
    assert known(empty, name)[0].state == "open"
    step(empty, "close", name, "Stock take", "counted again", "anna", reasons=("stock take",))
    assert known(empty, name)[0].resolution_reason == "stock take"


def test_what_a_person_settled_stays_closed_for_its_batch_and_a_new_one_remembers_it(empty: Workspace) -> None:
    name = opened(empty, 1)
    step(empty, "close", name, "false positive", "a known stock take", "anna")
    assert opened(empty, 1) == name
    assert (known(empty, name)[0].state, known(empty, name)[0].times) == ("resolved", 1)
    again = opened(empty, 2)
    assert known(empty, again)[1][1] == ("noted", "gate", "Seen before: INC-0001 (false positive)")
    step(empty, "close", again, "source fixed", "till replaced", "anna")
    assert opened(empty, 2) == "INC-0003", "a repair that did not repair opens anew, even for the same batch"


def test_batches_that_are_no_problem_are_taken_out_of_the_history_of_metrics(empty: Workspace) -> None:
    with empty.warehouse.transaction() as connection:
        rows = [
            {"batch": n, "table_name": "order_line", "metric": "rows", "value": 1.0, "excluded": False} for n in (1, 2)
        ]
        connection.execute(ledger.metrics.insert(), rows)
    step(empty, "close", opened(empty, 1), "expected change", "a campaign", "anna")
    assert sorted(fetch(empty, "SELECT batch, excluded FROM ops.metrics")) == [(1, True), (2, False)]


def test_a_held_batch_opens_an_incident_with_a_pattern_and_a_clean_one_solves_it(work: Workspace, shop: Shop) -> None:
    spoil(shop)
    assert load(work, shop, "sales").verdict.name == "FAILED"
    step(work, "acknowledge", "INC-0001", "anna")
    assert status.read(work).held
    incident, events = known(work, "INC-0001")
    assert (incident.fingerprint, incident.times) == ("sales:held:order_line:SAL-032", 1)
    told = [(t.column, t.value, t.bad, t.good) for t in incident.detail.pattern]
    assert told[0] in {("note", "till 7", 20, 0), ("line_id", "1", 20, 0), ("amount", "-1.0000", 20, 0)}
    assert {column for column, *_ in told} == {"note", "line_id", "amount", "qty"}
    assert load(work, shop, "sales").verdict.name == "FAILED"
    assert known(work, "INC-0001")[0].times == 2
    spoil(shop, "10.00")
    done = load(work, shop, "sales")
    assert done.publication.resolved == ("INC-0001",)
    incident, events = known(work, "INC-0001")
    assert (incident.state, incident.resolution_reason) == ("resolved", None)
    assert [action for action, _, _ in events] == ["opened", "acknowledged", "seen", "resolved"]
    assert not status.read(work).held


def test_judging_the_same_batch_again_counts_nothing(work: Workspace, shop: Shop) -> None:
    spoil(shop)
    held = load(work, shop, "sales").batch_id
    before = known(work, "INC-0001")
    assert jobs.run_gate(work, "sales", held).name == "FAILED"
    after = known(work, "INC-0001")
    assert (after[0].times, after[1]) == (before[0].times, before[1])


def test_a_batch_in_which_good_and_bad_rows_look_alike_has_no_pattern(work: Workspace) -> None:
    shop = Shop(customers=[customer(n, region="DE", name=f"shop {n}") for n in range(1, 9)])
    stock(work, shop, "reference")
    for n in range(1, 9):
        shop.add_order(n, n, n, [line(n, 1, qty=5000 + n if n % 2 else n)])
    assert load(work, shop, "sales").verdict.name == "FAILED"
    assert known(work, "INC-0001")[0].detail.pattern == ()
