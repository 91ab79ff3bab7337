"""The site's pages, escaping and files, without a warehouse."""

from __future__ import annotations

from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dataops.facts.batch import BatchDocument, Brought, OpenedIncident, RuleCount, RuleFacts
from dataops.outlets.site import pages
from dataops.outlets.site.gx_pages import inert
from dataops.outlets.site.pages import Site, fingerprint, harmless, is_id, render

pytestmark = pytest.mark.unit

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egpj.exe \x07 {{ 7*7 }} ]]> --> ${x} "


class Elements(HTMLParser):
    """Names of elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_values_are_cut_and_control_and_direction_characters_spelled_out() -> None:
    assert harmless("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert len(harmless("x" * 1_000_000)) == 121
    assert harmless(None) == pages.NONE


def test_only_ids_become_paths() -> None:
    assert is_id("sales-20140501T0930.2")
    assert not any(is_id(text) for text in ("../x", "a/b", "", ".hidden", "a b", "a..b", "x\n"))


def test_hostile_text_is_inert_wherever_a_batch_page_shows_it() -> None:
    rule = RuleFacts(
        rule=HOSTILE, table="orders", engine="gx", severity="critical", outcome="failed", says=HOSTILE, why=HOSTILE,
        observed=HOSTILE, failing=3, checked=4, problem=HOSTILE, sample=({HOSTILE: HOSTILE},),
    )  # fmt: skip
    moment = datetime(2026, 5, 1)
    batch = BatchDocument(
        batch="sales-whole", group="sales", state="judged", verdict="FAILED", reason=HOSTILE, source=HOSTILE,
        window=(None, None), created_at=moment, sealed_at=moment, judged_at=None, rules_hash=None, publication=None,
        published_at=None, rules=RuleCount(judged=1, passed=0), findings=(rule,), passed=(),
        datasets=(
            Brought(table_name="orders", scope="whole", received=4, controls={HOSTILE: HOSTILE}, notes=(HOSTILE,)),
        ),
        incidents=(OpenedIncident(incident="INC-0001", state="open", sentence=HOSTILE),),
    )  # fmt: skip
    page = render(
        "batch.html", root="../", title=HOSTILE, batch=batch, tables={"orders": [rule]}, gx={}, window="all there is"
    )
    found = Elements(page)
    assert not {"script", "img", "iframe", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page
    assert "49" not in page


def test_stripping_keeps_text_and_tables_and_drops_what_acts() -> None:
    kept = inert(
        "<table class=t style='x' onclick=go()><tr><td>1 &lt; 2</td></tr></table><script>go()</script><img src=//x>"
        "<a href='https://x'>out</a><a href='#in'>in</a><iframe>y</iframe><b>z</b>"
    )
    assert kept == (
        '<table class="t"><tbody><tr><td>1 &lt; 2</td></tr></tbody></table><a>out</a><a href="#in">in</a><b>z</b>'
    )


def test_a_page_is_current_only_for_the_same_facts_and_while_its_file_is_there(tmp_path: Path) -> None:
    site, mark = Site.at(tmp_path, "Shop"), fingerprint({"a": 1})
    site.write("index.html", "x", mark)
    site.close()
    again = Site.at(tmp_path, "Shop")
    assert again.is_current("index.html", mark)
    assert not again.is_current("index.html", fingerprint({"a": 2}))
    (tmp_path / "index.html").unlink()
    assert not again.is_current("index.html", mark)


def test_a_broken_manifest_means_a_whole_build_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "built.json").write_text("{", encoding="utf-8")
    assert Site.at(tmp_path, "Shop").made == {}
