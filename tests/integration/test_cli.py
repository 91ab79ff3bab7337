"""The command line as its user runs it: load, hold, publish, read, go back; the happy path on PostgreSQL too."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import jsonschema
import pytest

from dataops.cli import main

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = "generator:?scale=0.01&seed=7"
CANARY = "Canary-4711-secret"


@dataclass(frozen=True)
class Ran:
    """What a command returned and wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """The JSON document, checked against its schema."""
        content = json.loads(self.out)
        name = content["schema"].removeprefix("dataops.").partition("/")[0]
        jsonschema.validate(content, json.loads((PROJECT / "docs/reference/json" / f"{name}.json").read_text("utf-8")))
        return dict(content)


Cli = Callable[..., Ran]


def run(*arguments: str) -> Ran:
    """A command in this process, so that Great Expectations is imported once."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return Ran(code, out.getvalue(), err.getvalue())


def environment(home: Path) -> dict[str, str]:
    return {"DATAOPS_HOME": str(home), "DATAOPS_PROJECT": str(PROJECT), "DATAOPS_SOURCE_URL": SOURCE}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands on a warehouse with a published history, a held batch after it, and models."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATAOPS_WAREHOUSE_URL", raising=False)
        for name, value in environment(home).items():
            patch.setenv(name, value)
        yield run


@pytest.fixture(scope="module")
def first(cli: Cli) -> dict[str, Ran]:
    """The runs that everything else looks at, in order."""
    early = cli("load", "sales")
    runs = {group: cli("load", group) for group in ("reference", "sales", "inventory")}
    return {"early": early, **runs, "build": cli("build")}


@pytest.fixture(scope="module")
def held(cli: Cli, first: dict[str, Ran]) -> Ran:
    """A delivery of the same history in which prices are a hundred times too high."""
    assert first["build"].code == 0, first["build"]
    return cli("load", "sales", "--source", f"{SOURCE}&faults=price_x100")


def narrow(ran: Ran) -> bool:
    return all(len(line) <= 80 for line in (ran.out + ran.err).splitlines())


def test_sales_before_reference_could_not_be_judged(first: dict[str, Ran]) -> None:
    """Exit 3 and what to run first; nothing was published or rejected."""
    assert first["early"].code == 3
    assert "dataops load reference" in first["early"].err


def test_a_load_says_what_came_what_the_gate_said_and_what_was_published(first: dict[str, Ran]) -> None:
    """In at most 80 columns, on standard output."""
    for group in ("reference", "sales", "inventory"):
        ran = first[group]
        assert ran.code == 0, ran
        assert ran.out.splitlines()[0].startswith("load ")
        assert f"PUBLISHED  {group}-0001" in ran.out
        assert narrow(ran), ran.out
    assert "PUBLISHED  curated-0001" in first["build"].out


def test_a_held_batch_is_exit_1_with_the_rule_samples_and_the_next_command(held: Ran) -> None:
    """Nothing is published, and it says what still stands."""
    assert held.code == 1
    assert "HELD" in held.out
    assert "sales-0001 still stands" in held.out
    assert "e.g. sales_order_id" in held.out
    assert "dataops incidents show INC-0001" in held.err
    assert narrow(held), held.out


def test_status_tells_the_truth_about_a_held_group(cli: Cli, held: Ran) -> None:
    """Curated waits; the command itself has not failed, unless it was asked to check."""
    assert held.code == 1
    ran = cli("status")
    assert ran.code == 0
    sentence = "■ Sales is held; curated, campaigns, clv, kpis and stock wait for it. The rest is fresh."
    assert " ".join(ran.out.split()).startswith(sentence)
    assert narrow(ran), ran.out
    assert cli("status", "--check").code == 1
    document = cli("status", "--json").document
    assert document["healthy"] is False
    assert document["next"] == "dataops incidents show INC-0001"


def test_publishing_a_held_batch_is_refused(cli: Cli, held: Ran) -> None:
    """With exit 1, as the load itself."""
    assert held.code == 1
    ran = cli("publish", "sales")
    assert ran.code == 1
    assert "held" in ran.err


def test_records_are_found_by_number_prefix_and_latest(cli: Cli, held: Ran) -> None:
    """Every list and show also as a document that its schema describes."""
    assert held.code == 1
    for command in (
        "batches list", "batches list sales", "batches show latest", "batches show reference-w", "publications list",
        "publications show sales", "publications verify", "explain sales_order_header --key 43659",
        "incidents list --all", "incidents show 1", "incidents show latest",
        "quarantine list",
        "quarantine show sales_order_detail", "check", "doctor clock disk files warehouse source",
    ):  # fmt: skip
        words = command.split()
        shown = cli(*words)
        assert shown.code == 0, (command, shown)
        assert shown.out
        assert cli(*words, "--json").document["schema"]
    assert cli("incidents", "show", "99").code == 2
    assert cli("publications", "show", "nothing").code == 2


def test_a_waiver_is_asked_for_agreed_to_listed_and_ended(cli: Cli, held: Ran) -> None:
    """By two people; each step says what comes next, and a misuse what is wrong."""
    assert held.code == 1
    until = f"{datetime.now(tz=UTC) + timedelta(days=2):%Y-%m-%d}"
    asked = cli("publish", "sales", "--quota", "100%", "--reason", "price import", "--by", "anna")
    assert (asked.code, "waiting for approval" in asked.out) == (1, True)
    assert "dataops waivers approve WAI-0001" in asked.err
    assert cli("waivers", "approve", "1", "--by", "anna").code == 1
    agreed = cli("waivers", "approve", "1", "--by", "ben")
    assert (agreed.code, "in force" in agreed.out, "dataops gate sales --batch" in agreed.err) == (0, True, True)
    for words in (["list"], ["show", "latest"], ["list", "--all"]):
        assert cli("waivers", *words).code == 0
        assert cli("waivers", *words, "--json").document["schema"]
    ended = cli("waivers", "revoke", "1", "--json")
    assert ended.document["state"] == "revoked"
    assert "no waiver is in force" in cli("waivers", "list").err
    for wrong, says in ((["NO-000", "--until", until], "no rule"), (["SAL-001", "--until", "soon"], "neither a date")):
        ran = cli("waivers", "add", *wrong, "--reason", "x")
        assert (ran.code, says in ran.err) == (2, True), ran


def test_what_waits_is_replayed_discarded_and_exported(cli: Cli, held: Ran, tmp_path: Path) -> None:
    """Rows of a held batch wait for it; discarding asks first where there is a terminal, and else wants --yes."""
    assert held.code == 1
    assert cli("quarantine", "replay", "--dry-run").code == 0
    assert cli("quarantine", "replay", "sales", "--json").document["groups"][0]["publication"] is None
    words = ("quarantine", "discard", "sales_order_detail", "--batch", "no-such", "--reason", "x")
    assert "0 rows" in cli(*words).out
    assert cli("quarantine", "discard", "sales_order_detail", "--reason", "x").code == 2
    file = tmp_path / "rows.csv"
    assert cli("quarantine", "export", "sales_order_detail", "--to", str(file)).code == 0
    assert file.read_text(encoding="utf-8").startswith("batch,rules")


def test_quarantined_rows_come_as_csv_with_every_rule_they_broke(cli: Cli, held: Ran) -> None:
    """All columns; personal data only when asked for."""
    assert held.code == 1
    lines = cli("quarantine", "show", "sales_order_detail", "--csv").out.splitlines()
    assert lines[0].startswith("batch,rules,fell_with,problems,since,sales_order_id")
    assert len(lines) > 1
    assert "SAL-" in "".join(lines)


def test_a_query_reads_what_is_published_exactly(cli: Cli, first: dict[str, Ran]) -> None:
    """The same total in every format, now and as of the publication; never a float."""
    assert first["build"].code == 0
    sql = "select count(*) as n, sum(line_total) as total from fct_sales where 'a%' like 'a%'"
    header, row = cli("query", sql).out.splitlines()
    assert header == "n\ttotal"
    assert len(row.split("\t")[1].partition(".")[2]) == 6
    assert cli("query", sql, "--format", "csv").out.splitlines()[1] == row.replace("\t", ",")
    number, total = row.split("\t")
    assert cli("query", sql, "--format", "json").document["rows"] == [[int(number), total]]
    assert cli("query", sql, "--as-of", "curated-0001").out.splitlines()[1] == row
    before = cli("query", "select count(*) from fct_sales", "--as-of", "sales-0001")
    assert before.out.splitlines()[1] == "0"
    assert cli("query", "select nope from fct_sales").code == 2
    assert cli("query", sql, "--as-of", "curated-9").code == 2


def test_a_second_delivery_of_the_same_publishes_nothing_and_solves_the_incident(cli: Cli, held: Ran) -> None:
    """A re-run says so and ends with 0."""
    assert held.code == 1
    ran = cli("load", "sales")
    assert ran.code == 0
    said = " ".join(ran.out.split())
    assert said.endswith("nothing new: no row differs from sales-0001; nothing was published. INC-0001 solved.")
    again = cli("publish", "sales", "--json").document
    assert again["outcome"] == "already"
    assert "nothing new:" in cli("build").out
    assert cli("status").out.startswith("● Everything is published and fresh.")


def test_going_back_needs_a_yes_and_says_how_to_undo_it(cli: Cli, first: dict[str, Ran]) -> None:
    """Where nobody can be asked it changes nothing; to where one stands it publishes nothing."""
    assert first["build"].code == 0
    refused = cli("publications", "rollback", "curated", "--to", "curated-0001", "--reason", "a test")
    assert refused.code == 2
    assert "--yes" in refused.err
    same = cli("publications", "rollback", "curated", "--to", "1", "--reason", "a test", "--yes")
    assert same.code == 0
    assert "curated: curated-0001 -> as curated-0001 left it" in same.out
    assert "nothing new" in same.out


def test_an_unreachable_warehouse_is_named_without_its_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 for status and load, FAIL for doctor; the canary is nowhere."""
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", f"postgresql://dataops:{CANARY}@127.0.0.1:1/warehouse")
    for command in ("status", "status --check", "-vv load reference", "doctor warehouse", "query select+1"):
        ran = cli(*(word.replace("+", " ") for word in command.split()))
        assert ran.code == 3, (command, ran)
        assert "127.0.0.1:1" in ran.out + ran.err
        assert CANARY not in ran.out + ran.err
    home = Path(os.environ["DATAOPS_HOME"])
    assert not [f for f in home.rglob("*.log") if CANARY in f.read_text("utf-8")]


