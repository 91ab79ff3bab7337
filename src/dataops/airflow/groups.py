"""What DAG files must know of the declarations while they are parsed: groups, consumers, the first day. Reads lines.

The engine reads the same files strictly, and with all that it needs for that, while a task runs.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import Asset

from dataops.declared.layers import BUILT, FIRST_DAY, RAW, Kind, published_as

READS = "READS"
"""The constant by which a consumer's DAG file says from whose publications it starts."""

EVERY = "*"


@dataclass(frozen=True)
class DeclaredGroup:
    """A group as its checkpoint declares it."""

    name: str
    layer: str
    kind: Kind

    @property
    def asset(self) -> Asset:
        """What its publications are announced as, one partition each: `curated/all` where it is the whole layer."""
        layer = published_as(self.layer)
        name = "all" if self.name == layer else self.name
        return Asset(name=f"{layer}/{name}", uri=f"x-dataops://warehouse/{layer}/{name}", group="dataops")


def project() -> Path:
    """The folder with the declarations: DATAOPS_PROJECT, else the one that the engine lies in."""
    return Path(os.environ.get("DATAOPS_PROJECT") or Path(__file__).parents[3])


def declared() -> dict[str, DeclaredGroup]:
    """All groups, loaded ones first, then built ones in the order of their layers."""
    found = [_group(file) for file in sorted((project() / "checkpoints").glob("*.yml"))]
    layers = _built_layers()
    order = {layer: number for number, layer in enumerate(layers)}
    ordered = sorted(found, key=lambda group: (order.get(group.layer, -1), group.name))
    return {group.name: group for group in ordered}


def read_by(reads: Sequence[str]) -> tuple[str, ...]:
    """The groups that a consumer reads; `*` is each there is."""
    return tuple(declared()) if EVERY in reads else tuple(reads)


def first_day() -> datetime:
    """The first day of the project's data."""
    return datetime.fromisoformat(_value(project() / "project.yml", "first_day", FIRST_DAY)).replace(tzinfo=UTC)


def consumers() -> dict[str, tuple[str, ...]]:
    """DAGs that start from publications -> the groups they read; each says so in its own file."""
    found = {}
    for file in sorted((project() / "dags").glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [READS]:
                found[file.stem] = read_by(ast.literal_eval(node.value))
    return found


def reports(period: str) -> list[str]:
    """The reports whose period is this long."""
    return [file.stem for file in sorted((project() / "reports").glob("*.yml")) if _value(file, "period") == period]


def _group(file: Path) -> DeclaredGroup:
    return DeclaredGroup(file.stem, _value(file, "layer", RAW), Kind(_value(file, "kind", Kind.LOADED)))


def _value(file: Path, key: str, otherwise: str = "") -> str:
    """The value of a key at the top of a file."""
    match = re.search(rf"^{key}:\s*([\w-]+)", _text(file), re.MULTILINE)
    return match[1] if match else otherwise


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _built_layers() -> tuple[str, ...]:
    match = re.search(r"^built_layers:\s*\[([^\]]*)\]", _text(project() / "project.yml"), re.MULTILINE)
    return tuple(part.strip() for part in match[1].split(",")) if match else BUILT
