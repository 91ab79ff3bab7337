"""What stewards decide: releasing, discarding, and the actions of the form; what does not hold is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.gate import waivers
from dataops.ledger import clock, incidents
from dataops.ledger.workspace import Workspace
from dataops.pipeline import actions, jobs, stewards
from tests.support.shop import fetch, load, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration
QTY = "SAL-031"


@pytest.fixture
def held(work: Workspace) -> str:
    """A batch of four orders of which each has a bad line: more than the quota."""
    shop = small_shop()
    for number in range(4):
        nothing = shop.lines[0]["price"] * 0
        shop.lines[2 * number] |= {"qty": 2000, "price": nothing, "amount": nothing}
        shop.orders[number]["sub_total"] = shop.lines[2 * number + 1]["amount"]
    stock(work, shop, "reference")
    done = load(work, shop, "sales")
    assert done.publication is None
    return done.batch_id


def _incident(work: Workspace) -> str:
    return str(fetch(work, "SELECT incident_id FROM ops.incidents ORDER BY seq")[0][0])


def test_a_discarded_batch_is_neither_judged_nor_published_nor_released_again(work: Workspace, held: str) -> None:
    question = stewards.held_batch(work, held)
    assert question is not None
    asked = stewards.ask_for_quota(work, "sales", held, "anna", "agreed", "100%").waiver.waiver_id
    stewards.discard_batch(work, held, "anna", "a test export")
    assert fetch(work, f"SELECT state, reason FROM ops.batches WHERE batch_id = '{held}'") == [
        ("discarded", "discarded by anna: a test export")
    ]
    closed = fetch(work, "SELECT DISTINCT _closed, _closed_by FROM quarantine.order_line")
    assert closed == [("discarded", "anna")]
    for engine in ("soda", "gx"):
        with pytest.raises(DataRejected, match="discarded by anna"):
            jobs.audit(work, held, engine)
    with pytest.raises(DataRejected, match="discarded by anna"):
        jobs.judge(work, held)
    with pytest.raises(DataRejected, match="discarded by anna"):
        jobs.publish(work, "sales", held)
    with pytest.raises(DataRejected, match="is discarded; "):
        stewards.approve_waiver(work, asked, "ben")
    with pytest.raises(DataRejected, match="is discarded already"):
        stewards.ask_release(work, held, question.rules_hash, "anna", "after all", "100%")
    with pytest.raises(DataRejected, match="is discarded already"):
        stewards.discard_batch(work, held, "ben", "again")
    assert stewards.held_batch(work, held) is None
    assert fetch(work, "SELECT COUNT(*) FROM validated.sales_order") == [(0,)]
    history = fetch(work, "SELECT who, text FROM ops.incident_events WHERE action = 'commented'")
    assert ("anna", f"batch {held} was discarded: a test export") in history


def test_a_discard_needs_a_reason_and_an_unpublished_batch(work: Workspace, held: str) -> None:
    with pytest.raises(DeclarationError, match="says why"):
        stewards.discard_batch(work, held, "anna", " ")
    first = fetch(work, "SELECT batch_id FROM ops.batches WHERE group_name = 'reference'")[0][0]
    with pytest.raises(DataRejected, match="is published already"):
        stewards.discard_batch(work, str(first), "anna", "no")
    with pytest.raises(DataRejected, match="no batch nothing"):
        stewards.discard_batch(work, "nothing", "anna", "no")


def test_a_release_publishes_the_good_rows_once_a_second_person_agreed(work: Workspace, held: str) -> None:
    question = stewards.held_batch(work, held)
    assert question is not None
    waiver = stewards.ask_release(work, held, question.rules_hash, "anna", "agreed with the shop", "100%")
    with pytest.raises(DataRejected, match="somebody else has to approve"):
        stewards.release(work, waiver, "anna")
    done = stewards.release(work, waiver, "ben")
    assert (done.status, done.batch_id) == ("published", held)
    with pytest.raises(DataRejected, match="is published already"):
        stewards.ask_release(work, held, question.rules_hash, "anna", "again", "100%")


def test_a_release_that_raises_the_quota_too_little_stays_held(work: Workspace, held: str) -> None:
    question = stewards.held_batch(work, held)
    assert question is not None
    waiver = stewards.ask_release(work, held, question.rules_hash, "anna", "agreed", "90%")
    with pytest.raises(DataRejected, match="is held all the same"):
        stewards.release(work, waiver, "ben")
    assert fetch(work, "SELECT COUNT(*) FROM validated.sales_order") == [(0,)]


def test_an_answer_to_a_question_about_other_rules_decides_nothing(work: Workspace, held: str) -> None:
    question = stewards.held_batch(work, held)
    assert question is not None
    with pytest.raises(DataRejected, match="judged under other rules"):
        stewards.ask_release(work, held, "other", "anna", "agreed", "100%")
    assert stewards.waivers(work) == []


@pytest.mark.usefixtures("held")
def test_the_form_walks_an_incident_through_its_states(work: Workspace) -> None:
    incident = _incident(work)

    def act(action: str, **form: Any) -> str:
        return actions.act(work, action, "anna", {"incident": incident} | form)

    assert act("acknowledge") == f"{incident} acknowledged by anna"
    assert act("assign", assignee="ben") == f"{incident} assigned by anna"
    assert act("comment", reason="asked the shop") == f"{incident} commented by anna"
    assert act("resolve", resolution="source fixed", reason="they corrected it") == f"{incident} resolved by anna"
    assert act("reopen", reason="it came again") == f"{incident} reopened by anna"
    with work.warehouse.reading() as connection:
        steps = [e.action for e in incidents.history(connection, incidents.required(connection, incident))]
    assert steps[-5:] == ["acknowledged", "assigned", "commented", "resolved", "reopened"]


def test_the_form_waives_replays_and_discards(work: Workspace, held: str) -> None:
    until = f"{clock.now().year + 1}-01-01"
    far = {"rule": QTY, "reason": "agreed", "until": until}
    if waivers.moment(until) > clock.now() + waivers.LONGEST:
        with pytest.raises(DeclarationError, match="within 90 days"):
            actions.act(work, "waive", "anna", far)
    soon = (clock.now() + waivers.LONGEST / 2).isoformat()
    assert actions.act(work, "waive", "anna", far | {"until": soon}) == f"WAI-0001 on {QTY} is waiting for approval"
    assert actions.act(work, "approve waiver", "ben", {"waiver": "WAI-0001"}) == "WAI-0001 is in force"
    assert actions.act(work, "revoke waiver", "anna", {"waiver": "WAI-0001"}) == "WAI-0001 is revoked"
    assert actions.act(work, "replay", "anna", {"group": "sales"}) == "0 of 0 waiting rows of sales passed"
    said = actions.act(work, "discard batch", "anna", {"batch": held, "reason": "a test export"})
    assert said == f"{held} was discarded by anna; its rows are kept and wait no more"


@pytest.mark.parametrize(
    ("action", "form", "said"),
    [
        ("explode", {}, "no action 'explode'; there are acknowledge, "),
        ("assign", {"incident": "INC-1", "assignee": " "}, "fill in 'assignee'"),
        ("waive", {"rule": "NO-1", "reason": "x", "until": "2030-01-01"}, "no rule 'NO-1'"),
        ("waive", {"rule": QTY, "reason": "x", "until": "tomorrow"}, "'tomorrow' is neither a date nor a time"),
        ("waive", {"rule": QTY, "reason": "x", "until": "2001-01-01"}, "ends in the future"),
        ("approve waiver", {"waiver": "WAI-0099"}, "no waiver 'WAI-0099'"),
        ("acknowledge", {"incident": "INC-0099"}, "no incident"),
    ],
)
def test_a_mistake_in_the_form_says_what_is_wrong(tmp_path: Path, action: str, form: dict[str, str], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        actions.act(workspace(tmp_path / "home"), action, "anna", form)


def test_a_time_with_a_zone_is_the_same_instant_in_utc() -> None:
    assert waivers.moment("2026-12-01T18:00+02:00") == waivers.moment(" 2026-12-01T16:00 ")
