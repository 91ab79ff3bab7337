"""F08: a ledger's migration is all or nothing, and an older release leaves a newer ledger alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import Connection

from dataops.ledger import tables as ledger
from tests.support.crash import kill_at, run
from tests.support.oracle import STEPS, Place, Stages, standing, take
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
VERSION = "SELECT value FROM ops.settings WHERE name = 'version'"
NOTED = (
    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'ops' AND table_name IN ('first', 'second')"
)


def _in_a_newer_release(place: Place, step: str) -> Any:
    """As if this release knew two more versions of the ledger."""
    known = ledger.VERSION
    ledger.VERSION = known + 2
    ledger.MIGRATIONS = {known: _add("first"), known + 1: _add("second")}
    return take(place, step)


def _add(table: str) -> Any:
    def migrate(connection: Connection) -> None:
        connection.exec_driver_sql(f"CREATE TABLE ops.{table} AS SELECT 1 AS one")

    return migrate


def test_a_migration_killed_half_way_has_not_happened_and_the_next_run_does_it(stages: Stages) -> None:
    place = stages.before("publish days")
    kill_at("ledger_migrated", _in_a_newer_release, place, "publish days")
    assert (fetch(place.open(), VERSION), fetch(place.open(), NOTED)) == ([(str(ledger.VERSION),)], [(0,)])
    assert standing(place) == stages["publish days"].previous
    assert run(_in_a_newer_release, place, "publish days").done == "published"
    assert (fetch(place.open(), VERSION), fetch(place.open(), NOTED)) == ([(str(ledger.VERSION + 2),)], [(2,)])


def test_an_older_release_refuses_a_newer_ledger_and_changes_nothing(stages: Stages) -> None:
    place = stages.before("publish days")
    with place.open().warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE ops.settings SET value = '99' WHERE name = 'version'")
    before = standing(place)
    for step in ("extract days", "gate days", "publish days", "build", "roll back"):
        assert step in STEPS
        found = run(take, place, step)
        assert found.raised[0] == "PlatformError", (step, found)
        assert f"ledger is of version 99; this release knows up to {ledger.VERSION}" in found.text
        assert "upgrade dataops" in found.text
    assert standing(place) == before


def test_a_ledger_of_the_first_version_is_brought_up_and_keeps_what_it_says(stages: Stages) -> None:
    place = stages.before("roll back")
    with place.open().warehouse.transaction() as connection:
        for table in ("waivers", "incident_events", "metrics", "baselines", "announcements", "pickups", "rehearsals"):
            connection.exec_driver_sql(f"DROP TABLE ops.{table}")
        for table, column in (("incidents", "assignee"), ("publications", "waivers"), ("batches", "waivers")):
            connection.exec_driver_sql(f"ALTER TABLE ops.{table} DROP COLUMN {column}")
        connection.exec_driver_sql("DROP TABLE ops.numbers")
        for table in ledger.COUNTED if place.url else ():
            connection.exec_driver_sql(f"DROP SEQUENCE ops.{table.name}_number")
        connection.exec_driver_sql("UPDATE ops.settings SET value = '1' WHERE name = 'version'")
    assert run(take, place, "roll back").done == "published"
    assert _rows(standing(place)) == _rows(stages["roll back"].next)
    assert fetch(place.open(), VERSION) == [(str(ledger.VERSION),)]
    assert fetch(place.open(), "SELECT COUNT(*) FROM ops.waivers") == [(0,)]


def _rows(state: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in state.items() if name.startswith(("validated", "curated", "quarantine"))}
