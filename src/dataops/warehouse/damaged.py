"""What is said when a warehouse file cannot be opened any more, or is gone: what stands, and what to run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dataops.warehouse import backup_files, readers_copy, rescue


def left_alone(file: Path, published: Path, backups: Path) -> list[Path]:
    """What shows that a warehouse was here although its file is not: then no empty one may take its place."""
    kept = [rescue.log_of(file), rescue.beside(file), published]
    return [path for path in kept if path.exists()] + _newest(file, backups)


def gone(file: Path, published: Path, backups: Path) -> str:
    """The message for a file that is missing."""
    found = ", ".join(path.name for path in left_alone(file, published, backups))
    return "\n".join([
        f"the warehouse file {file} is gone, but there was one (left: {found}).",
        "No new, empty warehouse was made in its place.",
        *_what_stands(file, published, backups),
    ])  # fmt: skip


def torn(file: Path, published: Path, backups: Path, reason: str) -> str:
    """The message for a file that DuckDB calls damaged, and that no rescue heals."""
    return "\n".join([
        f"the warehouse file {file} is damaged: {reason.rstrip('.!')}.",
        _why_not_healed(file),
        *_what_stands(file, published, backups),
    ])  # fmt: skip


def _why_not_healed(file: Path) -> str:
    if rescue.beside(file).exists():
        return "What was kept aside of it was put back, which did not heal it."
    return "No rescue that belongs to it lies beside it, so it cannot be healed. It was left as it is."


def _what_stands(file: Path, published: Path, backups: Path) -> Iterator[str]:
    yield "What stands:"
    copy, newest = "none", "none"
    if published.exists():
        as_of = readers_copy.about(published).get("publication") or "nothing known"
        copy = f"{published.name}, as of {as_of} ({_time(published)})"
    kept = _newest(file, backups)
    if kept:
        newest = f"{kept[0].name} ({_time(kept[0])})"
    yield f"  readers' copy  {copy}"
    yield f"  backup         {newest}"
    yield "  source         all that it holds today can be loaded again; not what it has replaced or deleted since"
    if kept:
        yield "Run: dataops warehouse restore"
        yield "Then load what came after it: dataops load GROUP"
    else:
        others = f"{file.name} with all that lies beside it" if file.exists() else f"what lies beside {file.name}"
        yield f"To begin anew, move {others} elsewhere, then: dataops load GROUP"


def _newest(file: Path, backups: Path) -> list[Path]:
    return backup_files.kept(backups, file.stem, file.suffix)[-1:]


def _time(file: Path) -> str:
    return f"{datetime.fromtimestamp(file.stat().st_mtime, tz=UTC):%Y-%m-%d %H:%M} UTC"
