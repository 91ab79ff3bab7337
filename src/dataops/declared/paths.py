"""Where things lie: the project's folders (declarations) and the home folder (everything that is written).

The only module that knows folder names; it reads nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dataops.declared.errors import DeclarationError


@dataclass(frozen=True)
class Paths:
    """The project's root folder and the folder that runs write to."""

    project: Path
    home: Path

    @property
    def contracts(self) -> Path:
        return self.project / "contracts"

    @property
    def expectations(self) -> Path:
        return self.project / "expectations"

    @property
    def checkpoints(self) -> Path:
        return self.project / "checkpoints"

    @property
    def transforms(self) -> Path:
        return self.project / "transforms"

    @property
    def metrics(self) -> Path:
        return self.project / "metrics"

    @property
    def reports(self) -> Path:
        return self.project / "reports"

    @property
    def corruptions(self) -> Path:
        """How rules are tripped that no general corruption trips."""
        return self.project / "corruptions"

    @property
    def data_docs(self) -> Path:
        """The generated site: beside the declarations, or below a home that lies elsewhere (tests, a second tenant)."""
        return self.project / "data_docs" if self.home == self.project / "var" else self.home / "data_docs"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.home / "published.duckdb"

    @property
    def backups(self) -> Path:
        return self.home / "backups"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def archive(self) -> Path:
        """Reports that were made, by period; never written twice."""
        return self.home / "reports"

    @property
    def results(self) -> Path:
        """Raw engine results of gate runs, from which Data Docs are built."""
        return self.home / "gate"

    def shown(self, path: Path) -> str:
        """The path as a message names it: relative to the project where it lies inside."""
        return str(path.relative_to(self.project)) if path.is_relative_to(self.project) else str(path)


def find_project(start: Path | None = None) -> Path:
    """The project's root: `DATAOPS_PROJECT`, else the nearest folder upwards with a project.yml.

    Raises DeclarationError when there is none.
    """
    if named := os.environ.get("DATAOPS_PROJECT"):
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "project.yml").is_file():
            return folder
    raise DeclarationError(
        f"no project here: neither {here} nor a folder above it holds a project.yml.\n"
        "Change to the project's folder, or set DATAOPS_PROJECT."
    )
