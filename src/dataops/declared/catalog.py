"""What exists: datasets, rules, groups and models, parsed from the declarations; frozen and strict.

The list of contract files *is* the list of datasets. No I/O beyond reading those files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from dataops.declared import crossing, metric_rules, soundness, version_rules
from dataops.declared import metrics as metric_files
from dataops.declared import project as projects
from dataops.declared.declarations import (
    CheckItem,
    CheckpointFile,
    Column,
    ContractFile,
    ExpectationItem,
    Severity,
    SuiteFile,
)
from dataops.declared.errors import DeclarationError
from dataops.declared.kinds import INT, TEXT
from dataops.declared.kinds import Kind as TypeKind
from dataops.declared.kinds import kind_of as type_kind
from dataops.declared.layers import Kind, Layers, kind_of, published_as
from dataops.declared.metrics import Metric, Metrics
from dataops.declared.models import Model, load_models
from dataops.declared.paths import Paths
from dataops.declared.project import Project
from dataops.declared.yaml_files import read

Engine = Literal["soda", "gx", "platform"]
BATCH, PUBLISHED = "batch", "published"  # of a rule's own dataset: `{batch}` is judged, `{published}` stands
READABLE = "SRC-000"  # the platform's own rules, one of each per dataset: every value could be read as its type,
NO_RULES: Any = {
    "platform": {"slo", "computed", "changes", "deletes", "version", "backwards", "file"},
    "columns": {"__all__": {"source_name"}},
}
"""Keys of a contract that decide no verdict."""
DELETIONS = "SRC-001"  # and a whole delivery does not lose more published rows than the checkpoint allows


@dataclass(frozen=True)
class Rule:
    """One check with its stable id; stated once, in one engine."""

    id: str
    table: str
    engine: Engine
    severity: Severity
    says: str
    why: str
    file: str
    type: str
    columns: tuple[str, ...] = ()
    expectation: ExpectationItem | None = None
    baseline: bool = False  # known failures are accepted; only worse ones are told

    @property
    def tables(self) -> frozenset[str]:
        """Other datasets that the rule's SQL names as `{table}`."""
        return self._named - {BATCH, PUBLISHED}

    @property
    def is_about_change(self) -> bool:
        """Whether it compares rows with what is published of them: `{published}`."""
        return PUBLISHED in self._named

    @property
    def _named(self) -> frozenset[str]:
        sql = str(self.expectation.kwargs.get("unexpected_rows_query", "")) if self.expectation else ""
        return frozenset(re.findall(r"\{(\w+)\}", sql))


@dataclass(frozen=True)
class Link:
    """A foreign key: `columns` of a dataset are found in the key of dataset `to`."""

    columns: tuple[str, ...]
    to: str
    rule: Rule


@dataclass(frozen=True)
class Dataset:
    """One table of one layer with everything that is declared about it."""

    layer: str
    table: str
    contract: ContractFile
    suite: SuiteFile
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]
    contract_file: str
    suite_file: str
    metrics: tuple[str, ...] = ()  # whose figures it carries, if it is a table of figures

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.table}"

    @property
    def group(self) -> str:
        return self.contract.platform.group

    @property
    def key(self) -> tuple[str, ...]:
        return self.contract.platform.key

    @property
    def control(self) -> tuple[str, ...]:
        return self.contract.platform.control

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.contract.columns

    @cached_property
    def kinds(self) -> dict[str, TypeKind]:
        """Of what kind each column is that SQL of people may name; the platform's own are whole numbers and text."""
        own = {column.name: type_kind(column.data_type, column.numeric_scale) for column in self.columns}
        return own | {"_row": INT, "_publication": INT, "_problems": TEXT}

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def published_layer(self) -> str:
        """Where accepted rows stand."""
        return published_as(self.layer)

    @property
    def published_name(self) -> str:
        """`validated.orders`: the name under which people read it."""
        return f"{self.published_layer}.{self.table}"

    @property
    def is_loaded(self) -> bool:
        """Whether it comes from a source; else a model makes it."""
        return kind_of(self.layer) is Kind.LOADED


