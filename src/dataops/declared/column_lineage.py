"""Which columns each column of a table is made from: read off a SELECT by sqlglot, declared for a function.

Only what goes into a value counts; what merely decides which rows there are (joins, filters, groups) does not.
Method: https://github.com/tobymao/sqlglot, module `lineage`; words of the OpenLineage facet `columnLineage` 1-2-0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlglot import exp

from dataops.declared.models import Model, SqlModel
from dataops.declared.python_models import Made, PythonModel
from dataops.declared.select import WRITTEN_IN

if TYPE_CHECKING:
    from sqlglot.lineage import Node


class How(StrEnum):
    """What is done to a column on its way into another, the mildest first."""

    IDENTITY = "identity"
    TRANSFORMATION = "transformation"
    AGGREGATION = "aggregation"


@dataclass(frozen=True, order=True)
class Origin:
    """A column of `node` (`validated.orders`) that goes into another; `says`: how, where somebody wrote it down."""

    node: str
    column: str
    how: How = How.IDENTITY
    says: str = ""


Origins = dict[str, tuple[Origin, ...]]
"""By column; one of which nothing is known (a constant, a count of rows) has none."""

Columns = Mapping[str, Mapping[str, Iterable[str]]]
"""Names of columns by layer and table."""


def of_model(model: Model, columns: Columns) -> Origins:
    """Of a model's columns. `columns` has those of its inputs, by layer and table."""
    if isinstance(model, PythonModel):
        return _declared(model)
    if isinstance(model, SqlModel):
        return of_query(model.ast, columns)
    raise TypeError(f"{model.name}: neither SQL nor a function")


def of_query(tree: exp.Query, columns: Columns) -> Origins:
    """Of the columns of a SELECT in PostgreSQL's dialect whose tables have their layer."""
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema = {
        layer: {table: dict.fromkeys(names, "TEXT") for table, names in tables.items()}
        for layer, tables in columns.items()
    }
    whole = qualify(
        tree.copy(), dialect=WRITTEN_IN, schema=schema, validate_qualify_columns=False, quote_identifiers=False
    )
    found = lineage(None, whole, schema, dialect=WRITTEN_IN, scope=build_scope(whole), copy=False, trim_selects=False)
    return {column: _mildest_last(_leaves(node, How.IDENTITY, set())) for column, node in found.items()}


def _leaves(node: Node, so_far: How, seen: set[tuple[int, How]]) -> Iterator[Origin]:
    """Columns of tables below a node, each with the strongest of what is done on the way."""
    if (id(node), so_far) in seen:
        return
    seen.add((id(node), so_far))
    if node.downstream:
        how = _stronger(so_far, _how(node.expression))
        for child in node.downstream:
            yield from _leaves(child, how, seen)
    elif isinstance(node.source, exp.Table) and node.source.db:
        name = exp.to_column(node.name, dialect=WRITTEN_IN).name
        yield Origin(f"{node.source.db}.{node.source.name}", name, so_far)


def _how(expression: exp.Expression) -> How:
    inner = expression.unalias()
    while isinstance(inner, exp.Cast | exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Column | exp.Query | exp.Table):
        return How.IDENTITY
    return How.AGGREGATION if inner.find(exp.AggFunc) else How.TRANSFORMATION


def _stronger(one: How, other: How) -> How:
    return max(one, other, key=list(How).index)


def _mildest_last(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    """Each column once, with the strongest of what is done to it on several ways."""
    found: dict[tuple[str, str], Origin] = {}
    for origin in origins:
        key = (origin.node, origin.column)
        known = found.get(key)
        if known is None or _stronger(known.how, origin.how) is not known.how:
            found[key] = origin
    return tuple(sorted(found.values()))


def _declared(model: PythonModel) -> Origins:
    return {column: tuple(sorted(_named(model, part))) for part in model.lineage for column in part.columns}


def _named(model: PythonModel, part: Made) -> Iterator[Origin]:
    how = How.TRANSFORMATION if part.how else How.IDENTITY
    for name, columns in part.of.items():
        if dataset := model.input(name):
            for column in columns:
                yield Origin(".".join(dataset), column, how, part.how or "")
