"""What changed rules would have done: kept raw batches judged under both sets of rules, on a copy of the warehouse.

Nothing is written to the warehouse itself. Both sets judge against what is published now, so that every difference
comes from the rules and none from the day.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from sqlalchemy.engine import Connection

from dataops.declared import catalog as catalogs
from dataops.declared.catalog import Catalog, Dataset, Group, Rule
from dataops.declared.errors import DeclarationError, PlatformError
from dataops.declared.layers import QUARANTINE, RAW
from dataops.declared.paths import Paths
from dataops.gate import gate
from dataops.gate.verdict import RuleResult, Verdict
from dataops.lab.project_copy import copy_declarations
from dataops.ledger import batches, schema
from dataops.ledger.enums import Outcome
from dataops.ledger.workspace import Workspace
from dataops.warehouse import open_warehouse, tables

NOTHING = Decimal(0)
EVERY = 100_000  # batches looked through for those of which raw keeps the rows
FOLDERS = ("contracts", "expectations", "checkpoints")
WEIGHT = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True)
class Judgement:
    """One batch under one set of rules; `held` is money (or any control total) that would not be published."""

    verdict: Verdict
    held: dict[str, Decimal]
    seconds: float

    @property
    def blocked(self) -> bool:
        return not self.verdict.passed

    def outcomes(self) -> dict[str, tuple[str, int | None]]:
        return {r.rule.id: (r.outcome, r.failing) for r in self.verdict.results}


@dataclass(frozen=True)
class Trial:
    """One batch under both sets. `received`: control totals of the batch, by `table.column`."""

    batch_id: str
    group: str
    received: dict[str, Decimal]
    before: Judgement
    after: Judgement

    @property
    def differing(self) -> list[str]:
        """Rules that say something else about the batch."""
        before, after = self.before.outcomes(), self.after.outcomes()
        return sorted(rule for rule in before.keys() | after.keys() if before.get(rule) != after.get(rule))

    @property
    def changed(self) -> bool:
        """The verdict, what is held, or what a rule says."""
        return any(
            (
                self.before.verdict.name != self.after.verdict.name,
                self.before.verdict.rows_held != self.after.verdict.rows_held,
                self.before.held != self.after.held,
                self.before.outcomes() != self.after.outcomes(),
            )
        )


@dataclass(frozen=True)
class RuleChange:
    """How a rule differs: added, removed, tightened, weakened, or changed without effect on these batches."""

    rule: Rule
    how: str
    failing_before: int
    failing_after: int
    severity_before: str | None


@dataclass(frozen=True)
class Simulation:
    """All trials, and what is different in the declarations."""

    trials: tuple[Trial, ...]
    rules: tuple[RuleChange, ...]
    checkpoints: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return any(trial.changed for trial in self.trials)


def simulate(work: Workspace, rules: Path, group: str | None = None, last: int = 10) -> Simulation:
    """Judges the newest `last` kept raw batches of a group (or of each) under the rules as they are and as in `rules`.

    Raises DeclarationError for a folder without declarations or a mistake in them.
    """
    with tempfile.TemporaryDirectory(prefix="dataops-simulate-") as name:
        folder = Path(name)
        changed = _laid_over(work.settings.paths.project, rules, folder / "project")
        new = catalogs.load(Paths(changed, folder / "home"))
        before = copied(work, folder / "home")
        with _explained(rules), before.warehouse.transaction() as connection:
            schema.ensure(connection, new.layers)
            tables.ensure(before.warehouse, connection, new.datasets.values())
        after = replace(before, catalog=new)
        trials = tuple(_tried(before, after, batch) for batch in kept_batches(work.catalog, before, group, last))
    return Simulation(trials, tuple(_rule_changes(work.catalog, new, trials)), tuple(_gates(work.catalog, new)))


@contextmanager
def _explained(rules: Path) -> Iterator[None]:
    try:
        yield
    except DeclarationError as error:
        raise DeclarationError(f"{error}\n(with the rules of {rules.name} laid over the project's)") from error


def _laid_over(project: Path, rules: Path, target: Path) -> Path:
    """The project's declarations with those of the folder in their places."""
    if not any((rules / name).is_dir() for name in FOLDERS):
        raise DeclarationError(f"{rules}: none of {', '.join(name + '/' for name in FOLDERS)} is there")
    copy_declarations(project, target)
    for name in FOLDERS:
        if (rules / name).is_dir():
            shutil.copytree(rules / name, target / name, dirs_exist_ok=True)
    return target


def copied(work: Workspace, home: Path) -> Workspace:
    """A workspace over a copy of the warehouse."""
    url = work.settings.warehouse_url
    if not url.startswith("duckdb"):
        from dataops.lab.warehouse_copy import copy_tables

        return copy_tables(work, home)
    from dataops.warehouse.duckdb import file_of

    home.mkdir(parents=True)
    if not file_of(url).exists():
        raise PlatformError("there is no warehouse yet, so no batch was kept; run: dataops load GROUP")
    work.warehouse.copy_to(home / "warehouse.duckdb")
    paths = Paths(work.settings.paths.project, home)
    settings = replace(work.settings, paths=paths, warehouse_url=f"duckdb:///{home / 'warehouse.duckdb'}")
    return Workspace(settings, work.catalog, open_warehouse(settings))


