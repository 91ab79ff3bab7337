"""The catalogue: what the declarations amount to, and what does not fit together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.conftest import PROJECT as REPOSITORY
from tests.support.shop import PROJECT

from dataops.declared import catalog
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths, find_project

pytestmark = pytest.mark.unit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def loaded(project: Path) -> catalog.Catalog:
    return catalog.load(Paths(project, project / "var"))


def test_the_contract_files_are_the_datasets(project: Path) -> None:
    found = loaded(project)
    assert set(found.datasets) == {"customer", "sales_order", "order_line", "fct_line"}
    assert [d.table for d in found.group("sales").datasets] == ["sales_order", "order_line"]
    assert [d.table for d in found.group("sales").outside] == ["customer"]
    assert [d.table for d in found.group("reference").inside] == ["sales_order"]


def test_every_declared_check_is_a_rule_with_id_sentence_and_engine(project: Path) -> None:
    rules = {rule.id: rule for rule in loaded(project).group("sales").rules}
    assert {rules[name].engine for name in ("SAL-001", "SAL-002", "SAL-003", "SAL-004")} == {"soda"}
    assert (rules["SAL-021"].engine, rules["SAL-005"].engine, rules["SRC-000:sales_order"].engine) == (
        "gx",
        "platform",
        "platform",
    )
    assert all(rule.says and rule.why and rule.file for rule in rules.values())


def test_the_rules_hash_changes_with_anything_that_decides_a_verdict(project: Path) -> None:
    before = loaded(project).group("sales").rules_hash
    assert loaded(project).group("sales").rules_hash == before
    for file, old, new in (
        ("checkpoints/sales.yml", "rows: 50%", "rows: 51%"),
        ("contracts/raw/order_line.yml", "severity: critical, why: Others", "severity: warning, why: Others"),
        ("expectations/raw/order_line.yml", '"max_value": 1000', '"max_value": 1001'),
    ):
        text = (project / file).read_text(encoding="utf-8")
        (project / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        after = loaded(project).group("sales").rules_hash
        assert after != before
        before = after


def test_a_comment_does_not_change_the_rules_hash(project: Path) -> None:
    before = loaded(project).group("sales").rules_hash
    with (project / "checkpoints/sales.yml").open("a", encoding="utf-8") as stream:
        stream.write("# nothing\n")
    assert loaded(project).group("sales").rules_hash == before


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (
            "expectations/raw/customer.yml",
            "contracts/raw/customer.yml has no suite; write expectations/raw/customer.yml",
        ),
        (
            "contracts/raw/customer.yml",
            "expectations/raw/customer.yml has no contract; write contracts/raw/customer.yml",
        ),
        ("checkpoints/reference.yml", "contracts/raw/customer.yml: no checkpoints/reference.yml for its group"),
    ],
)
def test_a_missing_file_is_named(project: Path, gone: str, message: str) -> None:
    (project / gone).unlink()
    with pytest.raises(DeclarationError) as caught:
        loaded(project)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "stray",
    ["contracts/raw/extra.yaml", "contracts/extra.yml", "expectations/rwa/extra.yml", "checkpoints/old/sales.yml"],
)
def test_a_declaration_that_nobody_would_read_is_named(project: Path, stray: str) -> None:
    path = project / stray
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DeclarationError, match=f"^{stray} would not be read; write"):
        loaded(project)


def test_a_checkpoint_without_datasets_is_an_error(project: Path) -> None:
    (project / "checkpoints/empty.yml").write_text(
        "group: empty\nlayer: raw\nkind: loaded\nowner: o\nquota: {rows: 1%}\n", encoding="utf-8"
    )
    with pytest.raises(DeclarationError, match=r"^checkpoints/empty.yml: no contract names group 'empty'"):
        loaded(project)


def test_unknown_names_say_what_there_is(project: Path) -> None:
    found = loaded(project)
    with pytest.raises(DeclarationError, match="no group 'sale'; there are curated, reference, sales"):
        found.group("sale")
    with pytest.raises(DeclarationError, match=r"no dataset 'raw.nothing'"):
        found.dataset("raw.nothing")


def test_a_narrowed_group_treats_what_is_absent_as_outside(project: Path) -> None:
    group = loaded(project).group("sales")
    narrow = group.narrowed(frozenset({"order_line"}))
    assert ([d.table for d in narrow.datasets], "sales_order" in {d.table for d in narrow.outside}) == (
        ["order_line"],
        True,
    )
    assert group.narrowed(group.tables) is group


def test_no_project_here_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATAOPS_PROJECT", raising=False)
    with pytest.raises(DeclarationError, match=r"(?s)no project here.*set DATAOPS_PROJECT"):
        find_project(tmp_path)
    assert find_project(PROJECT / "contracts" / "raw") == PROJECT.resolve()


def test_the_repository_s_own_declarations_fit_together() -> None:
    found = catalog.load(Paths(REPOSITORY, REPOSITORY / "var"))
    rules = [rule for group in found.groups.values() for rule in group.rules]
    assert len([d for d in found.datasets.values() if d.layer == "raw"]) == 34
    assert len(rules) == len({rule.id for rule in rules})
    assert len([rule for rule in rules if rule.engine != "platform" and not rule.id.startswith("CUR")]) >= 250


def test_a_rule_knows_which_other_datasets_its_sql_compares_with(project: Path) -> None:
    rules = {rule.id: rule for rule in loaded(project).group("sales").rules}
    assert rules["SAL-022"].tables == {"order_line"}
    assert rules["SAL-021"].tables == frozenset()


@pytest.mark.parametrize(
    ("table", "computed", "said"),
    [
        ("raw/order_line", "{amounts: [price, qty]}", '"computed" names no column .amounts.'),
        ("raw/order_line", "{amount: [price, quantity]}", '"computed" names no column .quantity.'),
        ("curated/fct_line", "{amount: [line_id]}", '"computed" is about a source; curated.fct_line is built'),
    ],
)
def test_what_a_source_computes_it_computes_from_columns_that_it_has(
    project: Path, table: str, computed: str, said: str
) -> None:
    file = project / f"contracts/{table}.yml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("\nx-dataops:\n", f"\nx-dataops:\n  computed: {computed}\n"), encoding="utf-8")
    with pytest.raises(DeclarationError, match=said):
        loaded(project)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "layer: raw",
            "layer: bronze",
            "\"layer\" is 'bronze'; there are raw, curated, marts; more are",
        ),
        ("kind: loaded", "kind: built", '"kind" is built; raw is loaded'),
        ("kind: loaded", "kind: lodaed", '"kind"'),
        ("layer: raw\nkind: loaded", "layer: marts\nkind: built", "a dataset of layer raw needs a group of that layer"),
    ],
)
def test_layer_and_kind_of_a_group_are_checked_against_its_datasets(
    project: Path, old: str, new: str, said: str
) -> None:
    file = project / "checkpoints/sales.yml"
    file.write_text(file.read_text("utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(DeclarationError, match=said):
        loaded(project)
