"""Ten thousand events of lineage through the outbox: rate, memory, size of the ledger; beside the same sent directly.

Judged batches of the real declarations, told to the tests' double of Marquez in a process of its own; what came twice
is counted. `--warehouse` names a PostgreSQL database, in which schema `ops` must not be in use.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import measuring
from dataops.declared import settings
from dataops.declared.catalog import Group
from dataops.ledger import batches, clock, results, schema
from dataops.ledger.enums import Outcome, VerdictName
from dataops.ledger.results import CheckResult
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.lineage import relaying
from dataops.outlets.lineage.backend import Backend

PROJECT = Path(__file__).resolve().parents[1]
GROUP = "sales"
TOGETHER = 50  # batches in one transaction


def main() -> int:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--warehouse")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environ = {"DATAOPS_HOME": home} | ({"DATAOPS_WAREHOUSE_URL": asked.warehouse} if asked.warehouse else {})
        work = open_workspace(settings.load(environ, PROJECT))
        group = work.catalog.group(GROUP)
        number = -(-asked.events // (1 + 4 * len(group.datasets)))
        before = measuring.ledger_bytes(work)
        noted = measuring.timed(lambda: _judge(work, group, number))
        kept = measuring.ledger_bytes(work)
        with _server(Path(home) / "first.db") as url:
            told = measuring.timed(lambda: relaying.relay(work, Backend({"type": "http", "url": url})))
        peak = measuring.peak()
        events = _events(Path(home) / "first.db")
        with _server(Path(home) / "second.db") as url:
            direct = measuring.timed(lambda: _send(url, events))
        twice = len(events) - len({(event["run"]["runId"], event["eventType"]) for event in events})
        size = sum(len(json.dumps(event)) for event in events) / len(events)
        print(f"warehouse  {work.warehouse.dialect}; {os.cpu_count()} cores, the server beside")
        print(f"events     {len(events):,} of {number} batches taken, {twice} twice; {size:,.0f} bytes each")
        print(
            f"waiting    {(kept - before) / number:,.0f} bytes per batch, with its results; {noted:.1f} s to note them"
        )
        print(f"relay      {told:.1f} s, {len(events) / told:.0f} events a second")
        print(f"direct     {direct:.1f} s; the outbox costs {told / direct:.2f} times as much")
        print(f"memory     {peak:.0f} MiB at most, the ledger included")
        print(f"ledger     {(measuring.ledger_bytes(work) - kept) / 2**20:.1f} MiB more once all was told")
    return 0


def _judge(work: Workspace, group: Group, number: int) -> None:
    for first in range(0, number, TOGETHER):
        with schema.writing(work.warehouse) as connection:
            for n in range(first, min(number, first + TOGETHER)):
                batch = batches.begin(connection, GROUP, f"{GROUP}-{n}", "benchmark")
                for dataset in group.datasets:
                    batches.bring(connection, batch.seq, dataset.table, "whole", 100, {})
                batches.seal(connection, batch.seq)
                said = [_said(batch.seq, rule.id, d.table) for d in group.datasets for rule in d.rules]
                results.replace(connection, batch.seq, said, ())
                batches.record_verdict(connection, batch.seq, VerdictName.PASSED, (), "benchmark", ())


def _said(batch: int, rule: str, table: str) -> CheckResult:
    return CheckResult(
        batch=batch, rule_id=rule, table=table, engine="gx", severity="critical", outcome=Outcome.PASSED,
        failing=0, checked=100, rules_hash="benchmark", judged_at=clock.now(),
    )  # fmt: skip


def _send(url: str, events: list[dict[str, Any]]) -> None:
    """The same events, as they are, and nothing noted."""
    server = Backend({"type": "http", "url": url})
    for event in events:
        server.send(event)


@contextmanager
def _server(file: Path) -> Iterator[str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(str(file), there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join(30)


def _serve(file: str, pipe: Any) -> None:  # noqa: ANN401  a connection
    sys.path.insert(0, str(PROJECT))
    from tests.support.marquez import MarquezDouble

    with MarquezDouble(file=file) as double:
        pipe.send(double.url)
        pipe.recv()


def _events(file: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as store:
        return [json.loads(body) for (body,) in store.execute("SELECT body FROM events ORDER BY seq")]


if __name__ == "__main__":
    sys.exit(main())
