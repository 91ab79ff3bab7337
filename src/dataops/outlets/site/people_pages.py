"""Pages that messages lead to: one per incident, and the reports with their files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from dataops.declared.errors import PlatformError
from dataops.facts import incident as incidents
from dataops.ledger import reports
from dataops.ledger.reports import MadeReport
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.outlets.site.pages import Site, fingerprint, is_id, render

NEWEST = 500
REPORTS = "reports/index.html"


def write_incidents(site: Site, work: Workspace, batches: Collection[str]) -> set[str]:
    """A page for every incident that is open, and for the newest of the others. Returns the pages there are."""
    project, kept = work.settings.project, set()
    for page in incidents.pages(work, NEWEST, lambda name, facts: site.is_current(path(name), fingerprint(facts))):
        kept.add(path(page.incident))
        if page.document is None:
            continue
        group = work.catalog.groups.get(page.document.group)
        text = render(
            "incident.html",
            root="../",
            title=site.title,
            incident=page.document,
            owner=group.checkpoint.owner if group else "operations",
            currency=project.currency,
            has_batch=page.document.batch in batches,
        )
        site.write(path(page.incident), text, fingerprint(page.depends_on))
    return kept


def path(incident: str) -> str:
    """Where an incident's page lies."""
    return f"incidents/{incident}.html"


def write_reports(site: Site, work: Workspace) -> set[str]:
    """The newest reports and their files, beside the pages: a link in a message needs no other server."""
    with work.warehouse.reading() as connection:
        made = reports.of(connection, limit=NEWEST) if is_there(connection) else []
    for report in made:
        for file in report.files:
            if is_id(file.name) and is_id(report.period):
                _beside(work.settings.paths.archive / report.period / file.name, _place(site, report, file.name))
    mark = fingerprint([report.report_id for report in made])
    if not site.is_current(REPORTS, mark):
        site.write(REPORTS, render("reports.html", root="../", title=site.title, made=made), mark)
    return {REPORTS}


def _place(site: Site, report: MadeReport, name: str) -> Path:
    return site.folder / "reports" / report.period / name


def _beside(file: Path, place: Path) -> None:
    """The same file at another place: a link where the disk allows it, else a copy. What is gone is left out."""
    if place.exists() or not file.exists():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)
    except OSError as error:
        raise PlatformError(f"{place.name} could not be put beside the pages: {error}") from error
