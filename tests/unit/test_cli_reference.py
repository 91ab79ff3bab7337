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


def test_every_document_has_a_schema_and_every_schema_a_document() -> None:
    """A document's name is its schema's file."""
    code = "".join(path.read_text("utf-8") for path in (PROJECT / "src/dataops/cli").glob("*.py"))
    named = set(re.findall(r'"dataops\.([a-z-]+)/1"', code))
    named |= set(re.findall(r'(?:shown|listed)\(\s*(?:ctx\.obj|screen),\s*"([a-z-]+)"', code))
    files = {
        path.stem: json.loads(path.read_text("utf-8")) for path in (PROJECT / "docs/reference/json").glob("*.json")
    }
    assert named == files.keys()
    assert all(schema["title"] == f"dataops.{name}/1" for name, schema in files.items())
