"""F08: a ledger's migration is all or nothing, and an older release leaves a newer ledger alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataops.ledger import migrating, schema
from dataops.pipeline import verification
from tests.support.crash import kill_at, run
from tests.support.oracle import STEPS, Place, Stages, standing, take, take_back
from tests.support.shop import fetch

pytestmark = pytest.mark.faults
VERSION = "SELECT version_num FROM ops.alembic_version"
NOTED = (
    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'ops' AND table_name IN ('first', 'second')"
)
REVISION = """
from alembic import op
revision, down_revision = "{number}", "{before}"
def upgrade():
    op.execute("CREATE TABLE ops.{table} AS SELECT 1 AS one")
"""


def _in_a_newer_release(place: Place, step: str, folder: Path) -> Any:
    """As if this release knew two more versions of the ledger."""
    schema.VERSION += 2
    migrating.LOCATIONS.append(folder)
    return take(place, step)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Two more migrations."""
    for more, table in enumerate(("first", "second"), 1):
        number = schema.VERSION + more
        text = REVISION.format(number=number, before=number - 1, table=table)
        (tmp_path / f"v{number}_{table}.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_migration_killed_half_way_has_not_happened_and_the_next_run_does_it(stages: Stages, newer: Path) -> None:
    place = stages.before("publish days")
    kill_at("ledger_migrated", _in_a_newer_release, place, "publish days", newer)
    assert (fetch(place.open(), VERSION), fetch(place.open(), NOTED)) == ([(str(schema.VERSION),)], [(0,)])
    assert standing(place) == stages["publish days"].previous
    assert run(_in_a_newer_release, place, "publish days", newer).done == "published"
    assert (fetch(place.open(), VERSION), fetch(place.open(), NOTED)) == ([(str(schema.VERSION + 2),)], [(2,)])


def test_an_older_release_refuses_a_newer_ledger_and_changes_nothing(stages: Stages) -> None:
    place = stages.before("publish days")
    with place.open().warehouse.transaction() as connection:
        connection.exec_driver_sql("UPDATE ops.alembic_version SET version_num = '99'")
    before = standing(place)
    for step in ("extract days", "gate days", "publish days", "build", "roll back"):
        assert step in STEPS
        found = run(take, place, step)
        assert found.raised[0] == "PlatformError", (step, found)
        assert f"ledger is of version 99; this release knows up to {schema.VERSION}" in found.text
        assert "upgrade dataops" in found.text
    assert standing(place) == before


@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_a_ledger_of_an_earlier_version_is_brought_up_and_keeps_what_it_says(stages: Stages, version: int) -> None:
    """Back to that version, as its release had left it, and up again with the next step; nothing else is lost."""
    place = stages.before("roll back")
    before, layout = _rows(standing(place)), _layout(place)
    take_back(place.open(), version)
    assert run(take, place, "roll back").done == "published"
    assert _rows(standing(place)) == _rows(stages["roll back"].next) != before
    assert fetch(place.open(), VERSION) == [(str(schema.VERSION),)]
    assert fetch(place.open(), "SELECT value FROM ops.settings WHERE name = 'version'") == [(str(schema.VERSION),)]
    assert _layout(place) == layout
    work = place.open()
    with work.warehouse.reading() as connection:
        proof = verification.verify(connection, tuple(work.catalog.datasets.values()), rows=True)
    assert proof.proven, proof


def test_states_of_batches_of_version_4_are_told_apart_from_verdicts(stages: Stages) -> None:
    place = stages.before("roll back")
    now = "SELECT batch_id, state, verdict FROM ops.batches ORDER BY seq"
    before = fetch(place.open(), now)
    take_back(place.open(), 4)
    older = fetch(place.open(), "SELECT batch_id, state FROM ops.batches ORDER BY seq")
    assert {state for _, state in older} <= {"published", "unchanged", "passed", "failed", "error", "sealed", "open"}
    with place.open().warehouse.transaction() as connection:
        schema.ensure(connection, place.open().catalog.layers)
    assert fetch(place.open(), now) == before


def test_a_build_that_waited_for_its_publication_is_made_again_after_version_5(stages: Stages) -> None:
    place = stages.before("publish again")
    take_back(place.open(), 5)
    found = run(take, place, "publish again")
    assert found.raised[0] == "DataRejected"
    assert "curated-build.2 is not there any more" in found.text
    assert "dataops build curated" in found.text
    for step in ("build again", "gate again", "publish again"):
        run(take, place, step).done  # noqa: B018  fails when the step raised
    assert _rows(standing(place)) == _rows(stages["publish again"].next)


def test_a_reading_command_says_how_an_older_ledger_is_brought_up(stages: Stages) -> None:
    place = stages.before("roll back")
    take_back(place.open(), 4)
    with pytest.raises(
        Exception, match=rf"is of version 4; this release reads version {schema.VERSION}.*dataops warehouse init"
    ):
        _is_there(place)


def _is_there(place: Place) -> bool:
    with place.open().warehouse.reading() as connection:
        return schema.is_there(connection)


def _layout(place: Place) -> list[Any]:
    """Tables and columns of the ledger; their order in a table is of no account."""
    query = (
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'ops'"
        " ORDER BY 1, 2"
    )
    return fetch(place.open(), query)


def _rows(state: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in state.items() if name.startswith(("validated", "curated", "quarantine"))}
