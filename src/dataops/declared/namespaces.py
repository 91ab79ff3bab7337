"""The file lineage/namespaces.yml: under which names lineage tells of jobs and of the source's tables.

A namespace outside the characters that Marquez allows breaks its pages for everybody, and only the sender can prevent
that: so it is refused here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from dataops.declared.project import Project
from dataops.declared.yaml_files import Strict, read

FILE = "lineage/namespaces.yml"
ALLOWED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:;=/_-.@+"
PORTS = {"postgres": 5432, "mssql": 1433}


def normal(text: str) -> str:
    """A namespace in its one normal form: scheme and host in lower case, the port that goes without saying said.

    Raises ValueError for what no namespace may hold.
    """
    if bad := sorted({character for character in text if character not in ALLOWED}):
        raise ValueError(f"a namespace may not hold {bad[0]!r}; it may hold letters, digits and :;=/_-.@+")
    if not text:
        raise ValueError("a namespace is not empty")
    scheme, separator, place = text.partition("://")
    if not separator:
        return text
    host, _, port = place.lower().rstrip("/").partition(":")
    port = port or str(PORTS.get(scheme.lower(), ""))
    return f"{scheme.lower()}://{host}" + (f":{port}" if port else "")


Namespace = Annotated[str, AfterValidator(normal)]


class Source(Strict):
    """The system that keeps the source's tables, by whatever way they come to us."""

    namespace: Namespace
    database: str


class Namespaces(Strict):
    """The file lineage/namespaces.yml."""

    jobs: Namespace
    source: Source | None = None
    warehouse: Namespace | None = None  # where its address is not the one that others know it by
    producer: Annotated[str, Field(pattern=r"^https://[^\s/]+(/\S*[^\s/])?$")] = (
        "https://dataops.invalid"  # who says it
    )


def load(root: Path, project: Project) -> Namespaces:
    """The project's namespaces; without a file jobs are called after the project. Raises DeclarationError."""
    path = root / FILE
    return read(path, Namespaces, FILE) if path.exists() else Namespaces(jobs=project.known_as)
