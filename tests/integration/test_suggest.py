"""Rules are suggested from what is published, tried on kept batches and on damage, and never applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dataops.declared.errors import DataRejected
from dataops.lab.documents import SuggestDocument
from dataops.lab.suggest import writing
from dataops.lab.suggest.run import Suggested, Suggestion, suggest
from dataops.ledger.workspace import Workspace
from tests.support.shop import Shop, customer, line, load, small_shop, state, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

LINES = "raw.order_line"


def shop_with_notes() -> Shop:
    """40 orders with two lines each; every line has a note `A-0101`."""
    shop = Shop(customers=[customer(n) for n in range(1, 41)])
    for number in range(1, 41):
        lines = [line(number, n, qty=n) | {"note": f"A-{number:03}{n}"} for n in (1, 2)]
        shop.add_order(number, number, 1 + number % 28, lines)
    return shop


@pytest.fixture(params=["duckdb", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """Two kept batches; of the second a line is quarantined whose note has another form."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    work, shop = workspace(tmp_path / "home", url), shop_with_notes()
    stock(work, shop, "reference", "sales")
    shop.lines[0] |= {"qty": 5000, "note": "by hand"}
    assert load(work, shop, "sales").publication
    return work


def _one(found: Suggestion, says: str) -> Suggested:
    return next(s for s in found.suggested if s.proposal.says == says)


def test_what_is_true_is_suggested_with_what_it_is_worth(kept: Workspace) -> None:
    """On both warehouses: its form, its history, the damage that nothing else notices; and nothing is written."""
    before = state(kept)
    found = suggest(kept, LINES)
    form = _one(found, "note has its usual form")
    assert form.proposal.detail == {"column": "note", "regex": r"^A\-[0-9]{4}$"}
    assert (found.batches, form.fired, form.rows_fired) == (2, 1, 1)
    assert form.new["bad format order_line.note"] > 0
    assert [s.rule for s in found.suggested][:2] == ["SAL-035", "SAL-036"]
    assert _one(found, "qty is present").fired == 0
    assert not [s for s in found.suggested if s.proposal.rows and s.proposal.type == "schema"]
    assert state(kept) == before


def test_rules_that_are_there_are_not_suggested_again(kept: Workspace) -> None:
    """Neither what is declared in other words, nor what one of the suggested says as well."""
    says = {s.proposal.says for s in suggest(kept, LINES).suggested}
    assert not says & {"qty is at least 1", "price is not negative", "amount is qty times price"}
    assert not {s for s in says if s.startswith("order id") and "unique" in s}


def test_what_is_printed_can_be_pasted(kept: Workspace, tmp_path: Path) -> None:
    """The printed YAML is what is laid over a project, which the gate judges with the new rules in it."""
    found = suggest(kept, LINES)
    numbered = {s.rule: s.proposal for s in found.suggested}
    printed = YAML(typ="safe").load("\n".join(_items(SuggestDocument.of(found).yaml)))
    assert sorted(map(_rule, printed)) == list(numbered)
    project = writing.laid(kept.settings.paths.project, tmp_path / "pasted", found.dataset, numbered)
    changed = workspace(tmp_path / "other", project=project)
    load(changed, shop_with_notes(), "reference")
    verdict = load(changed, shop_with_notes(), "sales").verdict
    results = {r.rule.id: r.outcome for r in verdict.results}
    assert {results[rule] for rule in numbered} == {"passed"}


def _items(yaml: str) -> list[str]:
    """Lists of all places one after the other."""
    return [text for text in yaml.splitlines() if text and not text.startswith("#")]


def _rule(item: dict[str, dict[str, dict[str, str]]]) -> str:
    return item["meta"]["rule"] if "meta" in item else next(iter(item.values()))["attributes"]["rule"]  # type: ignore[return-value]


def test_of_a_handful_of_rows_nothing_is_suggested(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    stock(work, small_shop(), "reference", "sales")
    with pytest.raises(DataRejected, match="has 8 rows; of fewer than 30"):
        suggest(work, LINES)


def test_without_a_kept_batch_nothing_can_be_tried(kept: Workspace) -> None:
    with kept.warehouse.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM raw.order_line")
    with pytest.raises(DataRejected, match="raw keeps no whole batch of sales"):
        suggest(kept, LINES)
