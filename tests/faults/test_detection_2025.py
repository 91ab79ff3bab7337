"""The gate lets the clean 2025 edition pass: no critical rule fires, nothing is held.

Microsoft publishes that edition without Person.csv; persons are those of the 2014 edition, whose rows are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest

from dataops import batches, jobs, settings
from dataops.gate.verdict import Verdict
from dataops.sources import Source, open_source
from dataops.sources.port import Request
from dataops.workspace import open_workspace
from tests.conftest import PROJECT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
SHARED = (PROJECT / "../shared/adventureworks").resolve()
LOADED = ("reference", "sales", "inventory")


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


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Verdict]]:
    work = open_workspace(settings.load({"DATAOPS_HOME": str(tmp_path_factory.mktemp("home"))}, project=PROJECT))
    source = BothEditions(
        open_source(f"csv:{SHARED / 'edition-2025.tar.xz'}"), open_source(f"csv:{SHARED / 'oltp-2014'}")
    )
    found = {}
    for group in LOADED:
        batch_id = batches.extract(work, work.catalog.group(group), source, None)
        done = jobs.gate_and_publish(work, batch_id)
        found[group] = done.verdict
    found["curated"] = jobs.build(work)[1].verdict
    yield found
    source.close()


@pytest.mark.parametrize("group", [*LOADED, "curated"])
def test_clean_data_of_the_2025_edition_trip_no_critical_rule(verdicts: dict[str, Verdict], group: str) -> None:
    verdict = verdicts[group]
    alarms = [r.rule.id for r in verdict.results if r.rule.severity == "critical" and r.outcome != "passed"]
    assert (verdict.name, alarms) == ("PASSED", [])
    assert verdict.rows_held == 0
    assert verdict.rows_received > 0
