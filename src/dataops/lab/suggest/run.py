"""Suggests rules for a dataset: found in what is published, tried on kept batches and on damage. Applies nothing."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import Connection

from dataops.declared import catalog as catalogs
from dataops.declared.catalog import Dataset, Rule
from dataops.declared.errors import DataRejected
from dataops.declared.paths import Paths
from dataops.gate import gate
from dataops.gate.verdict import RuleResult
from dataops.lab import simulate
from dataops.lab.corruptions.bed import Bed
from dataops.lab.corruptions.score import TELLS
from dataops.lab.suggest import across, changes, columns, pairs, profile, texts, writing
from dataops.lab.suggest.damage import Noticed, notice
from dataops.lab.suggest.profile import Profile
from dataops.lab.suggest.proposal import LEAST, Proposal
from dataops.ledger import batches, schema
from dataops.ledger.enums import Outcome
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.warehouse import tables

Told = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What the gate said about one batch, of which the dataset received so many rows."""

    batch: str
    received: int
    results: tuple[RuleResult, ...]


@dataclass(frozen=True)
class Suggested:
    """A proposal with what it is worth.

    `fired` of the batches and `rows_fired` in them: on history. `milliseconds`: its query over all published rows.
    `notices`: kinds of damage that it notices; `new`: of those, what nothing notices today, with rows of each.
    """

    rule: str
    proposal: Proposal
    fired: int
    rows_fired: int
    milliseconds: float | None
    notices: int
    new: dict[str, int]


@dataclass(frozen=True)
class Suggestion:
    """All that is suggested for a dataset, what is worth most first, and how much was looked at.

    `restated`: rules that say no more than a declared or another suggested one; `untrue`: that published rows break.
    """

    dataset: Dataset
    rows: int
    batches: int
    suggested: tuple[Suggested, ...]
    restated: int
    untrue: int


def suggest(work: Workspace, name: str, last: int = 10, tell: Told = lambda _: None) -> Suggestion:
    """Rules for the dataset of this name; nothing is written to the warehouse or the declarations.

    `last`: how many kept batches they are tried on. Raises DeclarationError for an unknown dataset, DataRejected where
    too little is published or no batch is kept.
    """
    dataset = work.catalog.dataset(name)
    with tempfile.TemporaryDirectory(prefix="dataops-suggest-") as folder:
        home = Path(folder) / "home"
        tell("copying the warehouse")
        copy = simulate.copied(work, home)
        tell(f"looking at {dataset.published_name}")
        looked, found = _true_of(copy, dataset)
        numbered = writing.numbered(work.catalog, dataset, found)
        changed = writing.laid(work.settings.paths.project, Path(folder) / "project", dataset, numbered)
        paths = Paths(changed, home)
        after = replace(copy, settings=replace(copy.settings, paths=paths), catalog=catalogs.load(paths))
        tell(f"trying {len(found)} rules on kept batches")
        trials = _on_history(after, dataset, last)
        cost = _on_published(after, dataset, trials[-1].results, numbered)
        tell("planting damage that they should notice")
        most = max(reversed(trials), key=lambda trial: trial.received)  # damage needs rows to strike
        bed = Bed(after, after.catalog.group(dataset.group), most.batch)
        noticed = notice(bed, after.catalog.dataset(name), cost)
    kept = sorted(_worth_saying(numbered, cost, dataset, noticed), key=lambda rule: -len(noticed.new(rule)))
    ids = writing.numbered(work.catalog, dataset, [numbered[rule] for rule in kept])
    suggested = [
        _suggested(new, numbered[rule], trials, cost[rule], noticed, rule) for new, rule in zip(ids, kept, strict=True)
    ]
    return Suggestion(
        dataset, looked.rows, len(trials), tuple(suggested), len(cost) - len(kept), len(found) - len(cost)
    )


def _true_of(work: Workspace, dataset: Dataset) -> tuple[Profile, list[Proposal]]:
    """What all published rows keep."""
    catalog = work.catalog
    with work.warehouse.transaction() as connection:
        schema.ensure(connection, catalog.layers)
        tables.ensure(work.warehouse, connection, catalog.datasets.values())
        looked = profile.read(connection, dataset)
        if looked.rows < LEAST:
            raise DataRejected(
                f"{dataset.published_name} has {looked.rows} rows; of fewer than {LEAST} nearly anything is true.\n"
                f"See: dataops status"
            )
        references = list(across.references(connection, catalog, looked))
        claims = [
            *columns.claims(looked),
            *pairs.claims(connection, looked),
            *texts.claims(connection, looked),
            *across.claims(catalog, looked, across.ways(catalog, dataset, references)),
        ]
        others = [*references, *_keys_of_two(connection, looked), *changes.proposals(connection, looked)]
    return looked, [*profile.true(work, dataset, claims), *others]


