"""Builds Data Docs: Today, a page per judged batch, and Great Expectations' own result pages beside them.

Runs outside the gate's critical path, on the ledger and on what gate runs kept; a page whose facts did not change is
not made again. Opens by double click: no script, nothing from the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.facts import groups as facts
from dataops.facts import status
from dataops.facts.status import Status
from dataops.ledger import tables as ledger
from dataops.ledger.workspace import Workspace
from dataops.outlets.site.pages import Site, fingerprint, is_id, render

NEWEST = 40  # judged batches that the site shows; GX's pages slow down badly with history, the ledger keeps everything


@dataclass(frozen=True)
class _Page:
    """A batch's page as it has to be; `batch` is None when the one on disk already is."""

    path: str
    mark: str
    batch: facts.BatchShown | None


@dataclass(frozen=True)
class _Content:
    """What one look into the ledger gave."""

    status: Status
    standings: tuple[facts.Standing, ...]
    pages: Mapping[str, _Page]
    head: str


def build(work: Workspace) -> Path:
    """Brings the site below `paths.data_docs` up to date and returns its front page.

    Raises PlatformError when the ledger cannot be read, a page cannot be written or another build takes too long.
    """
    with work.warehouse.lock("data_docs", "build Data Docs"):
        site = Site.at(work.settings.paths.data_docs)
        stand = status.read(work)
        with work.warehouse.reading() as connection:
            content = _read(connection, work, site, stand)
        runs = _gx_runs(work, site, content.pages)
        _write_batches(site, content, runs)
        _write_today(site, content, runs)
        pages = {"index.html", *(page.path for page in content.pages.values())}
        site.keep_only(pages | {path for run in runs.values() for path in run.values()} | {GX_INDEX})
        site.close()
    return site.folder / "index.html"


GX_INDEX = "gx/index.html"


def _read(connection: Connection, work: Workspace, site: Site, stand: Status) -> _Content:
    if ledger.version(connection) is None:
        return _Content(stand, (), {}, "an empty warehouse")
    pages = {}
    for row in facts.judged(connection, NEWEST):
        path = f"batches/{row['batch_id']}.html"
        if is_id(row["batch_id"]):
            rules = work.catalog.group(row["group_name"]).rules_hash if row["group_name"] in work.catalog.groups else ""
            mark = fingerprint([facts.trace(connection, row), rules])
            fresh = None if site.is_current(path, mark) else facts.shown(connection, work, row)
            pages[row["batch_id"]] = _Page(path, mark, fresh)
    return _Content(stand, tuple(facts.standings(connection, work, stand)), pages, _head(connection))


def _head(connection: Connection) -> str:
    """Names the ledger's newest entries, so that a page says what it was made from without saying when."""
    batch = connection.execute(sa.select(sa.func.max(ledger.batches.c.seq))).scalar() or 0
    publication = connection.execute(sa.select(sa.func.max(ledger.publications.c.seq))).scalar() or 0
    return f"a ledger of {batch} batches and {publication} publications"


def _gx_runs(work: Workspace, site: Site, pages: Mapping[str, _Page]) -> dict[str, dict[str, str]]:
    """Batch id -> table -> page of GX's result, for every batch shown whose result was kept."""
    from dataops.outlets.site import gx_pages

    kept = {batch_id: work.settings.paths.results / f"{batch_id}.gx.json" for batch_id in pages}
    private = {d.table for d in work.catalog.datasets.values() if d.contract.platform.pii}
    runs = gx_pages.build(site, {batch_id: file for batch_id, file in kept.items() if file.exists()}, private)
    mark = fingerprint(runs)
    if not site.is_current(GX_INDEX, mark):
        site.write(GX_INDEX, render("gx_index.html", root="../", runs=runs, has_batch=set(pages)), mark)
    return runs


def _write_batches(site: Site, content: _Content, runs: Mapping[str, Mapping[str, str]]) -> None:
    for batch_id, page in content.pages.items():
        if page.batch:
            gx = runs.get(batch_id, {})
            text = render(
                "batch.html",
                root="../",
                shown=page.batch,
                tables=facts.by_table(page.batch.rules),
                gx=gx,
                problems=[r for r in page.batch.rules if r.outcome != "passed"],
                window=_window(page.batch.batch),
            )
            site.write(page.path, text, page.mark)


def _window(batch: Mapping[str, Any]) -> str:
    start, end = batch["window_start"], batch["window_end"]
    if start is None:
        return "all there is"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, end not included"


def _write_today(site: Site, content: _Content, runs: Mapping[str, object]) -> None:
    shown = [asdict(standing) for standing in content.standings]
    mark = fingerprint([content.status.sentence, shown, content.head, list(content.pages), sorted(runs)])
    if not site.is_current("index.html", mark):
        text = render(
            "index.html",
            root="",
            standings=content.standings,
            sentence=content.status.sentence,
            head=content.head,
            batches=list(content.pages),
            has_gx=bool(runs),
            anything=any(s.batch for s in content.standings),
        )
        site.write("index.html", text, mark)


__all__ = ["NEWEST", "build"]
