"""Backups of the whole warehouse: proven copies, kept in a number; a restored warehouse goes on without repeating."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from dataops.declared.errors import DeclarationError, PlatformError
from dataops.declared.settings import Settings
from dataops.ledger import chain, numbering
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import backups, jobs, verification
from tests.support.oracle import DAYS, first_delivery, second_delivery
from tests.support.shop import fetch, load, state, workspace

pytestmark = pytest.mark.integration


def _filled(work: Workspace) -> Workspace:
    for group in ("reference", "sales"):
        load(work, first_delivery(), group)
    jobs.build(work, "curated")
    return work


def _later(work: Workspace) -> tuple[str, str]:
    """The days after the backup; ids of their batch and publication."""
    done = load(work, second_delivery(), "sales", DAYS)
    jobs.build(work, "curated")
    jobs.renew_copy(work)
    return done.batch_id, str(done.publication.publication_id)


def _published(work: Workspace) -> dict[str, tuple[int, str]]:
    """The rows that people read, without the numbers of publications."""
    tables = ("validated.customer", "validated.sales_order", "validated.order_line", "curated.fct_line")
    found = {}
    for table in tables:
        rows = fetch(work, f"SELECT * FROM {table}")
        names = [c[0] for c in fetch(work, f"SELECT column_name FROM information_schema.columns"
                                           f" WHERE table_schema || '.' || table_name = '{table}'"
                                           " ORDER BY ordinal_position")]  # fmt: skip
        at = names.index("_publication")
        lines = sorted(repr(row[:at] + row[at + 1 :]) for row in rows)
        found[table] = (len(lines), repr(lines))
    return found


def test_a_load_between_backup_and_restore_is_loaded_again_under_new_numbers(work: Workspace) -> None:
    _filled(work)
    before = state(work)
    made = backups.make(work)
    batch, publication = _later(work)
    wanted = _published(work)
    done = backups.restore(work)
    assert done.backup.file == made.file
    assert done.gone == (publication, "curated-0002")
    standing = state(work)
    for name in ("ops.incidents", "ops.incident_events", "ops.outbox", "ops.settings"):  # of the restore itself
        assert standing.pop(name) != before.pop(name)
    assert standing == before
    again = _later(work)
    assert again[0] != batch
    assert again[1] != publication
    assert _published(work) == wanted
    with work.warehouse.reading() as connection:
        assert verification.verify(connection, tuple(work.catalog.datasets.values())).proven
        numbers = numbering.given(connection)
    assert numbers["publications"] > 5
    incident = fetch(work, "SELECT sentence, state FROM ops.incidents WHERE kind = 'warehouse'")
    assert incident == [
        (f"the warehouse was restored from {made.file.name}, as of curated-0001; 2 publications are gone", "open")
    ]


def test_a_backup_says_what_it_holds_and_the_oldest_go(work: Workspace) -> None:
    _filled(work)
    folder = work.settings.paths.backups
    for stamp in ("20200101T000000Z", "20210101T000000Z"):
        first = backups.make(work, folder / backups._name(work.settings, stamp))
        assert (first.publication, first.receipts, first.removed) == ("curated-0001", 3, ())
    made = backups.make(work, keep=2)
    assert [file.name for file in made.removed][:1] == [backups._name(work.settings, "20200101T000000Z")]
    assert backups.kept(work.settings)[-1] == made.file
    assert len(backups.kept(work.settings)) == 2
    assert not [path for path in folder.iterdir() if ".tmp" in path.name]


def test_what_cannot_be_backed_up_or_restored_is_said_and_changes_nothing(work: Workspace, tmp_path: Path) -> None:
    _filled(work)
    there, junk = tmp_path / "there", tmp_path / "junk"
    there.write_text("mine")
    junk.write_bytes(b"no backup" * 1000)
    before = state(work)
    with pytest.raises(DeclarationError, match="exists already"):
        backups.make(work, there)
    with pytest.raises(DeclarationError, match="at least one backup is kept"):
        backups.make(work, keep=0)
    with pytest.raises(DeclarationError, match="there is no backup in"):
        backups.restore(work)
    with pytest.raises(DeclarationError, match="there is no file"):
        backups.restore(work, tmp_path / "missing")
    with pytest.raises(PlatformError):
        backups.restore(work, junk)
    assert there.read_text() == "mine"
    assert state(work) == before


def test_a_place_that_cannot_be_written_to_is_named(work: Workspace, tmp_path: Path) -> None:
    _filled(work)
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="could not be written: File exists"):
        backups.make(work, tmp_path / "file" / "copy")


def test_a_copy_whose_receipts_do_not_hold_is_neither_kept_nor_restored(work: Workspace) -> None:
    _filled(work)
    good = backups.make(work)
    table = ledger.publications
    with work.warehouse.transaction() as connection:
        connection.execute(table.update().where(table.c.seq == 2).values(reason="forged"))
    with pytest.raises(PlatformError, match="is not used: sales-0001 is not the record that its receipt was made of"):
        backups.make(work)
    assert backups.kept(work.settings) == [good.file]
    forged = work.settings.paths.home / ("forged" + good.file.suffix)
    work.warehouse.copy_to(forged)
    with pytest.raises(PlatformError, match="is not used"):
        backups.restore(work, forged)
    backups.restore(work, good.file)
    with work.warehouse.reading() as connection:
        assert chain.walk(chain.records(connection)).proven


def test_a_session_that_keeps_a_table_open_is_not_waited_for_without_end(postgres_url: str, tmp_path: Path) -> None:
    work = _filled(workspace(tmp_path / "home", postgres_url))
    backups.make(work)
    _later(work)
    before = state(work)
    with psycopg.connect(postgres_url) as session:
        session.execute("SELECT COUNT(*) FROM validated.customer")
        with pytest.raises(PlatformError, match="lock timeout"):
            backups.restore(work)
    assert state(work) == before
    backups.restore(work)
    assert state(work) != before


def _deleted(work: Workspace) -> Settings:
    """Everything that stood is gone; what is left are backups, and on DuckDB the readers' copy."""
    if work.warehouse.dialect == "duckdb":
        for path in work.settings.paths.home.glob("warehouse.duckdb*"):
            path.unlink()
    else:
        with work.warehouse.transaction() as connection:
            for schema in ("raw", "candidate", "validated", "quarantine", "curated", "ops"):
                connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
    return work.settings


