"""What should have happened and did not: late groups, consumers that never started, and what would pass by now."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from dataops.cli.process import main
from dataops.facts import status
from dataops.ledger import clock, incidents, schema
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, watch
from tests.support.shop import Shop, fetch, line, load, own_project, small_shop, workspace

pytestmark = pytest.mark.integration
NOW = clock.now
AGREED = timedelta(hours=26)
WITHIN = timedelta(minutes=watch.WITHIN)


def _after(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW() + span)


def _look(work: Workspace, group: str) -> str | None:
    with schema.writing(work.warehouse) as connection:
        return watch.look_for_late(connection, work.catalog.group(group))


def _missed(work: Workspace, group: str) -> watch.Missed | None:
    with schema.writing(work.warehouse) as connection:
        return watch.look_for_missed(connection, "report", group)


def _pick_up(work: Workspace, group: str) -> list[str]:
    with schema.writing(work.warehouse) as connection:
        return [made.publication_id for made in watch.pick_up(connection, "report", group)]


def _late(work: Workspace) -> list[tuple[str, str, int]]:
    with work.warehouse.reading() as connection:
        late = [i for i in incidents.newest(connection, None, 100) if i.kind == "late"]
        return [(i.incident_id, i.state, i.times) for i in reversed(late)]


def _state(work: Workspace, group: str) -> str:
    return next(f.state for f in status.read(work).groups if f.group == group)


def test_a_group_is_late_after_its_hours_and_until_it_is_delivered_again(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = small_shop()
    assert _look(work, "reference") is None  # nothing was ever agreed by a first delivery
    load(work, shop, "reference")
    _after(monkeypatch, AGREED - timedelta(minutes=1))
    assert (_look(work, "reference"), _state(work, "reference")) == (None, "published")
    _after(monkeypatch, AGREED + timedelta(minutes=1))
    assert _state(work, "reference") == "late"
    assert "Reference is late" in status.read(work).sentence
    assert _look(work, "reference") == _look(work, "reference") == "INC-0001"
    assert _late(work) == [("INC-0001", "open", 1)]
    load(work, shop, "reference")  # brings no change, and is a delivery all the same
    assert (_look(work, "reference"), _state(work, "reference")) == (None, "published")
    assert _late(work) == [("INC-0001", "resolved", 1)]


def test_a_group_that_is_built_by_the_clock_stands_between_two_builds_until_it_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published since is no reason to wait, one that was rolled back is."""
    project = own_project(tmp_path / "project")
    built, loaded = (project / "checkpoints" / f"{name}.yml" for name in ("curated", "reference"))
    built.write_text(built.read_text("utf-8") + "late_after_hours: 192\n", "utf-8")
    loaded.write_text(loaded.read_text("utf-8").replace("late_after_hours: 26", "late_after_hours: 260"), "utf-8")
    work, shop = workspace(tmp_path / "home", project=project), small_shop()
    load(work, shop, "reference")
    load(work, shop, "sales")
    assert _state(work, "curated") == "waiting"  # never built
    jobs.build(work, "curated")
    assert _state(work, "curated") == "published"
    shop.add_order(9, 1, 9, [line(9, 1)])
    load(work, shop, "sales")
    assert _state(work, "curated") == "published"
    _after(monkeypatch, timedelta(hours=193))
    assert _state(work, "curated") == "late"
    _look(work, "curated")
    with work.warehouse.reading() as connection:
        (told,) = incidents.newest(connection, "curated", 1)
    assert told.sentence.startswith("curated is late: nothing was built since")
    monkeypatch.setattr(clock, "now", NOW)
    jobs.build(work, "curated")
    assert (_look(work, "curated"), _state(work, "curated")) == (None, "published")
    jobs.roll_back(work, "sales", "sales-0001", "not ours")
    assert _state(work, "curated") == "waiting"


