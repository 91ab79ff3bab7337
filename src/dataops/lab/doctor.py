"""Am I good to go? Probes of the installation: each at most five seconds, all at once, nothing is written.

Knows how to look; what is said about it on a screen is the command line's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Literal

from dataops.declared import settings as settings_
from dataops.declared.errors import DataopsError, DeclarationError
from dataops.declared.settings import Settings

Level = Literal["ok", "warn", "FAIL", "off"]
SECONDS = 5.0
LOW_BYTES = 2 * 2**30
OLD_BACKUP = timedelta(hours=48)
WRITTEN = 1_700_000_000  # November 2023: no clock that is right shows less


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at and what was found. `advice` says what to do; `stops` what does not work now."""

    level: Level
    subject: str
    fact: str
    advice: str = ""
    declared_wrong: bool = False  # an author's mistake (exit 2), not the platform's (exit 3)
    stops: str = ""  # instead of what a failure of this subject stops otherwise


Probe = Callable[[Settings], Finding]


def run(names: Sequence[str] = (), seconds: float = SECONDS) -> list[Finding]:
    """Findings of the named probes, or of all, in the order of `PROBES`.

    Raises DeclarationError for an unknown probe or for settings that cannot be read.
    """
    if unknown := sorted(set(names) - PROBES.keys()):
        raise DeclarationError(f"nothing to look at under {', '.join(unknown)}; there are {', '.join(PROBES)}")
    # Another process that holds the warehouse file must be named before the time is over.
    settings = replace(settings_.load(), lock_seconds=seconds / 2)
    chosen = [name for name in PROBES if not names or name in names]
    _import_first()
    return _together(chosen, settings, seconds)


def _import_first() -> None:
    """On a busy machine imports alone may take seconds; they say nothing about what is probed."""
    for module in ("packaging.requirements", "dataops.declared.catalog", "dataops.warehouse.duckdb",
                   "dataops.warehouse.postgres", "dataops.pipeline.backups",
                   "dataops.sources.generator"):  # fmt: skip
        import_module(module)


def _together(names: Sequence[str], settings: Settings, seconds: float) -> list[Finding]:
    """Daemon threads, so that a probe that hangs in a connection cannot keep the process alive."""
    found: dict[str, Finding] = {}
    threads = [threading.Thread(target=_probe, args=(name, settings, found), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer after {seconds:g} s"
    return [found.get(name) or Finding("FAIL", name, late, _hanging(name, settings)) for name in names]


def _hanging(name: str, settings: Settings) -> str:
    where = {"warehouse": settings.warehouse_name, "source": settings.source_url or ""}.get(name, "")
    return f"{where} did not answer; is it up, and is the address right?" if where else "run it alone to see more"


def _probe(name: str, settings: Settings, found: dict[str, Finding]) -> None:
    try:
        found[name] = PROBES[name](settings)
    except DeclarationError as error:
        found[name] = _failed(name, error, declared_wrong=True)
    except Exception as error:  # noqa: BLE001  whatever breaks a probe is its finding
        found[name] = _failed(name, error)


def _failed(name: str, error: Exception, *, declared_wrong: bool = False) -> Finding:
    first, _, rest = (str(error).strip() or type(error).__name__).partition("\n")
    if not isinstance(error, DataopsError):
        first = f"{type(error).__name__}: {first}"
    return Finding("FAIL", name, first, rest, declared_wrong)


def _python(settings: Settings) -> Finding:
    import platform
    import sys
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    lock = settings.paths.project / "requirements.txt"
    where = f"{platform.python_version()}{', virtualenv' if sys.prefix != sys.base_prefix else ''}"
    if not lock.exists():
        return Finding("warn", "python", f"{where}; no requirements.txt to compare with")
    locked = [Requirement(line.rstrip("\\ \n")) for line in lock.read_text("utf-8").splitlines() if line[:1].isalnum()]
    locked = [item for item in locked if item.marker is None or item.marker.evaluate()]
    wrong = []
    for item in locked:
        try:
            there = version(item.name)
        except PackageNotFoundError:
            there = "not installed"
        if not item.specifier.contains(there if there[0].isdigit() else "0", prereleases=True):
            wrong.append(f"{item.name}: {there}, locked {str(item.specifier).removeprefix('==')}")
    matching = f"{len(locked) - len(wrong)} of {len(locked)}"
    if wrong:
        return Finding("FAIL", "python", f"{where}; lock differs ({matching} match)", "\n".join(wrong[:5]))
    return Finding("ok", "python", f"{where}, lock matches ({matching})")


def _files(settings: Settings) -> Finding:
    from dataops.declared import catalog as catalogs

    catalog = catalogs.load(settings.paths)
    rules = sum(len(group.rules) for group in catalog.groups.values())
    return Finding(
        "ok", "files", f"{len(catalog.datasets)} datasets, {rules} rules, {len(catalog.models)} models; nothing unknown"
    )


def _warehouse(settings: Settings) -> Finding:
    from dataops.ledger import chain, schema
    from dataops.warehouse import open_warehouse

    warehouse = open_warehouse(settings)
    with warehouse.reading() as connection:
        version = schema.version(connection)
        if version is None:
            return Finding(
                "warn",
                "warehouse",
                f"{warehouse.name}: nothing in it yet",
                "the first load makes it: dataops load reference",
            )
        if version != schema.VERSION:
            said = f"{warehouse.name}: its ledger is of version {version}, this release knows {schema.VERSION}"
            return Finding("FAIL" if version > schema.VERSION else "warn", "warehouse", said, "upgrade dataops")
        proof = chain.walk(chain.records(connection))
    if proof.broken:
        said = f"{warehouse.name}: ledger chain broken: {proof.broken.publication} {proof.broken.says}"
        unproven = f"{proof.unproven} publications are unproven"
        return Finding("FAIL", "warehouse", said, "dataops publications verify", stops=unproven)
    sealed = f"ledger chain verified ({proof.receipts} receipt{'' if proof.receipts == 1 else 's'})"
    return Finding("ok", "warehouse", f"{warehouse.name}: answers; {sealed}")


def _rights(settings: Settings) -> Finding:
    """Whether a mistake, or somebody who found a hole, could do more than the platform needs."""
    from dataops.warehouse import open_warehouse
    from dataops.warehouse.postgres import PostgresWarehouse

    warehouse = open_warehouse(settings)
    if not isinstance(warehouse, PostgresWarehouse):
        return Finding("ok", "rights", "who may read the warehouse file reads all of it; others get published.duckdb")
    if warehouse.is_superuser():
        said = f"{warehouse.name}: this login is a superuser, who may run programs on the server"
        return Finding("warn", "rights", said, "make a login of its own, then: dataops warehouse init")
    if not warehouse.roles_in_use:
        said = f"{warehouse.name}: roles are not set up, so every command has all rights"
        return Finding("warn", "rights", said, "set them up: dataops warehouse init")
    return Finding("ok", "rights", f"{warehouse.name}: loader, gate and consumer have rights of their own")


def _source(settings: Settings) -> Finding:
    from dataops.declared import catalog
    from dataops.lab.faulty_source import open_source
    from dataops.sources.opening import find_source

    first = next(d for d in catalog.load(settings.paths).datasets.values() if d.contract.platform.source)
    url = settings.source_url or find_source(settings.paths.project).url  # without a cache: nothing is downloaded
    source = open_source(url, project=settings.paths.project)
    try:
        columns = len(source.schema(str(first.contract.platform.source)))
    finally:
        source.close()
    said = f"{source.name}: {first.table} has {columns} columns"
    if settings.source_url is None and url.startswith("generator:"):
        return Finding(
            "warn", "source", f"{said}; Microsoft's files were not found", "a load would try to download them"
        )
    return Finding("ok", "source", said)


def _airflow(_: Settings) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding("ok", "airflow", f"{version('apache-airflow')} is installed")
    except PackageNotFoundError:
        return Finding("FAIL", "airflow", "not installed", "pip install -r requirements.txt")


def _clock(_: Settings) -> Finding:
    moment = time.time()
    zone = time.strftime("%Z")
    if moment < WRITTEN:
        return Finding(
            "FAIL", "clock", f"it says {time.strftime('%Y-%m-%d %H:%M')}", "set the clock: publications carry its time"
        )
    return Finding("ok", "clock", f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(moment))} UTC (here {zone})")


def _disk(settings: Settings) -> Finding:
    import shutil

    folder = _nearest(settings.paths.home)
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:.1f} GiB free at {settings.paths.shown(folder)}"
    if free < LOW_BYTES:
        return Finding("warn", "disk", said, "a load of the whole history needs about 1 GiB")
    return Finding("ok", "disk", said)


