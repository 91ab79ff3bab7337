"""Newest means newest: a delivery that is older than what stands undoes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataops.declared.errors import DeclarationError
from dataops.ledger.enums import VerdictName
from dataops.ledger.workspace import Workspace
from tests.conftest import PostgresServer
from tests.support.shop import fetch, load, own_project, small_shop, workspace

pytestmark = [pytest.mark.integration, pytest.mark.quick]
CONTRACT = "contracts/raw/customer.yml"


def declared(folder: Path, more: str) -> Path:
    """The small project, in which customers have versions."""
    project = own_project(folder)
    file = project / CONTRACT
    file.write_text(file.read_text("utf-8").replace("  owner:", f"{more}\n  owner:", 1), "utf-8")
    return project


def opened(tmp_path: Path, more: str, url: str | None = None) -> Workspace:
    return workspace(tmp_path / "home", url, declared(tmp_path / "project", more))


def versions(work: Workspace) -> dict[int, tuple[str, datetime | None]]:
    rows = fetch(work, "SELECT customer_id, region, modified FROM validated.customer")
    return {number: (region, modified) for number, region, modified in rows}


def changed(shop: Any, number: int, region: str, days: int | None) -> None:
    row = next(row for row in shop.customers if row["customer_id"] == number)
    row["region"], row["modified"] = region, None if days is None else datetime(2014, 1, 1) + timedelta(days=days)


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_a_row_that_goes_back_is_held_back_and_the_others_stand(
    kind: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Equal and newer versions pass; one without a version is older than any."""
    url = postgres.create_database("versions") if kind == "postgres" else None
    work, shop = opened(tmp_path, "  version: modified", url), small_shop(customers=5)
    load(work, shop, "reference")
    changed(shop, 1, "FR", 3)
    changed(shop, 2, "FR", 3)
    assert load(work, shop, "reference").publication.status == "published"
    changed(shop, 1, "GB", 1)
    changed(shop, 2, "IT", 3)
    changed(shop, 3, "IT", 4)
    changed(shop, 4, "IT", None)
    done = load(work, shop, "reference")
    [rule] = [result for result in done.verdict.results if result.rule.id == "VER-001:customer"]
    assert (rule.failing, done.verdict.rows_held) == (2, 2)
    found = {number: region for number, (region, _) in versions(work).items()}
    assert found == {1: "FR", 2: "IT", 3: "IT", 4: "DE", 5: "DE"}


def test_a_whole_delivery_of_yesterday_is_held(tmp_path: Path) -> None:
    """Which every other rule would pass."""
    work = opened(tmp_path, "  version: modified")
    for day, region in ((2, "FR"), (1, "GB")):
        shop = small_shop(customers=4)
        for number in range(1, 5):
            changed(shop, number, region, day)
        done = load(work, shop, "reference")
    assert done.publication is None
    assert done.verdict.name is VerdictName.FAILED
    assert {region for region, _ in versions(work).values()} == {"FR"}


@pytest.mark.parametrize(("backwards", "failing"), [("warn", [1]), ("allow", [])])
def test_who_says_so_lets_rows_go_back(tmp_path: Path, backwards: str, failing: list[int]) -> None:
    work, shop = opened(tmp_path, f"  version: modified\n  backwards: {backwards}"), small_shop()
    changed(shop, 1, "FR", 3)
    load(work, shop, "reference")
    changed(shop, 1, "GB", 1)
    done = load(work, shop, "reference")
    assert [r.failing for r in done.verdict.results if r.rule.id == "VER-001:customer"] == failing
    assert versions(work)[1] == ("GB", datetime(2014, 1, 2))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  version: changed", "columns that the contract does not list: changed"),
        ("  version: region", "version region is varchar; which is newer, numbers and times tell"),
        ("  backwards: warn", "say which column is the version"),
        ("  version: modified\n  backwards: maybe", "backwards"),
    ],
)
def test_a_version_that_tells_nothing_is_refused(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        opened(tmp_path, more)
