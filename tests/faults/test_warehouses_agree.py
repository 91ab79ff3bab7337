"""The 2025 edition, and the generator's data with every fault planted: equal on DuckDB and PostgreSQL.

The 2014 edition is compared where its figures are reconciled. That of 2025 comes without Person.csv; persons are those
of 2014, whose rows are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pyarrow as pa
import pytest

from dataops.lab import planted
from dataops.lab.faulty_source import open_source
from dataops.sources import Source
from dataops.sources.port import Request
from tests.conftest import PROJECT, PostgresServer
from tests.support.agreement import (
    Outcomes,
    deliver,
    require_equal_entries,
    require_equal_judgements,
    require_equal_rows,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
SHARED = (PROJECT / "../shared/adventureworks").resolve()
GENERATED = "generator:?scale=1&seed=7"
NOT_ESTIMATED = {"campaign_estimates", "campaign_paths"}  # its sales are too short for any offer to be


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

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002  the port's words
        return nullcontext()

    def read(self, request: Request) -> pa.RecordBatchReader:
        return self._of(request.source_table).read(request)

    def close(self) -> None:
        self.newer.close()
        self.older.close()


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Outcomes:
    """The 2025 edition."""
    editions = (open_source(f"csv:{SHARED / name}") for name in ("edition-2025.tar.xz", "oltp-2014"))
    return deliver(tmp_path_factory.mktemp("newer"), postgres, [BothEditions(*editions)])


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Outcomes:
    """Generated data, and again with everything planted that can be."""
    urls = (GENERATED, f"{GENERATED}&faults={','.join(planted.load(PROJECT))}")
    return deliver(tmp_path_factory.mktemp("faulty"), postgres, [open_source(url) for url in urls])


@pytest.mark.parametrize("deliveries", ["newer", "faulty"])
def test_both_warehouses_make_the_same_of_it(deliveries: str, newer: Outcomes, faulty: Outcomes) -> None:
    """Both are asked for by name, so that all tests on them run in the worker that makes them."""
    outcomes = {"newer": newer, "faulty": faulty}[deliveries]
    require_equal_judgements(outcomes)
    require_equal_rows(outcomes, NOT_ESTIMATED if deliveries == "faulty" else ())
    require_equal_entries(outcomes)


def test_clean_data_of_the_2025_edition_trip_no_critical_rule(newer: Outcomes) -> None:
    verdicts = [verdict for _, verdict in newer["duckdb"].verdicts]
    assert newer["duckdb"].alarms == set()
    assert [(v.name, v.rows_held) for v in verdicts] == [("PASSED", 0)] * len(newer["duckdb"].work.catalog.groups)
    assert all(v.rows_received for v in verdicts)


def test_what_was_planted_trips_rules_and_is_held(faulty: Outcomes) -> None:
    assert len(faulty["duckdb"].alarms) >= 6
    assert sum(verdict.rows_held for _, verdict in faulty["duckdb"].verdicts) > 0
