"""Great Expectations' own result pages, by its own renderers, made fit to be opened offline.

GX's pages load their style and scripts from the network, and put descriptions into the page unescaped. Its content is
kept; its shell (CDN files, logo, newsletter, tutorial) is replaced by ours, and markup that could act is taken out.
The one file besides dataops.gate.gx that imports GX: it renders, and judges nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dataops.facts import masking
from dataops.outlets.site.pages import HERE, Site, fingerprint, is_id, render

# Characters of private use stand for < and & in every text until GX has made its markup around it.
GUARD = str.maketrans({"<": "\ue000", "&": "\ue001"})
UNGUARD = str.maketrans({"\ue000": "&lt;", "\ue001": "&amp;"})
KEPT = set(
    "a b blockquote br caption code dd div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre section small span strong sub"  # noqa: SIM905
    " sup table tbody td tfoot th thead tr ul".split()
)
DROPPED = set("script style iframe object svg math template noscript button form title textarea".split())  # noqa: SIM905
EVERYWHERE = {"id", "class", "scope", "lang", "title", "hidden", "colspan", "rowspan"}


def build(site: Site, kept: Mapping[str, Path], private: AbstractSet[str]) -> dict[str, dict[str, str]]:
    """Renders every kept result that is not on the site yet; batch id -> table -> page.

    `private` names the tables with personal data: what was observed in them is shown only where it is a number.
    """
    found: dict[str, dict[str, str]] = {}
    for batch_id, file in kept.items():
        content = file.read_bytes()
        mark = fingerprint([hashlib.sha256(content).hexdigest(), sorted(private)])
        known = _on_site(site, batch_id)
        if not known or not all(site.is_current(page, mark) for page in known.values()):
            known = _render_run(site, batch_id, json.loads(content), private, mark)
        found[batch_id] = known
    return found


def _on_site(site: Site, batch_id: str) -> dict[str, str]:
    start = f"gx/{batch_id}/"
    pages = sorted(page for page in site.made if page.startswith(start))
    return {page.removeprefix(start).removesuffix(".html"): page for page in pages}


def _render_run(
    site: Site, batch_id: str, run: Mapping[str, Any], private: AbstractSet[str], mark: str
) -> dict[str, str]:
    pages = {}
    for table, document in sorted(run.items()):
        if is_id(table):
            pages[table] = f"gx/{batch_id}/{table}.html"
            content = _content(_guarded(_without_values(document, masked=table in private)))
            inert_page = Markup(content)  # noqa: S704
            names = {"title": site.title, "batch_id": batch_id, "table": table}
            page = render("gx_page.html", root="../../", content=inert_page, **names)
            site.write(pages[table], page, mark)
    return pages


def _without_values(document: dict[str, Any], *, masked: bool) -> dict[str, Any]:
    """The result without stack traces and, with `masked`, without what might repeat personal data."""
    for item in document["results"]:
        raised = item.get("exception_info") or {}
        for part in (raised, *(value for value in raised.values() if isinstance(value, dict))):
            if part.get("exception_traceback"):
                part["exception_traceback"] = "see the log"
            if masked and part.get("exception_message"):
                part["exception_message"] = masking.MASKED
        result = item.get("result") or {}
        if masked and not isinstance(result.get("observed_value", 0), int | float):
            result["observed_value"] = masking.MASKED
    return document


def _guarded(value: Any) -> Any:  # noqa: ANN401  a JSON document
    if isinstance(value, str):
        return value.translate(GUARD)
    if isinstance(value, dict):
        return {key: _guarded(item) for key, item in value.items()}
    return [_guarded(item) for item in value] if isinstance(value, list) else value


def _content(document: Mapping[str, Any]) -> str:
    """GX's rendering of one validation result, as inert HTML."""
    load, renderer, view = _renderers()
    with redirect_stdout(io.StringIO()):  # GX prints a hint for every query that does not name {batch}
        made = view.render(renderer.render(load(document)), template="gx_sections.j2")
    return inert(made).translate(UNGUARD)


def inert(html: str) -> str:
    """The fragment without what could act or call the network: an allow-list, whatever else there is goes.

    A link may only lead to a place on the same page: GX's others lead to its walkthrough and its web site.
    """
    import nh3

    return nh3.clean(
        html,
        tags=KEPT,
        clean_content_tags=DROPPED,
        attributes={"*": EVERYWHERE, "a": {"href"}},
        attribute_filter=lambda _tag, name, value: value if name != "href" or value.startswith("#") else None,
        url_schemes=set(),
        link_rel=None,
    )


@cache
def _renderers() -> tuple[Any, Any, Any]:
    from great_expectations.core.expectation_validation_result import (  # noqa: TID251
        ExpectationSuiteValidationResultSchema,
    )
    from great_expectations.render.renderer import ValidationResultsPageRenderer  # noqa: TID251
    from great_expectations.render.view import DefaultJinjaPageView  # noqa: TID251

    # GX logs a missing renderer as an error with its stack; the page then shows the plain result.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    view = DefaultJinjaPageView(custom_views_directory=str(HERE / "templates"))
    return ExpectationSuiteValidationResultSchema().load, ValidationResultsPageRenderer(), view
