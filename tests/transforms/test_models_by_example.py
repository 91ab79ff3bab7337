"""Every tests/transforms/<layer>/<table>/<case>.yml is a test of a model on each engine; a new case needs no Python.

    says: what the case shows, a sentence
    inputs:                      # rows by dataset; columns left out are NULL, datasets left out are empty
      validated.customer: [{customer_id: 1, store_id: 7}]
    query: SELECT …              # optional: a SELECT over `result`, for models whose rows are too many to list
    expected: [{customer_id: 1, customer_type: store}]   # in any order; only these columns are compared

Columns of inputs have the types of their contracts. Rows are written into the SQL, so nothing is created anywhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from sqlglot import exp

from dataops.declared import catalog as catalogs
from dataops.declared.kinds import Kind
from dataops.declared.models import WRITTEN_IN, Dataset, Dialect, Model, load_models, output_columns, render, restrict
from dataops.declared.paths import Paths

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
MODELS = {model.dataset: model for model in load_models(PROJECT / "transforms")}
CASES = sorted(HERE.glob("*/*/*.yml"))

Row = dict[str, Any]
Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]  # SQL -> (column names, rows)


class Case(BaseModel):
    """One example as written in YAML; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    says: str = Field(min_length=1)
    inputs: dict[str, list[Row]]
    expected: list[Row]
    query: str | None = None


def case_id(path: Path) -> str:
    """`curated/fct_sales/two-cost-periods`: what pytest -k selects by."""
    return path.relative_to(HERE).with_suffix("").as_posix()


def load_case(path: Path) -> Case:
    """The case of a file; whatever is not a case fails with the file's name."""
    try:
        return Case.model_validate(YAML(typ="safe").load(path))
    except ValidationError as error:
        pytest.fail(f"{case_id(path)}.yml: {error}")


def model_of(path: Path) -> Model:
    """The model a case is about, by its folder."""
    dataset = (path.parent.parent.name, path.parent.name)
    if dataset not in MODELS:
        pytest.fail(f"{case_id(path)}.yml: there is no transforms/{'/'.join(dataset)}.sql")
    return MODELS[dataset]


def column_types(dataset: Dataset) -> dict[str, str]:
    """Column -> SQL type, out of the dataset's contract (`validated` uses raw's)."""
    layer = "raw" if dataset[0] == "validated" else dataset[0]
    contract = YAML(typ="safe").load(PROJECT / "contracts" / layer / f"{dataset[1]}.yml")
    return {
        column["name"]: f"numeric({column['numeric_precision']}, {column['numeric_scale']})"
        if column["data_type"] == "numeric"
        else column["data_type"]
        for column in contract["columns"]
    }


def as_relation(dataset: Dataset, rows: list[Row]) -> str:
    """The rows as a query in parentheses; with no rows, one that yields the columns only."""
    types = column_types(dataset)
    unknown = {column for row in rows for column in row} - set(types)
    assert not unknown, f"{'.'.join(dataset)} has no column {', '.join(sorted(unknown))}"
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


def inputs_of(model: Model, case: Case) -> dict[Dataset, str]:
    """Every input of the model -> its rows as a relation."""
    stray = set(case.inputs) - {".".join(dataset) for dataset in model.inputs}
    assert not stray, f"{model.name} does not read {', '.join(sorted(stray))}"
    return {dataset: as_relation(dataset, case.inputs.get(".".join(dataset), [])) for dataset in model.inputs}


def answer(ask: Ask, dialect: Dialect, model_sql: str, query: str | None) -> list[Row]:
    """Rows of the model, or of the case's query over them."""
    over = sqlglot.transpile(query or "SELECT * FROM result", read=WRITTEN_IN, write=dialect)[0]
    names, rows = ask(f"WITH result AS ({model_sql}) {over}")
    return [dict(zip(names, row, strict=True)) for row in rows]


@cache
def schema() -> dict[str, dict[str, Kind]]:
    """Columns of all datasets, by table."""
    return catalogs.load(Paths(PROJECT, PROJECT / "var")).schema


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


@pytest.mark.parametrize("path", CASES, ids=case_id)
def test_a_model_gives_the_expected_rows(path: Path, dialect: Dialect, ask: Ask) -> None:
    """The case's sentence."""
    model, case = model_of(path), load_case(path)
    got = answer(ask, dialect, render(model, dialect, schema(), inputs_of(model, case)), case.query)
    columns = list(case.expected[0]) if case.expected else []
    assert all(list(row) == columns for row in case.expected), "all expected rows must name the same columns, in order"
    kinds = {name: type(value) for row in got for name, value in row.items() if value is not None}
    missing = comparable(case.expected, columns, kinds) - comparable(got, columns, kinds)
    surplus = comparable(got, columns, kinds) - comparable(case.expected, columns, kinds)
    assert (missing, surplus) == (Counter(), Counter()), f"{case.says}; compared: {', '.join(columns)}"


@pytest.mark.parametrize("path", [path for path in CASES if model_of(path).incremental_by], ids=case_id)
def test_an_incremental_model_built_key_by_key_equals_its_full_build(path: Path, dialect: Dialect, ask: Ask) -> None:
    """Correct by construction only if no row depends on rows of another key."""
    model = model_of(path)
    inputs = inputs_of(model, load_case(path))
    full = answer(ask, dialect, render(model, dialect, schema(), inputs), None)
    keyed = {dataset for dataset in model.inputs if set(model.incremental_by) <= set(column_types(dataset))}
    piecewise: list[Row] = []
    for key in {tuple(row[column] for column in model.incremental_by) for row in full}:
        values = ", ".join(f"{value} AS {column}" for column, value in zip(model.incremental_by, key, strict=True))
        affected = restrict(model, inputs.__getitem__, f"(SELECT {values}) AS affected", keyed)
        piecewise += answer(ask, dialect, render(model, dialect, schema(), affected), None)
    columns = list(output_columns(model))
    assert comparable(piecewise, columns, {}) == comparable(full, columns, {})


@pytest.mark.unit
@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_model_has_at_least_two_examples(model: Model) -> None:
    """One shows the rule, one the exception."""
    assert len(list((HERE / model.layer / model.table).glob("*.yml"))) >= 2


@pytest.mark.unit
@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_contract_agrees_with_the_models_final_casts(model: Model) -> None:
    """Column by column, in order: name and type."""
    declared = column_types(model.dataset)
    assert list(declared) == list(output_columns(model))
    for projection in model.ast.selects:
        agreed = exp.DataType.build(declared[projection.alias_or_name], dialect=WRITTEN_IN)
        assert projection.unalias().to == agreed, projection.alias_or_name
