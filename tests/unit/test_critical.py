"""Critical means critical: a declaration that lets a row pass unjudged, or known bad rows be published, is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.conftest import PROJECT as REPOSITORY

from dataops.declared import catalog
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths

pytestmark = pytest.mark.unit
SHIPPED = REPOSITORY / "tests" / "support" / "project"
CONTRACT, SUITE, CHECKPOINT = "contracts/raw/order_line.yml", "expectations/raw/order_line.yml", "checkpoints/sales.yml"
PAIR = """
  - type: {kind}
    kwargs: {{{kwargs}}}
    severity: {severity}
    description: a comparison
    notes: It matters.
    meta: {{rule: SAL-099}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "project"))


def read(project: Path) -> None:
    catalog.load(Paths(project, project / "var"))


def replaced(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text("utf-8")
    assert old in text
    (project / file).write_text(text.replace(old, new, 1), "utf-8")


def paired(project: Path, kwargs: str, severity: str = "critical", kind: str = "a_to_be_greater_than_b") -> None:
    """Adds a rule about several columns to the suite."""
    name = kind if kind.startswith("expect_") else f"expect_column_pair_values_{kind}"
    with (project / SUITE).open("a", encoding="utf-8") as suite:
        suite.write(PAIR.format(kind=name, kwargs=kwargs, severity=severity))


def test_a_comparison_says_what_of_a_row_in_which_one_side_is_missing(project: Path) -> None:
    paired(project, "column_A: qty, column_B: price")
    with pytest.raises(
        DeclarationError, match=r"rule SAL-099: a row without qty or price could not be judged, and would"
    ):
        read(project)


@pytest.mark.parametrize("ignore", ["both_values_are_missing", "neither"])
def test_what_still_leaves_a_row_unjudged_says_nothing(project: Path, ignore: str) -> None:
    paired(project, f"column_A: qty, column_B: price, ignore_row_if: {ignore}")
    with pytest.raises(DeclarationError, match="could not be judged"):
        read(project)


@pytest.mark.parametrize(
    ("kwargs", "severity", "kind"),
    [
        ("column_A: qty, column_B: price, ignore_row_if: either_value_is_missing", "critical", "to_be_equal"),
        ("column_A: qty, column_B: price", "warning", "to_be_equal"),
        ("column_A: order_id, column_B: line_id", "critical", "to_be_equal"),
        ("column_list: [qty, price], sum_total: 3, ignore_row_if: any_value_is_missing", "critical",
         "expect_multicolumn_sum_to_equal"),
    ],
    ids=["ignored", "a warning", "never missing", "of several"],
)  # fmt: skip
def test_where_the_author_says_so_or_nothing_is_missing_it_is_a_rule(
    project: Path, kwargs: str, severity: str, kind: str
) -> None:
    paired(project, kwargs, severity, kind)
    read(project)


def test_several_columns_are_no_different_from_two(project: Path) -> None:
    paired(project, "column_list: [qty, price], sum_total: 3", kind="expect_multicolumn_sum_to_equal")
    with pytest.raises(DeclarationError, match="say ignore_row_if: any_value_is_missing"):
        read(project)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ("column: qty, min_value: 1, mostly: 0.9", "a critical rule has no `mostly`"),
        ("column: qty, min_value: 1, row_condition: 'qty > 0'", "`row_condition` is not understood here"),
        ("unexpected_rows_query: \"SELECT b._row FROM {batch} b WHERE b.note ~ '^[0-9]{{3}}$'\"", "braces in SQL are"),
    ],
)
def test_an_expectation_that_publishes_what_it_finds_is_refused(project: Path, kwargs: str, said: str) -> None:
    kind = "unexpected_rows_expectation" if "query" in kwargs else "expect_column_values_to_be_between"
    paired(project, kwargs, kind=kind)
    with pytest.raises(DeclarationError, match=said):
        read(project)


@pytest.mark.parametrize("check", ["duplicate", "missing"])
def test_a_critical_check_tolerates_nothing(project: Path, check: str) -> None:
    """A key that is repeated a few times finds two rows where one is meant."""
    text = (project / CONTRACT).read_text("utf-8")
    at = text.index(f"- {check}:")
    indent = " " * (at - text.rindex("\n", 0, at) + 3)
    line = text.index("\n", at) + 1
    tolerant = f"{indent}threshold: {{metric: percent, must_be_less_than: 5}}\n"
    (project / CONTRACT).write_text(text[:line] + tolerant + text[line:], "utf-8")
    with pytest.raises(DeclarationError, match=f"a critical {check} check has no tolerance"):
        read(project)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("must_be_greater_than: 0", "must_be_greater_than_or_equal: 0"),
        ("must_be_greater_than: 0", "must_be_less_than: 1000000"),
    ],
)
def test_a_count_that_no_rows_pass_does_not_guard_against_them(project: Path, old: str, new: str) -> None:
    replaced(project, CONTRACT, old, new)
    with pytest.raises(DeclarationError, match="no critical row_count check that 0 rows fail"):
        read(project)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("quota: {rows: 500%}", "is not a share such as 5%"),
        ("quota: {rows: true}", "is not a share such as 5%"),
        ("quota: {rows: 1%, money: true}", "is not a share such as 5%"),
        ("late_after_hours: .inf", "late_after_hours"),
        ("late_after_hours: .nan", "late_after_hours"),
        ("late_after_hours: 1e9", "late_after_hours"),
        ("deletions: .nan", "is not a share such as 5%"),
    ],
)
def test_every_number_has_a_range(project: Path, line: str, said: str) -> None:
    key = line.partition(":")[0]
    text = "".join(
        f"{old}\n" for old in (project / CHECKPOINT).read_text("utf-8").splitlines() if not old.startswith(f"{key}:")
    )
    (project / CHECKPOINT).write_text(f"{text}{line}\n", "utf-8")
    with pytest.raises(DeclarationError, match=said):
        read(project)


def test_an_empty_suite_is_said_to_be_empty(project: Path) -> None:
    (project / SUITE).write_text("suite: raw.order_line\nexpectations: []\n", "utf-8")
    with pytest.raises(
        DeclarationError, match=r'order_line\.yml, line 2\n  "expectations" is empty; write at least 1$'
    ):
        read(project)


def test_the_only_rule_that_is_wrong_is_the_only_mistake(project: Path) -> None:
    (project / SUITE).write_text("suite: raw.order_line\nexpectations:\n", "utf-8")
    paired(project, "column: qty, min_value: 1, mostly: 0.9", kind="expect_column_values_to_be_between")
    with pytest.raises(DeclarationError, match=r"rule SAL-099\n  .expectations no\. 1.: a critical") as caught:
        read(project)
    assert "empty" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b; drop table x", "Parcel", "1st", "ä", "x" * 49])
@pytest.mark.parametrize("place", ["contracts/raw", "checkpoints"])
def test_a_name_that_no_warehouse_could_hold_as_it_is_is_refused(project: Path, place: str, name: str) -> None:
    old = project / place / ("order_line.yml" if "raw" in place else "sales.yml")
    old.rename(old.with_name(f"{name}.yml"))
    with pytest.raises(DeclarationError, match="is no name for a table or group"):
        read(project)
