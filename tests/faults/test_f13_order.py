"""F13: a back-fill of an old window races the daily run: per key the newest source version stands at the end."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dataops.declared.errors import DataRejected
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from tests.support.shop import Shop, fetch, land, load, small_shop
from tests.support.stock import stock
from tests.support.strategies import window_of

pytestmark = pytest.mark.faults
ORDERS = 4
spans = st.tuples(st.integers(1, ORDERS), st.integers(1, ORDERS))


def _version(shop: Shop, number: int) -> None:
    """The source's rows are those of another moment."""
    for row in shop.lines:
        row["note"] = f"version {number}"


def _publish(work: Workspace, batch_id: str) -> None:
    with work.warehouse.lock("sales", "test"):
        jobs.gate_and_publish(work, batch_id)


def _notes(work: Workspace) -> dict[int, str]:
    return dict(fetch(work, "SELECT DISTINCT order_id, note FROM validated.order_line"))


def _overlapping_intervals(work: Workspace) -> list[tuple[Any, ...]]:
    """Two versions of one key that stood at the same time."""
    versions = (
        "(SELECT order_id, line_id, _publication AS a, _superseded AS b FROM validated_history.order_line"
        " UNION ALL SELECT order_id, line_id, _publication, 1000000 FROM validated.order_line)"
    )
    return fetch(
        work,
        f"SELECT x.order_id FROM {versions} AS x JOIN {versions} AS y"
        " ON x.order_id = y.order_id AND x.line_id = y.line_id AND x.a < y.a AND y.a < x.b",
    )


@settings(
    deadline=None,
    max_examples=int(os.environ.get("DATAOPS_TEST_HISTORIES", "2")),  # on each push; `make soak` has 20
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(spans, min_size=2, max_size=3, unique=True), st.randoms(use_true_random=False))
def test_in_whatever_order_batches_publish_the_newest_version_of_the_source_stands(
    fresh: Any, windows: list[tuple[int, int]], random: Any
) -> None:
    work, shop = fresh(), small_shop(customers=3, orders=ORDERS)
    stock(work, shop, "reference")
    read, accepted = [], []
    for moment, window in enumerate(windows, start=1):
        _version(shop, moment)
        read.append((land(work, shop, "sales", window_of(window)), moment, window))
    random.shuffle(read)
    for batch_id, moment, window in read:
        try:
            _publish(work, batch_id)
            accepted.append((moment, window))
        except DataRejected as error:
            assert f"Load the window again: dataops load sales --window 2014-05-0{window[0]}.." in str(error)  # noqa: PT017
    newest = {
        number: f"version {max(moments)}"
        for number in range(1, ORDERS + 1)
        if (moments := [at for at, (day, length) in accepted if day <= number < day + length])
    }
    assert _notes(work) == newest
    assert len(windows) in [moment for moment, _ in accepted], "what was read last was refused"
    for window in windows:
        load(work, shop, "sales", window_of(window))
    loaded = {number for day, length in windows for number in range(day, min(day + length, ORDERS + 1))}
    assert _notes(work) == dict.fromkeys(loaded, f"version {len(windows)}")
    assert _overlapping_intervals(work) == []


@pytest.mark.parametrize(("earlier", "later"), [((1, 4), (2, 1)), ((2, 1), (1, 4)), ((1, 4), None), (None, (2, 1))])
def test_what_was_read_before_a_published_batch_of_the_same_rows_is_refused(
    fresh: Any, earlier: tuple[int, int] | None, later: tuple[int, int] | None
) -> None:
    work, shop = fresh(), small_shop(customers=3, orders=ORDERS)
    stock(work, shop, "reference")
    _version(shop, 1)
    old = land(work, shop, "sales", window_of(earlier))
    _version(shop, 2)
    load(work, shop, "sales", window_of(later))
    before = _notes(work)
    with pytest.raises(DataRejected, match="was read from the source before"):
        _publish(work, old)
    assert _notes(work) == before


def test_windows_that_do_not_overlap_publish_in_any_order(fresh: Any) -> None:
    work, shop = fresh(), small_shop(customers=3, orders=ORDERS)
    stock(work, shop, "reference")
    old = land(work, shop, "sales", window_of((1, 2)))
    load(work, shop, "sales", window_of((3, 2)))
    _publish(work, old)
    assert len(_notes(work)) == ORDERS
