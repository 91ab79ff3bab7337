"""The verbs that the command line and the DAG tasks share; each holds its group's lock while it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from dataops.declared.catalog import Catalog, Group
from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.declared.failpoint import failpoint
from dataops.gate import gate
from dataops.gate.verdict import Verdict
from dataops.ledger import batches, numbering, readings
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import history, reconcile, transforms
from dataops.pipeline import publish as publishing
from dataops.pipeline import replay as replaying
from dataops.pipeline.audit import run as auditing
from dataops.pipeline.audit.run import Audited
from dataops.pipeline.intake import extraction, known
from dataops.pipeline.intake.landing import Tell
from dataops.pipeline.publish import Published
from dataops.pipeline.reconcile import Difference
from dataops.pipeline.replay import Replayed
from dataops.pipeline.transforms import Build
from dataops.sources import Position, Source, Window, open_source


class Opener(Protocol):
    """`sources.open_source`, or one that does more."""

    def __call__(self, url: str | None, *, project: Path | None, cache: Path | None) -> Source: ...


P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("dataops")
ROUNDS = 5  # each one is lost only to somebody who showed another batch in between


@dataclass(frozen=True)
class Load:
    """A batch from source to publication; `publication` is None when the batch is held."""

    batch_id: str
    verdict: Verdict | None
    publication: Published | None


@dataclass(frozen=True)
class Differences:
    """Between what was loaded and the source: by dataset, and the windows whose loads would end them."""

    datasets: tuple[Difference, ...]
    windows: tuple[Window, ...]
    position: Position | None
    """where the source stood, if it changes by itself"""


def _in_a_session(verb: Callable[Concatenate[Workspace, P], T]) -> Callable[Concatenate[Workspace, P], T]:
    """The transactions of a verb share what opening the warehouse costs."""

    @wraps(verb)
    def run(work: Workspace, /, *arguments: P.args, **options: P.kwargs) -> T:
        with work.warehouse.session():
            return verb(work, *arguments, **options)

    return run


@contextmanager
def source_of(work: Workspace, url: str | None = None, opened: Opener = open_source) -> Iterator[Source]:
    """The source of this URL, else the configured one; closed afterwards. Raises DeclarationError for a bad address."""
    paths = work.settings.paths
    source = opened(url or work.settings.source_url, project=paths.project, cache=paths.home / "source")
    try:
        yield source
    finally:
        source.close()


def renew_copy(work: Workspace) -> None:
    """Brings the readers' copy up to date, if it lags; for the end of a verb that published, outside any group's lock.

    A bystander: the publication stands whether or not the copy could be renewed.
    """
    try:
        work.warehouse.refresh_published(numbering.described)
    except (PlatformError, OSError) as error:
        log.warning("the readers' copy was not renewed: %s", str(error).splitlines()[0])
    failpoint("readers_refreshed")


@_in_a_session
def initialise(work: Workspace) -> list[str]:
    """Sets up a warehouse: roles and rights where it has them, then ledger and tables. Returns the rights' statements.

    Raises PlatformError when the login may not.
    """
    made = work.warehouse.initialise()
    with writing(work.warehouse, work.catalog.datasets.values()):
        """Its tables are there."""
    return made


@_in_a_session
def extract(work: Workspace, group: str, window: Window | None, source: Source) -> str:
    """Lands a batch and returns its id."""
    found = work.catalog.group(group)
    with work.warehouse.lock(group, "load"):
        return extraction.extract(work, found, source, window)


@_in_a_session
def load(
    work: Workspace, group: str, window: Window | None, source: Source, *, renewed: bool = False,
    tell: Tell | None = None,
) -> Load:  # fmt: skip
    """Extract, gate and publish under one lock. `renewed` and `tell`: see `extraction.extract`."""
    found = work.catalog.group(group)
    with work.warehouse.lock(group, "load"):
        batch_id = extraction.extract(work, found, source, window, renewed=renewed, tell=tell)
        return gate_and_publish(work, batch_id)


@_in_a_session
def differences(work: Workspace, group: str, source: Source, *, values: bool = False) -> Differences:
    """What of the group is not as its source has it, by keys and stamps or by all values, and the windows to load."""
    found = work.catalog.group(group)
    if not found.is_loaded:
        raise DeclarationError(f"{group} is built from published data; it has no source to be compared with")
    with writing(work.warehouse, found.datasets):
        """Its tables are there."""
    with work.warehouse.lock(group, "reconcile"):
        compare = reconcile.compare_values if values else reconcile.compare
        differing, position = compare(work, source, found)
    with work.warehouse.reading() as connection:
        loaded = batches.loaded_windows(connection, group)
    return Differences(tuple(differing), tuple(reconcile.windows(work, source, found, differing, loaded)), position)


def load_differences(work: Workspace, group: str, source: Source, found: Differences) -> list[Load]:
    """Loads the windows that differ; where none does, the group counts as read where the source stood."""
    if not found.windows and found.position is not None:
        with writing(work.warehouse) as connection:
            readings.renew(connection, group, found.position)
    return [load(work, group, window, source, renewed=True) for window in found.windows]


def to_back_fill(work: Workspace, group: str, window: Window, length: timedelta, *, again: bool) -> list[Window]:
    """Pieces of the window, oldest first; without `again` those that stand already are left out.

    Raises DeclarationError for a group of which no window can be loaded.
    """
    found = work.catalog.group(group)
    if not found.is_loaded or not any(known.is_windowed(dataset) for dataset in found.datasets):
        raise DeclarationError(f"{group} is not loaded by windows; run: dataops load {group}")
    with writing(work.warehouse, found.datasets) as connection:
        stand = set() if again else batches.standing_windows(connection, group)
    return [piece for piece in window.pieces(length) if piece not in stand]


def reconcile_live(work: Workspace, source: Source) -> dict[str, list[Load]]:
    """Loads what differs of every group that was loaded from a source that changes by itself; loads by group."""
    done: dict[str, list[Load]] = {}
    if source.position() is None:
        return done
    for name, group in work.catalog.groups.items():
        with work.warehouse.reading() as connection:
            is_loaded = group.is_loaded and readings.last(connection, name) is not None
        if is_loaded and any(known.is_windowed(dataset) for dataset in group.datasets):
            found = differences(work, name, source)
            done[name] = load_differences(work, name, source, found)
    return done


@_in_a_session
def build(work: Workspace, group: str, names: Sequence[str] = (), *, full: bool = False) -> tuple[Build, Load]:
    """Builds models, gates and publishes them under one lock."""
    found = work.catalog.group(group)
    with work.warehouse.lock(group, "build"):
        built = transforms.build(work, found, names, full=full)
        return built, gate_and_publish(work, built.batch_id)


def to_build(catalog: Catalog, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Built groups in the order in which they read each other -> models of it that are named; none: all of them.

    `names` are groups or models. Raises DeclarationError for a name that is neither, or of a group that is loaded.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for name in names:
        is_group = name in catalog.groups
        group = name if is_group else catalog.model(name).group
        chosen[group] = (*chosen.get(group, ()), *(() if is_group else (name,)))
    if loaded := [group for group in chosen if catalog.groups[group].is_loaded]:
        raise DeclarationError(f"{loaded[0]} is loaded, not built; run: dataops load {loaded[0]}")
    return {name: chosen.get(name, ()) for name in catalog.built if not names or name in chosen}


def gate_and_publish(work: Workspace, batch_id: str) -> Load:
    """Judges a sealed batch and publishes it if it passed. The caller holds the group's lock."""
    verdict = gate.run(work, batch_id)
    return Load(batch_id, verdict, publishing.publish(work, batch_id) if verdict.passed else None)


