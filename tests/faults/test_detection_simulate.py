"""Changed rules are tried on kept batches: what they would have blocked or released is said, nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from dataops.cli import simulation
from dataops.declared.errors import DeclarationError
from dataops.lab.simulate import Simulation, simulate
from dataops.ledger.workspace import Workspace
from tests.support.shop import PROJECT, load, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.faults

LINES = "expectations/raw/order_line.yml"
Tried = Callable[[str, str, str], Simulation]


@pytest.fixture(params=["duckdb", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """A warehouse with two kept batches, one line of the last is quarantined with its order."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    work, shop = workspace(tmp_path / "home", url), small_shop()
    stock(work, shop, "reference")
    shop.lines[0]["qty"] = 5000
    assert load(work, shop, "sales").publication
    return work


@pytest.fixture
def tried(kept: Workspace, tmp_path: Path) -> Tried:
    """Simulates with one file changed."""

    def run(file: str, old: str, new: str) -> Simulation:
        text = (PROJECT / file).read_text(encoding="utf-8")
        assert old in text
        target = tmp_path / "rules" / file
        target.parent.mkdir(parents=True)
        target.write_text(text.replace(old, new), encoding="utf-8")
        return simulate(kept, tmp_path / "rules", "sales")

    return run


def test_a_tightened_rule_would_block_the_batch(tried: Tried) -> None:
    """Every quantity above zero is too much: over the quota, and all money is held."""
    found = tried(LINES, '"max_value": 1000', '"max_value": 1')
    [trial] = found.trials
    assert (trial.before.verdict.name, trial.after.verdict.name) == ("PASSED", "FAILED")
    assert [(c.rule.id, c.how) for c in found.rules] == [("SAL-031", "tightened")]
    assert trial.after.held["sales_order.sub_total"] == trial.received["sales_order.sub_total"] == Decimal(120)
    text = "\n".join(simulation.lines(found, markdown=True))
    assert "### Would have blocked 1 of 1 batch (now 0)" in text
    assert "| PASSED -> FAILED |" in text
    assert "90.00 held" in text


def test_a_loosened_rule_would_release_the_rows(tried: Tried) -> None:
    found = tried(LINES, '"max_value": 1000', '"max_value": 9000')
    [trial] = found.trials
    assert found.changed
    assert [c.how for c in found.rules] == ["weakened"]
    assert trial.before.held["sales_order.sub_total"] == 30
    assert "SAL-031" in trial.differing


def test_a_checkpoint_that_allows_less_would_block(tried: Tried) -> None:
    found = tried("checkpoints/sales.yml", "rows: 50%", "rows: 0%")
    assert found.checkpoints == (
        "checkpoints/sales.yml: quota {'rows': 0.5, 'money': 0.9} -> {'rows': 0.0, 'money': 0.9}",
    )
    assert found.trials[0].after.blocked


def test_the_same_rules_change_nothing(kept: Workspace) -> None:
    """Of every group, and with nothing to tell."""
    found = simulate(kept, PROJECT)
    assert (len(found.trials), found.changed, found.rules, found.checkpoints) == (2, False, (), ())
    assert simulation.headline(found).startswith("Nothing changes.")


def test_nothing_is_written(kept: Workspace, tried: Tried) -> None:
    """Not a row and not a file: the ledger, quarantine and candidates stay as they were."""
    before = _everything(kept)
    tried(LINES, '"max_value": 1000', '"max_value": 1')
    assert _everything(kept) == before


def _everything(work: Workspace) -> str:
    """All tables' rows."""
    digest = hashlib.sha256()
    with work.warehouse.reading() as connection:
        tables = connection.exec_driver_sql(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN"
            " ('raw', 'candidate', 'quarantine', 'validated', 'curated', 'ops') ORDER BY 1, 2"
        ).fetchall()
        for schema, table in tables:
            rows = sorted(repr(tuple(r)) for r in connection.exec_driver_sql(f"SELECT * FROM {schema}.{table}"))
            digest.update(f"{schema}.{table} {rows}".encode())
    return digest.hexdigest()


def test_a_folder_without_declarations_is_named(kept: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="contracts/, expectations/, checkpoints/"):
        simulate(kept, tmp_path)
