"""A report as one HTML file: no script, nothing loaded from elsewhere, everything from data escaped."""

from __future__ import annotations

from pathlib import Path

from dataops.facts.report import ReportDocument
from dataops.outlets.reports import texts

TEMPLATE = Path(__file__).parent / "page.html"


def render(report: ReportDocument) -> bytes:
    """UTF-8."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    told = texts.of(report)
    for section in told["sections"]:
        # Drawn by us out of escaped texts: the one thing that is markup already.
        section["drawn"] = Markup(section["chart"])  # noqa: S704
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return page.from_string(TEMPLATE.read_text("utf-8")).render(told).encode()