def kept_batches(catalog: Catalog, copy: Workspace, group: str | None, last: int) -> list[str]:
    """The newest batches of which rows are kept in raw, oldest first."""
    groups = [catalog.group(group)] if group else list(catalog.groups.values())
    found: list[str] = []
    with copy.warehouse.transaction() as connection:
        for member in (g for g in groups if g.is_loaded):
            newest = batches.newest(connection, member.name, EVERY)
            kept = [b for b in newest if b.sealed_at and _is_kept(connection, member, b.seq)][:last]
            for batch in kept:
                batches.seal(connection, batch.seq)
            found += [b.batch_id for b in reversed(kept)]
    return found


def _is_kept(connection: Connection, group: Group, seq: int) -> bool:
    """Whether raw still holds all rows that the batch brought."""
    known = [d for d in batches.datasets(connection, seq).values() if d.table in group.tables]
    counts = [
        connection.exec_driver_sql(f"SELECT COUNT(*) FROM {RAW}.{d.table} WHERE _batch = {int(seq)}").scalar_one()
        for d in known
    ]
    return bool(known) and counts == [d.received for d in known]


def _tried(before: Workspace, after: Workspace, batch_id: str) -> Trial:
    first, received = judged(before, batch_id)
    second, _ = judged(after, batch_id)
    return Trial(batch_id, first.verdict.group, received, first, second)


def judged(work: Workspace, batch_id: str) -> tuple[Judgement, dict[str, Decimal]]:
    """What the gate says about a kept batch, and the control totals that it brought; can be judged again after."""
    started = time.perf_counter()
    verdict = gate.run(work, batch_id)
    seconds = time.perf_counter() - started
    received: dict[str, Decimal] = {}
    held: dict[str, Decimal] = {}
    with work.warehouse.transaction() as connection:
        batch = batches.required(connection, batch_id)
        for dataset in work.catalog.group(verdict.group).datasets:
            if dataset.control:
                all_, kept = _controls(connection, dataset, batch.seq)
                received |= all_
                held |= kept if verdict.passed else all_
        batches.seal(connection, batch.seq)
    return Judgement(verdict, held, seconds), received


def _controls(connection: Connection, dataset: Dataset, seq: int) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Control totals of the batch's rows, and of those that are held."""
    found = []
    for layer in (RAW, QUARANTINE):
        rows = f"(SELECT * FROM {layer}.{dataset.table} WHERE _batch = {seq})"
        totals = tables.controls(connection, dataset, rows)[1]
        found.append({f"{dataset.table}.{name}": Decimal(total) for name, total in totals.items()})
    return found[0], found[1]


def _rule_changes(old: Catalog, new: Catalog, trials: Sequence[Trial]) -> Iterator[RuleChange]:
    before, after = _rules(old), _rules(new)
    for rule in sorted(before.keys() | after.keys()):
        if before.get(rule) != after.get(rule):
            first, second = (_failing(rule, [getattr(t, side) for t in trials]) for side in ("before", "after"))
            severity = before[rule][0].severity if rule in before else None
            shown = (after.get(rule) or before[rule])[0]
            how = _how(before.get(rule), after.get(rule), first, second)
            yield RuleChange(shown, how, first, second, severity)


def _rules(catalog: Catalog) -> dict[str, tuple[Rule, str]]:
    """Each rule with everything that it says; a contract's check lies in its column or list."""
    found: dict[str, tuple[Rule, str]] = {}
    for dataset in catalog.datasets.values():
        checks = [*dataset.contract.checks, *(c for column in dataset.columns for c in column.checks)]
        stated = {c.check.attributes.rule: c.model_dump_json() for c in checks}
        for rule in dataset.rules:
            found[rule.id] = (replace(rule, file=""), stated.get(rule.id, ""))
    return found


def _how(before: tuple[Rule, str] | None, after: tuple[Rule, str] | None, first: int, second: int) -> str:
    if before is None or after is None:
        return "added" if before is None else "removed"
    weight = WEIGHT[after[0].severity] - WEIGHT[before[0].severity] or second - first
    return "tightened" if weight > 0 else "weakened" if weight < 0 else "changed, same on these batches"


def _failing(rule: str, judgements: Sequence[Judgement]) -> int:
    results = [r for j in judgements for r in j.verdict.results if r.rule.id == rule]
    return sum(_count(result) for result in results)


def _count(result: RuleResult) -> int:
    """Failing rows; a rule that names none counts once."""
    if result.failing is not None:
        return result.failing
    return int(result.outcome is not Outcome.PASSED)


def _gates(old: Catalog, new: Catalog) -> Iterator[str]:
    """`checkpoints/sales.yml: quota {'rows': 0.01} -> {'rows': 0.05}` for each setting that differs."""
    for name in sorted(old.groups.keys() | new.groups.keys()):
        if name not in old.groups or name not in new.groups:
            yield f"checkpoints/{name}.yml: {'added' if name in new.groups else 'removed'}"
            continue
        first, second = (c.groups[name].checkpoint.model_dump(mode="json") for c in (old, new))
        for key in first:
            if first[key] != second[key]:
                yield f"checkpoints/{name}.yml: {key} {first[key]} -> {second[key]}"
