"""Copies of the whole warehouse: made, proven, kept in a number, and put back so that no number is given twice.

The same on every warehouse; how a copy is made is the warehouse's business.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import Connection, make_url

from dataops.declared import durable
from dataops.declared.errors import DeclarationError, PlatformError
from dataops.declared.failpoint import failpoint
from dataops.declared.settings import Settings
from dataops.ledger import chain, clock, healing, incidents, numbering, outbox, publications, schema
from dataops.ledger.enums import IncidentKind
from dataops.ledger.incidents import Detail
from dataops.ledger.workspace import Workspace
from dataops.warehouse import backup_files
from dataops.warehouse.backup_files import STAMP

KEPT = 7
UNSEEN = 100  # numbers skipped where nothing says how many were given after the last that is known


@dataclass(frozen=True)
class Backup:
    """A proven copy. `publication`: the newest in it, None before the first; `receipts`: how many were verified."""

    file: Path
    bytes: int
    publication: str | None
    receipts: int
    seconds: float
    removed: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Restored:
    """`gone`: publications that stood before and are not in the copy; None where that cannot be known any more."""

    backup: Backup
    before: str | None
    gone: tuple[str, ...] | None
    replaced: str
    incident: str | None


def kept(settings: Settings) -> list[Path]:
    """The warehouse's backups in the home folder, oldest first."""
    return backup_files.kept(settings.paths.backups, _stem(settings), _suffix(settings))


def age(file: Path) -> timedelta:
    """How long ago a backup was made, as its name says."""
    made = datetime.strptime(file.stem.rpartition("-")[2], STAMP).replace(tzinfo=UTC)
    return datetime.now(tz=UTC) - made


def make(work: Workspace, to: Path | None = None, keep: int = KEPT) -> Backup:
    """Copies the warehouse to `to`, or to the backups, of which the newest `keep` stay.

    The copy is proven before it gets its name: every table is read, the chain of receipts walked. Raises
    DeclarationError for a file that exists, PlatformError when it could not be made or proven.
    """
    if keep < 1:
        raise DeclarationError(f"at least one backup is kept; --keep is {keep}")
    if to is not None and to.exists():
        raise DeclarationError(f"{to} exists already; name another file")
    settings, started = work.settings, time.monotonic()
    target = to or settings.paths.backups / _name(settings, f"{datetime.now(tz=UTC):{STAMP}}")
    with work.warehouse.lock("backup", "back up"):
        try:
            publication, receipts = _copied(work, target)
            removed = () if to else _prune(settings, keep)
        except OSError as error:
            raise PlatformError(
                f"the backup {target} could not be written: {error.strerror or error}.\nNothing of the warehouse was"
                " changed, and earlier backups stand. Make room, or name another place: --to FILE"
            ) from error
    return Backup(target, target.stat().st_size, publication, receipts, time.monotonic() - started, removed)