@_in_a_session
def build_candidates(work: Workspace, group: str, *, full: bool = False) -> Build:
    """Builds models as a batch for the gate."""
    with work.warehouse.lock(group, "build"):
        return transforms.build(work, work.catalog.group(group), full=full)


@_in_a_session
def audit(work: Workspace, batch_id: str, engine: gate.AuditEngine) -> None:
    """Lets Soda or GX judge a batch; both may do so at once, since they only read what is shown to them.

    Raises PlatformError when others keep showing other batches of the group.
    """
    for _ in range(ROUNDS):
        with locked(work, batch_id, "gate", shared=True):
            if gate.is_shown(work, batch_id):
                gate.audit(work, batch_id, engine)
                return
        with locked(work, batch_id, "gate"):
            gate.show(work, batch_id)
    raise PlatformError(f"{batch_id} was not judged: others judge other batches of its group. Run this again later.")


@_in_a_session
def judge(work: Workspace, batch_id: str) -> Verdict:
    """The verdict on a batch that both engines have judged."""
    with locked(work, batch_id, "gate"):
        return gate.judge(work, batch_id)


@_in_a_session
def run_gate(work: Workspace, group: str, batch_id: str | None = None) -> Verdict:
    """Both audits and the verdict, for the named or the group's latest batch; repeated later it changes nothing."""
    batch_id = latest(work, group, batch_id)
    with locked(work, batch_id, "gate"):
        return gate.run(work, batch_id)


