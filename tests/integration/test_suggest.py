"""Rules are suggested from what is published, tried on kept batches and on damage, and never applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dataops.declared import catalog as catalogs
from dataops.declared.errors import DataRejected
from dataops.declared.paths import Paths
from dataops.lab.documents import SuggestDocument
from dataops.lab.suggest import writing
from dataops.lab.suggest.run import Suggested, Suggestion, suggest
from dataops.ledger.workspace import Workspace
from tests.support.shop import Shop, customer, line, load, small_shop, state, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

LINES, CUSTOMERS = "raw.order_line", "raw.customer"


def shop_with_notes() -> Shop:
    """40 orders with two lines each; every line has a price and a note of its own."""
    shop = Shop(customers=[customer(n) for n in range(1, 41)])
    for number in range(1, 41):
        lines = [line(number, n, n, f"{number + n}.50") | {"note": f"A-{number:03}{n}"} for n in (1, 2)]
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


@pytest.fixture(params=["duckdb", "postgres"])
def moved(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """40 customers, of whom 35 were renamed since; nobody moved to another region."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    work, shop = workspace(tmp_path / "home", url), shop_with_notes()
    stock(work, shop, "reference")
    load(work, renamed(shop), "reference")
    return work


def renamed(shop: Shop) -> Shop:
    """The shop half a year later."""
    later = datetime(2014, 6, 2)
    for row in shop.customers[:35]:
        row |= {"name": f"{row['name']}s", "modified": later}
    return shop


def test_rules_about_change_follow_from_what_was_published_before(moved: Workspace) -> None:
    """What stayed while a row changed, and what only grew; each notices what no other rule can."""
    found = suggest(moved, CUSTOMERS)
    stays = _one(found, "region does not change once it is published")
    grows = _one(found, "modified does not go back")
    assert (stays.proposal.rows, grows.proposal.rows, stays.fired, grows.fired) == (35, 35, 0, 0)
    assert stays.new
    assert grows.new
    assert not [s for s in found.suggested if s.proposal.says.startswith("name does not")]


def test_a_rule_about_change_names_rows_that_differ_from_what_stands(moved: Workspace, tmp_path: Path) -> None:
    """The same data again change nothing; a customer who moved is named, a new one is not."""
    found = suggest(moved, CUSTOMERS)
    stays = _one(found, "region does not change once it is published")
    project = writing.laid(
        moved.settings.paths.project, tmp_path / "pasted", found.dataset, {stays.rule: stays.proposal}
    )
    work = Workspace(moved.settings, catalogs.load(Paths(project, moved.settings.paths.home)), moved.warehouse)
    work = replace(work, settings=replace(work.settings, paths=Paths(project, moved.settings.paths.home)))
    shop = renamed(shop_with_notes())
    shop.customers[0]["region"] = "FR"
    shop.customers.append(customer(41, region="FR"))
    verdict = load(work, shop, "reference").verdict
    result = next(r for r in verdict.results if r.rule.id == stays.rule)
    assert (result.outcome, result.failing) == ("warned", 1)
    assert result.sample[0]["customer_id"] == "1"
    again = next(r for r in load(work, shop, "reference").verdict.results if r.rule.id == stays.rule)
    assert again.outcome == "passed"


def test_of_a_handful_of_rows_nothing_is_suggested(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    stock(work, small_shop(), "reference", "sales")
    with pytest.raises(DataRejected, match="has 8 rows; of fewer than 30"):
        suggest(work, LINES)


def test_without_a_kept_batch_nothing_can_be_tried(kept: Workspace) -> None:
    with kept.warehouse.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM raw.order_line")
    with pytest.raises(DataRejected, match=r"raw keeps no whole batch of raw\.order_line"):
        suggest(kept, LINES)
