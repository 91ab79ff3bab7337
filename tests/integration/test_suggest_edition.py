"""Half of the rules of real orders are taken away: what they noticed is suggested again, and nothing that is untrue.

A rule counts as suggested again when, for every corruption that it notices, the suggested rules about the same columns
name all rows that it names. That is measured with the rule and the suggestions side by side on the same damage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dataops.declared import catalog as catalogs
from dataops.declared.catalog import Dataset, Rule
from dataops.declared.paths import Paths
from dataops.gate import gate
from dataops.gate.verdict import RuleResult
from dataops.lab import simulate
from dataops.lab.corruptions.bed import Bed
from dataops.lab.project_copy import copy_declarations
from dataops.lab.suggest import writing
from dataops.lab.suggest.damage import Noticed, notice
from dataops.lab.suggest.run import Suggestion, speaks_of, suggest
from dataops.ledger.enums import Outcome
from dataops.ledger.workspace import Workspace
from tests.support.agreement import Outcomes

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("edition"), pytest.mark.timeout(1200)]

ORDERS = "raw.sales_order_header"


def removable(dataset: Dataset) -> list[str]:
    """Its declared rules, without those that no contract may lack: key, number of rows, what it follows."""
    platform = dataset.contract.platform
    demanded = {
        rule.id
        for rule in dataset.rules
        if rule.type == "row_count"
        or (rule.type == "duplicate" and set(rule.columns) == set(dataset.key))
        or (rule.type == "missing" and set(rule.columns) <= set(dataset.key))
    }
    demanded |= {link.rule.id for link in dataset.links if link.to == platform.follows}
    own = [rule.id for rule in dataset.rules if rule.engine != "platform" or rule.type == "reference"]
    return sorted(set(own) - demanded)


def without(work: Workspace, dataset: Dataset, rules: set[str], folder: Path) -> Workspace:
    """The same warehouse under declarations that lack these rules of the dataset."""
    project = copy_declarations(work.settings.paths.project, folder)
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4000, True
    for file in (dataset.contract_file, dataset.suite_file):
        content = yaml.load((project / file).read_text("utf-8"))
        _strip(content, rules)
        with (project / file).open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
    paths = Paths(project, work.settings.paths.home)
    return Workspace(replace(work.settings, paths=paths), catalogs.load(paths), work.warehouse)


def _strip(node: Any, rules: set[str]) -> None:
    """Takes items with these ids out of lists and out of the references."""
    if isinstance(node, dict):
        for key in [k for k, v in node.items() if isinstance(v, dict) and v.get("rule") in rules]:
            del node[key]
        for key, value in list(node.items()):
            _strip(value, rules)
            if key == "checks" and not value:
                del node[key]
    elif isinstance(node, list):
        node[:] = [item for item in node if not (_ids(item) & rules)]
        for item in node:
            _strip(item, rules)


def _ids(item: Any) -> set[str]:
    """Ids of an item that is a check or an expectation; a column has its in a list."""
    if not isinstance(item, dict):
        return set()
    holders = [item.get("meta"), *(v.get("attributes") for v in item.values() if isinstance(v, dict))]
    return {holder["rule"] for holder in holders if isinstance(holder, dict) and "rule" in holder}


@dataclass(frozen=True)
class Half:
    """What was suggested without some rules, and all damage with what these and the suggested ones notice of it."""

    dataset: Dataset
    gone: set[str]
    suggestion: Suggestion
    noticed: Noticed
    clean: dict[str, RuleResult]

    def comes_back(self, rule: Rule) -> bool:
        """Whether suggested rules about its columns name all that it names, whatever the damage."""
        if rule.type == "reference":
            target = next(link.to for link in self.dataset.links if link.rule.id == rule.id)
            same = [s.proposal for s in self.suggestion.suggested if s.proposal.columns == rule.columns]
            return target in [p.detail.get("to") for p in same]
        if not self.noticed.of_declared(rule.id):
            return rule.type in {s.proposal.type for s in self.suggestion.suggested}
        near = [s.rule for s in self.suggestion.suggested if set(s.proposal.columns) & speaks_of(self.dataset, rule)]
        return all(
            named <= frozenset().union(*(self.noticed.by_rule.get(r, {}).get(damage, frozenset()) for r in near))
            for damage, named in self.noticed.of_declared(rule.id).items()
        )


@pytest.fixture(scope="module", params=[0, 1], ids=["every second rule", "the others"])
def half(request: pytest.FixtureRequest, outcomes: Outcomes, tmp_path_factory: pytest.TempPathFactory) -> Half:
    """Suggestions without half of the rules, on a bed that knows the taken ones by their conditions."""
    work, folder = outcomes["duckdb"].work, tmp_path_factory.mktemp("half")
    orders = work.catalog.dataset(ORDERS)
    gone = set(removable(orders)[request.param :: 2])
    less = without(work, orders, gone, folder / "less")
    found = suggest(less, ORDERS)
    copy = simulate.copied(work, folder / "home")
    [batch] = simulate.kept_batches(work.catalog, copy, orders.group, 1)
    taken = {r.rule.id: r for r in gate.run(copy, batch).results if r.rule.id in gone}
    numbered = {s.rule: s.proposal for s in found.suggested}
    project = writing.laid(less.settings.paths.project, folder / "more", less.catalog.dataset(ORDERS), numbered)
    paths = Paths(project, folder / "home")
    more = replace(copy, settings=replace(copy.settings, paths=paths), catalog=catalogs.load(paths))
    bed = Bed(more, more.catalog.group(orders.group))
    clean = {rule: bed.clean_results[rule] for rule in numbered}
    bed.clean_results |= taken
    bed.clean |= bed.named(taken.values())
    return Half(orders, gone, found, notice(bed, more.catalog.dataset(ORDERS), numbered), clean)


def test_most_rules_are_suggested_again(half: Half) -> None:
    """Four of five; those that clean orders break cannot be."""
    rules = [rule for rule in half.dataset.rules if rule.id in half.gone]
    back = {rule.id for rule in rules if half.comes_back(rule)}
    assert len(back) >= 0.8 * len(rules), sorted(half.gone - back)


def test_nothing_that_is_suggested_fires_on_clean_orders(half: Half) -> None:
    """Neither on the batch that was delivered, nor, judged again, on the same rows."""
    assert len(half.suggestion.suggested) > len(half.gone)
    assert [s.rule for s in half.suggestion.suggested if s.fired] == []
    assert {r.outcome for r in half.clean.values()} == {Outcome.PASSED}


def test_changed_rules_of_the_real_project_can_be_tried(outcomes: Outcomes, tmp_path: Path) -> None:
    """Its declarations of metrics come along."""
    work = outcomes["duckdb"].work
    (tmp_path / "checkpoints").mkdir()
    text = (work.settings.paths.checkpoints / "inventory.yml").read_text("utf-8")
    (tmp_path / "checkpoints/inventory.yml").write_text(text, encoding="utf-8")
    found = simulate.simulate(work, tmp_path, "inventory")
    assert (len(found.trials), found.changed) == (1, False)
