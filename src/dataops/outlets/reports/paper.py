"""A report as PDF, by Typst: tagged, with the exact rows and the receipts attached, the same bytes each time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from dataops.facts.report import ReportDocument
from dataops.outlets.reports import delimited, texts

TEMPLATE = Path(__file__).parent / "paper.typ"
ATTACHMENTS = """
#pdf.attach("figures.csv", bytes(read("figures.csv", encoding: none)), relationship: "data", mime-type: "text/csv",
  description: "The exact figures")
#pdf.attach("report.json", bytes(read("report.json", encoding: none)), relationship: "data",
  mime-type: "application/json", description: "The report with receipts and definitions")
"""


def render(report: ReportDocument) -> bytes:
    """PDF/A-3a and PDF/UA-1: for archives and for screen readers."""
    import typst

    with tempfile.TemporaryDirectory(prefix="dataops-report-") as name:
        folder = Path(name)
        (folder / "paper.typ").write_text(TEMPLATE.read_text("utf-8") + ATTACHMENTS, "utf-8")
        (folder / "figures.csv").write_bytes(delimited.render(report))
        (folder / "report.json").write_text(report.text(), "utf-8")
        made = typst.compile(
            str(folder / "paper.typ"),
            root=name,
            ignore_system_fonts=True,
            sys_inputs={"data": json.dumps(texts.of(report), ensure_ascii=False)},
            pdf_standards=["a-3a", "ua-1"],
            timestamp=int(report.made_of_at.timestamp()),
        )
    return bytes(made)
