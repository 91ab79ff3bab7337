"""Where a number comes from and what is made of it, with how each stands: as documents, text and Mermaid."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from dataops.cli import main
from dataops.declared.errors import DeclarationError
from dataops.facts import lineage
from dataops.facts.lineage import LineageDocument
from dataops.ledger.workspace import Workspace
from dataops.outlets.lineage import mermaid
from tests.support.lineage_day import Day, day

__all__ = ["day"]
pytestmark = [pytest.mark.integration, pytest.mark.quick, pytest.mark.xdist_group("lineage")]
SCHEMA = Path(__file__).resolve().parents[2] / "docs/reference/json/lineage.json"


@pytest.fixture
def held(day: Day) -> Workspace:
    """Everything was published and built once; then a delivery was held."""
    return day.work


def _edges(found: LineageDocument) -> set[tuple[str, str]]:
    return {(edge.of, edge.made) for edge in found.edges}


def test_a_dataset_comes_from_the_sources_tables_and_each_says_how_it_stands(held: Workspace) -> None:
    found = lineage.shown(held, "fct_line", "up")
    assert found.nodes[0].name == "curated.fct_line"
    assert {("source Sales.OrderLine", "raw.order_line"), ("raw.order_line", "validated.order_line"),
            ("validated.order_line", "curated.fct_line")} <= _edges(found)  # fmt: skip
    by_name = {node.name: node for node in found.nodes}
    assert (by_name["raw.order_line"].verdict, by_name["raw.order_line"].incidents) == ("FAILED", ("INC-0001",))
    assert by_name["validated.order_line"].state == "held"
    assert by_name["validated.customer"].incidents == ()
    assert by_name["source Sales.OrderLine"].verdict is None
    jsonschema.validate(found.content(), json.loads(SCHEMA.read_text("utf-8")))


def test_a_column_leads_to_the_columns_it_is_made_from_and_into_those_made_of_it(held: Workspace) -> None:
    up = lineage.shown(held, "curated.fct_line.amount", "up")
    assert [(c.of, c.column, c.how.value) for c in up.columns] == [
        ("validated.order_line", "amount", "identity"),
        ("raw.order_line", "amount", "identity"),
        ("source Sales.OrderLine", "amount", "identity"),
    ]
    assert "validated.customer" not in {node.name for node in up.nodes}
    down = lineage.shown(held, "source Sales.OrderLine.amount", "down")
    assert ("curated.fct_line", "amount") in {(c.made, c.made_column) for c in down.columns}
    assert all(node.columns for node in down.nodes)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("fct_lines", "no dataset, source or report 'fct_lines'"),
        ("fct_line.amounts", "curated.fct_line has no column 'amounts'; there are order_id"),
        ("source Sales.Nothing", "no dataset, source or report"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(held: Workspace, typed: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        lineage.shown(held, typed, "up")


def test_mermaid_draws_every_node_and_edge_and_nothing_of_a_name_is_markup(held: Workspace) -> None:
    found = lineage.shown(held, "order_line", "down")
    drawn = mermaid.of_document(found).splitlines()
    assert drawn[0] == "flowchart LR"
    assert sum(" --> " in row for row in drawn) == len(found.edges)
    hostile = found.nodes[0].model_copy(update={"name": 'x"]<b>`#\n'})
    shown = mermaid.of_document(found.model_copy(update={"nodes": (hostile,), "edges": ()}))
    assert 'n0["x#quot;]#lt;b#gt;#96;#35;⟨U+000A⟩' in shown


def test_the_command_shows_text_mermaid_and_json(
    held: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAOPS_HOME", str(held.settings.paths.home))
    monkeypatch.setenv("DATAOPS_PROJECT", str(held.settings.paths.project))
    if held.warehouse.dialect != "duckdb":
        monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", held.settings.warehouse_url)

    def ran(*arguments: str) -> tuple[int, str]:
        code = main(["lineage", "show", *arguments])
        return code, capsys.readouterr().out

    code, text = ran("fct_line.amount")
    assert code == 0
    rows = text.splitlines()
    assert rows[0].startswith("curated.fct_line.amount")
    assert rows[1].startswith("└─ validated.order_line.amount  ■ held")
    assert "INC-0001" in rows[1]
    assert rows[3] == "      └─ source Sales.OrderLine.amount"
    assert ran("order_line", "--down", "--format", "mermaid")[1].startswith("flowchart LR\n")
    assert json.loads(ran("fct_line", "--format", "json")[1])["schema"] == "dataops.lineage/1"
    assert ran("fct_line", "--up", "--down")[0] == 2
    assert ran("fct_lines")[0] == 2
