"""From a figure of a report back to the rows that it is made of: the same formula over the same facts, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import PlainSerializer
from sqlglot import exp

from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.metrics import Metric
from dataops.declared.reports import Period
from dataops.declared.select import WRITTEN_IN
from dataops.facts.document import Document, plain
from dataops.facts.report import Row
from dataops.ledger.workspace import Workspace
from dataops.pipeline import query

SHOWN = 20


class FigureRowsDocument(Document):
    """A figure, and the rows of the facts that it is computed from."""

    document: ClassVar[str] = "figure-rows"
    figure: str
    formula: str
    period: str
    of: Mapping[str, str]
    """column -> value that rows were chosen by"""
    value: Annotated[Any, PlainSerializer(plain, when_used="json")]
    """the formula over all of the rows; null: there are none"""
    rows: int
    columns: tuple[str, ...]
    largest: tuple[Row, ...]
    """the rows that weigh most, at most twenty"""
    query: str
    """all of them: what `dataops query` takes"""


def explain(
    work: Workspace, figure: str, period: Period, chosen: Mapping[str, str], as_of: str | None = None
) -> FigureRowsDocument:
    """The rows behind a figure of a period. Raises DeclarationError for what is no metric of facts or no column."""
    metric = _metric(work.catalog, figure)
    facts = work.catalog.dataset(str(metric.declared.of))
    joins, where = _chosen(work.catalog, facts, chosen)
    time = f"f.{metric.declared.time}"
    where = [f"{time} BETWEEN {{period_start}} AND {{period_end}}", *where]
    behind = period.put_into(f"FROM {facts.published_name} f {' '.join(joins)} WHERE {' AND '.join(where)}")
    weighs = list(dict.fromkeys(column.name for column in metric.whole.find_all(exp.Column)))
    names = list(dict.fromkeys([*facts.key, str(metric.declared.time), *weighs]))
    listed = f"SELECT {', '.join(f'f.{name}' for name in names)} {behind}"
    order = [f"ABS(f.{name}) DESC" for name in weighs if facts.kinds[name].is_number and name not in facts.key]
    first = f"{listed} ORDER BY {', '.join([*order, *(f'f.{name}' for name in facts.key)])} LIMIT {SHOWN}"
    whole = f"SELECT {_over_rows(metric)} AS figure, COUNT(*) AS rows_behind {behind}"
    with query.reading(work, [first, whole], as_of) as ask:
        with ask(whole) as answer:
            value, count = next(iter(answer.rows))
        with ask(first) as answer:
            largest = tuple(tuple(row) for row in answer.rows)
    return FigureRowsDocument(
        figure=figure,
        formula=metric.declared.formula,
        period=str(period),
        of=dict(chosen),
        value=value,
        rows=int(count),
        columns=tuple(names),
        largest=largest,
        query=listed,
    )


def _metric(catalog: Catalog, figure: str) -> Metric:
    known = {name: metric for name, metric in catalog.metrics.items() if metric.declared.of}
    if figure in catalog.metrics and figure not in known:
        parts = ", ".join(catalog.metrics[figure].parts)
        raise DeclarationError(f"{figure} is made of figures of several facts; ask for {parts}")
    if figure not in known:
        raise DeclarationError(f"no figure {figure!r}; there are {', '.join(known)}")
    return known[figure]


def _over_rows(metric: Metric) -> str:
    """The formula with every column taken from the facts."""
    formula = metric.whole.copy()
    for column in formula.find_all(exp.Column):
        column.set("table", exp.to_identifier("f"))
    return str(formula.sql(dialect=WRITTEN_IN))


def _chosen(catalog: Catalog, facts: Dataset, chosen: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Joins and conditions: by a column of the facts, or of a dataset that they refer to (`territory`: its name)."""
    joins: dict[str, str] = {}
    where = []
    for name, value in chosen.items():
        literal = exp.Literal.string(value).sql(dialect=WRITTEN_IN)
        if name in facts.column_names:
            where.append(f"CAST(f.{name} AS varchar) = {literal}")
            continue
        found = _beside(catalog, facts, name)
        if found is None:
            columns = ", ".join([*facts.column_names, *_names_beside(catalog, facts)])
            raise DeclarationError(f"{facts.published_name} cannot be chosen by {name!r}; there are {columns}")
        to, column, on = found
        joins[to.table] = f"LEFT JOIN {to.published_name} {to.table} ON {on}"
        where.append(f"COALESCE({to.table}.{column}, 'none') = {literal}")
    return list(joins.values()), where


def _beside(catalog: Catalog, facts: Dataset, name: str) -> tuple[Dataset, str, str] | None:
    stem = name.removesuffix("_name")  # the facts' own territory goes before that of their customer
    for link in sorted(facts.links, key=lambda link: not link.columns[0].startswith(stem)):
        to = catalog.dataset(link.to)
        column = next(
            (c.name for c in to.columns if c.name in {name, f"{name}_name"} and c.data_type == "varchar"), None
        )
        if column:
            same = (f"{to.table}.{key} = f.{own}" for key, own in zip(to.key, link.columns, strict=True))
            return to, column, " AND ".join(same)
    return None


def _names_beside(catalog: Catalog, facts: Dataset) -> list[str]:
    linked = (catalog.dataset(link.to) for link in facts.links)
    return sorted({c.name for to in linked for c in to.columns if c.name.endswith("_name")})
