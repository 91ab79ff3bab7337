"""The ratchet: known failures are accepted once, never more of them, and an improvement is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataops.declared import catalog
from dataops.declared.errors import DeclarationError
from dataops.ledger.workspace import Workspace, open_workspace
from tests.support.shop import Shop, fetch, load, own_project, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration
RULE = "SAL-034"


@pytest.fixture(params=["duckdb", "postgres"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    own = own_project(tmp_path / "project")
    file = own / "expectations" / "raw" / "order_line.yml"
    file.write_text(file.read_text().replace(f"{{rule: {RULE}}}", f"{{rule: {RULE}, baseline: true}}"))
    plain = workspace(tmp_path / "home", url)
    return open_workspace(replace(plain.settings, paths=replace(plain.settings.paths, project=own)))


def _outcome(work: Workspace, shop: Shop, marked: int) -> str:
    for number, row in enumerate(shop.lines):
        row["note"] = "<b>" if number < marked else None
    return next(r.outcome for r in load(work, shop, "sales").verdict.results if r.rule.id == RULE)


def test_what_is_no_worse_than_accepted_passes_and_what_is_worse_is_told(work: Workspace) -> None:
    shop = small_shop()
    stock(work, shop, "reference")
    assert [_outcome(work, shop, marked) for marked in (4, 4, 3, 4)] == ["warned", "passed", "passed", "warned"]
    assert fetch(work, "SELECT share, checked FROM ops.baselines") == [(0.375, 8)]


def test_a_better_share_of_fewer_rows_tightens_nothing(work: Workspace) -> None:
    shop = small_shop()
    stock(work, shop, "reference")
    _outcome(work, shop, 4)
    shop.add_order(5, 1, 5, [])
    fewer = small_shop(orders=2)
    assert _outcome(work, fewer, 0) == "passed"
    assert fetch(work, "SELECT share FROM ops.baselines") == [(0.5,)]


def test_a_critical_rule_has_no_baseline(work: Workspace) -> None:
    file = work.settings.paths.expectations / "raw" / "order_line.yml"
    file.write_text(file.read_text().replace("{rule: SAL-031}", "{rule: SAL-031, baseline: true}"))
    with pytest.raises(DeclarationError, match=r"(?s)order_line\.yml.*a critical rule has no baseline"):
        catalog.load(work.settings.paths)
