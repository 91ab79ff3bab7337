"""Declarations are parsed strictly: a mistake names file, line, rule, key and the word that was meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.shop import PROJECT

from dataops.declared import catalog
from dataops.declared.declarations import CheckpointFile, ContractFile, SuiteFile
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths
from dataops.declared.yaml_files import read

pytestmark = pytest.mark.unit

CONTRACT, SUITE, CHECKPOINT = (
    "contracts/raw/sales_order.yml",
    "expectations/raw/sales_order.yml",
    "checkpoints/sales.yml",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def said(project: Path, file: str, old: str, new: str) -> str:
    """What loading says after `old` was replaced in a file."""
    text = (project / file).read_text(encoding="utf-8")
    assert old in text
    (project / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        catalog.load(Paths(project, project / "var"))
    return str(caught.value)


# file, what stands there, what a tired author wrote, the whole message
MISTAKES = [
    (CONTRACT, "  group: sales", "  gruop: sales", 'line 2\n  key "group" is missing'),
    (CONTRACT, "cursor:", "curser:", f'{CONTRACT}, line 6\n  unknown key "curser"; did you mean "cursor"?'),
    (
        CONTRACT,
        "severity: critical",
        "severity: high",
        f"{CONTRACT}, line 17, rule SAL-001\n  \"severity\": Input should be 'critical', 'warning' or 'info'",
    ),
    (
        CONTRACT,
        "rule: SAL-001,",
        "rule: SAL-1,",
        f"{CONTRACT}, line 17, rule SAL-1\n  \"rule\": 'SAL-1' is not a rule id",
    ),
    (CONTRACT, "why: Nothing can be joined without order_id.", 'why: " "', '"why": say why, in a sentence'),
    (CONTRACT, "      - missing:", "      - mising:", 'unknown key "mising"; did you mean "missing"?'),
    (
        CONTRACT,
        "data_type: integer",
        "data_type: int",
        "line 13\n  \"data_type\": Input should be 'integer', 'smallint'",
    ),
    (CONTRACT, "    numeric_scale: 4", "", "numeric columns, and only they, say numeric_precision and numeric_scale"),
    (CONTRACT, "control: [sub_total]", "control: [subtotal]", "columns that the contract does not list: subtotal"),
    (CONTRACT, "cursor: order_date", "cursor: order_date\n  follows: x", "cursor and follows exclude each other"),
    (CONTRACT, "source: Sales.SalesOrder", "pii: []", '"source" is for raw contracts'),
    (
        CONTRACT,
        "raw/sales_order",
        "raw/sales_orders",
        "\"dataset\" is 'adventureworks/raw/sales_orders'; its place says",
    ),
    (CONTRACT, "{to: customer,", "{to: custumer,", f"{CONTRACT}, rule SAL-005: no dataset 'custumer'"),
    (
        CONTRACT,
        "    customer_id: {to",
        "    'customer_id, order_id': {to",
        "2 columns refer to the 1 key columns of customer",
    ),
    (CONTRACT, "rule: SAL-002", "rule: SAL-003", "rule SAL-003 is stated twice: contracts/raw/sales_order.yml and"),
    (
        CONTRACT,
        "must_be_greater_than: 0",
        "must_be_greater: 0",
        'rule SAL-003\n  unknown key "must_be_greater"; did you',
    ),
    (CONTRACT, "checks:\n  - schema", "checks: [\n  - schema", f"{CONTRACT}, line 3"),
    (
        CONTRACT,
        "  key: [order_id]",
        "  key: [order_id]\n  key: [x]",
        f"{CONTRACT}, line 6: not valid YAML: found duplicate",
    ),
    (
        SUITE,
        "    severity: critical",
        "    severity: fatal",
        f"{SUITE}, line 5, rule SAL-021\n  \"severity\": Input should be 'critical', 'warning' or 'info'",
    ),
    (SUITE, "    notes:", "    note:", f'{SUITE}, line 3, rule SAL-021\n  key "notes" is missing'),
    (SUITE, "suite: raw.sales_order", "suite: raw.order", "\"suite\" is 'raw.order'; its place says 'raw.sales_order'"),
    (
        SUITE,
        '"sub_total"',
        '"subtotal"',
        f"{SUITE}, rule SAL-021: no column 'subtotal' in sales_order; did you mean \"sub_t",
    ),
    (
        SUITE,
        "type: expect_column_values_to_be_between",
        "type: expect_column_values_to_be_unique",
        f'{SUITE}, line 3, rule SAL-021\n  "type"',
    ),
    (CHECKPOINT, "quota:", "qouta:", f'{CHECKPOINT}, line 4\n  unknown key "qouta"; did you mean "quota"?'),
    (CHECKPOINT, "rows: 50%", "rows: 50", f'{CHECKPOINT}, line 4\n  "rows": 50 is not a share such as 5% or 0.05'),
    (CHECKPOINT, "group: sales", "group: sale", f"{CHECKPOINT}: \"group\" is 'sale'; the file name says 'sales'"),
    (
        CHECKPOINT,
        "sales_order.sub_total",
        "sales_order.qty",
        '"money" names sales_order.qty, which is no control column',
    ),
    (CHECKPOINT, "family: [order_line]", "family: whole", "lists the children without which"),
    (CHECKPOINT, "family: [order_line]", "family: [customer]", "names customer, which is no dataset of the group"),
    (
        CHECKPOINT,
        "family: [order_line]",
        "family: [sales_order]",
        "names sales_order, which is no dataset of the group",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), MISTAKES, ids=[m[2].strip()[:40] for m in MISTAKES])
def test_a_mistake_names_file_line_rule_and_key(project: Path, file: str, old: str, new: str, message: str) -> None:
    found = said(project, file, old, new)
    assert message in found
    assert found.startswith((file, "rule "))
    assert str(project) not in found


def test_all_mistakes_of_a_file_are_told_at_once(project: Path) -> None:
    text = (project / CONTRACT).read_text(encoding="utf-8")
    (project / CONTRACT).write_text(text.replace("cursor:", "curser:").replace("owner:", "onwer:"), encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        catalog.load(Paths(project, project / "var"))
    assert [part in str(caught.value) for part in ('"curser"', '"onwer"', 'key "owner" is missing')] == [True] * 3


@pytest.mark.parametrize(("content", "message"), [(b"", "the file"), (b"- a", "the file"), (b"\xff\xfe", "not UTF-8")])
@pytest.mark.parametrize("model", [ContractFile, SuiteFile, CheckpointFile])
def test_a_file_that_is_no_declaration_says_so(tmp_path: Path, content: bytes, message: str, model: type) -> None:
    file = tmp_path / "x.yml"
    file.write_bytes(content)
    with pytest.raises(DeclarationError, match=f"(?s)x.yml.*{message}"):
        read(file, model, "x.yml")


def test_a_tab_in_yaml_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("group: a\nquota:\n\trows: 5%\n", encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"x.yml, line 3: not valid YAML"):
        read(file, CheckpointFile, "x.yml")


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.5 %", 0.005), ("100%", 1.0), ("0.05", 0.05), ("0", 0.0)])
def test_a_share_is_written_in_percent_or_as_a_fraction(tmp_path: Path, text: str, share: float) -> None:
    file = tmp_path / "sales.yml"
    file.write_text(f"group: sales\nlayer: raw\nkind: loaded\nowner: o\nquota: {{rows: {text}}}\n", encoding="utf-8")
    assert read(file, CheckpointFile, "sales.yml").quota.rows == pytest.approx(share)


@pytest.mark.parametrize("regex", ["a.c", r"^\\d+$", "(?i)a", r"[a-z]\\w", "a(?=b)"])
def test_a_regex_that_the_warehouses_read_differently_is_refused(project: Path, regex: str) -> None:
    message = said(project, "expectations/raw/customer.yml", "^[A-Z]{2}$", regex)
    assert "expectations/raw/customer.yml, line 3, rule REF-011" in message
    assert "in a regex differs between warehouses" in message


@pytest.mark.parametrize("regex", [r"^[^@ .]+[.][a-z]+$", r"^[A-Z]\\.$", "^(a|b) ?$", "^$"])
def test_a_regex_of_classes_anchors_and_quantifiers_is_accepted(project: Path, regex: str) -> None:
    file = project / "expectations/raw/customer.yml"
    file.write_text(file.read_text(encoding="utf-8").replace("^[A-Z]{2}$", regex), encoding="utf-8")
    assert catalog.load(Paths(project, project / "var")).dataset("customer").rules
