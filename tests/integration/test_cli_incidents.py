"""Incidents on the command line: who acts, what changed, the page of one incident, refusals by name."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dataops.cli import main
from tests.support.shop import PROJECT, load, small_shop, workspace
from tests.support.stock import stock

pytestmark = [pytest.mark.integration, pytest.mark.quick]

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "json"


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A warehouse with one held batch of sales; commands run on it as anna."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    url = server.create_database("incidents") if server else None
    home = tmp_path_factory.mktemp("home")
    work, shop = workspace(home, url), small_shop()
    stock(work, shop, "reference")
    for row in shop.lines:
        row["qty"] = 5000
    load(work, shop, "sales")
    settings = {"DATAOPS_HOME": str(home), "DATAOPS_PROJECT": str(PROJECT), "DATAOPS_PERSON": "anna"}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATAOPS_WAREHOUSE_URL", raising=False)
        for name, value in (settings | ({"DATAOPS_WAREHOUSE_URL": url} if url else {})).items():
            patch.setenv(name, value)
        yield work


def document(*arguments: str) -> dict[str, Any]:
    content = json.loads(run(*arguments, "--json")[1])
    name = content["schema"].removeprefix("dataops.").partition("/")[0]
    jsonschema.validate(content, json.loads((SCHEMAS / f"{name}.json").read_text("utf-8")))
    return dict(content)


def test_an_incident_goes_from_open_to_resolved_and_back_by_command(held: Any) -> None:
    """Each command prints before -> after, by whom, and how to take it back."""
    assert held
    code, out, err = run("incidents", "list")
    assert (code, err.splitlines()[0]) == (
        0,
        "1 open, 1 without owner, median time to solve in 30 days: none solved",
    )
    assert out.splitlines()[0].startswith("incident\tsentence\tstate")
    assert [i["incident"] for i in document("incidents", "list", "--assignee", "none")["incidents"]] == ["INC-0001"]
    said = run("incidents", "acknowledge", "1", "--comment", "asked the till's maker")
    assert said[1] == (
        "INC-0001: open, owner none -> acknowledged, owner none\nacknowledged by anna: asked the till's maker\n"
    )
    run("incidents", "assign", "1", "--to", "bert")
    code, out, err = run("incidents", "assign", "latest", "--to", "carl", "--by", "bert")
    assert out.splitlines() == [
        "INC-0001: acknowledged, owner bert -> acknowledged, owner carl",
        "assigned by bert: to carl (before: bert)",
    ]
    assert "dataops incidents assign INC-0001 --to bert" in err
    run("incidents", "comment", "1", "--comment", "it is the till")
    assert [i["incident"] for i in document("incidents", "list", "--assignee", "carl")["incidents"]] == ["INC-0001"]
    assert document("incidents", "list", "--assignee", "none")["incidents"] == []
    code, out, err = run("incidents", "resolve", "1", "--reason", "source-fixed", "--comment", "till replaced")
    assert out.splitlines()[1] == "resolved by anna: source fixed: till replaced"
    assert 'dataops incidents reopen INC-0001 --comment "…"' in err
    assert document("incidents", "list")["incidents"] == []
    assert document("incidents", "list", "--state", "resolved")["incidents"][0]["resolution_reason"] == "source fixed"
    assert "0 open, 0 without owner, median time to solve in 30 days: 0 min" in run("incidents", "list")[2]
    assert run("incidents", "reopen", "1", "--comment", "again")[0] == 0
    history = document("incidents", "show", "1")["history"]
    assert [e["action"] for e in history] == [
        "opened", "acknowledged", "assigned", "assigned", "commented", "resolved", "reopened",
    ]  # fmt: skip


def test_the_page_says_why_what_is_held_what_to_do_and_what_was_done(held: Any) -> None:
    assert held
    code, out, _ = run("incidents", "show", "INC-0001")
    assert code == 0
    for said in (
        "Why it matters    Why SAL-031 matters to a steward. (SAL-031)",
        "What is held      12 of 12 rows",
        "Who waits         curated",
        "  A  Source is wrong: fix it, then\n       dataops load sales\n",
        "  B  Rule is wrong: edit expectations/raw/order_line.yml, then\n",
        "       dataops gate sales --batch sales-whole\n",
        '       dataops publish sales --batch sales-whole --quota 40% --reason "…"\n',
        '       dataops waivers add SAL-031 --group sales --until … --reason "…"\n',
        '       dataops incidents resolve INC-0001 --reason false-positive --comment "…"\n',
        "Evidence\n  SAL-031         order_line: quantity is 1 to 1000; 8 rows of 8; engine gx\n",
        "History\n",
        "opened by gate: quantity is 1 to 1000",
    ):
        assert said in out, (said, out)
    assert all(len(row) <= 80 for row in out.splitlines() if "dataops " not in row), out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("list --state solved", "no state 'solved' of an incident; there are open, acknowledged"),
        ("resolve 1 --reason nonsense --comment x", "there are source-fixed, rule-fixed"),
        ("acknowledge 99", "no incident '99'"),
        ("assign 1 --to x --by ", "say who acts"),
        ("reopen 1 --comment x", "there is nothing to reopen"),
    ],
)
def test_what_cannot_be_done_is_exit_2_and_names_what_can(held: Any, arguments: str, said: str) -> None:
    assert held
    code, _, err = run("incidents", *arguments.split(" "))
    assert (code, said in " ".join(err.split())) == (2, True), err
