"""F07: a roll-back while a newer batch is at the gate; the batch is then compared with what the roll-back left."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.pipeline import jobs
from tests.support.crash import Child, run
from tests.support.oracle import Place, Stages, second_delivery, standing, take
from tests.support.shop import Shop, fetch, land, line

pytestmark = pytest.mark.faults
LINES = "SELECT order_id, line_id, qty FROM validated.order_line ORDER BY 1, 2"


def _third_delivery() -> Shop:
    shop = second_delivery()
    shop.add_order(5, 1, 5, [line(5, 1)])
    return shop


def _land_third(place: Place) -> str:
    return land(place.open(), _third_delivery(), "sales")


def _gate(place: Place) -> str:
    return jobs.run_gate(place.open(), "sales").name


def test_a_batch_judged_before_a_roll_back_is_published_as_a_difference_to_what_the_roll_back_left(
    stages: Stages, tmp_path: Path
) -> None:
    place, go = stages.before("roll back"), tmp_path / "go"
    run(_land_third, place).done  # noqa: B018  fails when the step raised
    at_the_gate = Child(_gate, place, failpoint=f"audited=wait:{go}")
    at_the_gate.reach()
    hasty = run(take, Place(place.home, place.url, lock_seconds=0.5), "roll back")
    assert hasty.raised[0] == "PlatformError"
    assert "sales is busy" in hasty.text
    assert str(at_the_gate.pid) in hasty.text
    waiting = Child(take, Place(place.home, place.url, lock_seconds=60), "roll back")
    go.touch()
    assert (at_the_gate.outcome().done, waiting.outcome().done) == ("PASSED", "published")
    assert run(take, place, "publish days").done == "published"
    delivered = sorted((row["order_id"], row["line_id"], row["qty"]) for row in _third_delivery().lines)
    assert fetch(place.open(), LINES) == delivered
    ids = fetch(
        place.open(), "SELECT publication_id, kind FROM ops.publications WHERE group_name = 'sales' ORDER BY seq"
    )
    assert [kind for _, kind in ids] == ["load", "load", "rollback", "load"]
    assert standing(place)["ops.publications"][0] == 7
