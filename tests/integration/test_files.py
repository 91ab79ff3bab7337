"""Files of a project's own, from a folder to what is published; and what of them waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.sources import open_source
from tests.support.shop import PROJECT, fetch

pytestmark = [pytest.mark.integration, pytest.mark.quick]
CUSTOMERS = 'Customer ID,Name,REGION,modified\n1,shop,DE,2014-01-01\n2,shop,FR,2014-01-01\n3,"a, b",DE,{}\n'


def test_a_folder_of_files_is_loaded_as_any_source_is(work: Workspace, tmp_path: Path) -> None:
    """What cannot be read waits; the corrected file brings it, and nothing else again."""
    (tmp_path / "in").mkdir()
    for moment, new, waiting in (("yesterday", 2, 1), ("2014-01-02 10:00:00", 1, 0)):
        (tmp_path / "in" / "Customer.csv").write_text(CUSTOMERS.format(moment), "utf-8")
        source = open_source(f"files:{tmp_path / 'in'}", project=PROJECT)
        done = jobs.load(work, "reference", None, source)
        source.close()
        assert [(c.table, c.new, c.changed, c.deleted) for c in done.publication.counts] == [("customer", new, 0, 0)]
        assert fetch(work, "SELECT COUNT(*) FROM quarantine.customer WHERE _released IS NULL")[0][0] in {waiting, 1}
    assert sorted(fetch(work, "SELECT customer_id, name FROM validated.customer")) == [
        (1, "shop"),
        (2, "shop"),
        (3, "a, b"),
    ]
