"""A batch is never another batch: ids and numbers are given once, approvals are for what was seen, by two people."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.gate.waivers import Scope
from dataops.ledger import batches, clock, incidents, schema
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs, stewards
from dataops.pipeline.intake import extraction
from dataops.sources.port import Window
from tests.support.crash import Child
from tests.support.oracle import Place, take_back
from tests.support.shop import Shop, fetch, land, load, small_shop
from tests.support.stock import stock

pytestmark = pytest.mark.integration
QTY = "SAL-031"
DAYS = Window.parse("2014-05-01..2014-05-05")
PROCESSES, EACH = 8, 25


def _bad(shop: Shop, orders: int, price: str = "0.00") -> Shop:
    """The first lines of so many orders have a quantity that is too high; all else about them is right."""
    for number in range(orders):
        one, other = shop.lines[2 * number], shop.lines[2 * number + 1]
        one |= {"qty": 2000, "price": Decimal(price), "amount": 2000 * Decimal(price)}
        shop.orders[number]["sub_total"] = one["amount"] + other["amount"]
    return shop


def _waive(work: Workspace, scope: Scope) -> str:
    made = stewards.add_waiver(work, scope, "anna", "agreed", clock.now() + timedelta(days=1))
    return str(stewards.approve_waiver(work, made.waiver.waiver_id, "ben").waiver.waiver_id)


def _ids(work: Workspace) -> list[str]:
    return [str(row[0]) for row in fetch(work, "SELECT batch_id FROM ops.batches ORDER BY seq")]


def test_a_waiver_for_a_batch_never_covers_its_successor(work: Workspace) -> None:
    """The batch is judged and waived, then its window is loaded again with other, dear rows."""
    stock(work, small_shop(), "reference")
    first = land(work, _bad(small_shop(), 1), "sales", DAYS)
    jobs.run_gate(work, "sales", first)
    _waive(work, Scope("sales", QTY, first))
    _waive(work, Scope("sales", None, first, quota=1.0))
    second = load(work, _bad(small_shop(), 4, price="9999.00"), "sales", DAYS)
    assert second.batch_id == "sales-20140501-20140505.2"
    assert second.verdict.name == "FAILED"
    assert second.verdict.waivers == ()
    assert fetch(work, "SELECT COUNT(*) FROM validated.sales_order") == [(0,)]


@pytest.mark.parametrize("how", ["never sealed", "sealed", "judged", "unchanged"])
def test_neither_id_nor_number_of_a_batch_is_given_again(work: Workspace, how: str) -> None:
    shop = small_shop()
    stock(work, shop, "reference")
    given = []
    for _ in range(3):
        if how == "never sealed":
            with schema.writing(work.warehouse) as connection:
                begun = batches.begin(connection, "sales", "sales-whole", "shop")
                seq, name = begun.seq, begun.batch_id
        elif how == "unchanged":
            name = load(work, shop, "sales").batch_id
            seq = fetch(work, "SELECT MAX(seq) FROM ops.batches")[0][0]
        else:
            name = land(work, shop, "sales")
            if how == "judged":
                jobs.run_gate(work, "sales", name)
            seq = fetch(work, "SELECT MAX(seq) FROM ops.batches")[0][0]
        given.append((seq, name))
        land(work, shop, "reference")  # leaves what it repeats behind as well
    assert [name for _, name in given] == ["sales-whole", "sales-whole.2", "sales-whole.3"]
    assert len({seq for seq, _ in given}) == 3
    assert sorted(given) == given


def test_an_approval_counts_for_the_rows_that_were_seen(work: Workspace) -> None:
    """Judged again beside other published rows, the same batch holds more: who agreed has not seen those."""
    stock(work, small_shop(), "reference")
    first = land(work, _bad(small_shop(), 4), "sales", DAYS)
    assert jobs.run_gate(work, "sales", first).name == "FAILED"
    asked = stewards.add_waiver(work, Scope("sales", QTY, first), "anna", "ok", clock.now() + timedelta(days=1))
    with work.warehouse.transaction() as connection:  # somebody changes what was landed
        connection.exec_driver_sql(
            "UPDATE raw.order_line SET price = 7, amount = 14000 WHERE qty = 2000 AND order_id = 1"
        )
        connection.exec_driver_sql("UPDATE raw.sales_order SET sub_total = sub_total + 14000 WHERE order_id = 1")
    jobs.run_gate(work, "sales", first)
    with pytest.raises(DataRejected, match="is not what it was when WAI-0001 was asked for"):
        stewards.approve_waiver(work, asked.waiver.waiver_id, "ben")
    waiver = _waive(work, Scope("sales", QTY, first))
    assert jobs.run_gate(work, "sales", first).waivers == (waiver,)
    assert jobs.run_gate(work, "sales", first).waivers == (waiver,)  # and again
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE raw.order_line SET qty = 3000 WHERE qty = 2000 AND order_id = 2")
    verdict = jobs.run_gate(work, "sales", first)
    assert (verdict.name, verdict.waivers) == ("FAILED", ())


def test_a_higher_quota_counts_for_the_rows_that_were_seen(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    first = land(work, _bad(small_shop(), 4), "sales", DAYS)
    jobs.run_gate(work, "sales", first)
    waiver = _waive(work, Scope("sales", None, first, quota=1.0))
    assert jobs.run_gate(work, "sales", first).waivers == (waiver,)
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE raw.order_line SET qty = 3000 WHERE qty = 2000 AND order_id = 2")
    verdict = jobs.run_gate(work, "sales", first)
    assert (verdict.name, verdict.waivers) == ("FAILED", ())


def test_a_batch_that_nobody_judged_cannot_be_waived(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    first = land(work, small_shop(), "sales", DAYS)
    with pytest.raises(DataRejected, match="has not been judged"):
        stewards.ask_for_quota(work, "sales", first, "anna", "agreed", "100%")


@pytest.mark.parametrize("spelling", ["Anna", " anna ", "an\u200bna", "\u0430nna", "ANNA", "anna\u00ad"])
def test_nobody_approves_what_he_asked_for(work: Workspace, spelling: str) -> None:
    stock(work, small_shop(), "reference")
    until = clock.now() + timedelta(days=1)
    made = stewards.add_waiver(work, Scope("sales", QTY), "anna", "agreed", until)
    with pytest.raises(DataRejected, match="somebody else has to approve"):
        stewards.approve_waiver(work, made.waiver.waiver_id, spelling)
    assert stewards.approve_waiver(work, made.waiver.waiver_id, "ben").state == "in force"


@pytest.mark.parametrize("blank", [" ", "\u200b", ""])
def test_nobody_is_no_owner(work: Workspace, blank: str) -> None:
    stock(work, small_shop(), "reference")
    until = clock.now() + timedelta(days=1)
    with pytest.raises(DeclarationError, match="names nobody"):
        stewards.add_waiver(work, Scope("sales", QTY), blank, "agreed", until)


def _write_much(place: Place, process: int, times: int) -> list[str]:
    """Batches, waivers and incidents, as fast as they can be written."""
    work, made = place.open(), []
    until = clock.now() + timedelta(days=1)
    for number in range(times):
        with schema.writing(work.warehouse) as connection:
            made.append(batches.begin(connection, "sales", f"sales-{process % 3}", "shop").batch_id)
        asked = stewards.add_waiver(work, Scope("sales", QTY), f"p{process}", "a test", until)
        made.append(asked.waiver.waiver_id)
        with schema.writing(work.warehouse) as connection:
            cause = f"{process}-{number}"
            made.append(_open(connection, cause))
    return made


def _open(connection: Connection, cause: str) -> str:
    return incidents.open_for(connection, "sales", 0, f"trouble {cause}", Detail(), kind=IncidentKind.LATE, cause=cause)


def test_eight_processes_write_at_once_without_an_error(work: Workspace) -> None:
    """On PostgreSQL 200 batches, 200 waivers and 200 incidents; on DuckDB, where all wait for one file, fewer."""
    stock(work, small_shop(), "reference")
    url = work.settings.warehouse_url if work.warehouse.dialect == "postgres" else None
    place = Place(work.settings.paths.home, url, lock_seconds=120, log_bytes=4 * 2**20)
    times = EACH if url else 3
    children = [Child(_write_much, place, number, times) for number in range(PROCESSES)]
    made = [name for child in children for name in child.outcome().done]
    assert len(set(made)) == PROCESSES * times * 3


def _load_often(place: Place, group: str) -> list[str]:
    work, made = place.open(), []
    found = work.catalog.group(group)
    for _ in range(5):
        with work.warehouse.lock(group, "load"):
            made.append(extraction.extract(work, found, small_shop(), None))
            jobs.gate_and_publish(work, made[-1])
    return made


def test_loads_of_two_groups_at_once_do_not_meet(postgres_url: str, tmp_path: Path) -> None:
    """On PostgreSQL; on DuckDB a pool of one slot orders the runs, since engines open the file by themselves."""
    place = Place(tmp_path / "home", postgres_url, lock_seconds=120)
    load(place.open(), small_shop(), "reference")
    children = [Child(_load_often, place, group) for group in ("sales", "reference", "sales", "reference")]
    made = [name for child in children for name in child.outcome().done]
    assert len(set(made)) == 20


def test_a_ledger_of_the_third_version_counts_on_behind_what_is_there(work: Workspace) -> None:
    stock(work, small_shop(), "reference")
    load(work, _bad(small_shop(), 4), "sales")
    take_back(work, 3)
    before = _ids(work)
    assert load(work, _bad(small_shop(), 4), "sales").batch_id == "sales-whole.2"
    assert _ids(work) == [*before, "sales-whole.2"]
    assert fetch(work, "SELECT COUNT(DISTINCT seq), COUNT(*) FROM ops.batches") == [(3, 3)]
