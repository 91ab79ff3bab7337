"""A copy of a project's declarations, to change without touching them."""

from __future__ import annotations

import shutil
from pathlib import Path

from dataops.declared.project import NAME as PROJECT_FILE

FOLDERS = ("checkpoints", "contracts", "corruptions", "expectations", "metrics", "transforms")


def copy_declarations(project: Path, target: Path) -> Path:
    """All that the catalog is made of, in a new folder; returns it."""
    target.mkdir(parents=True)
    for name in (name for name in FOLDERS if (project / name).is_dir()):
        shutil.copytree(project / name, target / name)
    shutil.copyfile(project / PROJECT_FILE, target / PROJECT_FILE)
    return target
