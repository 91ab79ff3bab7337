"""The small project with people who are told: routing, a project's digests, an operator."""

from __future__ import annotations

from pathlib import Path

from dataops.ledger.workspace import Workspace
from tests.support.shop import own_project, workspace

SALES = """
routing:
  to:
    - {to: "#dq-sales", at_once: warning}
    - {to: owner}
    - {to: second@adventure-works.example}
    - {to: third@adventure-works.example}
  quiet: {after: "20:00", until: "07:00", zone: Europe/Berlin}
  escalate: {after_hours: 4, to: [head@adventure-works.example]}
"""
MESSAGES = """
messages:
  zone: Europe/Berlin
  digests:
    - {to: "#dq-digest", every: week}
  operations:
    to: [{to: "#ops"}, {to: ops@adventure-works.example}]
  people: {tests@adventure-works.example: U0TESTS}
"""


def told_project(folder: Path, sales: str = SALES, messages: str = MESSAGES) -> Path:
    """The declarations."""
    project = own_project(folder)
    for file, more in (("checkpoints/sales.yml", sales), ("project.yml", messages)):
        path = project / file
        path.write_text(path.read_text("utf-8") + more, encoding="utf-8")
    return project


def told(home: Path, url: str | None = None, **parts: str) -> Workspace:
    """On an empty warehouse."""
    return workspace(home / "home", url, told_project(home / "project", **parts))
