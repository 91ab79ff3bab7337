"""A layer, groups, datasets, models in SQL and Python, a consumer: added by files alone, and everything shows them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dataops.analysis
from dataops.cli import main
from dataops.cli.check import require_complete
from dataops.declared import catalog as catalogs
from dataops.declared import settings
from dataops.declared.errors import DeclarationError
from dataops.facts import status
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.site import data_docs
from dataops.pipeline import jobs
from dataops.warehouse.limits import TimeLimitError
from tests.support import cases
from tests.support.shop import Shop, fetch, line, load, own_project, small_shop, workspace

pytestmark = pytest.mark.integration

EXTENSION = Path(__file__).parents[1] / "support" / "extension"
CASES = EXTENSION / "tests" / "transforms"
BUILT = ["curated", "daily", "board"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small project, extended; its analyses can be found as the platform's own are."""
    from shutil import copytree

    copy = own_project(tmp_path / "project")
    copytree(EXTENSION, copy, dirs_exist_ok=True)
    monkeypatch.setattr(dataops.analysis, "__path__", [*dataops.analysis.__path__, str(copy / "analysis")])
    monkeypatch.delitem(sys.modules, "dataops.analysis.ranking", raising=False)
    return copy


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path, project: Path) -> Workspace:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return workspace(tmp_path / "home", url, project)


@pytest.fixture
def shop() -> Shop:
    made = small_shop()
    made.rates = [{"region": "DE", "rate": Decimal("1.2500")}]
    return made


def _load_all(work: Workspace, shop: Shop) -> None:
    for group in ("reference", "sales", "rates"):
        assert load(work, shop, group).verdict.passed


def _build_all(work: Workspace, *, full: bool = False) -> None:
    for group, names in jobs.to_build(work.catalog, ()).items():
        _, done = jobs.build(work, group, names, full=full)
        assert done.verdict.passed, done.verdict


def _declares(work: Workspace, function: str) -> Workspace:
    """The workspace after the board's model names another function, which may compute for two seconds."""
    file = work.settings.paths.transforms / "board" / "customer_rank.yml"
    file.write_text(file.read_text("utf-8").replace("ranking.by_amount", function), "utf-8")
    found = settings.load(
        {"DATAOPS_HOME": str(work.settings.paths.home), "DATAOPS_MODEL_SECONDS": "2"}
        | ({} if work.warehouse.dialect == "duckdb" else {"DATAOPS_WAREHOUSE_URL": work.settings.warehouse_url}),
        project=work.settings.paths.project,
    )
    return open_workspace(found)


def test_what_was_added_is_loaded_built_gated_published_and_shown(work: Workspace, shop: Shop) -> None:
    require_complete(work.catalog, work.settings.paths)
    assert list(work.catalog.built) == BUILT
    _load_all(work, shop)
    _build_all(work)
    paid = fetch(work, "SELECT order_day, orders, amount FROM marts.daily_amount ORDER BY 1")
    assert [(str(day), orders, amount) for day, orders, amount in paid] == [
        (f"2014-05-0{day}", 1, Decimal("37.5000")) for day in range(1, 5)
    ]
    ranked = fetch(work, "SELECT customer_id, amount, place FROM board.customer_rank ORDER BY place")
    assert ranked == [(2, Decimal("60.0000"), 1), (1, Decimal("30.0000"), 2), (3, Decimal("30.0000"), 3)]
    stand = {group.group: group for group in status.read(work).groups}
    assert {name: stand[name].state for name in ("rates", *BUILT)} == dict.fromkeys(("rates", *BUILT), "published")
    page = data_docs.build(work).read_text("utf-8")
    assert all(name in page for name in ("rates", "daily", "board"))


def test_a_model_in_python_follows_its_inputs_and_keeps_its_history(work: Workspace, shop: Shop) -> None:
    _load_all(work, shop)
    _build_all(work)
    shop.add_order(9, 3, 6, [line(9, 1, qty=50)])
    assert load(work, shop, "sales").verdict.passed
    _build_all(work)
    ranked = fetch(work, "SELECT customer_id FROM board.customer_rank ORDER BY place")
    assert [row[0] for row in ranked] == [3, 2, 1]
    days = fetch(work, "SELECT order_day, orders, amount FROM marts.daily_amount ORDER BY 1")
    assert len(fetch(work, "SELECT 1 FROM board_history.customer_rank")) == 3
    _build_all(work, full=True)
    assert fetch(work, "SELECT order_day, orders, amount FROM marts.daily_amount ORDER BY 1") == days


