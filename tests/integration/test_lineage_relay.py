"""Lineage as it happens: what a server gets from the outbox is what a replay tells, once, whatever it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.cli import main
from dataops.facts.lineage_runs import Runs
from dataops.ledger import batches, clock, lineage, outbox, schema
from dataops.ledger.enums import Channel, DeliveryState, IncidentKind
from dataops.ledger.incidents import open_incidents
from dataops.ledger.workspace import Workspace
from dataops.outlets import outcomes, rounds
from dataops.outlets.lineage import relaying, replaying, spool
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.outcomes import Passed
from dataops.pipeline import jobs, stewards, watch_platform
from tests.support.lineage_day import forget, others
from tests.support.marquez import MarquezDouble
from tests.support.shop import Shop, land, line, load, small_shop, workspace

pytestmark = [pytest.mark.integration, pytest.mark.quick, pytest.mark.xdist_group("lineage relay")]
NOW = clock.now
Events = list[tuple[str, str, str]]
All = set[tuple[str, str, str]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def past(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Events]:
    """A day that was told as it happened, and what the server got."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    work = workspace(tmp_path_factory.mktemp("told") / "home", server.create_database("told") if server else None)
    with MarquezDouble() as double:
        day(work, lambda: relay(work, double))
        assert relay(work, double).sentence == "nothing to send"
        assert double.refused == []
        return work, got(double)


@pytest.fixture
def work(past: tuple[Workspace, Events]) -> Workspace:
    """The same day, of which nobody was told yet."""
    forget(past[0])
    return past[0]


@pytest.fixture
def everything(work: Workspace) -> set[tuple[str, str, str]]:
    """What a replay tells an empty server."""
    with MarquezDouble() as empty:
        replaying.replay(work, to(empty))
        return set(got(empty))


@pytest.fixture
def server() -> Iterator[MarquezDouble]:
    with MarquezDouble() as double:
        yield double
        assert double.refused == []


def to(server: MarquezDouble, timeout: float = 5.0) -> Backend:
    return Backend({"type": "http", "url": server.url, "timeout": timeout})


def relay(work: Workspace, server: MarquezDouble, **more: float) -> Passed:
    return relaying.relay(work, to(server, more.pop("timeout", 5.0)), **more)


def later(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW() + span)


def got(server: MarquezDouble) -> Events:
    """Job, run and type of each event, in the order in which they came."""
    bodies = [json.loads(body) for (body,) in server.store.execute("SELECT body FROM events ORDER BY seq")]
    return [(event["job"]["name"], event["run"]["runId"], event["eventType"]) for event in bodies]


def require_order(events: Events) -> None:
    """Each once, and of every run the beginning before the end."""
    assert len(events) == len(set(events))
    place = {(run, kind): n for n, (_, run, kind) in enumerate(events)}
    for (run, kind), n in place.items():
        if kind != "START":
            assert place[run, "START"] < n


def day(work: Workspace, relayed: Any = None) -> Shop:
    """Loaded, loaded again without a change, built, held, discarded; `relayed()` after each."""
    tell = relayed or (lambda: None)
    shop = small_shop(orders=8)
    for group in ("reference", "sales", "sales"):
        load(work, shop, group)
        tell()
    for group, names in jobs.to_build(work.catalog, ()).items():
        jobs.build(work, group, names)
        tell()
    for row in shop.lines:
        row.update(line(row["order_id"], row["line_id"], price="-1.00"))
    held = load(work, shop, "sales")
    assert held.verdict.name == "FAILED"
    tell()
    stewards.discard_batch(work, held.batch_id, "anna", "sent again tomorrow")
    tell()
    return shop


def test_what_is_told_as_it_happens_is_what_a_replay_tells(past: tuple[Workspace, Events], everything: All) -> None:
    require_order(past[1])
    assert set(past[1]) == everything


def test_a_server_that_was_down_gets_the_same_in_the_same_order(
    past: tuple[Workspace, Events], work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "ROUTED", 2)
    for _ in range(3):
        passed = relaying.relay(work, Backend({"type": "http", "url": "http://127.0.0.1:9"}))
        assert passed.delivered == 0
    with work.warehouse.reading() as connection:
        assert lineage.counts(connection)[DeliveryState.WAITING] < len(past[1]) / 2  # the rest is a line each
    with MarquezDouble() as server:
        later(monkeypatch, timedelta(hours=2))
        relay(work, server)
        assert got(server) == past[1]


