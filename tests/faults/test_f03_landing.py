"""F03, F21: what breaks off while rows arrive leaves nothing that can be judged, and is collected by the next load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest

from dataops.declared.errors import DataRejected
from dataops.pipeline import jobs
from dataops.sources.port import Request, delivered
from tests.support.crash import kill_at, run
from tests.support.oracle import Place, Stages, published, standing, take
from tests.support.proxy import Fault, proxied
from tests.support.shop import Shop, fetch, land, line, small_shop

pytestmark = pytest.mark.faults
CHUNK = 500


class FeedError(RuntimeError):
    """The source's own."""


@dataclass
class Breaking(Shop):
    """A shop whose order lines stop coming after `after` record batches."""

    after: int = 0

    def read(self, request: Request) -> pa.RecordBatchReader:
        reader = super().read(request)
        if request.source_table != "Sales.OrderLine":
            return reader
        parts = pa.Table.from_batches(reader, reader.schema).to_batches(max_chunksize=CHUNK)
        return pa.RecordBatchReader.from_batches(delivered(request.schema), self._broken(parts))

    def _broken(self, parts: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number, part in enumerate(parts):
            if number == self.after:
                raise FeedError(f"the feed broke off after {number} parts")
            yield part


def wide_shop(lines: int = 4 * CHUNK) -> Shop:
    """One more order with so many lines that they come in several parts."""
    shop = small_shop()
    shop.add_order(5, 1, 5, [line(5, number) for number in range(1, lines + 1)])
    return shop


def _load(place: Place, lines: int, after: int | None = None) -> str:
    shop = wide_shop(lines)
    if after is not None:
        shop = Breaking(shop.customers, shop.orders, shop.lines, after=after)
    return land(place.open(), shop, "sales")


def _gate(place: Place, batch_id: str | None = None) -> str:
    return jobs.run_gate(place.open(), "sales", batch_id).name


def _open_batches(place: Place) -> list[tuple[object, ...]]:
    return fetch(place.open(), "SELECT batch_id, state FROM ops.batches WHERE state = 'open'")


def _stray_rows(place: Place) -> list[tuple[object, ...]]:
    """Raw rows of no batch, or not as many as the batch says it received."""
    return fetch(
        place.open(),
        "SELECT r._batch, COUNT(*) FROM raw.order_line AS r"
        " LEFT JOIN ops.batches AS b ON b.seq = r._batch AND b.state <> 'open'"
        " LEFT JOIN ops.batch_datasets AS d ON d.batch = b.seq AND d.table_name = 'order_line'"
        " GROUP BY r._batch, d.received HAVING COUNT(*) <> COALESCE(d.received, -1)",
    )


@pytest.mark.parametrize("point", ["table_landed", "batch_landed", "batch_sealing"])
def test_rows_landed_by_a_crashed_load_cannot_be_judged_and_are_collected(stages: Stages, point: str) -> None:
    place = stages.before("extract days")
    kill_at(point, take, place, "extract days")
    assert _open_batches(place) == [("sales-20140501-20140503", "open")]
    found = run(_gate, place, "sales-20140501-20140503")
    assert found.raised[0] == DataRejected.__name__
    assert "was not landed completely; load it again" in found.text
    for step in ("extract days", "gate days", "publish days"):
        run(take, place, step).done  # noqa: B018  fails when the step raised
    assert (_open_batches(place), _stray_rows(place)) == ([], [])
    assert standing(place) == stages["publish days"].next


def test_accounts_balance_and_quarantine_never_stands_without_its_judged_batch(stages: Stages) -> None:
    """The verdict and its quarantine are one transaction: killed between them, neither is there."""
    place = stages.before("gate sales")
    for point in ("rows_held", "quarantine_written", "judged"):
        kill_at(point, take, place, "gate sales")
        assert fetch(place.open(), "SELECT COUNT(*) FROM quarantine.order_line") == [(0,)]
        assert fetch(place.open(), "SELECT state FROM ops.batches WHERE group_name = 'sales'") == [("sealed",)]
    kill_at("verdict_committed", take, place, "gate sales")
    assert fetch(place.open(), "SELECT COUNT(*) FROM quarantine.order_line") == [(2,)]
    run(take, place, "publish sales").done  # noqa: B018  fails when the step raised
    unbalanced = fetch(
        place.open(),
        "SELECT * FROM ops.publication_datasets WHERE received <> new + changed + unchanged + quarantined",
    )
    assert unbalanced == []
    assert standing(place) == stages["publish sales"].next


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_source_that_breaks_off_keeps_its_own_error_and_leaves_nothing(stages: Stages, after: int) -> None:
    place = stages.before("extract sales")
    found = run(_load, place, 4 * CHUNK, after)
    assert found.raised[0] == "FeedError", found.trace
    assert found.text == f"the feed broke off after {after} parts"
    assert run(_gate, place).raised[0] == DataRejected.__name__
    assert run(_load, place, 10).done == "sales-whole.2"
    assert (_open_batches(place), _stray_rows(place)) == ([], [])
    assert fetch(place.open(), "SELECT COUNT(*) FROM raw.order_line") == [(18,)]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_connection_lost_while_rows_are_copied_leaves_nothing(postgres_stages: Stages, share: float) -> None:
    place = postgres_stages.before("extract sales")
    with proxied(str(place.url)) as proxy:
        through = Place(place.home, proxy.through(str(place.url)))
        run(_load, through, 20 * CHUNK).done  # noqa: B018  only measured
        copied = max(proxy.sent)
    place = postgres_stages.before("extract sales")
    with proxied(str(place.url)) as proxy:
        through = Place(place.home, proxy.through(str(place.url)))
        # Only the COPY sends more than this; at 1 % nothing else may be hit before it.
        proxy.arm(Fault("reset", limit=int(copied * share)))
        found = run(_load, through, 20 * CHUNK)
        assert proxy.struck.is_set()
    assert found.raised[0] == "PlatformError", found.trace
    assert "raw.order_line" in found.text
    assert run(_gate, place).raised[0] == DataRejected.__name__
    before = published(postgres_stages["extract sales"].previous)
    assert published(standing(place)) == before
    assert run(_load, place, 10).done == "sales-whole.2"
    assert (_open_batches(place), _stray_rows(place)) == ([], [])