def _backup(settings: Settings) -> Finding:
    from dataops.pipeline import backups

    found = backups.kept(settings)
    if not found:
        return Finding("warn", "backup", "none yet", "make one: dataops warehouse backup")
    age = backups.age(found[-1])
    said = f"{settings.paths.shown(found[-1])}, {age.total_seconds() / 3600:.0f} h old; {len(found)} kept"
    if age > OLD_BACKUP:
        return Finding(
            "warn", "backup", said, "a daily job makes them (warehouse_backup); or: dataops warehouse backup"
        )
    return Finding("ok", "backup", said)


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _slack(settings: Settings) -> Finding:
    from dataops.lab import doctor_channels

    return doctor_channels.slack(settings)


def _mail(settings: Settings) -> Finding:
    from dataops.lab import doctor_channels

    return doctor_channels.mail(settings)


def _lineage(settings: Settings) -> Finding:
    from dataops.lab import doctor_channels

    return doctor_channels.lineage(settings)


PROBES: dict[str, Probe] = {
    "python": _python, "files": _files, "warehouse": _warehouse, "rights": _rights, "source": _source,
    "airflow": _airflow, "clock": _clock, "disk": _disk, "backup": _backup,
    "slack": _slack, "mail": _mail, "lineage": _lineage,
}  # fmt: skip
STOPS = {
    "python": "the installation is not the one that was tested",
    "files": "nothing can be judged",
    "warehouse": "nothing can be loaded, published or read",
    "rights": "what each command may do is not known",
    "source": "loading does not work",
    "airflow": "scheduled jobs do not run",
    "clock": "publications would carry wrong times",
    "disk": "a load may run out of room",
    "backup": "what is lost could not be brought back",
    "slack": "nobody is told by Slack",
    "mail": "nobody is told by mail",
}


def conclusion(findings: Sequence[Finding]) -> str:
    """Answers "am I good to go?" in words."""
    failed = [f for f in findings if f.level == "FAIL"]
    warned = [f for f in findings if f.level == "warn"]
    counts = " and ".join(
        f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"
        for found, noun in ((failed, "problem"), (warned, "warning"))
        if found
    )
    if failed:
        return f"{counts}. Not good to go: {'; '.join(f.stops or STOPS[f.subject] for f in failed)}."
    return f"{counts}. Good to go." if warned else "No problem. Good to go."


def exit_code(findings: Sequence[Finding]) -> int:
    """0 fine or warnings, 2 a declaration is wrong, 3 the platform is."""
    failed = [f for f in findings if f.level == "FAIL"]
    if any(not f.declared_wrong for f in failed):
        return 3
    return 2 if failed else 0
