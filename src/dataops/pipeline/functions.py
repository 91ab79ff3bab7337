"""Calls the function of a Python model: it gets Arrow of what it declares, and gives what its contract says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from importlib import import_module

import pyarrow as pa

from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.python_models import PythonModel
from dataops.warehouse.limits import TimeLimitError


class Inputs(Mapping[str, pa.Table]):
    """The declared inputs by name, `validated.orders`, or by what they are to the function; any other is refused.

    Of each the columns that the model's lineage names, so a column that is not in it goes into nothing.
    """

    def __init__(self, model: PythonModel, tables: Mapping[str, pa.Table]) -> None:
        self._model = model
        self._tables = {}
        for layer, table in model.inputs:
            name = f"{layer}.{table}"
            self._tables[model.roles.get(name, name)] = tables[name].select(model.reads((layer, table)))

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._tables:
            raise DeclarationError(
                f"{self._model.path}: {self._model.function} reads {name!r}, which is not among its inputs:"
                f" {', '.join(self._tables)}"
            )
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def rows_of(model: PythonModel, dataset: Dataset, tables: Mapping[str, pa.Table], seconds: float) -> pa.Table:
    """What the function makes of these tables, with the contract's columns and types.

    Raises DeclarationError for other columns, for values that are not of their type and for whatever the function
    raises; TimeLimitError when it takes longer than `seconds`.
    """
    module, _, name = model.function.partition(".")
    function = getattr(import_module(f"dataops.analysis.{module}"), name)
    outcome: list[object] = []

    def call() -> None:
        try:
            outcome.append(function(Inputs(model, tables), **model.parameters))
        except BaseException as error:  # noqa: BLE001  told in the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeLimitError(
            f"the model {model.name} was stopped after {seconds:g} s; nothing was changed.\n"
            "Make it smaller, or allow more seconds: DATAOPS_MODEL_SECONDS"
        )
    return _checked(model, dataset, outcome[0])


def _checked(model: PythonModel, dataset: Dataset, made: object) -> pa.Table:
    where = f"{model.path}: {model.function}"
    if isinstance(made, DeclarationError):
        raise made
    if isinstance(made, KeyError):
        raise DeclarationError(f'{where} raised {made!r}; it gets only the columns that its "lineage" names') from made
    if isinstance(made, BaseException):
        raise DeclarationError(f"{where} raised {type(made).__name__}: {made}") from made
    if not isinstance(made, pa.Table):
        raise DeclarationError(f"{where} returns {type(made).__name__}, not an Arrow table")
    if set(made.column_names) != set(dataset.column_names):
        missing = sorted(set(dataset.column_names) - set(made.column_names))
        more = sorted(set(made.column_names) - set(dataset.column_names))
        raise DeclarationError(
            f"{where} does not return what {dataset.contract_file} lists: missing {', '.join(missing) or 'nothing'},"
            f" more {', '.join(more) or 'nothing'}"
        )
    try:
        return made.select(dataset.column_names).cast(arrow_schema(dataset.columns))
    except pa.ArrowException as error:
        raise DeclarationError(f"{where}: a value is not of its type in {dataset.contract_file}: {error}") from error
