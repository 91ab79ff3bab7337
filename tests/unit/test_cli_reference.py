"""The reference page and the schemas are those of the commands."""

import json
import re
from pathlib import Path

import pytest

from dataops.cli import reference

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    """Run `python -m dataops.cli.reference` after changing a command."""
    assert (PROJECT / "docs/reference/cli.md").read_text(encoding="utf-8") == reference.page()


def test_every_command_has_real_examples() -> None:
    """Nobody learns a command from its options."""
    for section in reference.page().split("\n## ")[1:]:
        name = section.splitlines()[0]
        examples = section.rpartition("Examples:")[2]
        assert name in examples, name


def test_every_document_has_the_schema_that_it_is_described_by() -> None:
    """Run `python -m dataops.cli.reference` after changing a document."""
    files = {path.stem: path.read_text("utf-8") for path in (PROJECT / "docs/reference/json").glob("*.json")}
    assert reference.schemas() == files
    assert all(re.fullmatch(rf"dataops\.{name}/[0-9]+", json.loads(text)["title"]) for name, text in files.items())


def test_every_metric_has_its_page_in_both_languages() -> None:
    """Run `python -m dataops.cli.reference` after changing a metric."""
    files = {path.name: path.read_text("utf-8") for path in (PROJECT / "docs/reference/metrics").glob("*.md")}
    assert reference.metrics() == files
    assert len(files) == len(list((PROJECT / "metrics").glob("*.yml"))) + 1


def test_the_graph_is_up_to_date() -> None:
    """Run `python -m dataops.cli.reference` after changing a model or a report."""
    assert (PROJECT / "lineage/graph.mmd").read_text("utf-8") == reference.graph()