def test_one_poisoned_event_parks_alone_and_can_be_sent_again(
    work: Workspace, everything: All, server: MarquezDouble
) -> None:
    server.script.extend([None, None, None, 422])
    passed = relay(work, server)
    assert (passed.parked, passed.delivered) == (1, len(everything) - 1)
    with work.warehouse.reading() as connection:
        [parked] = outbox.listed(connection, [DeliveryState.PARKED], 10)
        [incident] = [each for each in open_incidents(connection) if each.kind is IncidentKind.PLATFORM]
    assert (parked.channel, parked.problem) == (Channel.LINEAGE, "answers 422")
    assert incident.sentence.startswith("the lineage server takes not every event: answers 422")
    with schema.writing(work.warehouse) as connection:
        outbox.retry(connection, parked, "anna")
    assert relay(work, server).delivered == 1
    assert set(got(server)) == everything
    with work.warehouse.reading() as connection:
        assert incident.incident_id not in {each.incident_id for each in open_incidents(connection)}
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM ops.events").scalar_one() == 0


def test_an_event_at_which_the_server_breaks_comes_back_and_only_its_dataset_waits(
    work: Workspace, everything: All, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "wait", lambda *_: 3600.0)
    server.script.extend([None, None, 500])
    passed = relay(work, server)
    assert passed.put_off == 1
    assert relay(work, server).delivered == 0  # what follows it waits as long as it does
    assert 0 < len(everything) - passed.delivered < len(everything) / 2
    later(monkeypatch, timedelta(hours=2))
    relay(work, server)
    require_order(got(server))
    assert set(got(server)) == everything


