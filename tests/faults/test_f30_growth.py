"""F30: runs that bring nothing new leave nothing behind, and what publishing looks at does not grow with history."""

from __future__ import annotations

import pytest

from dataops.ledger import batches, incidents, schema
from dataops.ledger import tables as ledger
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.workspace import Workspace
from tests.support.shop import fetch, load, small_shop

pytestmark = pytest.mark.faults


def _rows(work: Workspace) -> dict[str, int]:
    """Rows per table of the ledger and of the layers."""
    tables = [f"ops.{name.removeprefix('ops.')}" for name in ledger.metadata.tables]
    tables += ["raw.customer", "validated.customer", "validated_history.customer", "quarantine.customer"]
    return {table: int(fetch(work, f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables}


def _size(work: Workspace) -> int:
    file = work.settings.paths.warehouse
    return file.stat().st_size if file.exists() else 0


def test_deliveries_that_change_nothing_leave_one_record_and_no_file_behind(work: Workspace) -> None:
    shop = small_shop(customers=50)
    load(work, shop, "reference")
    ids, rows, sizes, kept = [], [], [], []
    for _ in range(12):
        ids.append(load(work, shop, "reference").batch_id)
        rows.append(_rows(work))
        sizes.append(_size(work))
        kept.append(len(list(work.settings.paths.results.glob("*"))))
    assert rows[1:] == rows[:-1], "every further one leaves what the one before it left"
    assert min(sizes[6:]) <= max(sizes[:6]), sizes  # a checkpoint may need a few blocks more, and gives them back
    assert kept[1:] == kept[:-1], kept
    assert len(set(ids)) == len(ids), "no id is given twice"
    states = fetch(work, "SELECT batch_id, state FROM ops.batches ORDER BY seq")
    assert states == [("reference-whole", "published"), (ids[-1], "unchanged")]


def test_a_delivery_that_somebody_was_told_of_stays_on_record(work: Workspace) -> None:
    shop = small_shop()
    load(work, shop, "reference")
    told = load(work, shop, "reference").batch_id
    with schema.writing(work.warehouse) as connection:
        batch = batches.required(connection, told)
        kind = IncidentKind.ANOMALY
        incidents.open_for(connection, "reference", batch.seq, "unusual", Detail(), kind=kind, cause="customer")
    last = load(work, shop, "reference").batch_id
    assert [row[0] for row in fetch(work, "SELECT batch_id FROM ops.batches ORDER BY seq")] == [
        "reference-whole",
        told,
        last,
    ]


def test_another_window_is_another_record(work: Workspace) -> None:
    from dataops.sources.port import Window

    shop = small_shop()
    load(work, shop, "reference")
    load(work, shop, "sales")
    for day in ("2014-05-01..2014-05-02", "2014-05-02..2014-05-03", "2014-05-01..2014-05-02"):
        assert load(work, shop, "sales", Window.parse(day)).publication.status == "unchanged"
    assert [row[0] for row in fetch(work, "SELECT batch_id FROM ops.batches WHERE state = 'unchanged' ORDER BY 1")] == [
        "sales-20140501.2",
        "sales-20140502",
    ]
