"""Data Docs: the stewards' site, brought up to date from facts.

Runs outside the gate's critical path, on the ledger and on what gate runs kept; a page whose facts did not change is
not made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from dataops.facts import batch as batches
from dataops.facts import quality, status
from dataops.facts.batch import BatchDocument, RuleFacts
from dataops.facts.quality import QualityDocument
from dataops.facts.status import Status
from dataops.ledger.enums import Dimension
from dataops.ledger.workspace import Workspace
from dataops.outlets.site import people_pages
from dataops.outlets.site.pages import Site, fingerprint, is_id, render

NEWEST = 40  # judged batches that the site shows; GX's pages slow down badly with history, the ledger keeps everything
GX_INDEX = "gx/index.html"
QUALITY = "quality.html"


@dataclass(frozen=True)
class _Page:
    """A batch's page: where it stands, what it was made from, and the batch unless the page is current."""

    path: str
    mark: str
    batch: BatchDocument | None


def build(work: Workspace) -> Path:
    """Brings the site below `paths.data_docs` up to date and returns its front page.

    Raises PlatformError when the ledger cannot be read, a page cannot be written or another build takes too long.
    """
    with work.warehouse.lock("data_docs", "build Data Docs"):
        site = Site.at(work.settings.paths.data_docs, work.settings.project.title)
        stand = status.read(work)
        judged = batches.judged(work, NEWEST, lambda name, facts: site.is_current(_path(name), fingerprint(facts)))
        pages = {
            item.batch: _Page(_path(item.batch), fingerprint(item.depends_on), item.document)
            for item in judged.batches
            if is_id(item.batch)
        }
        runs = _gx_runs(work, site, pages)
        _write_batches(site, pages, runs)
        kept = {"index.html", *(page.path for page in pages.values())} | _write_quality(site, quality.find(work))
        kept |= people_pages.write_incidents(site, work, set(pages)) | people_pages.write_reports(site, work)
        _write_today(site, stand, list(pages), judged.head, has_gx=bool(runs), has_quality=QUALITY in kept)
        site.keep_only(kept | {path for run in runs.values() for path in run.values()} | {GX_INDEX})
        site.close()
    return site.folder / "index.html"


def _path(batch_id: str) -> str:
    return f"batches/{batch_id}.html"


def _gx_runs(work: Workspace, site: Site, pages: Mapping[str, _Page]) -> dict[str, dict[str, str]]:
    """Batch id -> table -> page of GX's result, for every batch shown whose result was kept."""
    from dataops.outlets.site import gx_pages

    kept = {batch_id: work.settings.paths.results / f"{batch_id}.gx.json" for batch_id in pages}
    private = {d.table for d in work.catalog.datasets.values() if d.contract.platform.pii}
    runs = gx_pages.build(site, {batch_id: file for batch_id, file in kept.items() if file.exists()}, private)
    mark = fingerprint(runs)
    if not site.is_current(GX_INDEX, mark):
        page = render("gx_index.html", root="../", title=site.title, runs=runs, has_batch=set(pages))
        site.write(GX_INDEX, page, mark)
    return runs


def _write_batches(site: Site, pages: Mapping[str, _Page], runs: Mapping[str, Mapping[str, str]]) -> None:
    for batch_id, page in pages.items():
        if page.batch:
            text = render(
                "batch.html",
                root="../",
                title=site.title,
                batch=page.batch,
                tables=_by_table(page.batch.results),
                gx=runs.get(batch_id, {}),
                window=_window(*page.batch.window),
            )
            site.write(page.path, text, page.mark)


def _by_table(rules: tuple[RuleFacts, ...]) -> dict[str, list[RuleFacts]]:
    """Rules by table, the worst first."""
    ordered = sorted(rules, key=lambda rule: rule.table)
    return {table: list(own) for table, own in groupby(ordered, key=lambda rule: rule.table)}


def _window(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "all there is"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, end not included"


def _write_quality(site: Site, document: QualityDocument | None) -> set[str]:
    """The page of the newest audit, if there was one."""
    if document is None:
        return set()
    mark = fingerprint(document.model_dump(mode="json", exclude={"as_of"}))
    if not site.is_current(QUALITY, mark):
        cards: dict[str, dict[str, str]] = {}
        for score in document.scores:
            before = f" ({_percent(score.before)})" if score.before not in {None, score.share} else ""
            cards.setdefault(score.dataset, {})[score.dimension.value] = _percent(score.share) + before
        dimensions = [dimension.value for dimension in Dimension]
        text = render("quality.html", root="", title=site.title, quality=document, cards=cards, dimensions=dimensions)
        site.write(QUALITY, text, mark)
    return {QUALITY}


def _percent(share: str | None) -> str:
    return f"{100 * float(share or 0):.2f} %"


def _write_today(site: Site, stand: Status, pages: list[str], head: str, *, has_gx: bool, has_quality: bool) -> None:
    facts = stand.model_dump(mode="json", exclude={"as_of", "outbox"})
    mark = fingerprint([facts, head, pages, has_gx, has_quality])
    if not site.is_current("index.html", mark):
        there = {"has_gx": has_gx, "has_quality": has_quality}
        text = render("index.html", root="", title=site.title, status=stand, head=head, batches=pages, **there)
        site.write("index.html", text, mark)


__all__ = ["NEWEST", "build"]