def test_an_event_at_which_the_server_always_breaks_is_parked_while_others_are_taken(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MarquezDouble(poison=('"build.fct_line"', '"START"')) as server:
        for hours in range(relaying.ENOUGH):
            later(monkeypatch, timedelta(hours=2 * hours))
            relay(work, server)
        with work.warehouse.reading() as connection:
            parked = outbox.listed(connection, [DeliveryState.PARKED], 10)
            waiting = outbox.listed(connection, [DeliveryState.WAITING], 10)
    assert waiting == []
    assert {each.subject.split()[1] for each in parked} == {"build.fct_line"}
    assert all("times, and takes others" in str(each.problem) for each in parked)


def test_a_server_that_breaks_at_everything_is_left_alone_and_nothing_is_parked(
    work: Workspace, everything: All, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in range(9):
        later(monkeypatch, timedelta(hours=2 * hours))
        server.script.extend([500] * 200)
        passed = relay(work, server)
        assert (passed.delivered, passed.parked, passed.put_off) == (0, 0, min(passed.put_off, relaying.IN_A_ROW))
        server.script.clear()
    later(monkeypatch, timedelta(hours=30))
    relay(work, server)
    require_order(got(server))
    assert set(got(server)) == everything


@pytest.mark.parametrize("answer", ["hang", "drop", 503, 429, 401])
def test_whatever_a_server_does_nothing_is_lost_or_told_twice(
    work: Workspace,
    everything: All,
    server: MarquezDouble,
    answer: str | int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.script.extend([None] * 5 + [answer])
    passed = relay(work, server, timeout=0.5)
    assert (passed.delivered, passed.put_off) == (5, 1)
    later(monkeypatch, timedelta(hours=2))
    relay(work, server)
    require_order(got(server))
    assert set(got(server)) == everything


def test_it_tells_for_as_long_as_it_may_and_goes_on_later(
    work: Workspace, everything: All, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    relaying.relay(work, Backend({"type": "http", "url": "http://127.0.0.1:9"}))  # so that something is due
    later(monkeypatch, timedelta(hours=2))
    assert relay(work, server, seconds=0.0).sentence == "nothing to send"
    assert relay(work, server).delivered == len(everything)


def test_without_a_server_nothing_piles_up_among_messages_and_all_is_told_once_there_is_one(
    work: Workspace, everything: All, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, timedelta(days=3))
    with schema.writing(work.warehouse) as connection:
        messages = connection.exec_driver_sql("SELECT COUNT(*) FROM ops.outbox WHERE kind <> 'lineage'").scalar_one()
        assert outbox.unrouted_count(connection) == messages
        untold, since = lineage.untold_since(connection)
        assert (untold > 5, since is not None) == (True, True)
        assert not [said for said in watch_platform.look(connection, work.warehouse) if "lineage" in said]
    relay(work, server)
    assert set(got(server)) == everything


def test_a_server_that_takes_nothing_for_an_hour_is_an_incident_until_it_does(
    work: Workspace, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    relaying.relay(work, Backend({"type": "http", "url": "http://127.0.0.1:9"}))
    for hours, stuck in ((0, False), (2, True)):
        later(monkeypatch, timedelta(hours=hours))
        with schema.writing(work.warehouse) as connection:
            said = watch_platform.look(connection, work.warehouse)
        assert any("has not taken an event since" in each for each in said) is stuck
    relay(work, server)
    with schema.writing(work.warehouse) as connection:
        watch_platform.look(connection, work.warehouse)
        assert not [i for i in open_incidents(connection) if "has not taken an event" in i.sentence]


def test_events_of_others_go_the_same_way_each_once(work: Workspace, server: MarquezDouble) -> None:
    events = [others("START", "10:00"), others("COMPLETE", "10:05")]
    for event in events:
        spool.put(work.settings.paths, json.dumps(event))
    spool.put(work.settings.paths, "no event at all")
    relay(work, server)
    own = [(job, kind) for job, _, kind in got(server) if job == "a dag.a task"]
    assert own == [("a dag.a task", "START"), ("a dag.a task", "COMPLETE")]
    assert spool.waiting(work.settings.paths) == []
    assert len(spool.unreadable(work.settings.paths)) == 1
    for event in events:  # a crash between the ledger and the removal of the file
        spool.put(work.settings.paths, json.dumps(event))
    assert relay(work, server).delivered == 0


def test_what_cannot_be_told_is_an_incident_and_all_else_is_told(
    work: Workspace, everything: All, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Runs.of_publication

    def broken(self: Runs, connection: Any, made: Any) -> Any:
        if made.group == "reference":
            raise KeyError("nobody thought of this")
        return whole(self, connection, made)

    monkeypatch.setattr(Runs, "of_publication", broken)
    passed = relay(work, server)
    assert any("lineage cannot tell of published" in problem for problem in passed.problems)
    told = set(got(server))
    assert told < everything
    assert {job for job, _, kind in everything - told if kind != "START"} >= {"publish.customer"}
    assert not [job for job, _, _ in everything - told if "sales" in job or "order" in job]
    with work.warehouse.reading() as connection:
        [incident] = [each for each in open_incidents(connection) if each.kind is IncidentKind.PLATFORM]
    assert "once that is mended: dataops lineage replay --since 20" in incident.sentence


def test_nothing_of_a_dataset_is_sent_before_it_is_noted_that_an_earlier_event_is_parked(
    work: Workspace, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill in between would let the later one go first, once the server takes the earlier one after all."""
    steps: list[tuple[str, str]] = []
    send, park = Backend.send, outbox.park

    def sending(self: Backend, event: dict[str, Any]) -> None:
        steps.append(("sent", event["job"]["name"]))
        send(self, event)

    def parking(connection: Any, seq: int, problem: str) -> None:
        steps.append(("parked", problem))
        park(connection, seq, problem)

    monkeypatch.setattr(Backend, "send", sending)
    monkeypatch.setattr(outbox, "park", parking)
    monkeypatch.setattr(rounds, "NOTED_WITHIN", 3600.0)
    server.script.extend([None, 422])
    relay(work, server)
    name = steps[1][1]
    following = steps[2:]
    assert following.index(("parked", "answers 422")) < following.index(("sent", name))


def test_what_was_taken_is_known_for_a_week(
    work: Workspace, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay(work, server)
    for days, known in ((6, True), (8, False)):
        later(monkeypatch, timedelta(days=days))
        relay(work, server)
        with work.warehouse.reading() as connection:
            assert bool(lineage.counts(connection)) is known


def test_a_batch_of_a_scheduler_names_its_run_as_the_root(work: Workspace, server: MarquezDouble) -> None:
    with schema.writing(work.warehouse) as connection:
        batch = batches.newest(connection, "sales", 1)[0]
        lineage.belongs_to(connection, batch.batch_id, lineage.Root(namespace="scheduler", job="a dag", run=ROOT))
    relay(work, server)
    bodies = [json.loads(body) for (body,) in server.store.execute("SELECT body FROM events")]
    parents = [event["run"]["facets"].get("parent", {"root": {"job": {}}}) for event in bodies]
    below = [parent for parent in parents if parent["root"]["job"].get("name") == "a dag"]
    assert {parent["root"]["run"]["runId"] for parent in below} == {ROOT}
    assert {parent["job"]["name"] for parent in below} == {"sales"}
    assert 0 < len(below) < len([parent for parent in parents if "run" in parent])


def test_a_group_that_was_told_to_have_begun_is_told_to_have_ended_though_nothing_changed(
    tmp_path: Path, server: MarquezDouble
) -> None:
    work, shop = workspace(tmp_path / "home"), small_shop(orders=4)
    load(work, shop, "reference")
    batch = land(work, shop, "reference")
    for engine in ("gx", "soda"):
        jobs.audit(work, batch, engine)
    jobs.judge(work, batch)
    relay(work, server)
    [begun] = [run for job, run, kind in got(server) if (job, kind) == ("reference", "START")][1:]
    assert ("reference", begun, "COMPLETE") not in got(server)
    assert jobs.publish(work, batch_id=batch).status == "unchanged"
    relay(work, server)
    assert got(server)[-1] == ("reference", begun, "COMPLETE")


def test_deliveries_without_a_change_are_kept_until_they_are_told_where_somebody_tells(
    tmp_path: Path, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, shop = workspace(tmp_path / "home"), small_shop(orders=4)
    for _ in range(3):
        load(work, shop, "reference")
    relay(work, server)
    assert len([1 for job, _, kind in got(server) if (job, kind) == ("reference", "COMPLETE")]) == 2  # the last one
    relaying.relay(work, Backend({"type": "http", "url": "http://127.0.0.1:9"}))
    for _ in range(3):
        load(work, shop, "reference")
    later(monkeypatch, timedelta(hours=2))
    relay(work, server)
    assert len([1 for job, _, kind in got(server) if (job, kind) == ("reference", "COMPLETE")]) == 5
    load(work, shop, "reference")
    with work.warehouse.reading() as connection:
        assert len(batches.ids(connection)) == 2


ROOT = "01941f29-7c00-7087-8940-40e5bfcb2b1a"
OUTBOX = {"type": "dataops.outlets.lineage.transport.OutboxTransport"}


def test_a_schedulers_transport_keeps_events_where_the_relay_finds_them(
    work: Workspace, server: MarquezDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = work.settings
    monkeypatch.setenv("DATAOPS_HOME", str(settings.paths.home))
    monkeypatch.setenv("DATAOPS_PROJECT", str(settings.paths.project))
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", "postgresql://nobody:x@127.0.0.1:9/none")
    transport = Backend(OUTBOX)
    transport.send(others("START", "11:00"))
    assert len(spool.waiting(settings.paths)) == 1  # the ledger could not be reached
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", settings.warehouse_url)
    transport.send(others("COMPLETE", "11:05"))
    transport.send(others("START", "12:00") | {"job": {"namespace": "scheduler", "name": "outbox.relay"}})
    files = len(spool.waiting(settings.paths))
    assert files == (2 if work.warehouse.dialect == "duckdb" else 0)
    relay(work, server)
    assert [kind for job, _, kind in got(server) if job == "a dag.a task"] == ["START", "COMPLETE"]
    assert spool.waiting(settings.paths) == []


def test_the_command_line_tells_and_says_how_it_goes(
    past: tuple[Workspace, Events], work: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = work.settings
    for name, value in {
        "DATAOPS_HOME": str(settings.paths.home),
        "DATAOPS_PROJECT": str(settings.paths.project),
        "DATAOPS_WAREHOUSE_URL": settings.warehouse_url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATAOPS_LINEAGE_URL", raising=False)

    def ran(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    code, said = ran("lineage", "relay")
    assert (code, "set DATAOPS_LINEAGE_URL" in said, "until then everything is kept" in said) == (2, True, True)
    code, said = ran("lineage", "status")
    assert (code, "Server none; set DATAOPS_LINEAGE_URL" in said, " happenings since 20" in said) == (0, True, True)
    assert "Lineage" not in ran("status")[1]
    monkeypatch.setenv("DATAOPS_LINEAGE_URL", "http://127.0.0.1:9")
    code, said = ran("lineage", "relay")
    assert (code, "1 put off" in said, "no answer: ConnectionError" in said) == (0, True, True)
    assert "one not taken since" in ran("lineage", "status")[1]
    assert "Lineage not taken, oldest" in ran("status")[1]
    with MarquezDouble() as server:
        monkeypatch.setenv("DATAOPS_LINEAGE_URL", server.url)
        later(monkeypatch, timedelta(hours=2))
        code, said = ran("outbox", "relay")
        assert (code, f"lineage: {len(past[1])} delivered" in said) == (0, True), said
    code, said = ran("lineage", "status", "--json")
    document = json.loads(said)
    assert (code, document["untold"], document["waiting"], document["parked"]) == (0, 0, 0, 0)
    assert document["last_taken"]
