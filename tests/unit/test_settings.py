"""Settings: an unknown variable or a bad value is an error that repeats no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.declared import settings
from dataops.declared.errors import DeclarationError

pytestmark = pytest.mark.unit


def test_defaults_are_an_embedded_warehouse_below_the_project(tmp_path: Path) -> None:
    found = settings.load({}, project=tmp_path)
    assert found.warehouse_url == f"duckdb:///{tmp_path}/var/warehouse.duckdb"
    assert (found.source_url, found.lock_seconds) == (None, 60.0)


def test_an_unknown_variable_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"unknown setting DATAOPS_WAREHOUSE;.*DATAOPS_WAREHOUSE_URL"):
        settings.load({"DATAOPS_WAREHOUSE": "x"}, project=tmp_path)


def test_other_programs_variables_are_none_of_our_business(tmp_path: Path) -> None:
    assert settings.load({"PATH": "/bin", "DATAOPS_TEST_HIT": "x"}, project=tmp_path)


@pytest.mark.parametrize(
    "url", ["not a url s3cret", "mysql://me:s3cret@host/db", "postgresql:/me:s3cret@host/db", "://s3cret", "s3cret"]
)
def test_a_bad_url_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(DeclarationError, match="DATAOPS_WAREHOUSE_URL") as caught:
        settings.load({"DATAOPS_WAREHOUSE_URL": url}, project=tmp_path)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "duckdb:///" in str(caught.value)


def test_a_bad_port_is_refused_without_repeating_the_password(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="DATAOPS_WAREHOUSE_URL") as caught:
        settings.load({"DATAOPS_WAREHOUSE_URL": "postgresql://me:s3cret@host:fifty/db"}, project=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_the_warehouse_s_name_hides_its_password(tmp_path: Path) -> None:
    found = settings.load({"DATAOPS_WAREHOUSE_URL": "postgresql://me:s3cret@host:5432/db"}, project=tmp_path)
    assert found.warehouse_name == "postgresql://me:***@host:5432/db"


@pytest.mark.parametrize("text", ["soon", "", "5s", "nan", "-1"])
def test_a_bad_number_of_seconds_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError, match="DATAOPS_LOCK_SECONDS"):
        settings.load({"DATAOPS_LOCK_SECONDS": text}, project=tmp_path)
