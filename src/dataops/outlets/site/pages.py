"""Writes pages: Jinja with autoescape, values from data made harmless, files replaced whole and only when they change.

Knows templates and files, not what a batch is.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dataops.declared.errors import PlatformError
from dataops.facts.sentence import SHAPES

HERE = Path(__file__).parent
LONGEST = 120
NONE = "–"  # noqa: RUF001  not applicable; zero is "0"


@dataclass
class Site:
    """The folder of the site, and the fingerprint of what every page in it was made from."""

    folder: Path
    title: str
    made: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path, title: str) -> Site:
        """The site as the last build left it; a manifest that cannot be read means that everything is made anew."""
        try:
            made = json.loads((folder / "built.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            made = {}
        return cls(folder, title, made if isinstance(made, dict) else {})

    def is_current(self, page: str, fingerprint: str) -> bool:
        """Whether the page was made from just these facts, by this release's templates."""
        return self.made.get(page) == fingerprint and (self.folder / page).exists()

    def write(self, page: str, text: str, fingerprint: str) -> None:
        """Replaces a page whole. Raises PlatformError when it cannot be written."""
        _replace(self.folder / page, text)
        self.made[page] = fingerprint

    def keep_only(self, pages: set[str]) -> None:
        """Removes pages of earlier builds that are not among `pages`."""
        for page in [page for page in self.made if page not in pages]:
            (self.folder / page).unlink(missing_ok=True)
            del self.made[page]

    def close(self) -> None:
        """Brings assets and manifest up to date."""
        for asset in sorted((HERE / "assets").iterdir()):
            place = self.folder / "assets" / asset.name
            if not place.exists() or place.read_bytes() != asset.read_bytes():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(asset, place)
        manifest, text = self.folder / "built.json", json.dumps(self.made, indent=1, sort_keys=True)
        if not manifest.exists() or manifest.read_text(encoding="utf-8") != text:
            _replace(manifest, text)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise PlatformError(f"the page {path.name} could not be written: {error}. Run again: dataops docs") from error


def render(template: str, **facts: Any) -> str:  # noqa: ANN401  whatever the template names
    """A page's HTML. A name that the template uses and nobody gave is an error."""
    return _environment().get_template(template).render(**facts)


def fingerprint(facts: object) -> str:
    """sha256 over the facts (anything that JSON or str can spell) and over this release's templates."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256((_release() + text).encode()).hexdigest()


@cache
def _release() -> str:
    files = [*sorted(HERE.glob("*.py")), *sorted((HERE / "templates").iterdir())]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"harmless": harmless, "number": number, "moment": moment, "key": key_text}
    found.globals["states"] = SHAPES
    return found


def harmless(value: object) -> str:
    """A value from data as a page may show it: short, with control and direction characters spelled out."""
    if value is None:
        return NONE
    text = str(value)
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"} else c for c in cut)


def number(value: int | None) -> str:
    """1,234; a dash where there is none."""
    return NONE if value is None else f"{value:,}"


def moment(value: datetime | None) -> str:
    """UTC to the minute."""
    return NONE if value is None else f"{value:%Y-%m-%d %H:%M}"


def key_text(sample: Mapping[str, object]) -> str:
    """The values of a key: `43659, 2`."""
    return ", ".join(harmless(value) for value in sample.values())


def is_id(text: str) -> bool:
    """Whether a name may become part of a path: ids only, never text from data."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", text) is not None and ".." not in text


__all__ = ["NONE", "Site", "fingerprint", "harmless", "is_id", "moment", "number", "render"]
