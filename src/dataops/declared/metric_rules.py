"""The rules that a metric's gate means for one table of figures, as expectations of that table's suite.

Written once, in the metric; every table that carries the figure is judged by them, so a new table cannot go without.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from dataops.declared.declarations import Column, ContractFile, Cube, ExpectationItem, Meta, SuiteFile
from dataops.declared.errors import DeclarationError
from dataops.declared.metrics import Change, Guard, Metric, Metrics, Range, as_columns
from dataops.declared.select import WRITTEN_IN

PREVIOUS = "_previous"
PARTIAL = "is_partial"
FIGURES = {"integer", "smallint", "bigint", "numeric"}


def with_rules(suite: SuiteFile, contract: ContractFile, table: str, file: str, metrics: Metrics) -> SuiteFile:
    """The suite with the rules of every metric that the table carries.

    Raises DeclarationError for a figure without a definition.
    """
    cube = contract.platform.cube
    if cube is None:
        return suite
    rules = [rule for metric in carried(contract, file, metrics) for rule in _rules(metric, contract, cube, table)]
    return suite.model_copy(update={"expectations": (*suite.expectations, *rules)})


def carried(contract: ContractFile, file: str, metrics: Metrics) -> list[Metric]:
    """The metrics of a table of figures. Raises DeclarationError for a figure without a definition."""
    names = [column.name for column in contract.columns]
    found = [metrics[name] for name in names if name in metrics]
    known = {*contract.platform.key, *(name for link in contract.platform.references for name in link.split(","))}
    for column in contract.columns:
        beside = any(column.name.startswith(f"{name}_") for name in metrics)
        if column.data_type in FIGURES and column.name not in {*known, *metrics} and not beside:
            raise DeclarationError(
                f'{file}: "{column.name}" is a figure without a definition; write metrics/{column.name}.yml,'
                " or name it after the metric that it is about"
            )
    for metric in found:
        unlisted = [name for name in cube_dimensions(contract) if name not in metric.declared.dimensions]
        if unlisted:
            raise DeclarationError(f'{metric.file}: "dimensions" lacks {unlisted[0]}, by which {file} splits it')
    return found


def cube_dimensions(contract: ContractFile) -> tuple[str, ...]:
    """Columns by which a table of figures splits them."""
    cube = contract.platform.cube
    return (*cube.all, *cube.by) if cube else ()


def _rules(metric: Metric, contract: ContractFile, cube: Cube, table: str) -> Iterator[ExpectationItem]:
    gate, title = metric.declared.gate, metric.declared.title.en
    column = next(c for c in contract.columns if c.name == metric.name)
    names = [c.name for c in contract.columns]
    if gate.range:
        yield _item(gate.range, table, f"{title}: {_bounds(gate.range)}", _between(gate.range, metric.name))
    ties = _parts(metric, column) if set(metric.parts) <= set(names) and metric.parts else _facts(metric, column, cube)
    if ties:
        says = f"{title}: made of the figures beside it" if metric.parts else f"{title}: ties to {metric.declared.of}"
        yield _item(gate.ties, table, says, ties)
    if gate.change and f"{metric.name}{PREVIOUS}" in names:
        says = f"{title}: changed by no more than {gate.change.by:.0%} against the period before"
        yield _item(gate.change, table, says, _change(gate.change, metric.name, cube, partial=PARTIAL in names))


def _item(guard: Guard, table: str, says: str, rule: str | dict[str, object]) -> ExpectationItem:
    """A rule in SQL, or bounds of a column."""
    return ExpectationItem(
        type="unexpected_rows_expectation" if isinstance(rule, str) else "expect_column_values_to_be_between",
        kwargs={"unexpected_rows_query": rule} if isinstance(rule, str) else rule,
        severity=guard.severity,
        description=says,
        notes=guard.why,
        meta=Meta(rule=f"{guard.rule}:{table}", baseline=isinstance(guard, Change)),
    )


def _bounds(bounds: Range) -> str:
    parts = [f"not below {bounds.min:g}"] if bounds.min is not None else []
    return ", ".join(parts + ([f"not above {bounds.max:g}"] if bounds.max is not None else []))


def _between(bounds: Range, column: str) -> dict[str, object]:
    limits = {"min_value": bounds.min, "max_value": bounds.max}
    return {"column": column} | {name: value for name, value in limits.items() if value is not None}


def _parts(metric: Metric, column: Column) -> str:
    """Rows where the figure is not what its formula gives over the figures beside it."""
    formula = _text(as_columns(metric, "b"))
    return f"SELECT b._row FROM {{batch}} b WHERE b.{column.name} IS DISTINCT FROM {_cast(formula, column)}"


def _facts(metric: Metric, column: Column, cube: Cube) -> str:
    """Rows for whole periods where the figure is not what the facts give, or what its own parts add up to."""
    declared = metric.declared
    if declared.of is None:
        return ""
    figure = "COALESCE(f.figure, 0)" if isinstance(metric.whole.unnest(), exp.Count) else "f.figure"  # of no rows
    same, differs = [f"f.period = b.{cube.period}"], [f"b.{column.name} IS DISTINCT FROM {figure}"]
    if by_row := cube.grain if cube.grain not in cube.grains() else "":
        same.append(f"f.grain = b.{by_row}")
    same += [f"f.{name} = b.{name}" for name in cube.by]
    facts = " UNION ALL ".join(_over_facts(metric, column, cube, grain) for grain in cube.grains())
    joins = f"LEFT JOIN ({facts}) f ON {' AND '.join(same)}"
    if declared.additivity == "additive" and cube.all:
        keys = [cube.period, *([by_row] if by_row else []), *cube.by]
        cells = " AND ".join(f"{name} <> '{word}'" for name, word in cube.all.items())
        joins += (
            f" LEFT JOIN (SELECT {', '.join(keys)}, SUM({column.name}) AS figure FROM {{batch}} WHERE {cells}"
            f" GROUP BY {', '.join(keys)}) c ON {' AND '.join(f'c.{k} = b.{k}' for k in keys)}"
        )
        differs.append(f"b.{column.name} IS DISTINCT FROM c.figure")
    where = [f"b.{name} = '{word}'" for name, word in cube.all.items()] + [f"({' OR '.join(differs)})"]
    return f"SELECT b._row FROM {{batch}} b {joins} WHERE {' AND '.join(where)}"


def _over_facts(metric: Metric, column: Column, cube: Cube, grain: str) -> str:
    declared = metric.declared
    table = str(declared.of).rpartition(".")[2]
    period = declared.time if grain == "day" else f"CAST(DATE_TRUNC('{grain}', {declared.time}) AS date)"
    said = f"'{grain}' AS grain, " if cube.grain not in cube.grains() else ""
    by = "".join(f", {name}" for name in cube.by)
    return (
        f"SELECT {said}{period} AS period{by}, {_cast(_text(metric.whole), column)} AS figure FROM {{{table}}}"
        f" WHERE {declared.time} >= (SELECT MIN({cube.period}) FROM {{batch}}) GROUP BY {period}{by}"
    )


def _change(change: Change, name: str, cube: Cube, *, partial: bool) -> str:
    where = [f"b.{dimension} = '{word}'" for dimension, word in cube.all.items()]
    where += [f"NOT b.{PARTIAL}"] if partial else []
    where.append(f"ABS(b.{name} - b.{name}{PREVIOUS}) > {change.by:f} * ABS(b.{name}{PREVIOUS})")
    return f"SELECT b._row FROM {{batch}} b WHERE {' AND '.join(where)}"


def _text(formula: exp.Expression) -> str:
    return str(formula.sql(dialect=WRITTEN_IN))


def _cast(formula: str, column: Column) -> str:
    sized = column.data_type == "numeric"
    kind = f"numeric({column.numeric_precision}, {column.numeric_scale})" if sized else column.data_type
    return f"CAST({formula} AS {kind})"