def _keys_of_two(connection: Connection, looked: Profile) -> list[Proposal]:
    found = []
    for one, other in columns.pairs_of_ids(looked):
        sql = f'SELECT COUNT(*) FROM (SELECT DISTINCT "{one}", "{other}" FROM {looked.dataset.published_name}) AS t'
        if connection.exec_driver_sql(sql).scalar_one() == looked.rows and not looked.has("duplicate", one, other):
            found.append(columns.key_of_two(looked, one, other))
    return found


def _on_history(after: Workspace, dataset: Dataset, last: int) -> list[Trial]:
    """The gate's results for each kept batch that brought the dataset; of models, for all that they make now."""
    group = after.catalog.group(dataset.group)
    if group.is_loaded:
        kept = simulate.kept_batches(after.catalog, after, group.name, last)
    else:
        kept = [jobs.build_candidates(after, group.name, full=True).batch_id]
    with after.warehouse.transaction() as connection:
        found = [(batch, batches.datasets(connection, batches.required(connection, batch).seq)) for batch in kept]
    brought = {batch: datasets[dataset.table].received for batch, datasets in found if dataset.table in datasets}
    if not brought:
        raise DataRejected(
            f"raw keeps no whole batch of {dataset.name}, so no rule could be tried.\nRun: dataops load {group.name}"
        )
    return [Trial(batch, rows, gate.run(after, batch).results) for batch, rows in brought.items()]


def _on_published(
    after: Workspace, dataset: Dataset, results: Sequence[RuleResult], numbered: writing.Numbered
) -> dict[str, float | None]:
    """Of each rule that no published row breaks, the milliseconds that its query takes; None for one without."""
    found: dict[str, float | None] = {}
    group = after.catalog.group(dataset.group)
    with after.warehouse.transaction() as connection:
        for member in group.datasets:
            names = tables.quoted(member.column_names)
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS candidate.{member.table}")
            connection.exec_driver_sql(
                f"CREATE VIEW candidate.{member.table} AS SELECT {names}, ROW_NUMBER() OVER () AS _row,"
                f" CAST(NULL AS VARCHAR) AS _problems FROM {member.published_name}"
            )
        for result in (r for r in results if r.rule.id in numbered):
            broken, taken = _asked(connection, result)
            if not broken and result.outcome is not Outcome.ERROR:
                found[result.rule.id] = taken
    return found


def _asked(connection: Connection, result: RuleResult) -> tuple[int, float | None]:
    """Rows that break the rule, and how long it took to ask, in milliseconds."""
    if result.predicate is None:
        return 0, None
    started = time.perf_counter()
    sql = f"SELECT COUNT(*) FROM candidate.{result.rule.table} WHERE {result.predicate.condition}"
    broken = int(connection.exec_driver_sql(sql).scalar_one())
    return broken, (time.perf_counter() - started) * 1000


def _worth_saying(numbered: writing.Numbered, rules: Collection[str], declared: Dataset, noticed: Noticed) -> list[str]:
    """Without rules that nothing trips, and those that say no more than another about the same columns.

    Of two suggested ones that notice the same, the first stays.
    """
    others = [(speaks_of(declared, rule), noticed.of_declared(rule.id)) for rule in declared.rules]
    kept: list[str] = []
    for rule in sorted(rules, key=lambda r: -noticed.named(r)):
        columns = set(numbered[rule].columns)
        told = bool(noticed.by_rule.get(rule))
        if told and not any(theirs <= columns and noticed.within(rule, named) for theirs, named in others):
            kept.append(rule)
            others.append((columns, noticed.by_rule[rule]))
    return kept


def speaks_of(dataset: Dataset, rule: Rule) -> set[str]:
    """Columns of its dataset that a rule names, those in its SQL as well, and other datasets."""
    sql = str(rule.expectation.kwargs.get("unexpected_rows_query", "")) if rule.expectation else ""
    return {*rule.columns, *rule.tables, *(name for name in dataset.column_names if re.search(rf"\b{name}\b", sql))}


def _suggested(
    id_: str, proposal: Proposal, trials: Sequence[Trial], taken: float | None, noticed: Noticed, rule: str
) -> Suggested:
    """What it is worth; `rule` is the id under which it was tried."""
    results = [r for trial in trials for r in trial.results if r.rule.id == rule]
    # A rule about change was true of every change that history knows; what stands now is no history of a kept batch.
    fired = [r for r in results if r.outcome in TELLS and not r.rule.is_about_change]
    rows = sum(r.failing or 0 for r in fired)
    return Suggested(id_, proposal, len(fired), rows, taken, len(noticed.by_rule[rule]), noticed.new(rule))
