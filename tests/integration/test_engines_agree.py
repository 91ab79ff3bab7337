"""One suite, equal verdicts and counts on DuckDB and PostgreSQL: every expectation type in use, and the real rules."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dataops.declared import settings as settings_
from dataops.gate import gate
from dataops.lab.faulty_source import open_source
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs
from dataops.pipeline.intake import extraction
from dataops.sources.port import Request, delivered
from tests.conftest import PROJECT as REPOSITORY
from tests.conftest import PostgresServer
from tests.support.shop import PROJECT as SMALL
from tests.support.shop import fetch, workspace

pytestmark = pytest.mark.integration

WIDE = pa.decimal128(38, 6)
SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("group", pa.string()),
        ("text", pa.string()),
        ("n", pa.int32()),
        ("d", WIDE),
        ("e", WIDE),
        ("t", pa.timestamp("us")),
        ("u", pa.timestamp("us")),
    ]
)
TYPES = ["integer", "varchar", "varchar", "integer", "numeric", "numeric", "timestamp", "timestamp"]
REGEXES = [
    r"^[A-Z]{2}$",
    r"^[^@ ,;]+@[^@ ,;.]+([.][^@ ,;.]+)+$",
    r"^[A-Z][a-z]+\.$",
    r"a[^b]c",
    r"^ |  | $",
    r"^([A-Za-z]|N/A)$",
    "[0-9?\ufffd]",
    r"50%|'|\\|:x|\$1",
    r"^[äöü€]+$",
]
RULES: list[tuple[str, dict[str, Any]]] = [
    *(("expect_column_values_to_match_regex", {"column": "text", "regex": regex}) for regex in REGEXES),
    *(("expect_column_values_to_not_match_regex", {"column": "group", "regex": regex}) for regex in REGEXES[:5]),
    (
        "expect_column_values_to_be_in_set",
        {"column": "text", "value_set": ["", " ", "AB", "it's", "50%", "ä", "e\u0301"]},
    ),
    ("expect_column_values_to_be_in_set", {"column": "n", "value_set": [0, 1, -1]}),
    ("expect_column_values_to_not_be_in_set", {"column": "group", "value_set": ["AB", "ab "]}),
    ("expect_column_value_lengths_to_be_between", {"column": "text", "min_value": 1, "max_value": 3}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": -5, "max_value": 5}),
    ("expect_column_values_to_be_between", {"column": "d", "min_value": 0}),
    ("expect_column_values_to_be_between", {"column": "e", "min_value": 0, "max_value": 1, "strict_max": True}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "d", "column_B": "e", "or_equal": True}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "u", "column_B": "t"}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "text", "column_B": "group"}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "e", "column_B": "d", "ignore_row_if": "either_value_is_missing"},
    ),
    ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT b._row FROM {batch} b WHERE b.d <> b.e"}),
    (
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "SELECT b._row FROM {batch} b WHERE CAST(b.u AS DATE) - CAST(b.t AS DATE) > 7"},
    ),
    (
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "SELECT b._row FROM {batch} b WHERE TRIM(b.text) = '' OR b.\"group\" LIKE '%z%'"},
    ),
    (  # braces of a text are its own; {batch} in one is no name
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "SELECT b._row FROM {batch} b WHERE b.text !~ '^[A-Z]{1,2}$' AND b.text <> '{n}'"},
    ),
    (  # a join names a row as often as it has partners
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "SELECT b._row FROM {batch} b JOIN {sample} o ON o.n = b.n AND o._row <> b._row"},
    ),
]


@dataclass
class Sample:
    """A source of one table."""

    rows: list[dict[str, Any]]
    name: str = "sample"

    def schema(self, source_table: str) -> pa.Schema:  # noqa: ARG002  the port's words
        return SCHEMA

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002  the port's words
        return nullcontext()

    def read(self, request: Request) -> pa.RecordBatchReader:
        plain = [{"_problems": None} | row for row in self.rows]
        return pa.Table.from_pylist(plain, schema=delivered(request.schema)).to_reader()

    def close(self) -> None:
        """Nothing is held."""


def _declared(folder: Path) -> Path:
    """A project of one dataset with one rule per item of RULES, critical where it judges every row."""
    why = {"severity": "critical", "why": "It is a test."}
    columns: list[dict[str, Any]] = [{"name": n, "data_type": t} for n, t in zip(SCHEMA.names, TYPES, strict=True)]
    for column in columns:
        if column["data_type"] == "numeric":
            column |= {"numeric_precision": 38, "numeric_scale": 6}
    columns[0]["checks"] = [{"missing": {"name": "id is there", "attributes": {"rule": "TST-901", **why}}}]
    threshold = {"must_be_greater_than": 0}
    contract = {
        "dataset": "adventureworks/raw/sample",
        "x-dataops": {"group": "sample", "source": "S.Sample", "key": ["id"], "owner": "t@adventure-works.example"},
        "columns": columns,
        "checks": [
            {"schema": {"name": "as agreed", "attributes": {"rule": "TST-902", **why}}},
            {"row_count": {"name": "some", "threshold": threshold, "attributes": {"rule": "TST-903", **why}}},
            {"duplicate": {"columns": ["id"], "name": "unique", "attributes": {"rule": "TST-904", **why}}},
        ],
    }
    items = [
        {
            "type": kind,
            "kwargs": kwargs,
            "severity": "warning" if "column_A" in kwargs and "ignore_row_if" not in kwargs else "critical",
            "description": f"rule {number}",
            "notes": "It is a test.",
            "meta": {"rule": f"TST-{number:03d}"},
        }
        for number, (kind, kwargs) in enumerate(RULES, 1)
    ]
    checkpoint = {"group": "sample", "layer": "raw", "kind": "loaded", "quota": {"rows": "100%"}}
    checkpoint |= {"owner": "t@adventure-works.example"}
    _write(folder / "contracts/raw/sample.yml", contract)
    _write(folder / "expectations/raw/sample.yml", {"suite": "raw.sample", "expectations": items})
    _write(folder / "checkpoints/sample.yml", checkpoint)
    (folder / "transforms").mkdir()
    shutil.copy(SMALL / "project.yml", folder)
    return folder


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(content, stream)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> list[Workspace]:
    folder = tmp_path_factory.mktemp("agree")
    project = _declared(folder / "project")
    urls = (None, postgres.create_database("agree"))
    return [workspace(folder / f"home{n}", url, project) for n, url in enumerate(urls)]


def _judged(work: Workspace, rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    """(verdict, outcome and count per rule, held rows with their rules)."""
    with work.warehouse.lock("sample", "test"):
        batch = extraction.extract(work, work.catalog.group("sample"), Sample(rows), None)
        verdict = gate.run(work, batch)
    results = {r.rule.id: (r.outcome, r.failing, r.problem) for r in verdict.results if not r.rule.id.startswith("SRC")}
    held = fetch(
        work,
        "SELECT q._row, q._rules FROM quarantine.sample q JOIN ops.batches b ON b.seq = q._batch"
        f" WHERE b.batch_id = '{batch}' ORDER BY 1",
    )
    return verdict.name, results, held


# Letters that regexes and collations treat differently, blanks, quotes, and what formats or templates might eat.
_letters = st.sampled_from(
    [*"abcABzZ019 .@,;%'\"\\:$?{}", "ä", "ß", "\u0301", "€", "\ufffd", "\n", "\t", "\u202e", "💶"]
)
_texts = st.one_of(
    st.none(),
    st.text(_letters, max_size=5),
    st.sampled_from(
        ["AB", "ken@aw.com", "Mr.", "N/A", "50%", "it's", " ", "  ", "abc", "a\nc", "AB\n", "äö€", "$1", ":x"]
    ),
)
_limit = Decimal("9" * 20 + ".999999")
_numbers = st.one_of(
    st.none(),
    st.sampled_from([Decimal(x) for x in ("0", "1", "-1", "0.000001", "0.999999", "-0.000001")] + [_limit, -_limit]),
    st.decimals(-2, 2, places=6),
)
_moments = st.one_of(
    st.none(),
    st.sampled_from([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), datetime(2014, 5, 1)]),
    st.datetimes(datetime(2014, 5, 1), datetime(2014, 5, 20)),
)
_rows = st.fixed_dictionaries(
    {
        "group": _texts,
        "text": _texts,
        "n": st.one_of(st.none(), st.integers(-7, 7), st.sampled_from([-(2**31), 2**31 - 1])),
        "d": _numbers,
        "e": _numbers,
        "t": _moments,
        "u": _moments,
    }
)


@settings(
    deadline=None,
    max_examples=8,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(_rows, min_size=1, max_size=60))
def test_one_suite_gives_equal_verdicts_counts_and_held_rows(both: list[Workspace], rows: list[dict[str, Any]]) -> None:
    """Every map expectation type in use, regexes included, over NULL, unicode, blanks and extreme numbers."""
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    duck, postgres = (_judged(work, numbered) for work in both)
    assert duck == postgres
    assert duck[0] == "PASSED", {rule: r for rule, r in duck[1].items() if r[0] == "error"}
    assert duck[1]["TST-001"][1] == sum(_misses(REGEXES[0], row["text"]) for row in numbered)
    assert duck[1]["TST-003"][1] == sum(_misses(REGEXES[2], row["text"]) for row in numbered)


def _misses(regex: str, text: str | None) -> bool:
    return text is not None and not re.search(regex.replace("$", r"\Z"), text, re.ASCII)


def test_the_types_compared_here_are_all_that_the_declarations_use() -> None:
    """A new expectation type in a suite must be added to RULES above."""
    used = {
        item["type"]
        for file in sorted((REPOSITORY / "expectations").glob("*/*.yml"))
        for item in YAML(typ="safe").load(file.read_text(encoding="utf-8"))["expectations"]
    }
    aggregates = {"expect_column_unique_value_count_to_be_between"}  # names no rows; judged by the test below
    assert used - aggregates <= {kind for kind, _ in RULES}


FAULTS = (
    "price_x100,orphan_customer,duplicate_order,null_required,swapped_dates,negative_quantity,unknown_product,bad_email"
)


def test_the_real_rules_judge_a_corrupted_delivery_alike_on_both(tmp_path: Path, postgres: PostgresServer) -> None:
    """Outcome and failing count of every rule, and every held key with its rules, after eight planted faults."""
    found = []
    for number, url in enumerate((None, postgres.create_database("corrupted"))):
        environ = {"DATAOPS_HOME": str(tmp_path / str(number))} | ({"DATAOPS_WAREHOUSE_URL": url} if url else {})
        work = open_workspace(settings_.load(environ, project=REPOSITORY))
        with jobs.source_of(work, "generator:?scale=0.02&seed=7") as source:
            assert jobs.load(work, "reference", None, source).publication
        found.append([_corrupted(work, group) for group in ("reference", "sales")])
    assert found[0] == found[1]
    broken = {rule for group in found[0] for rule, (outcome, *_) in group[1].items() if outcome == "failed"}
    assert len(broken) >= 6, broken


def _corrupted(work: Workspace, group: str) -> tuple[Any, ...]:
    with jobs.source_of(work, f"generator:?scale=0.02&seed=7&faults={FAULTS}", open_source) as source:
        done = jobs.load(work, group, None, source)
    assert done.verdict is not None
    assert done.verdict.name != "ERROR", done.verdict.reasons
    results = {r.rule.id: (r.outcome, r.failing, r.checked) for r in done.verdict.results}
    held = {}
    for dataset in work.catalog.group(group).datasets:
        keys = ", ".join(f'q."{name}"' for name in dataset.key)
        held[dataset.table] = fetch(
            work,
            f"SELECT {keys}, q._row, q._rules, q._fell_with FROM quarantine.{dataset.table} q"
            f" JOIN ops.batches b ON b.seq = q._batch WHERE b.batch_id = '{done.batch_id}' ORDER BY q._row",
        )
    return done.verdict.name, results, json.dumps(held, default=str)
