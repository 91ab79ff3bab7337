"""Every tests/transforms/<layer>/<table>/<case>.yml is a test of a model on each engine; a new case needs no Python.

    says: what the case shows, a sentence
    inputs:                      # rows by dataset; columns left out are NULL, datasets left out are empty
      validated.customer: [{customer_id: 1, store_id: 7}]
    query: SELECT …              # optional: a SELECT over `result`, for models whose rows are too many to list
    expected: [{customer_id: 1, customer_type: store}]   # in any order; only these columns are compared

Columns of inputs have the types of their contracts. Rows are written into the SQL, so nothing is created anywhere.
"""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlglot import exp
from tests.support import cases
from tests.support.cases import Ask, Case, Row, answer, column_types, comparable

from dataops.declared import catalog as catalogs
from dataops.declared.catalog import Catalog
from dataops.declared.models import WRITTEN_IN, Dialect, Model, SqlModel, output_columns, render, restrict
from dataops.declared.paths import Paths

pytestmark = [pytest.mark.integration, pytest.mark.quick]

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
MODELS = {model.dataset: model for model in catalogs.load(Paths(PROJECT, PROJECT / "var")).models}
IN_SQL = [model for model in MODELS.values() if isinstance(model, SqlModel)]
CASES = sorted(HERE.glob("*/*/*.yml"))


def case_id(path: Path) -> str:
    """`curated/fct_sales/two-cost-periods`: what pytest -k selects by."""
    return path.relative_to(HERE).with_suffix("").as_posix()


def load_case(path: Path) -> Case:
    """The case of a file; whatever is not a case fails with the file's name."""
    try:
        return cases.load_case(path)
    except ValidationError as error:
        pytest.fail(f"{case_id(path)}.yml: {error}")


def model_of(path: Path) -> Model:
    """The model a case is about, by its folder."""
    dataset = (path.parent.parent.name, path.parent.name)
    if dataset not in MODELS:
        pytest.fail(f"{case_id(path)}.yml: there is no transforms/{'/'.join(dataset)}.sql or .yml")
    return MODELS[dataset]


@cache
def catalog() -> Catalog:
    """All declarations of the project."""
    return catalogs.load(Paths(PROJECT, PROJECT / "var"))


@pytest.mark.parametrize("path", CASES, ids=case_id)
def test_a_model_gives_the_expected_rows(path: Path, dialect: Dialect, ask: Ask) -> None:
    """The case's sentence."""
    model, case = model_of(path), load_case(path)
    inputs = cases.inputs_of(catalog(), model, case)
    got = answer(ask, dialect, cases.as_select(catalog(), model, inputs, dialect, ask), case.query)
    assert cases.differences(case, got) == (Counter(), Counter()), f"{case.says}; compared: {', '.join(got[0])}"


KEYED = [path for path in CASES if isinstance(model := model_of(path), SqlModel) and model.incremental_by]


@pytest.mark.parametrize("path", KEYED, ids=case_id)
def test_an_incremental_model_built_key_by_key_equals_its_full_build(path: Path, dialect: Dialect, ask: Ask) -> None:
    """Correct by construction only if no row depends on rows of another key."""
    model = model_of(path)
    assert isinstance(model, SqlModel)
    inputs = cases.inputs_of(catalog(), model, load_case(path))
    full = answer(ask, dialect, render(model, dialect, catalog().schema, inputs), None)
    keyed = {dataset for dataset in model.inputs if set(model.incremental_by) <= set(column_types(catalog(), dataset))}
    piecewise: list[Row] = []
    for key in {tuple(row[column] for column in model.incremental_by) for row in full}:
        types = column_types(catalog(), model.dataset)
        one = cases.relation(
            {k: types[k] for k in model.incremental_by}, [dict(zip(model.incremental_by, key, strict=True))]
        )
        affected = restrict(model, inputs.__getitem__, f"{one} AS affected", keyed)
        piecewise += answer(ask, dialect, render(model, dialect, catalog().schema, affected), None)
    columns = list(output_columns(model))
    assert comparable(piecewise, columns, {}) == comparable(full, columns, {})


@pytest.mark.unit
@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_model_has_at_least_two_examples(model: Model) -> None:
    """One shows the rule, one the exception."""
    assert len(list((HERE / model.layer / model.table).glob("*.yml"))) >= 2


@pytest.mark.unit
@pytest.mark.parametrize("model", IN_SQL, ids=lambda model: model.name)
def test_a_contract_agrees_with_the_models_final_casts(model: SqlModel) -> None:
    """Column by column, in order: name and type."""
    declared = column_types(catalog(), model.dataset)
    assert list(declared) == list(output_columns(model))
    for projection in model.ast.selects:
        agreed = exp.DataType.build(declared[projection.alias_or_name], dialect=WRITTEN_IN)
        assert projection.unalias().to == agreed, projection.alias_or_name
