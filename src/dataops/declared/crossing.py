"""What only shows when declarations are laid side by side: inputs, references and metrics that lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from dataops.declared.errors import DeclarationError
from dataops.declared.models import SqlModel
from dataops.declared.python_models import PythonModel

if TYPE_CHECKING:
    from dataops.declared.catalog import Catalog, Dataset
    from dataops.declared.metrics import Metric


def inputs(catalog: Catalog) -> None:
    """Every input of a model has a contract. Raises DeclarationError."""
    for model in catalog.models:
        for layer, table in model.inputs:
            source = catalog.datasets.get(table)
            if source is None or source.published_layer != layer:
                raise DeclarationError(f"{model.path} reads {layer}.{table}, which has no contract; see: dataops check")


def lineage(catalog: Catalog) -> None:
    """Every column that a function makes says once which columns of which inputs go into it.

    Raises DeclarationError.
    """
    for model in catalog.models:
        dataset = catalog.datasets.get(model.table)
        if isinstance(model, PythonModel) and dataset is not None:
            _explained(model, dataset)
            for part in model.lineage:
                for name, columns in part.of.items():
                    _known_input(catalog, model, name, columns)
            if idle := [name for name in model.inputs if not model.reads(name)]:
                raise DeclarationError(f'{model.path}: "lineage": nothing is made from {".".join(idle[0])}')


def _explained(model: PythonModel, dataset: Dataset) -> None:
    named = [column for part in model.lineage for column in part.columns]
    twice = [column for column in named if named.count(column) > 1]
    unknown = [column for column in named if column not in dataset.column_names]
    missing = [column for column in dataset.column_names if column not in named]
    for columns, problem in ((twice, "twice"), (unknown, "which the contract does not have"), (missing, "")):
        if columns:
            what = f"names {columns[0]!r} {problem}" if problem else f"does not say what {columns[0]!r} is made from"
            raise DeclarationError(f'{model.path}: "lineage" {what}')


def _known_input(catalog: Catalog, model: PythonModel, name: str, columns: Sequence[str]) -> None:
    of = model.input(name)
    if of is None:
        known = ", ".join(model.roles.values() or map(".".join, model.inputs))
        raise DeclarationError(f'{model.path}: "lineage" names {name!r}, which is no input; there are {known}')
    there = catalog.datasets[of[1]].column_names
    if unknown := [column for column in columns if column not in there]:
        raise DeclarationError(f'{model.path}: "lineage": {".".join(of)} has no column {unknown[0]!r}')


def computed(catalog: Catalog) -> None:
    """What a source computes, it computes from columns that it has. Raises DeclarationError."""
    for dataset in catalog.datasets.values():
        for column, given in dataset.contract.platform.computed.items():
            if not dataset.is_loaded:
                raise DeclarationError(
                    f'{dataset.contract_file}: "computed" is about a source; {dataset.name} is built'
                )
            if unknown := [name for name in (column, *given) if name not in dataset.column_names]:
                raise DeclarationError(f'{dataset.contract_file}: "computed" names no column {unknown[0]!r}')


def metrics(catalog: Catalog) -> None:
    """Every metric is of facts that there are and stands somewhere; every figure is computed from its definition."""
    for metric in catalog.metrics.values():
        _facts(catalog, metric)
        if not any(metric.name in dataset.metrics for dataset in catalog.datasets.values()):
            raise DeclarationError(f"{metric.file}: no table of figures has a column {metric.name}")
    for model in catalog.models:
        dataset = catalog.datasets.get(model.table)
        if dataset is None or not isinstance(model, SqlModel):
            continue
        passed_on = {name for _, table in model.inputs for name in catalog.dataset(table).metrics}
        if loose := [name for name in dataset.metrics if name not in passed_on | set(model.measures)]:
            raise DeclarationError(
                f"{model.path}: {loose[0]} has a definition; write CAST(MEASURE({loose[0]}) AS …) AS {loose[0]}"
            )


def _facts(catalog: Catalog, metric: Metric) -> None:
    declared = metric.declared
    if declared.of is None:
        return
    table = declared.of.rpartition(".")[2]
    dataset = catalog.datasets.get(table)
    if dataset is None or dataset.published_name != declared.of:
        raise DeclarationError(f'{metric.file}: "of": no published dataset {declared.of!r}')
    named = {declared.time, *(column.name for column in metric.whole.find_all(exp.Column))}
    if unknown := sorted(str(name) for name in named if name not in dataset.column_names):
        raise DeclarationError(f"{metric.file}: {declared.of} has no column {unknown[0]!r}")


def links(catalog: Catalog) -> None:
    """Every reference points at a whole key. Raises DeclarationError."""
    for dataset in catalog.datasets.values():
        for link in dataset.links:
            target = catalog.datasets.get(link.to)
            if target is None:
                raise DeclarationError(f"{dataset.contract_file}, rule {link.rule.id}: no dataset {link.to!r}")
            if len(link.columns) != len(target.key):
                raise DeclarationError(
                    f"{dataset.contract_file}, rule {link.rule.id}: {len(link.columns)} columns refer to the"
                    f" {len(target.key)} key columns of {link.to} ({', '.join(target.key)})"
                )
        follows = dataset.contract.platform.follows
        if follows and follows not in {link.to for link in dataset.links}:
            raise DeclarationError(f'{dataset.contract_file}: "follows" needs a reference to {follows}')
