"""F35, F37: windows are half-open days in UTC, whatever a zone's clocks do; order never comes from a clock."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dataops.airflow.partitions import window_of
from dataops.declared.errors import PlatformError
from dataops.ledger import clock, publications
from dataops.sources.port import Window
from tests.support.oracle import Stages
from tests.support.shop import fetch, load, small_shop

pytestmark = pytest.mark.faults
FIRST, LAST = date(2024, 1, 1), date(2035, 1, 1)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
_now = clock.now


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_of_eleven_years_lies_in_exactly_one_window(zone: str) -> None:
    """Also the hours that a change of clocks repeats or leaves out, the leap days and the ends of months."""
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days)]
    windows = [Window.parse(window_of(str(day), None)) for day in days]
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert {w.end - w.start for w in windows} == {timedelta(days=1)}
    hours = [windows[0].start + timedelta(hours=n) for n in range(24 * len(days))]
    walls = [hour.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) for hour in hours]
    changes = [n for n, (a, b) in enumerate(pairwise(walls)) if a.utcoffset() != b.utcoffset()]
    assert len(changes) == 22
    for n in (m for change in changes for m in range(change - 2, change + 3)):
        assert Window.parse(f"{walls[n].isoformat()}..{LAST}").start == hours[n]


def test_a_clock_that_steps_back_by_more_than_an_hour_stops_a_load_and_says_so(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = stages.before("publish repeated").open()
    load(work, small_shop(), "reference")
    before = fetch(work, "SELECT COUNT(*) FROM ops.batches")
    monkeypatch.setattr(clock, "now", lambda: _now() - timedelta(hours=2))
    with pytest.raises(PlatformError, match="went back by more than an hour"):
        load(work, small_shop(), "sales")
    assert fetch(work, "SELECT COUNT(*) FROM ops.batches") == before


@pytest.mark.parametrize("step", [timedelta(minutes=-30), timedelta(days=400)])
def test_a_small_step_back_or_a_long_pause_changes_no_order(
    stages: Stages, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    work, shop = stages.before("publish repeated").open(), small_shop()
    load(work, shop, "reference")
    monkeypatch.setattr(clock, "now", lambda: _now() + step)
    shop.customers[0]["name"] = "renamed"
    done = load(work, shop, "reference")
    with work.warehouse.reading() as connection:
        last = publications.last(connection, "reference")
    assert last is not None
    assert last.publication_id == done.publication.publication_id
    assert fetch(work, "SELECT name FROM validated.customer WHERE customer_id = 1") == [("renamed",)]
