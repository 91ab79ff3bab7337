"""Each way in which the engines pass on nothing (ENGINES.md): here it is FAILED, ERROR or a DeclarationError."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataops.declared.errors import DataopsError, DataRejected, DeclarationError, VerdictError
from dataops.gate import gate, gx, soda
from dataops.gate.verdict import RuleResult
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from tests.support.shop import Shop, fetch, land, load, own_project, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

LINES = "expectations/raw/order_line.yml"
ORDERS = "expectations/raw/sales_order.yml"
CONTRACT = "contracts/raw/order_line.yml"
Edit = Callable[[str], str]


@pytest.fixture(params=["duckdb", "postgres"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Workspace]:
    """Opens a workspace over declarations that the test may have changed before."""
    folder = own_project(tmp_path / "project")
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None

    def opened() -> Workspace:
        return workspace(tmp_path / "home", url, folder)

    opened.folder = folder  # type: ignore[attr-defined]
    return opened


@pytest.fixture
def duck(tmp_path: Path) -> Callable[[], Workspace]:
    """As `project`, where the warehouse does not matter."""
    folder = own_project(tmp_path / "project")

    def opened() -> Workspace:
        return workspace(tmp_path / "home", None, folder)

    opened.folder = folder  # type: ignore[attr-defined]
    return opened


def edit(project: Any, file: str, old: str, new: str) -> None:
    path = project.folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def published(work: Workspace) -> int:
    return int(fetch(work, "SELECT COUNT(*) FROM ops.publications WHERE group_name = 'sales'")[0][0])


def refused(opened: Callable[[], Workspace], kind: type[DataopsError], *said: str) -> None:
    """Loading raises, says what is wrong and publishes nothing."""
    shop = small_shop()
    with pytest.raises(kind) as caught:  # noqa: PT012  where it is noticed depends on the mistake
        work = opened()
        stock(work, shop, "reference", "sales")
    for part in said:
        assert part in str(caught.value), str(caught.value)


BAD_SUITES = {
    "misspelt type": (
        "type: expect_column_values_to_be_between",
        "type: expect_column_values_to_be_beetween",
        ["rule SAL-031", "expect_column_values_to_be_beetween"],
    ),
    "bad severity": ("severity: critical", "severity: fatal", ["line 5", "rule SAL-031", "severity", "critical"]),
    "unknown argument": ('"min_value": 1,', '"minimum": 1,', ["rule SAL-031", "minimum"]),
    "bound missing": ('"min_value": 1, "max_value": 1000', '"strict_min": true', ["rule SAL-031", "min_value"]),
    "unknown key": ("description:", "descripton:", ["line 6", "SAL-031", "descripton", 'did you mean "description"']),
    "unknown column": (
        '"column": "qty"',
        '"column": "quantity"',
        ["rule SAL-031", "no column 'quantity' in order_line"],
    ),
    "unknown table": ("FROM {batch} b WHERE", "FROM {bach} b WHERE", ["rule SAL-033", "bach"]),
    "no batch in it": ("FROM {batch} b WHERE", "FROM {order_line} b WHERE", ["rule SAL-033", "{batch}"]),
    "another column": ("SELECT b._row FROM", "SELECT b.qty FROM", ["rule SAL-033", "_row"]),
    "no rows asked": ("SELECT b._row FROM {batch} b WHERE", "DELETE FROM {batch} b WHERE", ["rule SAL-033", "SELECT"]),
}


@pytest.mark.parametrize("case", BAD_SUITES)
def test_a_mistake_in_a_suite_is_a_declaration_error(duck: Any, case: str) -> None:
    """GX logs and drops what it does not understand; here the file, the rule and the word are named."""
    old, new, said = BAD_SUITES[case]
    edit(duck, LINES, old, new)
    refused(duck, DeclarationError, LINES, *said)


BAD_CONTRACTS = {
    "checks misspelt": ("\nchecks:", "\ncheks:", ["line 36", '"cheks"', 'did you mean "checks"?']),
    "checks empty": ("\nchecks:\n  - schema:", "\nchecks: []\nx:\n  - schema:", ["checks"]),
    "threshold misplaced": (
        "      threshold: {must_be_greater_than: 0}",
        "      metric: percent",
        ["SAL-013", '"metric"'],
    ),
    "threshold without a bound": ("{must_be_greater_than: 0}", "{metric: percent}", ["SAL-013", "threshold"]),
    "check type misspelt": ("  - row_count:", "  - rowcount:", ['"rowcount"', 'did you mean "row_count"?']),
    "row count removed": ("  - row_count:\n      name: rows arrived", "  - schema:\n      name: again", ["row_count"]),
    "duplicate over other columns": ("columns: [order_id, line_id]", "columns: [note]", ["duplicate", "key"]),
    "duplicate that only warns": (
        "attributes: {rule: SAL-014, severity: critical",
        "attributes: {rule: SAL-014, severity: warning",
        ["duplicate", "critical"],
    ),
    "key that may be missing": (
        "attributes: {rule: SAL-016, severity: critical",
        "attributes: {rule: SAL-016, severity: warning",
        ["line_id", "missing"],
    ),
}


@pytest.mark.parametrize("case", BAD_CONTRACTS)
def test_a_mistake_in_a_contract_is_a_declaration_error(duck: Any, case: str) -> None:
    """Soda ignores unknown keys and calls a contract without checks ok."""
    old, new, said = BAD_CONTRACTS[case]
    edit(duck, CONTRACT, old, new)
    refused(duck, DeclarationError, CONTRACT, *said)


def test_an_empty_suite_is_a_declaration_error(duck: Any) -> None:
    (duck.folder / LINES).write_text("suite: raw.order_line\nexpectations: []\n", encoding="utf-8")
    refused(duck, DeclarationError, LINES, "expectations")


def test_a_dataset_without_a_suite_is_a_declaration_error(duck: Any) -> None:
    (duck.folder / LINES).unlink()
    refused(duck, DeclarationError, CONTRACT, LINES)


def test_a_file_that_nobody_would_read_is_a_declaration_error(duck: Any) -> None:
    """Declarations are found by their place and name: `order_line.yaml` would be no dataset and raise no question."""
    path = duck.folder / CONTRACT
    path.rename(path.with_suffix(".yaml"))
    refused(duck, DeclarationError, "contracts/raw/order_line.yaml", ".yml")


def test_a_delivery_without_rows_is_failed(project: Any) -> None:
    """A value check on no rows succeeds, so does an empty table in Soda; the row count does not."""
    work = project()
    stock(work, small_shop(), "reference")
    done = load(work, Shop(), "sales")
    assert (done.verdict.name, done.publication, published(work)) == ("FAILED", None, 0)
    assert [reason.split(" ")[0] for reason in done.verdict.reasons] == ["SAL-003", "SAL-013"]


def answered(
    monkeypatch: pytest.MonkeyPatch, engine: Any, change: Callable[[list[RuleResult]], list[RuleResult]]
) -> None:
    """Lets an engine answer otherwise than it did."""
    original = engine.audit
    monkeypatch.setattr(engine, "audit", lambda *args, **kwargs: change(list(original(*args, **kwargs))))


def changed(rule: str, **values: Any) -> Callable[[list[RuleResult]], list[RuleResult]]:
    return lambda results: [replace(r, **values) if r.rule.id == rule else r for r in results]


def without(rule: str) -> Callable[[list[RuleResult]], list[RuleResult]]:
    return lambda results: [r for r in results if r.rule.id != rule]


LIES = {
    "an expectation was lost": (gx, without("SAL-031"), "SAL-031 could not be judged: gx has not judged it"),
    "a check was lost": (soda, without("SAL-014"), "SAL-014 could not be judged: soda has not judged it"),
    "gx says nothing at all": (gx, lambda _: [], "SAL-021 could not be judged: gx has not judged it"),
    "soda says nothing at all": (soda, lambda _: [], "could not be judged: soda has not judged it"),
    "gx saw fewer rows": (gx, changed("SAL-031", checked=7), "gx saw 7 rows of order_line, 8 arrived"),
    "soda saw fewer rows": (soda, changed("SAL-013", checked=0), "soda saw 0 rows of order_line, 8 arrived"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_says_less_than_was_asked_makes_the_verdict_error(
    project: Any, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every declared rule has an outcome on every row that arrived, or nothing is published."""
    engine, change, said = LIES[lie]
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    answered(monkeypatch, engine, change)
    done = load(work, shop, "sales")
    assert (done.verdict.name, done.publication, published(work)) == ("ERROR", None, 0)
    assert any(said in reason for reason in done.verdict.reasons), done.verdict.reasons
    assert "could not judge" in fetch(work, "SELECT sentence FROM ops.incidents")[0][0]