@dataclass(frozen=True)
class Group:
    """Datasets that are published in one transaction, parents before children."""

    name: str
    checkpoint: CheckpointFile
    datasets: tuple[Dataset, ...]
    outside: tuple[Dataset, ...] = ()  # datasets of other groups that this group's rows refer to
    inside: tuple[Dataset, ...] = ()  # datasets of other groups whose rows refer to this group's

    @property
    def layer(self) -> str:
        return self.checkpoint.layer

    @property
    def is_loaded(self) -> bool:
        """Whether it comes from a source; else models make it."""
        return self.checkpoint.kind is Kind.LOADED

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule for dataset in self.datasets for rule in dataset.rules)

    @cached_property
    def rules_hash(self) -> str:
        """sha256 over everything that decides a verdict of this group."""
        content = [
            self.checkpoint.model_dump(mode="json", exclude={"layer", "kind", "routing"}),
            *(
                [
                    d.contract.model_dump(mode="json", exclude=NO_RULES),
                    d.suite.model_dump(mode="json"),
                ]
                for d in self.datasets
            ),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def dataset(self, table: str) -> Dataset:
        return next(d for d in self.datasets if d.table == table)

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(d.table for d in self.datasets)

    def narrowed(self, tables: frozenset[str]) -> Group:
        """The group as one batch of it sees it: datasets that the batch does not bring are outside."""
        if tables == self.tables:
            return self
        absent = tuple(d for d in self.datasets if d.table not in tables)
        present = tuple(d for d in self.datasets if d.table in tables)
        return Group(self.name, self.checkpoint, present, (*self.outside, *absent), (*self.inside, *absent))

    def followers(self, root: Dataset) -> list[tuple[Dataset, tuple[str, ...]]]:
        """Every dataset that is delivered with the root, with the columns that point to it."""
        found = (d for d in self.datasets if d.contract.platform.follows == root.table)
        return [(d, next(link.columns for link in d.links if link.to == root.table)) for d in found]

    def family(self, root: Dataset) -> list[tuple[Dataset, tuple[str, ...]]]:
        """The root with its key, and those followers without which it is not whole; else the root alone."""
        return [(root, root.key), *((d, c) for d, c in self.followers(root) if d.table in self.checkpoint.family)]

    def has_family(self, dataset: Dataset) -> bool:
        """Whether it is part of a family of several."""
        return any(len(f) > 1 and dataset in [d for d, _ in f] for f in map(self.family, self.datasets))

    def target(self, link: Link) -> Dataset:
        """The dataset that a link points to, in this group or outside."""
        return next(d for d in (*self.datasets, *self.outside) if d.table == link.to)


@dataclass(frozen=True)
class Catalog:
    """All groups and models. Tables have one name across layers, so a table's name finds its dataset."""

    groups: dict[str, Group]
    models: tuple[Model, ...]
    layers: Layers = field(default_factory=Layers)
    metrics: dict[str, Metric] = field(default_factory=dict)

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """By table name."""
        return {d.table: d for group in self.groups.values() for d in group.datasets}

    @cached_property
    def schema(self) -> dict[str, dict[str, TypeKind]]:
        """Columns by table."""
        return {table: dataset.kinds for table, dataset in self.datasets.items()}

    @cached_property
    def columns(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Names of columns by published layer and table."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for table, dataset in self.datasets.items():
            found.setdefault(dataset.published_layer, {})[table] = dataset.column_names
        return found

    @cached_property
    def built(self) -> tuple[str, ...]:
        """Groups made of models, each after those whose models it reads."""
        made = {m.table: self.datasets[m.table].group for m in self.models if m.table in self.datasets}
        graph: dict[str, set[str]] = {name: set() for name, group in self.groups.items() if not group.is_loaded}
        for model in self.models:
            group = made.get(model.table)
            if group in graph:
                graph[group] |= {made[table] for _, table in model.inputs if made.get(table, group) != group}
        return tuple(TopologicalSorter(graph).static_order())

    def model(self, name: str) -> Dataset:
        """The dataset of a model. Raises DeclarationError naming the models there are."""
        table = name.rpartition(".")[2]
        if table not in {model.table for model in self.models} or table not in self.datasets:
            known = ", ".join([*self.built, *(model.table for model in self.models)])
            raise DeclarationError(f"no group or model {name!r} to build; there are {known}")
        return self.datasets[table]

    @property
    def first_loaded(self) -> str:
        """The group to begin with, for advice: one that refers to no other, if there is one."""
        loaded = {name: group for name, group in self.groups.items() if group.is_loaded}
        alone = (name for name, group in loaded.items() if _is_alone(group))
        return next(alone, next(iter(loaded), "GROUP"))

    def group(self, name: str) -> Group:
        """Raises DeclarationError naming the groups there are."""
        if name not in self.groups:
            raise DeclarationError(f"no group {name!r}; there are {', '.join(sorted(self.groups))}")
        return self.groups[name]

    def group_of_rule(self, rule: str) -> Group:
        """Raises DeclarationError."""
        found = next((g for g in self.groups.values() if rule in {r.id for r in g.rules}), None)
        if found is None:
            raise DeclarationError(f"no rule {rule!r}; all rules: dataops check")
        return found

    def dataset(self, name: str) -> Dataset:
        """By `table` or `layer.table`. Raises DeclarationError."""
        table = name.rpartition(".")[2]
        if table not in self.datasets:
            raise DeclarationError(f"no dataset {name!r}; see: dataops check")
        return self.datasets[table]


def _is_alone(group: Group) -> bool:
    """Whether it refers to no other group."""
    return all(link.to in group.tables for dataset in group.datasets for link in dataset.links)


def load(paths: Paths) -> Catalog:
    """Reads and cross-checks all declarations. Raises DeclarationError naming file, line and key."""
    project = projects.load(paths.project)
    layers = project.layers
    checkpoints = {path.stem: _checkpoint(path, paths, layers) for path in sorted(paths.checkpoints.glob("*.yml"))}
    _refuse_strays(paths, layers)
    metrics = metric_files.load(paths.metrics)
    datasets = [_dataset(path, paths, project, metrics) for path in sorted(paths.contracts.glob("*/*.yml"))]
    _refuse_orphans(paths)
    _refuse_double_rules(datasets)
    groups = {name: _group(checkpoint, datasets, paths) for name, checkpoint in checkpoints.items()}
    for dataset in datasets:
        if dataset.group not in groups:
            raise DeclarationError(f"{dataset.contract_file}: no checkpoints/{dataset.group}.yml for its group")
        slo = dataset.contract.platform.slo
        if slo and slo.on_time is not None and groups[dataset.group].checkpoint.late_after_hours is None:
            raise DeclarationError(
                f'{dataset.contract_file}: "slo" promises on_time, but checkpoints/{dataset.group}.yml has no'
                " late_after_hours, so it is never late"
            )
    catalog = Catalog(groups, load_models(paths.transforms, layers, metrics, project.parameters), layers, metrics)
    crossing.links(catalog)
    crossing.inputs(catalog)
    crossing.lineage(catalog)
    crossing.computed(catalog)
    crossing.metrics(catalog)
    return catalog


def _checkpoint(path: Path, paths: Paths, layers: Layers) -> CheckpointFile:
    soundness.require_name(path.stem, paths.shown(path))
    checkpoint = read(path, CheckpointFile, paths.shown(path))
    if checkpoint.group != path.stem:
        raise DeclarationError(
            f'{paths.shown(path)}: "group" is {checkpoint.group!r}; the file name says {path.stem!r}'
        )
    if checkpoint.layer not in layers.declared:
        raise DeclarationError(
            f'{paths.shown(path)}: "layer" is {checkpoint.layer!r}; there are {", ".join(layers.declared)};'
            " more are named in project.yml"
        )
    if checkpoint.kind is not kind_of(checkpoint.layer):
        made = kind_of(checkpoint.layer)
        raise DeclarationError(f'{paths.shown(path)}: "kind" is {checkpoint.kind}; {checkpoint.layer} is {made}')
    return checkpoint


def _dataset(path: Path, paths: Paths, project: Project, metrics: Metrics) -> Dataset:
    layer, table = path.parent.name, path.stem
    soundness.require_name(table, paths.shown(path))
    suite_path = paths.expectations / layer / path.name
    if not suite_path.exists():
        raise DeclarationError(f"{paths.shown(path)} has no suite; write {paths.shown(suite_path)}")
    contract = read(path, ContractFile, paths.shown(path))
    suite = read(suite_path, SuiteFile, paths.shown(suite_path))
    if not project.owns(contract.dataset, layer, table):
        soundness.require_same(contract.dataset, f"{layer}/{table}", "dataset", paths.shown(path))
    soundness.require_same(suite.suite, f"{layer}.{table}", "suite", paths.shown(suite_path))
    soundness.require_guards(contract, layer, paths.shown(path))
    suite = metric_rules.with_rules(suite, contract, table, paths.shown(path), metrics)
    suite = version_rules.with_rule(suite, contract, table)
    links = tuple(_links(contract, table, paths.shown(path)))
    rules = (
        *_platform_rules(layer, table, contract, paths.shown(path)),
        *_contract_rules(contract, table, paths.shown(path)),
        *_suite_rules(suite, table, paths.shown(suite_path), contract),
        *(link.rule for link in links),
    )
    figures = tuple(column.name for column in contract.columns if contract.platform.cube and column.name in metrics)
    return Dataset(layer, table, contract, suite, rules, links, paths.shown(path), paths.shown(suite_path), figures)


def _platform_rules(layer: str, table: str, contract: ContractFile, file: str) -> Iterator[Rule]:
    columns = tuple(column.name for column in contract.columns)
    if kind_of(layer) is Kind.LOADED:
        why = f"A value of {table} that is not of its type cannot be summed, compared or joined."
        says = "every value can be read as its type"
        yield Rule(f"{READABLE}:{table}", table, "platform", "critical", says, why, file, "readable", columns)
    why = f"A cut or half-empty delivery of {table} would look like mass deletion."
    says = "a delivery loses no more published rows than allowed"
    yield Rule(
        f"{DELETIONS}:{table}", table, "platform", "critical", says, why, file, "deletions", contract.platform.key
    )


def _contract_rules(contract: ContractFile, table: str, file: str) -> Iterator[Rule]:
    placed: list[tuple[str | None, CheckItem]] = [(None, item) for item in contract.checks]
    placed += [(column.name, item) for column in contract.columns for item in column.checks]
    for column, item in placed:
        check, attributes = item.check, item.check.attributes
        columns = tuple(getattr(check, "columns", None) or ((column,) if column else ()))
        yield Rule(
            attributes.rule,
            table,
            "soda",
            attributes.severity,
            check.name,
            attributes.why,
            file,
            item.type,
            columns,
            baseline=attributes.baseline,
        )


def _suite_rules(suite: SuiteFile, table: str, file: str, contract: ContractFile) -> Iterator[Rule]:
    for item in suite.expectations:
        names = (item.kwargs.get(key) for key in ("column", "column_A", "column_B"))
        columns = tuple(str(name) for name in names if name) or tuple(item.kwargs.get("column_list", ()))
        soundness.require_columns(columns, contract, f"{file}, rule {item.meta.rule}", table)
        soundness.require_judgeable(item, columns, contract, file)
        yield Rule(
            item.meta.rule,
            table,
            "gx",
            item.severity,
            item.description,
            item.notes,
            file,
            item.type,
            columns,
            item,
            item.meta.baseline,
        )


def _links(contract: ContractFile, table: str, file: str) -> Iterator[Link]:
    for columns_text, reference in contract.platform.references.items():
        columns = tuple(columns_text.replace(" ", "").split(","))
        says = f"{', '.join(columns)} is found in {reference.to}"
        rule = Rule(
            reference.rule, table, "platform", reference.severity, says, reference.why, file, "reference", columns
        )
        yield Link(columns, reference.to, rule)


def _refuse_strays(paths: Paths, layers: Layers) -> None:
    """A declaration with another ending or in another folder would be read by nobody and missed by nobody."""
    for folder, places in (
        (paths.contracts, layers.declared),
        (paths.expectations, layers.declared),
        (paths.checkpoints, (".",)),
    ):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml"}):
            place = str(path.parent.relative_to(folder))
            if path.suffix != ".yml" or place not in places:
                expected = " or ".join(f"{folder.name}/{layer}/" for layer in places).replace("/./", "/")
                raise DeclarationError(f"{paths.shown(path)} would not be read; write {path.stem}.yml in {expected}")


def _refuse_orphans(paths: Paths) -> None:
    for path in sorted(paths.expectations.glob("*/*.yml")):
        contract = paths.contracts / path.parent.name / path.name
        if not contract.exists():
            raise DeclarationError(f"{paths.shown(path)} has no contract; write {paths.shown(contract)}")


def _refuse_double_rules(datasets: list[Dataset]) -> None:
    seen: dict[str, Rule] = {}
    for rule in (rule for dataset in datasets for rule in dataset.rules):
        if rule.id in seen:
            raise DeclarationError(f"rule {rule.id} is stated twice: {seen[rule.id].file} and {rule.file}")
        seen[rule.id] = rule


def _group(checkpoint: CheckpointFile, datasets: list[Dataset], paths: Paths) -> Group:
    members = {d.table: d for d in datasets if d.group == checkpoint.group}
    file = paths.shown(paths.checkpoints / f"{checkpoint.group}.yml")
    if not members:
        raise DeclarationError(f"{file}: no contract names group {checkpoint.group!r}; the gate would judge nothing")
    if elsewhere := [d for d in members.values() if d.layer != checkpoint.layer]:
        raise DeclarationError(
            f"{elsewhere[0].contract_file}: group {checkpoint.group} is of layer {checkpoint.layer} ({file});"
            f" a dataset of layer {elsewhere[0].layer} needs a group of that layer"
        )
    if strange := [t for t in checkpoint.family if t not in members or not members[t].contract.platform.follows]:
        raise DeclarationError(
            f'{file}: "family" names {strange[0]}, which is no dataset of the group that follows another'
        )
    if checkpoint.money:
        table, _, column = checkpoint.money.partition(".")
        if table not in members or column not in members[table].control:
            raise DeclarationError(f'{file}: "money" names {checkpoint.money}, which is no control column of the group')
    graph = {
        table: {link.to for link in d.links if link.to in members and link.to != table} for table, d in members.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise DeclarationError(
            f"references of group {checkpoint.group} run in a circle: {' -> '.join(error.args[1])}"
        ) from None
    named = {link.to for d in members.values() for link in d.links} - members.keys()
    outside = tuple(d for d in datasets if d.table in named)
    inside = tuple(d for d in datasets if d.table not in members and any(link.to in members for link in d.links))
    return Group(checkpoint.group, checkpoint, tuple(members[table] for table in order), outside, inside)
