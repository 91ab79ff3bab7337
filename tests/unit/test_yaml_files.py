"""Reading YAML that people write: strict, and able to say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.declared.errors import DeclarationError
from dataops.declared.yaml_files import Strict, read

pytestmark = pytest.mark.unit


class Inner(Strict):
    """A rule of a file."""

    rule: str
    limit: int = 0


class Outer(Strict):
    """A file."""

    name: str
    items: tuple[Inner, ...] = ()


def said(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "x.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        read(file, Outer, "folder/x.yml")
    return str(caught.value).splitlines()


def test_what_is_right_is_read_and_frozen(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("name: a\nitems:\n  - {rule: R-1, limit: 3}\n", encoding="utf-8")
    found = read(file, Outer, "x.yml")
    assert found.items[0].limit == 3
    with pytest.raises(ValueError, match="frozen"):
        found.name = "b"  # type: ignore[misc]


def test_a_nested_mistake_names_its_line_and_the_rule_around_it(tmp_path: Path) -> None:
    assert said(tmp_path, "name: a\nitems:\n  - rule: R-1\n  - rule: R-2\n    limitt: 3\n") == [
        "folder/x.yml, line 5, rule R-2",
        '  unknown key "limitt"; did you mean "limit"?',
    ]


def test_a_key_unlike_any_gets_no_suggestion(tmp_path: Path) -> None:
    assert said(tmp_path, "name: a\nzzz: 1\n") == ["folder/x.yml, line 2", '  unknown key "zzz"']


def test_a_missing_key_is_named_where_it_should_be(tmp_path: Path) -> None:
    assert said(tmp_path, "name: a\nitems:\n  - limit: 3\n") == ["folder/x.yml, line 3", '  key "rule" is missing']


def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    assert said(tmp_path, "name: a\nitems:\n  - rule: R-1\n    limit: many\n")[0] == "folder/x.yml, line 4, rule R-1"


def test_invalid_yaml_names_its_line(tmp_path: Path) -> None:
    assert said(tmp_path, "name: a\nitems: [\n")[0].startswith("folder/x.yml, line 3: not valid YAML")
