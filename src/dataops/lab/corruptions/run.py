"""Scores groups: loads a clean source into a warehouse that is thrown away, spoils it there, and asks the gate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

from dataops.declared.catalog import Catalog, Group
from dataops.declared.paths import Paths
from dataops.declared.settings import Settings
from dataops.lab.corruptions import probes
from dataops.lab.corruptions.bed import Bed
from dataops.lab.corruptions.score import Score, Scoring
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.warehouse import open_warehouse

Told = Callable[[str], None]


def score(work: Workspace, url: str, groups: Collection[str] = (), tell: Told = lambda _: None) -> list[Score]:
    """The detection score of the named groups (default: all), each on a clean batch of the source at `url`.

    Nothing is read from or written to the warehouse of `work`. A group whose clean batch is held has false alarms and
    is not scored further, nor are the groups that need it.
    """
    wanted = {work.catalog.group(name).name for name in groups} or set(work.catalog.groups)
    with tempfile.TemporaryDirectory(prefix="dataops-score-") as name:
        folder = Path(name)
        base = elsewhere(work, folder / "base")
        found = []
        for group in _in_order(work.catalog, wanted):
            tell(f"loading {group.name}")
            alarms = _load(base, group, url)
            if alarms:
                found.append(Score(group.name, false_alarms=tuple(alarms)))
                break
            if group.name in wanted:
                tell(f"scoring {group.name}")
                found.append(score_group(base, group, folder / group.name))
    return found


def score_group(base: Workspace, group: Group, folder: Path) -> Score:
    """The score of a group that is loaded in `base`, on a copy of it in `folder`."""
    folder.mkdir(parents=True)
    base.warehouse.copy_to(folder / "warehouse.duckdb")
    work = elsewhere(base, folder)
    scoring = Scoring(Bed(work, group))
    scoring.rows()
    scoring.sets()
    paths = work.settings.paths
    file = paths.corruptions / f"{group.name}.yml"
    scoring.rest(probes.declared(file, paths.shown(file), {rule.id: rule for rule in group.rules}))
    return scoring.score


def elsewhere(work: Workspace, home: Path) -> Workspace:
    """The same declarations over a DuckDB warehouse in another home."""
    paths = Paths(work.settings.paths.project, home)
    settings: Settings = replace(work.settings, paths=paths, warehouse_url=f"duckdb:///{paths.warehouse}")
    return Workspace(settings, work.catalog, open_warehouse(settings))


def _in_order(catalog: Catalog, wanted: Collection[str]) -> Iterator[Group]:
    """Groups that are needed for the wanted ones: what they refer to and are compared with first, models last."""
    graph: dict[str, set[str]] = {}
    for group in catalog.groups.values():
        named = {d.group for d in group.outside}
        named |= {catalog.dataset(table).group for rule in group.rules for table in rule.tables}  # what rules look at
        models = {g.name for g in catalog.groups.values() if g.is_loaded} if not group.is_loaded else set()
        graph[group.name] = (named | models) - {group.name}
    needed, queue = set(), list(wanted)
    while queue:
        name = queue.pop()
        needed.add(name)
        queue += graph[name] - needed
    return (catalog.group(name) for name in TopologicalSorter(graph).static_order() if name in needed)


def _load(base: Workspace, group: Group, url: str) -> list[str]:
    """Why the clean batch was not published; empty when it was."""
    if group.is_loaded:
        with jobs.source_of(base, url) as source:
            done = jobs.load(base, group.name, None, source)
    else:
        done = jobs.build(base, group.name, full=True)[1]
    verdict = done.verdict
    failed = [r for r in verdict.results if r.outcome.stops] if verdict else []
    return [f"{r.rule.id} ({r.failing or r.observed or r.problem})" for r in failed]
