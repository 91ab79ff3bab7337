"""Who may do what: three walls, the third alone; each verb has the least role; long queries keep nobody out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from dataops.declared import rendering, select
from dataops.declared.errors import DeclarationError, PlatformError, VerdictError
from dataops.ledger.workspace import Workspace
from dataops.pipeline import backups, history, jobs, query
from dataops.warehouse.limits import TimeLimitError
from dataops.warehouse.postgres import PostgresWarehouse
from tests.conftest import PostgresServer
from tests.support.shop import fetch, land, load, small_shop, workspace

pytestmark = pytest.mark.integration

# What the first two walls let nobody send; here they are gone, and the connection has to refuse it.
BEHIND_THE_WALLS = [
    "SELECT name FROM raw.customer",
    "SELECT * FROM candidate.sales_order",
    "SELECT * FROM quarantine.customer",
    "SELECT * FROM ops.publications",
    "INSERT INTO validated.customer SELECT * FROM validated.customer",
    "UPDATE validated.customer SET name = 'x'",
    "DELETE FROM curated.fct_line",
    "CREATE TABLE validated.mine (a integer)",
    "CREATE SCHEMA mine",
    "DROP TABLE validated.customer",
    "COPY (SELECT 1) TO '/tmp/dataops-stolen'",
    "SELECT 1; INSERT INTO validated.customer SELECT * FROM validated.customer",
]
ON_POSTGRES = [
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "CREATE TEMPORARY TABLE mine (a integer)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT query_to_xml('select name from raw.customer', true, true, '')",
    "SELECT 1; RESET ROLE",
    "SELECT 1; COMMIT; UPDATE ops.publications SET receipt = NULL",
    "SELECT rolpassword FROM pg_authid",
]
ON_DUCKDB = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "ATTACH '/tmp/dataops-stolen.db' AS mine",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "SELECT 1; RESET lock_configuration",
]


@pytest.fixture
def least(postgres: PostgresServer, tmp_path: Path) -> Workspace:
    """A warehouse whose login is no superuser, set up as the how-to says."""
    postgres.create_database("rights")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'platform'").fetchone():
            connection.execute("CREATE ROLE platform LOGIN CREATEROLE PASSWORD 'secret'")
            connection.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
        connection.execute("ALTER DATABASE rights OWNER TO platform")
    work = workspace(tmp_path / "least", postgres.url("rights").replace("//dataops:", "//platform:"))
    assert len(jobs.initialise(work)) > 40
    return work


def fill(work: Workspace) -> None:
    """Every verb once."""
    shop = small_shop()
    load(work, shop, "reference")
    shop.lines[0]["qty"] = -1  # held
    load(work, shop, "sales")
    jobs.build(work, "curated")
    shop.lines[0]["qty"] = 1
    load(work, shop, "sales")
    jobs.build(work, "curated", full=True)
    jobs.replay(work, "sales")
    jobs.roll_back(work, "curated", "curated-0001", "test")
    jobs.build(work, "curated", full=True)


@pytest.fixture
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Workspace]:
    def make(kind: str) -> Workspace:
        work: Workspace = request.getfixturevalue("least") if kind == "postgres" else workspace(tmp_path / "home")
        fill(work)
        return work

    return make


def test_every_verb_works_without_a_superuser(least: Workspace) -> None:
    """The login owns nothing: all tables belong to the loader, candidates of models to the gate."""
    assert isinstance(least.warehouse, PostgresWarehouse)
    assert not least.warehouse.is_superuser()
    fill(least)
    owners = fetch(
        least,
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        " ORDER BY 1",
    )
    assert owners == [("dataops_gate",), ("dataops_loader",)]
    jobs.initialise(least)  # again, over what is there
    jobs.build(least, "curated", full=True)
    with query.run(least, "select count(*) as n from fct_line", "curated-0001") as answer:
        assert len(list(answer.rows)) == 1


@pytest.mark.parametrize("password", ["correct horse", "Winter@99/?", "it's 50%"])
def test_any_password_opens_every_connection(postgres: PostgresServer, tmp_path: Path, password: str) -> None:
    """The drivers, the loader and both engines take addresses that differ in what they encode."""
    url = postgres.create_database("spaced")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS spaced")
        connection.execute(sql.SQL("CREATE ROLE spaced LOGIN SUPERUSER PASSWORD {}").format(sql.Literal(password)))
    place = url.rpartition("@")[2]
    work = workspace(tmp_path / "home", f"postgresql://spaced:{quote(password, safe='')}@{place}")
    assert load(work, small_shop(), "reference").publication.status == "published"
    assert backups.make(work).file.exists()


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_the_connection_of_a_query_could_do_no_more_anyway(
    filled: Callable[[str], Workspace], kind: str, past: bool
) -> None:
    """The third wall alone, with and without --as-of: the text goes straight to the warehouse."""
    work = filled(kind)
    with work.warehouse.reading() as connection:
        last = history.required(connection, "sales-0001")
    relations = {"validated.customer": history.as_of(work.catalog.dataset("customer"), last.seq)}
    own = ON_POSTGRES if kind == "postgres" else ON_DUCKDB
    before = fetch(work, "SELECT * FROM validated.customer ORDER BY 1")
    allowed = []
    for text in [*BEHIND_THE_WALLS, *own]:
        try:
            with work.warehouse.consumer("sales-0001", relations, past=past) as consumer:
                consumer.connection.exec_driver_sql(text).fetchall()
        except DBAPIError:
            continue
        allowed.append(text)
    assert allowed == []
    assert fetch(work, "SELECT * FROM validated.customer ORDER BY 1") == before
    with work.warehouse.consumer("sales-0001", relations, past=past) as consumer:
        assert consumer.connection.exec_driver_sql("SELECT COUNT(*) FROM validated.customer").scalar() == 3


def test_a_login_with_the_consumer_role_reads_published_rows_and_nothing_else(
    least: Workspace, postgres: PostgresServer
) -> None:
    fill(least)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("GRANT dataops_consumer TO reader")
    allowed = []
    with psycopg.connect(postgres.url("rights").replace("//dataops:", "//reader:"), autocommit=True) as reader:
        assert reader.execute("SELECT COUNT(*) FROM curated.fct_line").fetchone() == (8,)
        for text in [*BEHIND_THE_WALLS, *ON_POSTGRES, "SET ROLE dataops_loader", "SET ROLE dataops_gate"]:
            try:
                reader.execute(text)
            except psycopg.Error:
                continue
            allowed.append(text)
    assert allowed == ["SELECT 1; RESET ROLE"]  # back to itself


def test_published_duckdb_holds_nothing_but_published_rows(tmp_path: Path) -> None:
    """Whoever opens the readers' copy, as they like."""
    work = workspace(tmp_path / "home")
    fill(work)
    jobs.renew_copy(work)
    with duckdb.connect(str(tmp_path / "home" / "published.duckdb"), read_only=True) as reader:
        schemas = reader.execute("SELECT DISTINCT table_schema FROM information_schema.tables ORDER BY 1").fetchall()
        assert schemas == [("curated",), ("main",), ("validated",)]
        for text in ("SELECT * FROM raw.customer", "DELETE FROM curated.fct_line", "CREATE TABLE x (a integer)"):
            with pytest.raises(duckdb.Error):
                reader.execute(text)


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_models_and_engines_run_with_the_gates_rights(filled: Callable[[str], Workspace], kind: str) -> None:
    """A model's text that came past both walls reads nothing from raw, and no file."""
    work = filled(kind)
    attacks = ["SELECT * FROM read_text('/etc/passwd')"] if kind == "duckdb" else [
        "SELECT name FROM raw.customer", "SELECT reason FROM ops.batches", "SELECT * FROM quarantine.customer"
    ]  # fmt: skip
    for text in attacks:
        with pytest.raises(DBAPIError), work.warehouse.transaction() as connection, work.warehouse.judging(connection):
            connection.exec_driver_sql(f"CREATE TABLE candidate.mine AS {text}")
    if kind == "postgres":
        with work.warehouse.audit_url() as url, psycopg.connect(url.replace("+psycopg", "")) as engine:
            assert engine.execute("SELECT current_user").fetchone() == ("dataops_gate",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                engine.execute("SELECT * FROM raw.customer")


def test_a_login_that_may_not_make_roles_is_told_who_can(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.create_database("rights2")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody")
        connection.execute("CREATE ROLE nobody LOGIN PASSWORD 'secret'")
    work = workspace(tmp_path, postgres.url("rights2").replace("//dataops:", "//nobody:"))
    with pytest.raises(PlatformError, match="init --dry-run"):
        jobs.initialise(work)
    printed = ";\n".join(work.warehouse.init_statements())
    with psycopg.connect(postgres.url("rights2"), autocommit=True) as administrator:
        administrator.execute(printed)
    fill(work)


ENDLESS = (
    "with recursive n as (select 1 as a union all select a + 1 from n where a < 100000000) select count(*) as c from n"
)


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_an_endless_query_is_stopped(filled: Callable[[str], Workspace], kind: str) -> None:
    work = filled(kind)
    short = replace(work, settings=replace(work.settings, query_seconds=0.3))
    for as_of in (None, "sales-0001"):
        told = pytest.raises(TimeLimitError, match=r"stopped after 0\.3 s.*\n.*DATAOPS_QUERY_SECONDS")
        with told, query.run(short, ENDLESS, as_of) as answer:
            list(answer.rows)
    with query.run(short, "select count(*) as n from customer") as answer:
        assert list(answer.rows) == [(3,)]


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_an_endless_model_and_an_endless_rule_are_stopped(
    filled: Callable[[str], Workspace], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left behind: what stood before still stands, and the next run goes through."""
    work = filled(kind)
    rendered = rendering.render

    def endless(tree: Any, dialect: Any, *others: Any) -> str:
        text = rendered(tree, dialect, *others)
        endless_ = rendered(select.parse(ENDLESS), dialect, {})
        return f"SELECT * FROM ({text}) AS m WHERE (SELECT c FROM ({endless_}) AS q) > 0"

    short = replace(work, settings=replace(work.settings, model_seconds=0.5, rule_seconds=0.5))
    monkeypatch.setattr("dataops.declared.models.rendering.render", endless)
    with pytest.raises(TimeLimitError, match=r"the model curated\.\w+ was stopped.*\n.*DATAOPS_MODEL_SECONDS"):
        jobs.build(short, "curated", full=True)
    monkeypatch.undo()
    jobs.build(work, "curated", full=True)
    monkeypatch.setattr("dataops.gate.gx.render", endless)
    batch = land(work, small_shop(orders=5), "sales")
    with pytest.raises(VerdictError, match=r"could not judge .*GX was stopped after 0"):
        jobs.run_gate(short, "sales", batch)
    monkeypatch.undo()
    assert jobs.run_gate(work, "sales", batch).passed


def test_a_long_look_at_the_past_does_not_keep_the_writer_out(tmp_path: Path) -> None:
    """DuckDB has one writer, whom any reader of its file blocks: an answer that is still being read does not."""
    work = workspace(tmp_path / "home")
    fill(work)
    impatient = replace(work, settings=replace(work.settings, lock_seconds=0.1))
    with query.run(work, "select * from fct_line", "curated-0001") as answer:
        next(answer.rows)
        started = time.monotonic()
        jobs.build(impatient, "curated", full=True)
        assert time.monotonic() - started < 60
        assert len(list(answer.rows)) == 5
    assert not list((tmp_path / "home").glob("query-*"))


def test_an_unknown_publication_and_an_empty_warehouse_say_what_to_do(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    with pytest.raises(DeclarationError, match="nothing has been published yet"), query.run(work, "select 1"):
        pass