def test_a_warehouse_that_is_gone_comes_back_and_repeats_no_number(work: Workspace) -> None:
    """How many numbers were given is known from the readers' copy at best: a hundred more are left out."""
    _filled(work)
    backups.make(work)
    batch, publication = _later(work)
    settings = _deleted(work)
    if work.warehouse.dialect == "duckdb":
        with pytest.raises(PlatformError, match="dataops warehouse restore"):
            state(open_workspace(settings))
    work = open_workspace(settings)
    jobs.renew_copy(work)  # a bystander: says that there is nothing to copy, and harms nothing
    done = backups.restore(work)
    assert done.gone is None
    assert done.before == ("curated-0002" if work.warehouse.dialect == "duckdb" else None)
    again = _later(work)
    assert int(again[0].rpartition(".")[2]) > 100
    assert again[0] != batch
    assert int(again[1].rpartition("-")[2]) > 100 > int(publication.rpartition("-")[2])
    assert str(done.incident) > "INC-0100"


def test_a_backup_of_one_warehouse_is_not_taken_for_one_of_another(work: Workspace) -> None:
    _filled(work)
    made = backups.make(work)
    other = replace(work.settings, warehouse_url=f"duckdb:///{work.settings.paths.home / 'other.duckdb'}")
    assert backups.kept(other) == []
    shutil.copy(made.file, made.file.with_name("warehouse-notes" + made.file.suffix))
    assert backups.kept(work.settings) == [made.file]


def test_where_nothing_was_ever_loaded_there_is_nothing_to_copy(tmp_path: Path, fresh: Callable[[], Workspace]) -> None:
    with pytest.raises(PlatformError, match="there is no warehouse yet"):
        backups.make(fresh(), tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))