@pytest.mark.parametrize("case", sorted(CASES.glob("*/*/*.yml")), ids=lambda path: path.stem)
def test_models_in_sql_and_python_have_cases_alike(project: Path, tmp_path: Path, case: Path) -> None:
    catalog = workspace(tmp_path / "home", project=project).catalog
    model = next(model for model in catalog.models if model.table == case.parent.name)
    with duckdb.connect() as connection:

        def ask(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description or []], cursor.fetchall()

        example = cases.load_case(case)
        select = cases.as_select(catalog, model, cases.inputs_of(catalog, model, example), "duckdb", ask)
        got = cases.answer(ask, "duckdb", select, example.query)
    assert cases.differences(example, got) == (Counter(), Counter()), example.says


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        ("ranking.greedy", DeclarationError, "reads 'validated.customer', which is not among its inputs"),
        ("ranking.wrong_columns", DeclarationError, "missing place, more rank"),
        ("ranking.unexplained", DeclarationError, "region.*it gets only the columns that its .lineage. names"),
        ("ranking.wrong_type", DeclarationError, "a value is not of its type in .*customer_rank.yml"),
        ("ranking.broken", DeclarationError, "raised ValueError: cannot rank 2 tables"),
        ("ranking.endless", TimeLimitError, "the model board.customer_rank was stopped after 2 s"),
    ],
)
def test_a_function_that_breaks_its_word_changes_nothing(
    work: Workspace, shop: Shop, function: str, error: type[Exception], says: str
) -> None:
    _load_all(work, shop)
    _build_all(work)
    before = fetch(work, "SELECT customer_id, place FROM board.customer_rank ORDER BY 1")
    broken = _declares(work, function)
    with pytest.raises(error, match=says):
        jobs.build(broken, "board")
    assert fetch(work, "SELECT customer_id, place FROM board.customer_rank ORDER BY 1") == before


def test_a_model_is_another_one_when_a_module_that_its_function_stands_on_changed(project: Path) -> None:
    """Else the next build would leave what the changed module made."""

    def text() -> str:
        catalog = catalogs.load(settings.load({"DATAOPS_HOME": str(project / "var")}, project=project).paths)
        return next(model.text for model in catalog.models if model.name.endswith("customer_rank"))

    ranking, beside = project / "analysis" / "ranking.py", project / "analysis" / "ordering.py"
    beside.write_text('"""An order."""\n\nDESCENDING = True\n', "utf-8")
    ranking.write_text(
        ranking.read_text("utf-8").replace(
            "import pyarrow as pa\n", "import pyarrow as pa\n\nfrom dataops.analysis import ordering\n"
        ),
        "utf-8",
    )
    before = text()
    assert "DESCENDING = True" in before
    beside.write_text('"""An order."""\n\nDESCENDING = False\n', "utf-8")
    assert text() != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ranking.by_amount", "rankings.by_amount", "there is no analysis/rankings.py"),
        ("ranking.by_amount", "ranking.by_mount", "analysis/ranking.py has broken, by_amount"),
        ("curated.fct_line", "raw.order_line", "a board model may not read 'raw.order_line'"),
        ("curated.fct_line", "curated.fct_lines", "reads curated.fct_lines, which has no contract"),
        ("function:", "funktion:", "funktion"),
        ("columns: [amount, place]", "columns: [amount]", '"lineage" does not say what .place. is made from'),
        ("columns: [customer_id]", "columns: [customer_id, rank]", '"lineage" names .rank. which the contract does'),
        ("columns: [customer_id]", "columns: [customer_id, place]", '"lineage" names .place. twice'),
        (
            "{curated.fct_line: [customer_id, amount]",
            "{curated.fct_line: [customer, amount]",
            "has no column .customer.",
        ),
        ("from: {curated.fct_line: [customer_id]}", "from: {lines: [customer_id]}", "names .lines., which is no input"),
        (", marts.daily_amount: [amount]}", "}", "nothing is made from marts.daily_amount"),
        ("    how: the sum", "    how_: the sum", "how_"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(
    project: Path, tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = project / "transforms" / "board" / "customer_rank.yml"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(DeclarationError, match=says):
        workspace(tmp_path / "home", project=project)


def test_a_table_made_twice_is_refused(project: Path) -> None:
    twice = project / "transforms" / "board" / "customer_rank.sql"
    twice.write_text("-- Again.\nSELECT CAST(f.customer_id AS integer) AS customer_id FROM curated.fct_line AS f\n")
    with pytest.raises(DeclarationError, match=r"board.customer_rank is made twice: .*\.sql and .*\.yml"):
        catalogs.load(workspace(project.parent / "home", project=project).settings.paths)


LOOK = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from dataops.airflow import groups
bag = DagBag(sys.argv[1])
print(json.dumps({"errors": bag.import_errors, "consumers": groups.consumers(), "dags": {
    d.dag_id: sorted({a.name for t in d.tasks for a in t.outlets} | {t.task_group.group_id or "" for t in d.tasks})
    for d in bag.dags.values()}}))
"""


def test_its_dags_are_made_of_the_same_blocks(project: Path, tmp_path: Path) -> None:
    mine = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "DATAOPS_PROJECT": str(project)}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")} | mine
    command = [sys.executable, "-c", LOOK, str(project / "dags")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=tmp_path)
    looked = json.loads(done.stdout.splitlines()[-1])
    assert looked["errors"] == {}
    assert looked["consumers"] == {"board_news": ["board", "daily"]}
    assert {"validated/rates", "curated/all", "marts/daily", "board/all"} <= set(looked["dags"]["rates_etl"])


def test_the_command_line_knows_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAOPS_PROJECT", str(project))
    monkeypatch.setenv("DATAOPS_HOME", str(tmp_path / "home"))
    assert main(["check"]) == 0, capsys.readouterr()
    assert main(["build", "board"]) != 0
    assert "curated" in capsys.readouterr().err  # nothing of what it reads is there yet
