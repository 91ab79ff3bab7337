"""The process around a command: exit codes, flags, signals, log file, and no secret anywhere."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dataops.cli import process
from dataops.cli.secrets import masked
from dataops.declared.errors import DataRejected, DeclarationError, PlatformError, VerdictError

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAOPS_HOME", str(tmp_path))
    monkeypatch.setenv("DATAOPS_PROJECT", str(PROJECT))


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *arguments: str) -> int:
    """The exit code of a command that raises `error`."""

    def command(_arguments: object) -> int:
        if error is not None:
            raise error
        return 0

    monkeypatch.setattr(process, "_run", command)
    return process.main(list(arguments))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (DataRejected("x"), 1),
        (DeclarationError("x"), 2),
        (typer.BadParameter("x"), 2),
        (PlatformError("x"), 3),
        (VerdictError("x"), 3),
        (RuntimeError("x"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_end_has_its_exit_code(
    error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception of Python's own never looks like rejected data."""
    assert run(monkeypatch, error) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert (f"(exit {code})" in said.err) == (code != 0)


def test_an_unexpected_error_leaves_its_traceback_in_the_log_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The screen gets one sentence and the place of the rest; -vv shows it there as well."""
    assert run(monkeypatch, ZeroDivisionError("boom")) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    logs = list((tmp_path / "log").glob("run-*.log"))
    assert len(logs) == 1
    assert "Traceback" in logs[0].read_text(encoding="utf-8")
    assert logs[0].name in said
    run(monkeypatch, ZeroDivisionError("boom"), "-vv")
    assert "Traceback" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_no_second_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first error is still what is said."""
    (tmp_path / "log").write_text("a file where the folder should be", encoding="utf-8")
    assert run(monkeypatch, ZeroDivisionError("boom")) == 3
    assert "boom" in capsys.readouterr().err


def test_sigterm_ends_with_three_and_a_second_one_does_not_break_the_roll_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has a transaction open gets the chance to roll it back."""
    rolled_back = []

    def command(_arguments: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("not stopped")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            rolled_back.append(True)
        return 0

    monkeypatch.setattr(process, "_run", command)
    before = signal.getsignal(signal.SIGTERM)
    assert process.main([]) == 3
    assert rolled_back
    assert "SIGTERM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_flags_may_stand_anywhere_but_not_behind_a_double_dash() -> None:
    """`dataops load sales -v` is what people type."""
    assert process.hoisted(["load", "sales", "-v", "--no-color"]) == (["-v", "--no-color"], ["load", "sales"])
    assert process.hoisted(["query", "--", "-v"]) == ([], ["query", "--", "-v"])


@pytest.mark.parametrize(
    "text",
    ["postgresql://u:Canary%40-7@db:5432/x failed", "password Canary@-7 refused", "password Canary%40-7 refused"],
)
def test_no_form_of_a_password_is_shown(text: str) -> None:
    """In an address, as typed, and as the driver decodes it."""
    shown = masked(text, {"DATAOPS_WAREHOUSE_URL": "postgresql://u:Canary%40-7@db:5432/x"})
    assert "Canary" not in shown


@pytest.mark.parametrize(
    "text",
    ["postgresql://db/x?password=Canary-7&sslmode=require failed", "mssql://db/x;PWD=Canary-7;", "it was Canary-7"],
)
def test_a_password_among_the_parameters_is_none_the_less_one(text: str) -> None:
    assert "Canary" not in masked(text, {"DATAOPS_WAREHOUSE_URL": "postgresql://u@db:5432/x?password=Canary-7"})


def test_a_password_of_several_words_is_masked_as_the_driver_repeats_it() -> None:
    environ = {"DATAOPS_WAREHOUSE_URL": "postgresql://u:correct%20horse@db:5432/x"}
    assert "horse" not in masked('unexpected spaces found in "correct horse", correct%20horse', environ)


class Screen(io.BytesIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_files_and_pipes_get_utf_8_whatever_the_locale(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert process.main(["--version"]) == 0
    sys.stdout.write("\u25cf Ž\n")
    sys.stdout.flush()
    assert raw.getvalue().decode("utf-8").endswith("\u25cf Ž\n")


def test_a_screen_replaces_what_it_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Screen()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    assert process.main(["--version"]) == 0
    sys.stdout.write("\u25cf Ž\n")
    sys.stdout.flush()
    assert raw.getvalue().decode("cp1252").endswith("? Ž\n")


def test_a_usage_error_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the real tree of commands."""
    assert process.main(["laod"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean 'load'" in said
    assert "dataops --help" in said
    assert process.main(["load", "nosuchgroup"]) == 2
    assert "there are campaigns, clv, curated, inventory" in capsys.readouterr().err
    assert process.main(["load", "sales", "--window", "2014-05-01"]) == 2
    assert process.main(["--version"]) == 0


def test_the_engines_report_to_nobody() -> None:
    """Soda sends what it did to its maker unless told not to before its import; offline that costs seconds."""
    script = (
        "import threading, dataops.gate.gx as gx, dataops.gate.soda as soda\ngx.load(), soda.load()\n"
        "from opentelemetry import trace\n"
        "print(type(trace.get_tracer_provider()).__name__, threading.active_count())"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SODA", "GX"))}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ProxyTracerProvider", "1"]
