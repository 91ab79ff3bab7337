"""Data Docs from real gate runs: complete, offline, incremental, capped, and inert whatever the data says."""

from __future__ import annotations

import json
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pytest

from dataops.declared import settings
from dataops.facts import status
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.outlets.site import data_docs
from dataops.pipeline import jobs
from tests.support.shop import land, load, own_project, small_shop, workspace
from tests.support.stock import stock

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = "generator:?scale=0.01&seed=7"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'"
)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a page refers to, and which elements it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.policy = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= found.keys()
        self.ids.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif "src" in found or "href" in found:
            self.loaded.append(found.get("src") or found["href"])
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path]:
    """The real declarations, one generated load of two groups, and the site."""
    home = tmp_path_factory.mktemp("docs") / "home"
    work = open_workspace(settings.load({"DATAOPS_HOME": str(home), "DATAOPS_SOURCE_URL": SOURCE}, project=PROJECT))
    for group in ("reference", "sales"):
        with jobs.source_of(work) as source:
            assert jobs.load(work, group, None, source).verdict
    return work, data_docs.build(work)


def pages(folder: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in sorted(folder.rglob("*.html"))}


def times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_there_is_a_page_for_today_for_every_batch_and_for_every_gx_result(built: tuple[Workspace, Path]) -> None:
    work, index = built
    folder = index.parent
    assert {p.name for p in (folder / "batches").iterdir()} == {"reference-whole.html", "sales-whole.html"}
    for group in ("reference", "sales"):
        tables = {f"{d.table}.html" for d in work.catalog.group(group).datasets}
        assert {p.name for p in (folder / "gx" / f"{group}-whole").iterdir()} == tables
    text = index.read_text(encoding="utf-8")
    assert "sales-0001" in text
    assert "never judged" in text  # inventory


def test_a_batch_page_shows_every_rule_with_its_reason(built: tuple[Workspace, Path]) -> None:
    work, index = built
    text = (index.parent / "batches" / "sales-whole.html").read_text(encoding="utf-8")
    for rule in work.catalog.group("sales").rules:
        assert rule.id in text
    assert text.index("Problems") < text.index("All rules")


def test_every_link_inside_the_site_leads_somewhere(built: tuple[Workspace, Path]) -> None:
    folder = built[1].parent
    found = pages(folder)
    for file, page in found.items():
        for link in (*page.links, *page.loaded):
            place, _, fragment = unquote(link).partition("#")
            target = (file.parent / place).resolve() if place else file
            assert target.is_relative_to(folder), f"{file.name} leads out of the site: {link}"
            assert target.exists(), f"{file.name}: {link}"
            assert not fragment or fragment in found[target].ids, f"{file.name}: {link}"


def test_no_page_loads_anything_from_a_network_or_runs_anything(built: tuple[Workspace, Path]) -> None:
    for file, page in pages(built[1].parent).items():
        assert page.policy == POLICY, file
        assert not {"script", "iframe", "object", "embed", "form", "style"} & page.tags, file
        assert not [name for name in page.attributes if name.startswith("on") or name == "style"], file
        assert all(link.endswith(".css") and "//" not in link for link in page.loaded), file
        assert not [link for link in page.links if ":" in link], file
        assert "http://" not in file.read_text(encoding="utf-8")
        assert "https://" not in file.read_text(encoding="utf-8")
    for style in (built[1].parent / "assets").iterdir():
        assert "url(" not in style.read_text(encoding="utf-8")
        assert "@import" not in style.read_text(encoding="utf-8")


def test_a_second_build_makes_nothing_anew(built: tuple[Workspace, Path]) -> None:
    work, index = built
    before = times(index.parent)
    assert data_docs.build(work) == index
    assert times(index.parent) == before


def test_a_new_batch_adds_its_pages_and_leaves_the_others_alone(tmp_path: Path) -> None:
    work, shop = workspace(tmp_path / "home"), small_shop()
    stock(work, shop, "reference")
    folder = data_docs.build(work).parent
    before = times(folder / "batches") | times(folder / "gx" / "reference-whole")
    load(work, shop, "sales")
    data_docs.build(work)
    assert (folder / "batches" / "sales-whole.html").exists()
    assert (times(folder / "batches") | times(folder / "gx" / "reference-whole")).items() >= before.items()