def test_a_group_without_agreed_hours_is_never_late(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.catalog.group("sales").checkpoint.late_after_hours is None
    shop = small_shop()
    load(work, shop, "reference")
    load(work, shop, "sales")
    _after(monkeypatch, timedelta(days=900))
    assert _look(work, "sales") is None
    assert _state(work, "sales") == "published"


def test_a_publication_that_nobody_started_from_is_announced_once_more_and_once_only(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _missed(work, "reference") is None
    done = load(work, small_shop(), "reference")
    assert _missed(work, "reference") is None  # its consumers may still start by themselves
    _after(monkeypatch, WITHIN + timedelta(seconds=5))
    name, today = done.publication.publication_id, f"{NOW():%Y-%m-%d}"
    assert _missed(work, "reference") == watch.Missed(name, done.batch_id, today)
    assert _missed(work, "reference") is None
    assert _late(work) == [("INC-0001", "open", 1)]
    assert _pick_up(work, "reference") == [name]
    assert _late(work) == [("INC-0001", "resolved", 1)]
    assert _missed(work, "reference") is None


def test_a_consumer_that_started_in_time_is_left_alone_until_the_next_publication(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = small_shop()
    assert _pick_up(work, "reference") == []
    load(work, shop, "reference")
    assert _pick_up(work, "reference") == ["reference-0001"]
    _after(monkeypatch, 2 * WITHIN)
    assert _missed(work, "reference") is None
    shop.customers[0]["name"] = "Another"
    load(work, shop, "reference")
    _after(monkeypatch, 4 * WITHIN)
    found = _missed(work, "reference")
    assert found is not None
    assert found.publication == "reference-0002"
    shop.customers[0]["name"] = "And another"
    load(work, shop, "reference")
    assert _pick_up(work, "reference") == ["reference-0002", "reference-0003"]  # it is told of each that it missed


def test_a_missed_build_is_announced_for_the_last_day_of_the_newest_window(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.oracle import DAYS

    shop = small_shop()
    load(work, shop, "reference")
    load(work, shop, "sales", DAYS)
    jobs.build(work, "curated")
    _after(monkeypatch, 2 * WITHIN)
    for group in ("sales", "curated"):
        found = _missed(work, group)
        assert found is not None
        assert found.partition == f"{DAYS.end - timedelta(days=1):%Y-%m-%d}"


def _with_a_bad_line() -> Shop:
    shop = small_shop()
    shop.lines[0] |= {"qty": 2000, "price": shop.lines[0]["price"] * 0, "amount": shop.lines[0]["amount"] * 0}
    shop.orders[0]["sub_total"] = shop.lines[1]["amount"]
    return shop


def test_what_would_pass_now_is_tried_and_kept_and_nothing_is_published(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataops.gate.waivers import Scope
    from dataops.pipeline import stewards

    shop = _with_a_bad_line()
    load(work, shop, "reference")
    load(work, shop, "sales")
    before = fetch(work, "SELECT COUNT(*) FROM ops.publications")
    jobs.rehearse(work)
    kept = "SELECT table_name, waiting, passing FROM ops.rehearsals ORDER BY 1"
    assert fetch(work, kept) == [("order_line", 2, 0), ("sales_order", 1, 0)]
    until = clock.now() + timedelta(days=1)
    made = stewards.add_waiver(work, Scope("sales", "SAL-031"), "anna", "agreed", until)
    stewards.approve_waiver(work, made.waiver.waiver_id, "ben")
    jobs.rehearse(work)
    assert fetch(work, kept) == [("order_line", 2, 2), ("sales_order", 1, 1)]
    assert fetch(work, "SELECT COUNT(*) FROM ops.publications") == before
    monkeypatch.setenv("DATAOPS_HOME", str(work.settings.paths.home))
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", work.settings.warehouse_url)
    monkeypatch.setenv("DATAOPS_PROJECT", str(work.settings.paths.project))
    assert main(["quarantine", "list", "sales"]) == 0
    assert "raw.order_line 2 of 2, raw.sales_order 1 of 1" in capsys.readouterr().err


def test_a_publication_is_announced_once_and_missed_under_the_same_partition(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = load(work, small_shop(), "reference").publication.publication_id
    with schema.writing(work.warehouse) as connection:
        told = [watch.announce(connection, name, "2014-05-01") for _ in range(2)]
        assert watch.announce(connection, "reference-0099", "2014-05-01") is False
    assert told == [True, False]
    _after(monkeypatch, 2 * WITHIN)
    found = _missed(work, "reference")
    assert found is not None
    assert found.partition == "2014-05-01"


def test_nothing_waits_where_nothing_was_loaded(work: Workspace) -> None:
    assert {name: tried.rows for name, tried in jobs.rehearse(work).items()} == {"reference": 0, "sales": 0}


def test_an_incident_of_another_cause_stays(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    load(work, small_shop(), "reference")
    _after(monkeypatch, AGREED + timedelta(minutes=1))
    _look(work, "reference")
    _missed(work, "reference")
    _pick_up(work, "reference")
    assert _late(work) == [("INC-0001", "open", 1), ("INC-0002", "resolved", 1)]
    with work.warehouse.reading() as connection:
        assert incidents.standing(connection, "reference", "late", "delivery") is not None
