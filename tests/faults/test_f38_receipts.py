"""F38: a ledger that was edited, thinned out or cut at its tail does not verify, and the culprit is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from dataops.ledger import chain, receipts
from dataops.ledger import tables as ledger
from dataops.ledger.chain import Break, Proof
from dataops.ledger.reading import mappings
from dataops.pipeline import verification
from tests.support.crash import run
from tests.support.oracle import Place, Stages, reseal, take

pytestmark = pytest.mark.faults
LAST = "extract repeated"  # before it stand two loads of sales, two builds and a roll-back


class _Undo(Exception):
    pass


def _undo() -> NoReturn:
    raise _Undo


def after(place: Place, *statements: sa.Executable, head: str | None = None) -> Proof:
    """What the chain says after the statements, which are undone again."""
    found: list[Proof] = []
    try:
        with place.open().warehouse.transaction() as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount
            found.append(chain.walk(chain.records(connection), head=head))
            _undo()
    except _Undo:
        return found[0]


def whole(place: Place) -> chain.Records:
    with place.open().warehouse.reading() as connection:
        return chain.records(connection)


def rows(place: Place, table: sa.Table, **where: Any) -> list[dict[str, Any]]:
    """Rows of the ledger as they stand."""
    query = sa.select(table).filter_by(**where).order_by(*table.c[:1])
    with place.open().warehouse.reading() as connection:
        return mappings(connection, query)


def other(column: sa.Column[Any], value: Any) -> Iterator[Any]:
    """Values of the column's type that differ from `value` as little as may be."""
    if isinstance(column.type, sa.BigInteger):
        yield 1000 if value is None else value + 1000
    elif isinstance(column.type, sa.DateTime):
        yield datetime(2014, 1, 1) if value is None else value + timedelta(microseconds=1)
    elif isinstance(column.type, sa.JSON):
        yield {**value, "one": "0.01"} if isinstance(value, dict) else [*(value or ()), {"waiver_id": "WAI-0001"}]
    else:
        yield "x" if value is None else f"{value} "
    if value is not None and column.nullable:
        yield sa.null()


def mutations(table: sa.Table, row: Mapping[str, Any], names: tuple[str, ...], covered: Any = None) -> Iterator[Any]:
    """One UPDATE per column of one row and value, with what it is."""
    where = sa.and_(*(table.c[name] == row[name] for name in names))
    for column in table.columns if covered is None else [table.c[name] for name in covered]:
        for value in other(column, row[column.name]):
            what = f"{table.name} {[row[name] for name in names]}: {column.name} = {value}"
            yield what, sa.update(table).where(where).values({column.name: value})


def test_each_column_of_each_row_that_a_receipt_covers_is_proven(stages: Stages) -> None:
    place = stages.before(LAST)
    made = rows(place, ledger.publications)
    assert len(made) == 6
    assert after(place).proven
    count = 0
    for publication in made:
        name = publication["publication_id"]
        changes = list(mutations(ledger.publications, publication, ("seq",)))
        for row in rows(place, ledger.publication_datasets, publication=publication["seq"]):
            changes += mutations(ledger.publication_datasets, row, ("publication", "table_name"))
        for batch in rows(place, ledger.batches, seq=publication["batch"]):
            changes += mutations(ledger.batches, batch, ("seq",), receipts.OF_BATCH)
        for what, change in changes:
            proof = after(place, change)
            assert proof.broken, f"{what}: proven"
            assert proof.broken.publication.rstrip() == name, f"{what}: {proof.broken}"
            count += 1
    assert count > 300, count


def test_a_publication_that_is_gone_from_the_middle_is_missed_by_the_next_one(stages: Stages) -> None:
    place = stages.before(LAST)
    ids = [link.publication for link in whole(place).links]
    for number, following in enumerate(ids[1:], start=1):
        broken = _broken(after(place, *_without(number)))
        assert (broken.what, broken.publication) == ("moved or removed", following)
        assert broken.expected != broken.found
    assert "after another one: that one was removed" in _broken(after(place, *_without(1))).says


def _broken(proof: Proof) -> Break:
    assert proof.broken
    return proof.broken


def _without(*numbers: int) -> list[sa.Executable]:
    p, d = ledger.publications, ledger.publication_datasets
    return [sa.delete(d).where(d.c.publication.in_(numbers)), sa.delete(p).where(p.c.seq.in_(numbers))]


def test_publications_that_changed_places_are_named(stages: Stages) -> None:
    place = stages.before(LAST)
    p, d = ledger.publications, ledger.publication_datasets
    swap = [
        sa.update(table).where(column == old).values({column.name: new})
        for old, new in ((3, 1000), (4, 3), (1000, 4))
        for table, column in ((p, p.c.seq), (d, d.c.publication))
    ]
    assert _broken(after(place, *swap)).publication == whole(place).links[3].publication


def test_a_tail_that_was_cut_is_missed_by_whoever_kept_the_head(stages: Stages) -> None:
    place = stages.before(LAST)
    made = whole(place).links
    for kept in range(len(made) - 1, 0, -1):
        cut = _without(*(link.seq for link in made[kept:]))
        for missing in made[kept:]:
            broken = _broken(after(place, *cut, head=missing.receipt))
            assert (broken.what, broken.publication) == ("tail cut", made[kept - 1].publication)
            assert missing.receipt in broken.says
        assert after(place, *cut, head=made[kept - 1].receipt).proven


def test_a_cut_tail_leaves_rows_and_batches_that_nobody_published(stages: Stages) -> None:
    place = stages.before(LAST)
    last = whole(place).links[-3:]
    work = place.open()
    with work.warehouse.transaction() as connection:
        for statement in _without(*(link.seq for link in last)):
            connection.execute(statement)
    with work.warehouse.reading() as connection:
        found = verification.verify(connection, tuple(work.catalog.datasets.values()))
    assert found.broken is None
    said = {mismatch.publication for mismatch in found.mismatches}
    assert {f"number {link.seq}" for link in last} <= said


def test_a_ledger_that_was_rewritten_with_new_receipts_is_refused_by_the_head_that_was_printed(stages: Stages) -> None:
    place = stages.before(LAST)
    printed = whole(place).links[-1].receipt
    work = place.open()
    with work.warehouse.transaction() as connection:
        p = ledger.publications
        connection.execute(sa.update(p).where(p.c.seq == 2).values(verdict="WAIVED"))
        reseal(connection)
        found = chain.records(connection)
        assert chain.walk(found).proven
        assert _broken(chain.walk(found, head=printed)).what == "tail cut"


def test_a_publication_killed_half_way_leaves_no_receipt_and_the_next_one_carries_on_the_chain(stages: Stages) -> None:
    from tests.support.crash import kill_at

    place = stages.before("publish days")
    before = [link.receipt for link in whole(place).links]
    kill_at("publication_written", take, place, "publish days")
    assert [link.receipt for link in whole(place).links] == before
    assert run(take, place, "publish days").done == "published"
    after_ = whole(place)
    assert chain.walk(after_).receipts == len(before) + 1
    assert after_.links[-1].previous == before[-1]
