"""Backing up and restoring by command, as the how-to says it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataops.cli import reference
from tests.integration.test_cli import PROJECT, Cli, Ran, environment, run

pytestmark = pytest.mark.integration
HOW_TO = PROJECT / "docs" / "how-to"
TOTALS = "select count(*), sum(total_due) from sales_order_header"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands on a warehouse with published orders."""
    home = tmp_path_factory.mktemp("warehouse") / "var"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(home).items():
            patch.setenv(name, value)
        assert run("load", "reference").code == 0
        assert run("load", "sales").code == 0
        yield run


def _home() -> Path:
    import os

    return Path(os.environ["DATAOPS_HOME"])


def _blocks(page: str) -> list[list[str]]:
    """The code blocks of a how-to, as commands without their first word."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block.strip().splitlines() for language, block in fenced if not language]


def _ok(done: Ran) -> Ran:
    assert done.code == 0, done
    return done


def test_before_the_first_backup_the_doctor_warns(cli: Cli) -> None:
    done = cli("doctor", "backup")
    assert (done.code, "none yet" in done.out, "dataops warehouse backup" in done.out) == (0, True, True)


def test_a_file_deleted_by_mistake_comes_back_by_the_two_commands_of_the_how_to(cli: Cli) -> None:
    before = _ok(cli("query", TOTALS)).out
    made = _ok(cli("warehouse", "backup"))
    assert "as of sales-0001, 2 receipts proven" in made.out
    for path in _home().glob("warehouse.duckdb*"):
        path.unlink()
    lost = cli("query", TOTALS)
    assert lost.code == 3
    said = " ".join(lost.err.split())
    assert "is gone, but there was one" in said
    assert "Run: dataops warehouse restore" in said
    commands = next(block for block in _blocks("back-up-and-restore.md") if block[0].endswith("--yes"))
    assert len(commands) == 2
    for command in commands:
        _ok(cli(*command.split()[1:]))
    assert _ok(cli("query", TOTALS)).out == before
    assert _ok(cli("publications", "verify")).out.startswith("PROVEN")
    assert " ok    backup" in cli("doctor", "backup").out


def test_a_figure_is_traced_by_the_commands_of_the_how_to(cli: Cli) -> None:
    [commands] = _blocks("trace-a-figure.md")
    for command in commands:
        assert "sales_order_detail" in _ok(cli(*shlex.split(command)[1:])).out


def test_documents_are_as_their_schemas_say(cli: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "copy.duckdb")
    assert _ok(cli("warehouse", "backup", "--to", file, "--json")).document["publication"] == "sales-0001"
    done = _ok(cli("warehouse", "restore", file, "--yes", "--json")).document
    assert done["gone"] == []
    assert done["incident"] is None


def test_what_cannot_be_done_is_said_and_where_nobody_can_be_asked_nothing_is(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "there.duckdb"
    file.write_text("mine")
    for arguments, said, code in (
        (("backup", "--to", str(file)), "exists already", 2),
        (("backup", "--keep", "0"), "at least one backup is kept", 2),
        (("restore",), "nobody can be asked here", 2),
        (("restore", str(tmp_path / "none")), "there is no file", 2),
        (("restore", str(file), "--yes"), "is no sound copy of a warehouse", 3),
    ):
        done = cli("warehouse", *arguments)
        assert (done.code, said in " ".join(done.err.split())) == (code, True), done
    assert file.read_text() == "mine"
    assert not list(_home().glob("*.restoring*"))


@pytest.mark.parametrize("page", sorted(path.name for path in HOW_TO.glob("*.md")))
def test_every_command_of_a_how_to_is_one(page: str) -> None:
    known = re.findall(r"^## (dataops .*)$", reference.page(), re.MULTILINE)
    commands = [line for block in _blocks(page) for line in block]
    assert commands
    for command in commands:
        assert any(command == name or command.startswith(f"{name} ") for name in known), command


def test_a_readers_copy_that_lags_is_said_and_brought_up_by_what_is_said(cli: Cli) -> None:
    """As after a publication by a task of Airflow, whose copy another task renews."""
    assert "Readers" not in _ok(cli("status")).out
    assert _ok(cli("status", "--json")).document["readers"] == {"publication": "sales-0001", "behind": 0}
    (_home() / "published.duckdb").unlink()
    assert "published.duckdb is not there, 2 publications behind" in " ".join(_ok(cli("status")).out.split())
    assert "published.duckdb is as of sales-0001" in _ok(cli("warehouse", "refresh")).out
    assert "Readers" not in _ok(cli("status")).out
