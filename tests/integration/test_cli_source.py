"""`source test` and `reconcile` as their users run them, on a live PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import PROJECT, PostgresServer
from tests.support.live_shop import TABLES, LiveShop, live_project
from tests.support.shop import workspace

pytestmark = pytest.mark.integration
ORDERS = "sales.sales_order"


class Shell:
    """Runs commands in the small live project, with the source configured."""

    def __init__(self, folder: Path, url: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DATAOPS_", "AIRFLOW_"))}
        own = {"DATAOPS_HOME": str(folder / "home"), "DATAOPS_SOURCE_URL": url}
        self.environ = kept | own | {"DATAOPS_PROJECT": str(live_project(folder / "project"))}
        self.shop = LiveShop(url, workspace(folder / "unused", project=folder / "project"))

    def __call__(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("dataops")), *arguments]
        environ = self.environ | more
        return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def shell(postgres: PostgresServer, tmp_path: Path) -> Shell:
    made = Shell(tmp_path, postgres.create_database("live_cli"))
    made.shop.run(TABLES)
    for number in range(1, 5):
        made.shop.run(*made.shop.order(number, number))
    return made


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_source_is_tried_before_it_is_used(shell: Shell) -> None:
    done = shell("source", "test")
    assert done.returncode == 0, done.stderr
    assert "sales 2 tables as agreed, and readable" in words(done.stdout)
    assert "the login is a superuser give it a login that may only read" in words(done.stdout)
    shell.shop.run("ALTER TABLE sales.order_line RENAME COLUMN price TO unit_price")
    broken = shell("source", "test", "--json")
    document = json.loads(broken.stdout)
    assert (broken.returncode, document["exit_code"]) == (3, 3)
    [wrong] = [finding for finding in document["findings"] if finding["level"] == "FAIL"]
    assert wrong["subject"] == "sales"
    assert "Sales.OrderLine: renamed? price -> unit_price" in words(wrong["advice"])
    assert document["conclusion"] == "1 thing would stop a load"


def test_a_login_without_rights_is_told_what_to_ask_for(shell: Shell, postgres: PostgresServer) -> None:
    shell.shop.run("DROP ROLE IF EXISTS nobody", "CREATE ROLE nobody LOGIN PASSWORD 'Canary-4711-secret'")
    shell.shop.run("GRANT USAGE ON SCHEMA sales TO nobody")
    url = shell.shop.url.replace("dataops:secret", "nobody:Canary-4711-secret")
    done = shell("source", "test", url)
    assert done.returncode == 3
    assert "permission denied for table" in words(done.stdout), done.stderr
    assert "the login may only read" in words(done.stdout)
    assert "Canary" not in done.stdout + done.stderr
    away = shell("source", "test", f"postgresql://nobody:Canary-4711-secret@127.0.0.1:{postgres.port}/nowhere")
    assert away.returncode == 3
    assert 'database "nowhere" does not exist' in words(away.stderr)
    assert "Canary" not in away.stderr
    assert "Traceback" not in away.stderr


def test_what_differs_is_said_then_loaded(shell: Shell) -> None:
    assert "dataops load sales --window" in words(shell("reconcile", "sales").stderr)
    assert shell("load", "reference").returncode == 0
    assert shell("load", "sales", "--window", "2014-05-01..2014-06-01").returncode == 0
    same = shell("reconcile", "sales")
    assert same.returncode == 0, same.stderr
    assert "sales is as postgresql" in same.stdout
    with psycopg.connect(shell.shop.url) as connection:
        connection.execute(f"UPDATE {ORDERS} SET customer_id = 3, modified = '2014-05-01' WHERE order_id = 2")
    said = shell("reconcile", "sales", "--dry-run")
    assert said.returncode == 1
    assert "validated.sales_order\t0\t0\t1" in said.stdout
    assert "2014-05-02..2014-05-03\tto be loaded" in said.stdout
    assert "dataops reconcile sales" in said.stderr
    done = shell("reconcile", "sales", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (0, 0)
    assert [window["outcome"] for window in document["windows"]] == ["published"]
    assert "sales is as postgresql" in shell("reconcile", "sales").stdout


def test_a_group_that_is_built_or_unknown_cannot_be_compared(shell: Shell) -> None:
    for group in ("curated", "nothing"):
        done = shell("reconcile", group)
        assert done.returncode == 2, (group, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_long_window_is_loaded_piece_by_piece_and_goes_on_where_it_was(shell: Shell) -> None:
    assert shell("load", "reference").returncode == 0
    first = shell("backfill", "sales", "--window", "2014-05-01..2014-05-03", "--by", "1d")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[1:] == [
        "2014-05-01..2014-05-02\tpublished\tsales-20140501",
        "2014-05-02..2014-05-03\tpublished\tsales-20140502",
    ]
    shell.shop.run(*shell.shop.order(9, 3, qty=5000))
    rest = shell("backfill", "sales", "--window", "2014-05-01..2014-05-05", "--by", "1d", "--json")
    document = json.loads(rest.stdout)
    assert (rest.returncode, document["left_out"]) == (1, 2)
    assert [(w["batch"], w["outcome"]) for w in document["windows"]] == [
        ("sales-20140503", "held"), ("sales-20140504", "published"),
    ]  # fmt: skip
    again = shell("backfill", "sales", "--window", "2014-05-01..2014-05-03", "--by", "1d", "--again")
    assert [line.split("\t")[1] for line in again.stdout.splitlines()[1:]] == ["unchanged", "unchanged"]
    for wrong in (
        ["reference", "--window", "2014-05-01..2014-05-03"],
        ["sales", "--window", "2014-05-01..2014-05-03", "--by", "x"],
    ):
        assert shell("backfill", *wrong).returncode == 2
