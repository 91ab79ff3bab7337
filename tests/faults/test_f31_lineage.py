"""F31, F32 for lineage: whatever happens to the server or to the relay, each event arrives once, in order, and late."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.ledger import clock, lineage
from dataops.ledger.enums import DeliveryState
from dataops.ledger.workspace import Workspace
from dataops.outlets import outcomes
from dataops.outlets.lineage import relaying, replaying, spool
from dataops.outlets.lineage.backend import Backend
from dataops.pipeline import jobs
from tests.support.crash import Child, wait_until
from tests.support.lineage_day import forget, others
from tests.support.marquez import MarquezDouble
from tests.support.shop import line, load, small_shop, workspace

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("f31 lineage")]
KILLS = int(os.environ.get("DATAOPS_TEST_KILLS", "12"))
POINTS = ("", "", "lineage_routed=kill", "delivery_tried=kill", "delivery_sent=kill", "spool_handed_in=kill")
Bodies = list[dict[str, Any]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def past(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str | None]:
    """A day of the small shop: loaded, built, held."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    home, url = tmp_path_factory.mktemp("f31") / "home", server.create_database("f31") if server else None
    work, shop = workspace(home, url), small_shop(orders=8)
    for group in ("reference", "sales"):
        load(work, shop, group)
    for group, names in jobs.to_build(work.catalog, ()).items():
        jobs.build(work, group, names)
    for row in shop.lines:
        row.update(line(row["order_id"], row["line_id"], price="-1.00"))
    assert load(work, shop, "sales").verdict.name == "FAILED"
    return home, url


@pytest.fixture
def work(past: tuple[Path, str | None]) -> Workspace:
    """The same day, of which nobody was told."""
    work = workspace(*past)
    forget(work)
    return work


def tell(home: str, url: str | None, server: str) -> str:
    """What a child does: one pass, without waiting between attempts."""
    outcomes.wait = lambda *_: 0.0  # type: ignore[assignment]
    work = workspace(Path(home), url)
    return relaying.relay(work, Backend({"type": "http", "url": server, "timeout": 2})).sentence


def _got(server: MarquezDouble) -> Bodies:
    return [json.loads(body) for (body,) in server.store.execute("SELECT body FROM events ORDER BY seq")]


def _undisturbed(work: Workspace) -> Bodies:
    with MarquezDouble() as server:
        relaying.relay(work, Backend({"type": "http", "url": server.url}))
        found = _got(server)
    forget(work)
    return found


def _by_run(events: Bodies) -> dict[str, list[str]]:
    """What was told of each run, in the order in which it came."""
    found: dict[str, list[str]] = {}
    for event in events:
        found.setdefault(f"{event['job']['name']} {event['run']['runId']}", []).append(event["eventType"])
    return found


def _waits(work: Workspace) -> bool:
    with work.warehouse.reading() as connection:
        counts = lineage.counts(connection)
        return bool(lineage.untold_since(connection)[0] or counts.get(DeliveryState.WAITING))


@pytest.mark.timeout(300 + KILLS * 20)
def test_a_relay_killed_at_random_tells_each_event_once_and_in_order(
    past: tuple[Path, str | None], work: Workspace
) -> None:
    seed = int(os.environ.get("DATAOPS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"DATAOPS_TEST_SEED={seed} kills={KILLS}")  # noqa: T201  to repeat it
    dice = random.Random(seed)  # noqa: S311  a test's dice
    everything = _by_run(_undisturbed(work))
    killed = rounds = 0
    while killed < KILLS:
        rounds += 1
        forget(work)
        events = others("START", "10:00", rounds), others("COMPLETE", "10:05", rounds)
        for event in events:
            spool.put(work.settings.paths, json.dumps(event))
        with MarquezDouble() as server:
            call = (tell, str(past[0]), past[1], server.url)
            while _waits(work) or spool.waiting(work.settings.paths):
                server.script.clear()
                server.script.extend(dice.choice([None, None, None, 500, 503, "drop", 429]) for _ in range(20))
                child = Child(*call, failpoint=dice.choice(POINTS))
                wait_until(child.started, 60, "the child to begin")
                child.process.join(dice.uniform(0, 2.5))
                if child.process.is_alive():
                    child.signal(signal.SIGKILL)
                killed += child.code() == -signal.SIGKILL
            told = _by_run(_got(server))
            assert server.refused == []
        assert told.pop(f"a dag.a task {events[0]['run']['runId']}") == ["START", "COMPLETE"]
        assert told == everything, f"round {rounds}"
    print(f"{killed} kills in {rounds} rounds")  # noqa: T201


def test_a_server_that_is_away_all_day_and_started_empty_has_the_same_in_the_end(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it would have been told, byte by byte and in the same order: so whatever it shows is the same."""
    everything = _undisturbed(work)
    for _ in range(3):
        relaying.relay(work, Backend({"type": "http", "url": "http://127.0.0.1:9"}))
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=2))
    with MarquezDouble() as server:
        relaying.relay(work, Backend({"type": "http", "url": server.url}))
        assert _got(server) == everything


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_a_server_killed_between_start_and_complete_goes_on_where_it_stood(
    work: Workspace, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = _undisturbed(work)
    first = MarquezDouble(file=str(tmp_path / "marquez.db"))
    with first:
        for _ in _killing(taken, monkeypatch):
            relaying.relay(work, Backend({"type": "http", "url": first.url, "timeout": 2}))
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=2))
    with MarquezDouble(file=str(tmp_path / "marquez.db")) as again:
        assert len(_got(again)) == taken
        relaying.relay(work, Backend({"type": "http", "url": again.url}))
        assert _got(again) == everything


def _killing(after: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kills the server before it takes one more event than `after`."""
    take, seen = MarquezDouble.take, []

    def dying(self: MarquezDouble, raw: bytes) -> None:
        if len(seen) == after:
            raise ConnectionAbortedError
        take(self, raw)
        seen.append(raw)

    with monkeypatch.context() as patch:
        patch.setattr(MarquezDouble, "take", dying)
        yield
    assert len(seen) == after


def test_a_publication_speaks_to_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one that hangs delays nothing: a publication notes what is to be told, and the relay tells it."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hanging.settimeout(0)
        monkeypatch.setenv("DATAOPS_LINEAGE_URL", f"http://127.0.0.1:{hanging.getsockname()[1]}")
        work = workspace(tmp_path / "home")
        load(work, small_shop(), "reference")
        with pytest.raises(BlockingIOError):
            hanging.accept()
        with work.warehouse.reading() as connection:
            assert lineage.untold_since(connection)[0] == 2
        passed = relaying.relay_all(work)
        assert (passed.delivered, passed.put_off) == (0, 1)
        hanging.accept()[0].close()


def test_replays_tell_a_server_what_the_relay_would(work: Workspace) -> None:
    everything = _undisturbed(work)
    with MarquezDouble() as server:
        replaying.replay(work, Backend({"type": "http", "url": server.url}))
        assert sorted(map(json.dumps, _got(server))) == sorted(map(json.dumps, everything))