def test_a_wrong_password_says_which_setting_to_look_at(
    cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never what was tried."""
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", postgres_url.replace(":secret@", f":{CANARY}@"))
    ran = cli("status")
    assert ran.code == 3
    assert "DATAOPS_WAREHOUSE_URL" in ran.err
    assert CANARY not in ran.out + ran.err


def test_the_happy_path_on_postgresql(cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load, read, read as of: the same commands, the same words."""
    monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", postgres_url)
    assert cli("status").out.startswith("◔ Nothing has been published yet.")
    for command in ("load reference", "load sales"):
        ran = cli(*command.split())
        assert ran.code == 0, ran
        assert "PUBLISHED" in ran.out
    sql = "select count(*), sum(sub_total) from sales_order_header where 'a%' like 'a%'"
    assert cli("query", sql).out.splitlines()[1] == cli("query", sql, "--as-of", "sales").out.splitlines()[1]
    assert cli("query", "select nope from sales_order_header").code == 2
    assert cli("status", "--json").document["state"] == "waiting"


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["load", "--help"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str], tmp_path: Path) -> None:
    """The start of a command is felt by everyone, every time."""
    program = (
        "import sys; from dataops.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'great_expectations', 'soda_core', 'airflow', 'pandas'} & sys.modules.keys();"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_help_needs_no_project(tmp_path: Path) -> None:
    """And not even a library that reads declarations."""
    program = (
        "import sys; from dataops.cli import main; main(['--help']);"
        "sys.exit(sorted({'dataops.declared.catalog', 'sqlglot', 'pydantic', 'sqlalchemy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`dataops help words | head -1` ends quietly."""
    command = f"{sys.executable} -c 'from dataops.cli import main; import sys; sys.exit(main())' help words"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"], env=os.environ | environment(tmp_path),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["status", "quarantine list", "incidents list", "waivers list", "batches list"])
def test_who_only_looks_creates_no_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.delenv("DATAOPS_WAREHOUSE_URL", raising=False)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert run(*command.split()).code == 0
    assert not list(tmp_path.glob("*.duckdb*"))


def test_rules_are_suggested_with_yaml_to_paste(cli: Cli, first: dict[str, Ran]) -> None:
    """A sentence, a table, what is new, the places; JSON says the same, and a dataset that is not there is named."""
    assert first["reference"].code == 0
    ran = cli("suggest", "raw.business_entity_address")
    assert ran.code == 0, ran
    assert "rows of validated.business_entity_address suggest" in ran.out.splitlines()[0]
    assert "# To paste; nothing was changed." in ran.out
    document = cli("suggest", "raw.business_entity_address", "--new", "--json").document
    assert document["dataset"] == "raw.business_entity_address"
    assert all(rule["new"] for rule in document["rules"])  # type: ignore[attr-defined,index]
    assert cli("suggest", "raw.nothing").code == 2
