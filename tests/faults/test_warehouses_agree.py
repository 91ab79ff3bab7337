"""The same deliveries on DuckDB and PostgreSQL: equal verdicts of every rule, equal rows of every model.

Three sources: both of Microsoft's editions, and the generator's data at their size with every fault planted. The 2025
edition comes without Person.csv; persons are those of the 2014 edition, whose rows are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from dataops import batches, jobs, settings
from dataops.gate.verdict import Verdict
from dataops.sources import Source, open_source
from dataops.sources.faults import FAULTS
from dataops.sources.port import Request
from dataops.workspace import Workspace, open_workspace
from tests.conftest import PROJECT, PostgresServer
from tests.support.shop import fetch

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
SHARED = (PROJECT / "../shared/adventureworks").resolve()
LOADED = ("reference", "sales", "inventory")
OLDER, NEWER = f"csv:{SHARED / 'oltp-2014'}", f"csv:{SHARED / 'edition-2025.tar.xz'}"
GENERATED = "generator:?scale=1&seed=7"
DELIVERIES = {
    "2014 edition": (OLDER,),
    "2025 edition": (NEWER,),
    "generator, all faults": (GENERATED, f"{GENERATED}&faults={','.join(FAULTS)}"),
}
CLEAN = ("2014 edition", "2025 edition")


@dataclass
class BothEditions:
    """The 2025 edition, with the persons of 2014."""

    newer: Source
    older: Source
    name: str = "2025 edition"

    def _of(self, table: str) -> Source:
        return self.older if table == "Person.Person" else self.newer

    def schema(self, table: str) -> pa.Schema:
        return self._of(table).schema(table)

    def read(self, request: Request) -> pa.RecordBatchReader:
        return self._of(request.source_table).read(request)

    def close(self) -> None:
        self.newer.close()
        self.older.close()


@dataclass(frozen=True)
class Outcome:
    """What one warehouse made of the deliveries."""

    work: Workspace
    verdicts: tuple[tuple[str, Verdict], ...]

    def judgements(self) -> list[tuple[Any, ...]]:
        """Of every gate in turn: verdict, rows, and each rule's outcome with what it counted."""
        return [
            (group, verdict.name, verdict.rows_received, verdict.rows_held, _outcomes(verdict))
            for group, verdict in self.verdicts
        ]


def _outcomes(verdict: Verdict) -> list[tuple[Any, ...]]:
    return sorted((r.rule.id, r.outcome, r.failing, r.checked) for r in verdict.results)


def _source(url: str) -> Source:
    return BothEditions(open_source(url), open_source(OLDER)) if url == NEWER else open_source(url)


def _loaded(work: Workspace, urls: tuple[str, ...]) -> Outcome:
    verdicts = []
    for url in urls:
        source = _source(url)
        for group in LOADED:
            done = jobs.gate_and_publish(work, batches.extract(work, work.catalog.group(group), source, None))
            verdicts.append((group, done.verdict))
        source.close()
        built = jobs.build(work)[1]
        assert built.verdict
        verdicts.append(("curated", built.verdict))
    return Outcome(work, tuple(verdicts))


@pytest.fixture(scope="module", params=DELIVERIES)
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> dict[str, Outcome]:
    """By warehouse."""
    found = {}
    for kind in ("duckdb", "postgres"):
        environ = {"DATAOPS_HOME": str(tmp_path_factory.mktemp(kind))}
        if kind == "postgres":
            environ["DATAOPS_WAREHOUSE_URL"] = postgres.create_database("agree")
        found[kind] = _loaded(open_workspace(settings.load(environ, project=PROJECT)), DELIVERIES[request.param])
    return found


def test_every_rule_judges_alike(outcomes: dict[str, Outcome]) -> None:
    one, other = (outcomes[kind].judgements() for kind in ("duckdb", "postgres"))
    assert one == other
    assert not [verdict for _, verdict, *_ in one if verdict == "ERROR"]


def test_every_published_row_is_equal(outcomes: dict[str, Outcome]) -> None:
    """Every column of every validated and curated dataset, to the last digit."""
    for dataset in outcomes["duckdb"].work.catalog.datasets.values():
        columns = ", ".join(f'"{column.name}"' for column in dataset.columns)
        sql = f"SELECT {columns} FROM {dataset.name}"
        one, other = (sorted(fetch(outcomes[kind].work, sql), key=repr) for kind in ("duckdb", "postgres"))
        assert one == other, dataset.name
        assert one, f"{dataset.name} is empty: nothing was compared"


def test_every_held_row_is_equal(outcomes: dict[str, Outcome]) -> None:
    for group in LOADED:
        for dataset in outcomes["duckdb"].work.catalog.group(group).datasets:
            keys = ", ".join(f'"{name}"' for name in dataset.key)
            sql = f"SELECT {keys}, _row, _rules, _fell_with FROM quarantine.{dataset.table}"
            one, other = (sorted(map(repr, fetch(outcomes[kind].work, sql))) for kind in ("duckdb", "postgres"))
            assert one == other, dataset.table


def test_clean_editions_trip_no_critical_rule_and_faults_do(
    outcomes: dict[str, Outcome], request: pytest.FixtureRequest
) -> None:
    verdicts = [verdict for _, verdict in outcomes["duckdb"].verdicts]
    alarms = {r.rule.id for v in verdicts for r in v.results if r.rule.severity == "critical" and r.outcome != "passed"}
    if any(name in request.node.name for name in CLEAN):
        assert alarms == set()
        assert [(v.name, v.rows_held) for v in verdicts] == [("PASSED", 0)] * len(verdicts)
    else:
        assert len(alarms) >= 6, alarms
