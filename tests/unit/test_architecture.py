"""The house: rooms, and what must stand in one place only."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "src" / "dataops"
FILES = sorted(SOURCE.rglob("*.py"))
# Adapters to AdventureWorks' own files, a generator of its shape, and the demo of it.
ADAPTERS = ("sources/generator/", "sources/install_csv", "sources/install_script", "sources/download", "lab/demo/")
FALLBACK = "sources/opening.py"  # names the place where the install files are looked for when no source is named


def texts(pattern: str, *without: str) -> list[str]:
    """`file:line: text` of every line in which the pattern is found."""
    return [
        f"{file.relative_to(SOURCE)}:{number}: {line.strip()}"
        for file in [*FILES, *SOURCE.rglob("*.html"), *SOURCE.rglob("*.sql")]
        if not str(file.relative_to(SOURCE)).startswith(without or ("-",))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_the_engine_knows_no_table_no_currency_and_no_year_of_the_project() -> None:
    tables = {file.stem for file in (PROJECT / "contracts").glob("*/*.yml")}
    named = "|".join(sorted(name for name in tables if "_" in name))  # `customer` is a word as well
    pattern = rf"(?i)\b(?:{named}|USD|2011|2014|adventureworks)\b"
    assert texts(pattern, *ADAPTERS, FALLBACK) == []


def test_layers_are_listed_in_one_place() -> None:
    assert [line for line in texts(r'"(?:raw|validated|curated|marts)"') if "declared/layers.py" not in line] == []


def test_only_the_ledger_room_reads_and_writes_ops() -> None:
    assert texts(r"\bops\.[a-z_]+|ledger import tables|ledger\.tables", "ledger/") == []


def test_records_are_typed() -> None:
    assert len(texts(r"dict\[str, Any\]")) <= 30


def test_files_are_small() -> None:
    sizes = [len(file.read_text("utf-8").splitlines()) for file in FILES]
    assert statistics.median(sizes) <= 110
    assert max(sizes) <= 500
