"""Examples of models: a case's inputs are rows, which a model in SQL or in Python turns into rows that are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML
from sqlglot import exp

from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Catalog
from dataops.declared.models import WRITTEN_IN, Dataset, Dialect, Model, SqlModel, render
from dataops.declared.python_models import PythonModel
from dataops.pipeline import functions
from dataops.warehouse.tables import sql_type

Row = dict[str, Any]
Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]  # SQL -> (column names, rows)


class Case(BaseModel):
    """One example as written in YAML; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    says: str = Field(min_length=1)
    inputs: dict[str, list[Row]]
    expected: list[Row]
    query: str | None = None


def load_case(path: Path) -> Case:
    """The case of a file. Raises ValidationError for whatever is not a case."""
    return Case.model_validate(YAML(typ="safe").load(path))


def column_types(catalog: Catalog, dataset: Dataset) -> dict[str, str]:
    """Column -> SQL type, out of the dataset's contract."""
    return {column.name: sql_type(column) for column in catalog.dataset(dataset[1]).columns}


def relation(types: Mapping[str, str], rows: list[Row]) -> str:
    """The rows as a query in parentheses; with no rows, one that yields the columns only."""
    selects = [exp.select(*(_cast(row.get(name), name, kind) for name, kind in types.items())) for row in rows or [{}]]
    query: exp.Query = selects[0] if rows else selects[0].where("FALSE")
    for select in selects[1:]:
        query = query.union(select, distinct=False)
    return f"({query.sql(dialect=WRITTEN_IN)})"


def _cast(value: Any, name: str, kind: str) -> exp.Expression:
    literal = (
        exp.null() if value is None else exp.Literal.string(str(value).lower() if value in (True, False) else value)
    )
    return exp.alias_(exp.cast(literal, exp.DataType.build(kind, dialect=WRITTEN_IN)), name, quoted=True)


def inputs_of(catalog: Catalog, model: Model, case: Case) -> dict[Dataset, str]:
    """Every input of the model -> its rows as a relation."""
    stray = set(case.inputs) - {".".join(dataset) for dataset in model.inputs}
    assert not stray, f"{model.name} does not read {', '.join(sorted(stray))}"
    given = {}
    for dataset in model.inputs:
        types, rows = column_types(catalog, dataset), case.inputs.get(".".join(dataset), [])
        unknown = {column for row in rows for column in row} - set(types)
        assert not unknown, f"{'.'.join(dataset)} has no column {', '.join(sorted(unknown))}"
        given[dataset] = relation(types, rows)
    return given


def as_select(catalog: Catalog, model: Model, inputs: Mapping[Dataset, str], dialect: Dialect, ask: Ask) -> str:
    """SQL that yields the model's rows from these inputs; those of a function are written into it."""
    if isinstance(model, SqlModel):
        return render(model, dialect, catalog.schema, inputs)
    assert isinstance(model, PythonModel)
    read = {".".join(name): _arrow(catalog, name, place, ask) for name, place in inputs.items()}
    made = functions.rows_of(model, catalog.dataset(model.table), read, 60)
    return relation(column_types(catalog, model.dataset), made.to_pylist()).strip("()")


def _arrow(catalog: Catalog, dataset: Dataset, place: str, ask: Ask) -> pa.Table:
    names, rows = ask(f"SELECT * FROM {place} AS input")
    listed = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(listed, schema=arrow_schema(catalog.dataset(dataset[1]).columns))


def answer(ask: Ask, dialect: Dialect, model_sql: str, query: str | None) -> list[Row]:
    """Rows of the model, or of the case's query over them."""
    over = sqlglot.transpile(query or "SELECT * FROM result", read=WRITTEN_IN, write=dialect)[0]
    names, rows = ask(f"WITH result AS ({model_sql}) {over}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def differences(case: Case, got: list[Row]) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """(expected and missing, there and not expected), in the columns that the case names."""
    columns = list(case.expected[0]) if case.expected else []
    assert all(list(row) == columns for row in case.expected), "all expected rows must name the same columns, in order"
    kinds = {name: type(value) for row in got for name, value in row.items() if value is not None}
    expected, made = comparable(case.expected, columns, kinds), comparable(got, columns, kinds)
    return expected - made, made - expected


def comparable(
    rows: Iterable[Mapping[str, Any]], columns: list[str], kinds: Mapping[str, type]
) -> Counter[tuple[Any, ...]]:
    """The rows' values in the columns' own types, counted: order does not matter, repetition does."""
    return Counter(tuple(_as(kinds.get(column), row[column]) for column in columns) for row in rows)


def _as(kind: type | None, value: Any) -> Any:
    if value is None or kind is None or isinstance(value, kind):
        return value
    if kind in (date, datetime):
        return kind.fromisoformat(str(value))
    return Decimal(str(value)) if kind is Decimal else value
