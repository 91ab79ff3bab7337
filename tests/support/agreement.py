"""The same deliveries on both warehouses, and whether what became of them is equal."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataops.declared import settings
from dataops.gate.verdict import Verdict
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs
from dataops.pipeline.intake import extraction
from dataops.sources import Source, find_source
from tests.conftest import PROJECT, PostgresServer
from tests.support.shop import fetch

LOADED = ("reference", "sales", "inventory")


@dataclass(frozen=True)
class Outcome:
    """What one warehouse made of the deliveries: its workspace, and the verdict of each gate in turn, by group."""

    work: Workspace
    verdicts: tuple[tuple[str, Verdict], ...]

    @property
    def alarms(self) -> set[str]:
        """Critical rules that did not pass."""
        results = [result for _, verdict in self.verdicts for result in verdict.results]
        return {r.rule.id for r in results if r.rule.severity == "critical" and r.outcome != "passed"}

    def judgements(self) -> list[tuple[Any, ...]]:
        """Of every gate in turn: verdict, rows, and each rule's outcome with what it counted."""
        return [
            (group, verdict.name, verdict.rows_received, verdict.rows_held, _outcomes(verdict))
            for group, verdict in self.verdicts
        ]


Outcomes = Mapping[str, Outcome]  # by warehouse


def _outcomes(verdict: Verdict) -> list[tuple[Any, ...]]:
    return sorted((r.rule.id, r.outcome, r.failing, r.checked) for r in verdict.results)


def deliver(folder: Path, postgres: PostgresServer, sources: Sequence[Source]) -> dict[str, Outcome]:
    """Loads and builds everything from each source in turn, on DuckDB and on PostgreSQL; closes the sources."""
    environs = {
        "duckdb": {"DATAOPS_HOME": str(folder / "duckdb")},
        "postgres": {
            "DATAOPS_HOME": str(folder / "postgres"),
            "DATAOPS_WAREHOUSE_URL": postgres.create_database(f"agree_{folder.name}"),
        },
    }
    works = {kind: open_workspace(settings.load(environ, project=PROJECT)) for kind, environ in environs.items()}
    verdicts: dict[str, list[tuple[str, Verdict]]] = {kind: [] for kind in works}
    for source in sources:
        with closing(source):
            for kind, work in works.items():
                verdicts[kind] += _delivered(work, source)
    return {kind: Outcome(work, tuple(verdicts[kind])) for kind, work in works.items()}


def _delivered(work: Workspace, source: Source) -> list[tuple[str, Verdict]]:
    found = []
    for group in LOADED:
        done = jobs.gate_and_publish(work, extraction.extract(work, work.catalog.group(group), source, None))
        found.append((group, done.verdict))
    found += [(group, jobs.build(work, group)[1].verdict) for group in work.catalog.built]
    assert all(verdict is not None for _, verdict in found)
    return [(group, verdict) for group, verdict in found if verdict]


def edition_url(project: Path = PROJECT) -> str:
    """The install CSVs beside the project; their absence is a failure unless somebody said so."""
    found = find_source(project)
    if found.url.startswith("csv:"):
        return found.url
    if os.environ.get("DATAOPS_TEST_NO_ADVENTUREWORKS") == "1":
        pytest.skip("DATAOPS_TEST_NO_ADVENTUREWORKS=1: Microsoft's files are not here")
    pytest.fail(
        "Microsoft's AdventureWorks files are not in ../shared/adventureworks/oltp-2014: nothing can be reconciled.\n"
        "Put them there, or set DATAOPS_TEST_NO_ADVENTUREWORKS=1 to leave these tests out.",
        pytrace=False,
    )


def require_equal_judgements(outcomes: Outcomes) -> None:
    """Of every rule, at every gate."""
    one, other = (outcomes[kind].judgements() for kind in ("duckdb", "postgres"))
    assert one == other
    assert not [verdict for _, verdict, *_ in one if verdict == "ERROR"]


def require_equal_rows(outcomes: Outcomes, empty: Collection[str] = ()) -> None:
    """Every column of every published dataset, to the last digit; exactly those named in `empty` have no rows."""
    without = set()
    for dataset in outcomes["duckdb"].work.catalog.datasets.values():
        columns = ", ".join(f'"{column.name}"' for column in dataset.columns)
        sql = f"SELECT {columns} FROM {dataset.published_layer}.{dataset.table}"
        one, other = (sorted(fetch(outcomes[kind].work, sql), key=repr) for kind in ("duckdb", "postgres"))
        assert one == other, dataset.name
        without |= set() if one else {dataset.table}
    assert without == set(empty), "of which nothing was compared"


def require_equal_entries(outcomes: Outcomes) -> None:
    """Every row in quarantine with every rule that it broke."""
    for group in LOADED:
        for dataset in outcomes["duckdb"].work.catalog.group(group).datasets:
            keys = ", ".join(f'"{name}"' for name in dataset.key)
            sql = f"SELECT {keys}, _row, _rules, _fell_with FROM quarantine.{dataset.table}"
            one, other = (sorted(map(repr, fetch(outcomes[kind].work, sql))) for kind in ("duckdb", "postgres"))
            assert one == other, dataset.table