def refuse_settled(work: Workspace, group: str, batch_id: str | None) -> None:
    """Raises DataRejected for a batch to which nothing can happen any more: whoever asks for a verdict gets none."""
    batch_id = latest(work, group, batch_id)
    with work.warehouse.reading() as connection:
        batch = batches.required(connection, batch_id)
    if batch.is_settled:
        raise DataRejected(
            f"batch {batch_id} is {batch.state} already, so it is not judged again, and no rule was asked.\n"
            f"To try changed rules on what was loaded: dataops gate simulate --rules FOLDER"
        )


@_in_a_session
def publish(work: Workspace, group: str | None = None, batch_id: str | None = None) -> Published:
    """Publishes the named or the group's latest batch."""
    batch_id = latest(work, group, batch_id)
    with locked(work, batch_id, "publish"):
        return publishing.publish(work, batch_id)


@_in_a_session
def roll_back(work: Workspace, group: str, publication_id: str, reason: str) -> Published:
    """Makes a group stand as it did after an earlier publication."""
    with work.warehouse.lock(group, "roll back"):
        return history.roll_back(work, work.catalog.group(group), publication_id, reason)


@_in_a_session
def replay(work: Workspace, group: str, *, dry_run: bool = False) -> Replayed:
    """Sends the group's waiting rows through the gate and publishes those that pass now."""
    with work.warehouse.lock(group, "replay"):
        return replaying.replay(work, work.catalog.group(group), dry_run=dry_run)


@_in_a_session
def rehearse(work: Workspace) -> dict[str, Replayed]:
    """Tries a replay of every group that loads and keeps what would pass now, by group; publishes nothing."""
    tried = {name: replay(work, name, dry_run=True) for name, g in work.catalog.groups.items() if g.is_loaded}
    with writing(work.warehouse) as connection:
        replaying.keep_rehearsals(connection, tried.values())
    return tried


def audit_published(
    work: Workspace, url: str | None = None, opened: Opener = open_source, *, compare: bool = True
) -> Audited:
    """Audits what is published, and compares it with the source of this URL, else the configured one.

    A source that cannot be opened is said in the audit's `problem`.
    """
    if not compare:
        return auditing.audit(work, None)
    with ExitStack() as stack:
        try:
            source = stack.enter_context(source_of(work, url, opened))
        except (DataRejected, PlatformError, DeclarationError, OSError) as error:
            return auditing.audit(work, None, problem=f"the source could not be opened: {str(error).splitlines()[0]}")
        return auditing.audit(work, source)


def latest(work: Workspace, group: str | None, batch_id: str | None) -> str:
    """Id of the named batch, or of the group's newest one. Raises DataRejected when there is none."""
    with writing(work.warehouse) as connection:
        return batches.required(connection, batch_id, group).batch_id


@contextmanager
def locked(work: Workspace, batch_id: str, purpose: str, *, shared: bool = False) -> Iterator[Group]:
    """Holds the lock of the batch's group. Raises DataRejected when there is no such batch."""
    with writing(work.warehouse) as connection:
        batch = batches.find(connection, batch_id) or batches.required(connection, batch_id)
    group = work.catalog.group(batch.group)
    with work.warehouse.lock(group.name, purpose, shared=shared):
        yield group