def test_counts_that_differ_from_gx_s_make_the_verdict_error(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that are held are those that GX counted, no more and no fewer."""
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    shop.lines[0]["qty"] = 5000
    answered(monkeypatch, gx, changed("SAL-031", failing=2))
    done = load(work, shop, "sales")
    assert (done.verdict.name, published(work)) == ("ERROR", 0)
    assert done.verdict.reasons == ("SAL-031 could not be judged: gx counts 2 failing rows, the platform 1",)


def test_soda_s_not_evaluated_is_an_error(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soda calls a contract with such a check ok."""
    from soda_core.contracts.contract_verification import CheckOutcome, ContractVerificationSession  # noqa: TID251

    original = ContractVerificationSession.execute

    def execute(*args: Any, **kwargs: Any) -> Any:
        session = original(*args, **kwargs)
        for contract in session.contract_verification_results:
            for result in contract.check_results:
                if result.check.attributes["rule"] == "SAL-014":
                    result.outcome = CheckOutcome.NOT_EVALUATED
        return session

    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    monkeypatch.setattr(ContractVerificationSession, "execute", execute)
    done = load(work, shop, "sales")
    assert (done.verdict.name, published(work)) == ("ERROR", 0)
    assert done.verdict.reasons == ("SAL-014 could not be judged: Soda did not evaluate this check (NOT_EVALUATED).",)


def spoilt(monkeypatch: pytest.MonkeyPatch, engine: Any, work: Workspace, *statements: str) -> None:
    """Something happens to the batch between the gate's opening and the engine's look at it."""
    original = engine.audit

    def audit(*args: Any, **kwargs: Any) -> Any:
        with work.warehouse.transaction() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        return original(*args, **kwargs)

    monkeypatch.setattr(engine, "audit", audit)


@pytest.mark.parametrize("engine", [soda, gx], ids=["soda", "gx"])
@pytest.mark.parametrize("missing", ["table", "column", "rows"])
def test_what_is_missing_at_the_gate_is_never_passed(
    project: Any, engine: Any, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table or column that is not there, and rows that are not there any more."""
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    columns = "order_id, line_id, price, amount, note, _row, _problems" + (", qty" if missing == "rows" else "")
    again = f"CREATE VIEW candidate.order_line AS SELECT {columns} FROM raw.order_line WHERE _batch = 2 AND _row < 3"
    drop = "DROP VIEW candidate.order_line"
    spoilt(monkeypatch, engine, work, drop, *([] if missing == "table" else [again]))
    batch = land(work, shop, "sales")
    try:
        verdict = jobs.run_gate(work, "sales", batch)
    except VerdictError as error:
        assert re.search(r"could not judge sales-whole.*nothing was published", str(error), re.DOTALL)  # noqa: PT017
    else:
        assert verdict.name in {"ERROR", "FAILED"}
        assert "order_line" in " ".join(verdict.reasons) or "SAL-0" in verdict.reasons[0]
    with pytest.raises(DataRejected, match=r"held|not been judged"):
        jobs.publish(work, "sales", batch)
    assert published(work) == 0


def test_a_landed_table_that_is_gone_is_an_error_with_a_next_step(project: Any) -> None:
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    batch = land(work, shop, "sales")
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql("DROP VIEW candidate.order_line")
        connection.exec_driver_sql("DROP TABLE raw.order_line")
    with pytest.raises(VerdictError, match=rf"(?s)could not judge {batch}.*order_line.*run again"):
        jobs.run_gate(work, "sales", batch)


@pytest.mark.parametrize("engine", [soda, gx], ids=["soda", "gx"])
def test_an_engine_that_breaks_off_gives_no_verdict(project: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def audit(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the server closed the connection\nsecret detail")

    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    monkeypatch.setattr(engine, "audit", audit)
    with pytest.raises(VerdictError, match="ERROR: nothing was published or rejected") as caught:
        load(work, shop, "sales")
    assert "the server closed the connection" in str(caught.value)
    assert "secret detail" not in str(caught.value)
    assert "dataops gate sales --batch sales-whole" in str(caught.value)
    assert published(work) == 0


def test_a_rule_judged_under_other_rules_is_not_judged(project: Any) -> None:
    """One engine's audit, then a declaration changes, then the other engine's: their answers do not belong together."""
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    batch = land(work, shop, "sales")
    with work.warehouse.lock("sales", "test"):
        gate.audit(work, batch, "soda")
    edit(project, LINES, '"max_value": 1000', '"max_value": 999')
    work = project()
    with work.warehouse.lock("sales", "test"):
        gate.audit(work, batch, "gx")
        verdict = gate.judge(work, batch)
    assert verdict.name == "ERROR"
    assert "SAL-001 could not be judged: it was judged under other rules; run the gate again" in verdict.reasons


def test_a_rule_that_changed_after_the_verdict_stops_the_publication(project: Any) -> None:
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    batch = land(work, shop, "sales")
    assert jobs.run_gate(work, "sales", batch).passed
    edit(project, ORDERS, '"min_value": 0', '"min_value": 1')
    with pytest.raises(VerdictError, match="rules of sales changed after sales-whole was judged"):
        jobs.publish(work, "sales", batch)
    assert published(work) == 0


def test_a_batch_that_was_not_judged_is_not_published(project: Any) -> None:
    work, shop = project(), small_shop()
    stock(work, shop, "reference")
    batch = land(work, shop, "sales")
    with pytest.raises(DataRejected, match=f"batch {batch} has not been judged; run: dataops gate sales"):
        jobs.publish(work, "sales", batch)
    with work.warehouse.lock("sales", "test"):
        gate.audit(work, batch, "gx")
        assert gate.judge(work, batch).name == "ERROR"
    with pytest.raises(DataRejected, match="verdict ERROR"):
        jobs.publish(work, "sales", batch)