def _copied(work: Workspace, target: Path) -> tuple[str | None, int]:
    fresh = target.with_name(f"{target.name}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        work.warehouse.copy_to(fresh)
        failpoint("backup_copied")
        found = _proven(work, fresh)
        durable.put_in_place(fresh, target)
        failpoint("backup_in_place")
    finally:
        fresh.unlink(missing_ok=True)
    return found


def _prune(settings: Settings, keep: int) -> tuple[Path, ...]:
    surplus = tuple(kept(settings)[:-keep])
    for file in surplus:
        file.unlink()
    for file in settings.paths.backups.glob(f"{_stem(settings)}-*.tmp*"):  # of one that was killed
        file.unlink()
    return surplus


def _proven(work: Workspace, file: Path) -> tuple[str | None, int]:
    """The newest publication in a copy and how many receipts hold. Raises PlatformError when one does not."""
    with work.warehouse.trial(file) as connection:
        if schema.version(connection) is None:
            return None, 0
        proof = chain.walk(chain.records(connection))
        if proof.broken:
            raise PlatformError(
                f"{file.name} is not used: {proof.broken.publication} {proof.broken.says}.\n"
                "See: dataops publications verify"
            )
        return _newest(connection), proof.receipts


def _newest(connection: Connection) -> str | None:
    newest = publications.last(connection)
    return newest.publication_id if newest else None


def restore(work: Workspace, file: Path | None = None) -> Restored:
    """Puts the warehouse back as `file`, or the newest backup, has it; loads then go on behind every known number.

    Raises DeclarationError when there is no such file, PlatformError when it is no sound backup or the warehouse is in
    use; what stood before then still stands.
    """
    started = time.monotonic()
    file = file or latest(work.settings)
    if not file.is_file():
        raise DeclarationError(f"there is no file {file}")
    with ExitStack() as locks:
        for name in ("backup", *sorted(work.catalog.groups)):  # a run that is on its way ends first
            locks.enter_context(work.warehouse.lock(name, "restore"))
        publication, receipts = _proven(work, file)
        before, numbers, ids = _standing(work)
        replaced = work.warehouse.restore(
            file, numbering.floors(numbers, sequences=work.warehouse.dialect == "postgres")
        )
        failpoint("restored")
        gone = None if ids is None else _gone(work, ids)
        backup = Backup(file, file.stat().st_size, publication, receipts, time.monotonic() - started)
        done = Restored(backup, before, gone, replaced, _record(work, backup, gone))
    work.warehouse.refresh_published(numbering.described)
    return done


def _standing(work: Workspace) -> tuple[str | None, dict[str, int], list[str] | None]:
    """Newest publication, numbers and all publications of what stands; else what the readers' copy knows, and more."""
    try:
        with work.warehouse.reading() as connection:
            if schema.version(connection) is not None:
                return _newest(connection), numbering.given(connection), publications.ids(connection)
    except PlatformError:
        """It is damaged or gone: that is why it is restored."""
    about = work.warehouse.readers_about() or {}
    numbers = {name: int(about.get(name, 0)) + UNSEEN for name in numbering.KINDS}
    return about.get("publication") or None, numbers, None


def _gone(work: Workspace, before: list[str]) -> tuple[str, ...]:
    with work.warehouse.reading() as connection:
        there = set(publications.ids(connection))
    return tuple(name for name in before if name not in there)


def _record(work: Workspace, backup: Backup, gone: tuple[str, ...] | None) -> str | None:
    """An incident: figures that were read from what is gone must be looked at again."""
    with schema.writing(work.warehouse) as connection:
        outbox.doubt(connection)
    if gone == ():
        return None
    lost = "which publications are gone is not known" if gone is None else f"{len(gone)} publications are gone"
    sentence = f"the warehouse was restored from {backup.file.name}, as of {backup.publication or 'nothing'}; {lost}"
    detail = Detail(backup=backup.file.name, publication=backup.publication, gone=gone or ())
    with schema.writing(work.warehouse) as connection:
        cause, kind = f"restored {clock.now():%Y-%m-%d %H:%M:%S}", IncidentKind.WAREHOUSE
        return incidents.open_for(connection, healing.WAREHOUSE, 0, sentence, detail, kind=kind, cause=cause)


def latest(settings: Settings) -> Path:
    """The newest backup. Raises DeclarationError when there is none."""
    found = kept(settings)
    if not found:
        raise DeclarationError(
            f"there is no backup in {settings.paths.shown(settings.paths.backups)}; name a file:"
            " dataops warehouse restore FILE"
        )
    return found[-1]


def _name(settings: Settings, stamp: str) -> str:
    return f"{_stem(settings)}-{stamp}{_suffix(settings)}"


def _stem(settings: Settings) -> str:
    """What the names of a warehouse's backups begin with."""
    return Path(make_url(settings.warehouse_url).database or "warehouse").stem


def _suffix(settings: Settings) -> str:
    url = make_url(settings.warehouse_url)
    return ".dump" if url.get_backend_name() == "postgresql" else Path(str(url.database)).suffix
