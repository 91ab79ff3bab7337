"""F16: `reference` loses a customer while `sales` publishes his order: no published row refers to one that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.crash import Child, run
from tests.support.oracle import Place, Stages
from tests.support.shop import Shop, customer, fetch, line, load, small_shop

pytestmark = pytest.mark.faults
DANGLING = (
    "SELECT order_id FROM validated.sales_order WHERE customer_id NOT IN (SELECT customer_id FROM validated.customer)"
)
NEW = 9


def _with_new_customer() -> Shop:
    shop = small_shop()
    shop.customers.append(customer(NEW))
    return shop


def _sell(place: Place) -> str:
    """The new customer's first order is published."""
    shop = _with_new_customer()
    shop.add_order(NEW, NEW, 4, [line(NEW, 1)])
    return str(load(place.open(), shop, "sales").verdict.name)


def _forget(place: Place) -> str:
    """A delivery of reference without him is published."""
    return str(load(place.open(), small_shop(), "reference").verdict.name)


@pytest.mark.parametrize(("first", "second"), [(_sell, _forget), (_forget, _sell)], ids=["sold", "forgotten"])
@pytest.mark.parametrize("point", ["before_begin", "before_commit"])
def test_whichever_publishes_first_no_published_order_lacks_its_customer(
    stages: Stages, first: Any, second: Any, point: str, tmp_path: Path
) -> None:
    place, go = stages.before("publish repeated", lock_seconds=20), tmp_path / "go"
    load(place.open(), _with_new_customer(), "reference")
    early = Child(first, place, failpoint=f"{point}=wait:{go}")
    early.reach()
    late = Child(second, place)
    if point == "before_begin":  # nothing is open yet: the other one publishes in between
        late.outcome()
    go.touch()
    ends = [early.outcome(), late.outcome()]
    assert not [end for end in ends if end.raised and end.raised[0] not in {"VerdictError", "PlatformError"}], ends
    assert fetch(place.open(), DANGLING) == []
    for step in (_forget, _sell, _forget):
        run(step, place)
        assert fetch(place.open(), DANGLING) == []


def test_the_orders_wait_in_quarantine_when_their_customer_is_gone(stages: Stages) -> None:
    place = stages.before("publish repeated")
    run(_forget, place)
    assert run(_sell, place).done == "PASSED"
    assert fetch(place.open(), f"SELECT COUNT(*) FROM quarantine.sales_order WHERE order_id = {NEW}") == [(1,)]
