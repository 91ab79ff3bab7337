"""Settings: an unknown variable or a bad value is an error that repeats no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.declared import settings
from dataops.declared.errors import DeclarationError
from dataops.declared.project import Project

pytestmark = pytest.mark.unit


PROJECT = "name: shop\ntitle: Shop\ncurrency: EUR\nzone: Europe/Vienna\nfirst_day: 2024-01-01\n"


@pytest.fixture(autouse=True)
def project_file(tmp_path: Path) -> Path:
    file = tmp_path / "project.yml"
    file.write_text(PROJECT, encoding="utf-8")
    return file


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


def test_an_address_with_two_ats_is_refused_without_repeating_it(tmp_path: Path) -> None:
    """What stands behind the first one would be taken for the host, and shown."""
    with pytest.raises(DeclarationError, match=r"DATAOPS_WAREHOUSE_URL holds more than one @.* write %40") as caught:
        settings.load({"DATAOPS_WAREHOUSE_URL": "postgresql://me:Winter@Secret99@host:5432/db"}, project=tmp_path)
    assert "Secret99" not in str(caught.value)
    assert settings.load({"DATAOPS_WAREHOUSE_URL": "postgresql://me:a%40b@host/db?options=x@y"}, project=tmp_path)


def test_the_warehouse_s_name_hides_its_password(tmp_path: Path) -> None:
    found = settings.load({"DATAOPS_WAREHOUSE_URL": "postgresql://me:s3cret@host:5432/db"}, project=tmp_path)
    assert found.warehouse_name == "postgresql://me:***@host:5432/db"


@pytest.mark.parametrize("text", ["soon", "", "5s", "nan", "-1"])
def test_a_bad_number_of_seconds_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError, match="DATAOPS_LOCK_SECONDS"):
        settings.load({"DATAOPS_LOCK_SECONDS": text}, project=tmp_path)


def test_what_is_the_project_s_own_stands_in_its_file_and_the_environment_goes_before(project_file: Path) -> None:
    project_file.write_text(f"{PROJECT}timeouts: {{query: 7, lock: 0}}\nbuilt_layers: [core, mart]\n", encoding="utf-8")
    found = settings.load({"DATAOPS_LOCK_SECONDS": "9"}, project=project_file.parent)
    assert (found.query_seconds, found.lock_seconds, found.rule_seconds) == (7, 9, 3600)
    assert (found.project.currency, found.project.layers.published) == ("EUR", ("validated", "core", "mart"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("currency: euro", "currency"),
        ("zone: Vienna", "'Vienna' is no time zone"),
        ("first_day: soon", "first_day"),
        ("timeouts: {query: 0}", "query"),
        ("timeouts: {qeury: 1}", 'unknown key "qeury"; did you mean "query"?'),
        ("built_layers: [raw]", "'raw' is a schema of the platform's own"),
        ("built_layers: [core, core]", "a layer is listed twice"),
        ("colour: red", 'unknown key "colour"'),
    ],
)
def test_a_mistake_in_the_project_s_file_is_named(project_file: Path, line: str, said: str) -> None:
    key = line.partition(":")[0]
    kept = "".join(f"{old}\n" for old in PROJECT.splitlines() if not old.startswith(f"{key}:"))
    project_file.write_text(f"{kept}{line}\n", encoding="utf-8")
    with pytest.raises(DeclarationError, match=said) as caught:
        settings.load({}, project=project_file.parent)
    assert "project.yml, line" in str(caught.value)


def test_a_folder_without_a_project_is_said_to_be_none(project_file: Path) -> None:
    project_file.unlink()
    with pytest.raises(DeclarationError, match=r"is no project: it has neither project.yml nor contracts/"):
        settings.load({}, project=project_file.parent)


def test_a_project_may_say_nothing_of_itself(project_file: Path) -> None:
    project_file.unlink()
    (project_file.parent / "contracts").mkdir()
    found = settings.load({}, project=project_file.parent).project
    assert (found.known_as, found.zone, found.currency) == ("dataops", "UTC", "XXX")


@pytest.mark.parametrize(
    ("name", "dataset", "owned"),
    [("shop", "raw/parcel", True), ("shop", "shop/raw/parcel", True), ("shop", "other/raw/parcel", False),
     (None, "other/raw/parcel", True), (None, "a/b/raw/parcel", False), ("shop", "shopraw/parcel", False),
     ("shop", "raw/depot", False), ("shop", "curated/parcel", False)],
)  # fmt: skip
def test_a_dataset_has_the_projects_name_before_it_or_none(name: str | None, dataset: str, owned: bool) -> None:
    assert Project(name=name).owns(dataset, "raw", "parcel") is owned


@pytest.mark.parametrize(("text", "language"), [("fr", "fr"), ("fr_FR.UTF-8", "fr"), ("en_GB", "en"), ("", None)])
def test_the_language_of_reports_is_said_as_the_operating_system_says_it(
    text: str, language: str | None, tmp_path: Path
) -> None:
    assert settings.load({"DATAOPS_LOCALE": text}, tmp_path).language == language


def test_a_language_that_no_report_is_written_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="DATAOPS_LOCALE is 'de_DE'; reports are written in en, fr"):
        settings.load({"DATAOPS_LOCALE": "de_DE"}, tmp_path)