def test_the_site_keeps_the_newest_batches_and_those_that_groups_stand_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, shop = workspace(tmp_path / "home"), small_shop()
    for group in ("reference", "sales", "sales", "sales"):
        load(work, shop, group)
    data_docs.build(work)
    monkeypatch.setattr(data_docs, "NEWEST", 1)
    folder = data_docs.build(work).parent
    # sales-whole is published, sales-whole.3 is the newest; reference stands on its only batch.
    shown = {"reference-whole", "sales-whole", "sales-whole.3"}
    assert {p.stem for p in (folder / "batches").glob("*.html")} == shown
    assert {p.parent.name for p in (folder / "gx").glob("*/*.html")} == shown
    assert "sales-whole.2.html" not in (folder / "index.html").read_text(encoding="utf-8")


def test_a_held_batch_is_the_first_thing_that_today_says(tmp_path: Path) -> None:
    work, shop = workspace(tmp_path / "home"), small_shop()
    stock(work, shop, "reference")
    for row in shop.lines:
        row["qty"] = 5000
    load(work, shop, "sales")
    folder = data_docs.build(work).parent
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert status.read(work).sentence in unescape(text)
    assert "HELD" in text
    assert "INC-0001" in text
    page = (folder / "batches" / "sales-whole.html").read_text(encoding="utf-8")
    assert "FAILED" in page
    assert page.index("SAL-031") < page.index("SAL-034")


def test_an_empty_warehouse_has_a_site_that_says_what_to_run(tmp_path: Path) -> None:
    text = data_docs.build(workspace(tmp_path / "home")).read_text(encoding="utf-8")
    assert "make demo" in text


def test_hostile_text_of_author_and_source_is_inert_and_still_readable(tmp_path: Path) -> None:
    project = own_project(tmp_path / "project")
    suite = project / "expectations" / "raw" / "order_line.yml"
    suite.write_text(
        suite.read_text(encoding="utf-8")
        .replace("quantity is 1 to 1000", f"'{HOSTILE} says'")
        .replace("Why SAL-031 matters to a steward.", f"'{HOSTILE} why'"),
        encoding="utf-8",
    )
    shop = small_shop()
    shop.name = f"{HOSTILE} source"
    shop.schemas["Sales.OrderLine"] = shop.schemas["Sales.OrderLine"].append(pa.field(f"{HOSTILE} column", pa.string()))
    shop.lines[0]["qty"] = 5000
    work = workspace(tmp_path / "home", project=project)
    stock(work, shop, "reference", "sales")
    folder = data_docs.build(work).parent
    for file, page in pages(folder).items():
        assert not {"script", "img"} & page.tags, file
        assert not [name for name in page.attributes if name.startswith("on")], file
    for file in (folder / "batches" / "sales-whole.html", folder / "gx" / "sales-whole" / "order_line.html"):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in file.read_text(encoding="utf-8")


def test_personal_data_stays_behind_even_where_an_engine_repeats_it(tmp_path: Path) -> None:
    project, secret = own_project(tmp_path / "project"), "jane.doe@example.com"
    contract = project / "contracts" / "raw" / "order_line.yml"
    text = contract.read_text(encoding="utf-8").replace("  key:", "  pii: [note]\n  key:")
    contract.write_text(text, encoding="utf-8")
    work, shop = workspace(tmp_path / "home", project=project), small_shop()
    stock(work, shop, "reference", "sales")
    with work.warehouse.transaction() as connection:
        connection.exec_driver_sql(
            f"UPDATE ops.check_results SET outcome = 'error', observed = '{secret}', problem = 'cannot cast {secret}'"
            " WHERE rule_id = 'SAL-034'"
        )
        connection.exec_driver_sql(
            f"UPDATE ops.batches SET state = 'judged', verdict = 'ERROR', reason = 'cannot cast {secret}'"
            " WHERE group_name = 'sales'"
        )
    kept = work.settings.paths.results / "sales-whole.gx.json"
    run = json.loads(kept.read_text(encoding="utf-8"))
    for item in run["order_line"]["results"]:
        item["success"], item["result"] = False, {"observed_value": [secret]}
        item["exception_info"] = {
            "raised_exception": True,
            "exception_message": f"cannot cast {secret}",
            "exception_traceback": secret,
        }
    kept.write_text(json.dumps(run), encoding="utf-8")
    folder = data_docs.build(work).parent
    assert "SAL-034" in (folder / "batches" / "sales-whole.html").read_text(encoding="utf-8")
    assert [file for file in folder.rglob("*") if file.is_file() and secret in file.read_text(encoding="utf-8")] == []


def test_a_batch_that_was_landed_but_never_judged_has_no_page(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    land(work, small_shop(), "reference")
    folder = data_docs.build(work).parent
    assert not (folder / "batches").exists()
