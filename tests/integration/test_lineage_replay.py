"""The ledger told to a lineage server by command: all of it, with the times of then, whatever the server does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dataops.cli import main
from tests.support import standard
from tests.support.lineage_day import Day, day
from tests.support.marquez import MarquezDouble, client

__all__ = ["day"]
pytestmark = [pytest.mark.integration, pytest.mark.quick, pytest.mark.xdist_group("lineage")]
KEY = "canary-5520"
Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """The command, in a copy of the project that has names of its own."""
    project = tmp_path / "named"
    shutil.copytree(day.work.settings.paths.project, project, dirs_exist_ok=True)
    (project / "lineage").mkdir()
    (project / "lineage/namespaces.yml").write_text(
        f"jobs: {day.name}\nsource: {{namespace: '{day.source}', database: Shop}}\nwarehouse: duckdb://{day.name}\n"
        "producer: https://shop.example/dataops\n",
        "utf-8",
    )
    monkeypatch.setenv("DATAOPS_HOME", str(day.work.settings.paths.home))
    monkeypatch.setenv("DATAOPS_PROJECT", str(project))
    for name in ("DATAOPS_LINEAGE_URL", "DATAOPS_LINEAGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    if day.work.warehouse.dialect != "duckdb":
        monkeypatch.setenv("DATAOPS_WAREHOUSE_URL", day.work.settings.warehouse_url)

    def run(*arguments: str, transport: str | None = None, **environ: str) -> tuple[int, str, str]:
        if transport:
            (project / "lineage/openlineage.yml").write_text(f"transport: {transport}\n", "utf-8")
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            code = main(["lineage", "replay", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_an_empty_server_knows_all_of_the_past_with_its_times(day: Day, ran: Ran) -> None:
    with MarquezDouble() as server:
        code, out, _ = ran(DATAOPS_LINEAGE_URL=server.url)
        told = len(day.told())
        assert (code, out.split(" of ")[0]) == (0, f"{told} events")
        runs = day.runs(server.url, "sales.gate.order_line")
        assert [run["state"] for run in runs] == ["FAILED", "COMPLETED"]
        with day.work.warehouse.reading() as connection:
            judged = connection.exec_driver_sql("SELECT MAX(judged_at) FROM ops.batches").scalar()
        assert runs[0]["endedAt"][:19] == judged.isoformat()[:19]
        assert server.refused == []


def test_one_batch_or_what_came_later_is_told_alone(day: Day, ran: Ran) -> None:
    with MarquezDouble() as server:
        with day.work.warehouse.reading() as connection:
            [held, judged] = connection.exec_driver_sql(
                "SELECT batch_id, judged_at FROM ops.batches ORDER BY seq DESC LIMIT 1"
            ).one()
        code, out, _ = ran("--run", held, DATAOPS_LINEAGE_URL=server.url)
        assert (code, [run["state"] for run in day.runs(server.url, "sales")]) == (0, ["FAILED"])
        again = ran("--since", judged.isoformat(timespec="microseconds"), DATAOPS_LINEAGE_URL=server.url)
        assert again[1].split(" of ")[0] == out.split(" of ")[0]
        late = (judged + timedelta(microseconds=1)).isoformat(timespec="microseconds")
        assert ran("--since", late, DATAOPS_LINEAGE_URL=server.url)[1].startswith("0 events")


def test_one_poisoned_event_is_said_and_all_others_are_told(day: Day, ran: Ran) -> None:
    with MarquezDouble() as server:
        server.script.extend([None, None, None, 422])
        code, out, _ = ran(DATAOPS_LINEAGE_URL=server.url)
        first, refused = out.splitlines()
        assert (code, first.split(" of ")[0]) == (3, f"{len(day.told()) - 1} events")
        assert refused.startswith("refused: ")
        assert refused.endswith("answers 422")


@pytest.mark.parametrize("answer", [500, 503, "drop", "hang", 429])
def test_a_server_that_stops_answering_is_said_with_where_to_go_on(day: Day, ran: Ran, answer: int | str) -> None:
    with MarquezDouble() as server:
        server.script.extend([*[None] * 20, answer])
        code, _, err = ran(transport=f"{{type: http, url: '{server.url}', timeout: 0.5}}")
        assert code == 3
        assert "20 events were told" in err
        assert "Traceback" not in err
        command = re.search(r"dataops lineage replay (--since \S+)", " ".join(err.split()))
        assert command
        assert ran(*command[1].split(), DATAOPS_LINEAGE_URL=server.url)[0] == 0
        kept = server.store.execute("SELECT DISTINCT body FROM events").fetchall()
        assert len(kept) == len(day.told())


def test_nobody_there_and_nothing_configured_are_two_errors(ran: Ran) -> None:
    assert ran()[0] == 2
    assert "set DATAOPS_LINEAGE_URL, or a transport in lineage/openlineage.yml" in " ".join(ran()[2].split())
    code, _, err = ran(DATAOPS_LINEAGE_URL="http://127.0.0.1:9")
    assert (code, "no answer: ConnectionError; 0 events" in err) == (3, True), err


def test_a_server_behind_a_key_gets_it_and_nobody_else_does(ran: Ran) -> None:
    with MarquezDouble(key=KEY) as server:
        code, out, err = ran(DATAOPS_LINEAGE_URL=server.url)
        assert (code, "it does not know us; see DATAOPS_LINEAGE_KEY" in " ".join(err.split())) == (3, True)
        wrong = ran(DATAOPS_LINEAGE_URL=server.url, DATAOPS_LINEAGE_KEY=f"{KEY}-wrong")
        right = ran(DATAOPS_LINEAGE_URL=server.url, DATAOPS_LINEAGE_KEY=KEY)
        file = ran(transport=f"{{type: http, url: '{server.url}'}}", DATAOPS_LINEAGE_KEY=KEY)
        assert (wrong[0], right[0], file[0]) == (3, 0, 0)
        assert KEY not in "".join([out, err, *wrong[1:], *right[1:], *file[1:]])


def test_any_transport_of_the_standard_will_do(day: Day, ran: Ran, tmp_path: Path) -> None:
    file = tmp_path / "lineage.ndjson"
    code, out, _ = ran(transport=f"{{type: file, log_file_path: {file}, append: true}}")
    assert (code, out.endswith("told to file\n")) == (0, True)
    events = [json.loads(row) for row in file.read_text("utf-8").splitlines()]
    assert events == day.told()  # in the order in which it happened
    assert [problem for event in events for problem in standard.problems(event)] == []


@pytest.mark.parametrize(
    ("transport", "says"),
    [
        ("{type: htpp, url: 'http://127.0.0.1:9'}", "lineage/openlineage.yml: "),
        ("{type: http}", "lineage/openlineage.yml: `url` key not passed"),
        ("{type: http, url: nonsense}", "lineage/openlineage.yml: Need valid url"),
        ("null\ntransports: null", "transports"),
    ],
)
def test_a_transport_that_means_nothing_is_refused(ran: Ran, transport: str, says: str) -> None:
    code, _, err = ran(transport=transport)
    assert (code, says in err) == (2, True), err


def test_the_client_fails_for_what_is_no_answer() -> None:
    with MarquezDouble() as server, pytest.raises(AssertionError):
        client.get(server.url, "namespaces/nobody")
