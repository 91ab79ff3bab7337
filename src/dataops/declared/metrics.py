"""Metrics: one definition per figure, metrics/<metric>.yml, that models, pages and reports are computed from.

A model says `MEASURE(revenue)` and gets the formula that the file declares; there is no second place for it. Reads
files only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from sqlglot import exp

from dataops.declared import select
from dataops.declared.declarations import RuleId, Sentence, Severity
from dataops.declared.errors import DeclarationError
from dataops.declared.select import SelectError, line_of
from dataops.declared.yaml_files import Strict, read

WORD = "measure"
Unit = Literal["money", "count", "quantity", "share", "ratio", "days", "per day"]
Additivity = Literal["additive", "semi-additive", "non-additive"]
ADDING = (exp.Sum, exp.Count)


class Words(Strict):
    """The same in every language that reports are written in."""

    en: Sentence
    fr: Sentence

    def of(self, language: str) -> str:
        """The words of `en` or `fr`."""
        text: str = getattr(self, language)
        return text


class Guard(Strict):
    """A rule that every table with the metric gets; its id there is `MET-001:<table>`."""

    rule: RuleId
    why: Sentence
    severity: Severity = "critical"


class Range(Guard):
    """The figure of every row lies within these bounds, or there is none."""

    min: Annotated[float | None, Field(allow_inf_nan=False)] = None
    max: Annotated[float | None, Field(allow_inf_nan=False)] = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("a range says min, max or both")
        return self


class Ties(Guard):
    """The figure is what its formula gives over the published facts, or over the figures it is made of."""


class Change(Guard):
    """The figure of a whole period differs from the period before by no more than this; 0.5 is half of it."""

    by: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    severity: Severity = "warning"


class Gate(Strict):
    """How a metric is guarded wherever it stands."""

    range: Range | None = None
    ties: Ties
    change: Change | None = None


class MetricFile(Strict):
    """The file metrics/<metric>.yml."""

    metric: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Words
    says: Words
    of: str | None = None  # the published facts; None: made of other metrics' figures, wherever those come from
    time: str | None = None  # the column of the facts that says of which day a row is
    formula: Sentence  # over columns of the facts, or MEASURE(other metric)
    dimensions: tuple[str, ...] = ()  # columns of the tables that carry it, by which it may be split
    unit: Unit
    decimals: Annotated[int, Field(ge=0, le=6)]
    additivity: Additivity
    owner: str
    gate: Gate

    @model_validator(mode="after")
    def _facts_have_a_time(self) -> MetricFile:
        if (self.of is None) != (self.time is None):
            raise ValueError("of and time go together: which facts, and which of their columns is the day")
        return self


@dataclass(frozen=True)
class Metric:
    """A metric with its formula: `written` as in the file, `whole` with every MEASURE in it worked out."""

    declared: MetricFile
    file: str
    written: exp.Expression
    whole: exp.Expression
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.declared.metric

    @property
    def text(self) -> str:
        """What a model's fingerprint covers: the formula it was built with."""
        return f"{self.name} = {self.whole.sql(dialect=select.WRITTEN_IN)}"


Metrics = Mapping[str, Metric]


def load(folder: Path, shown: str = "metrics") -> dict[str, Metric]:
    """Every metric below `folder`, by name; none without the folder. Raises DeclarationError naming file and key."""
    files = {path.stem: (f"{shown}/{path.name}", path) for path in sorted(folder.glob("*.yml"))}
    read_files = {stem: read(path, MetricFile, name) for stem, (name, path) in files.items()}
    written = {stem: _formula(declared, files[stem][0], stem, files) for stem, declared in read_files.items()}
    graph = {stem: set(_names(formula)) for stem, formula in written.items()}
    metrics: dict[str, Metric] = {}
    try:
        for stem in TopologicalSorter(graph).static_order():
            whole = _worked_out(written[stem], metrics, in_facts=read_files[stem].of is not None)
            parts = tuple(sorted(graph[stem]))
            metrics[stem] = Metric(read_files[stem], files[stem][0], written[stem], whole, parts)
            _check(metrics[stem], metrics)
    except CycleError as error:
        raise DeclarationError(f"metrics/: metrics are made of each other: {' of '.join(error.args[1])}") from None
    return {stem: metrics[stem] for stem in sorted(metrics)}


def _formula(declared: MetricFile, file: str, stem: str, known: Collection[str]) -> exp.Expression:
    """The parsed formula. Raises DeclarationError."""
    if declared.metric != stem:
        raise DeclarationError(f'{file}: "metric" is {declared.metric!r}; the file name says {stem!r}')
    try:
        tree = select.parse_expression(declared.formula)
        unknown = [name for name in _names(tree) if name not in known]
    except SelectError as error:
        raise DeclarationError(f'{file}: "formula": {error.says}') from None
    if unknown:
        raise DeclarationError(f'{file}: "formula": no metric {unknown[0]!r}; there are {", ".join(sorted(known))}')
    return tree


def _check(metric: Metric, metrics: Metrics) -> None:
    """Raises DeclarationError where a metric does not say of what it is, or adds up what cannot be added."""
    declared = metric.declared
    if declared.of is None and not metric.parts:
        raise DeclarationError(f'{metric.file}: "of" is missing: of which facts is {metric.name}?')
    elsewhere = [p for p in metric.parts if declared.of and metrics[p].declared.of != declared.of]
    if elsewhere:
        of = metrics[elsewhere[0]].declared.of
        raise DeclarationError(
            f'{metric.file}: "of" is {declared.of}, but {elsewhere[0]} is of {of}; leave out "of" and "time"'
        )
    if declared.additivity == "additive" and not _adds_up(metric.whole):
        raise DeclarationError(
            f'{metric.file}: "additivity": {declared.formula} does not add up over the rows of a table;'
            " a sum or a count of rows does"
        )


def _adds_up(formula: exp.Expression) -> bool:
    """Sums and counts of rows, and what is added of them."""
    node = formula.unnest()
    if isinstance(node, exp.Add | exp.Sub):
        return _adds_up(node.this) and _adds_up(node.expression)
    return isinstance(node, ADDING) and node.find(exp.Distinct) is None


def _calls(tree: exp.Expression) -> Iterator[exp.Anonymous]:
    for node in tree.find_all(exp.Anonymous):
        if node.name.lower() == WORD:
            yield node


def _name(call: exp.Anonymous) -> str:
    """The metric that MEASURE(…) names. Raises SelectError."""
    named = call.expressions
    if len(named) != 1 or not isinstance(named[0], exp.Column) or named[0].table:
        raise SelectError(f"{call.sql(dialect=select.WRITTEN_IN)}: MEASURE takes the name of one metric", line_of(call))
    return str(named[0].name)


def _names(tree: exp.Expression) -> list[str]:
    return sorted({_name(call) for call in _calls(tree)})


def _worked_out(written: exp.Expression, metrics: Metrics, *, in_facts: bool) -> exp.Expression:
    """Without MEASURE: what it stands for, or, of what no facts carry alone, the column of that name."""

    def put(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.Anonymous) or node.name.lower() != WORD:
            return node
        name = _name(node)
        return exp.Paren(this=metrics[name].whole.copy()) if in_facts else exp.column(name)

    return written.copy().transform(put)


def as_columns(metric: Metric, alias: str) -> exp.Expression:
    """The formula over figures that stand in columns of the table `alias` already."""

    def put(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Anonymous) and node.name.lower() == WORD:
            return exp.column(_name(node), table=alias)
        return node

    return metric.written.copy().transform(put)


def put_into(tree: exp.Query, metrics: Metrics) -> tuple[str, ...]:
    """Puts formulas in the place of MEASURE(…); the names of the metrics. Raises SelectError.

    What is measured is named after its metric, so that a reader of a table finds the definition by the column's name.
    """
    calls = list(_calls(tree))
    for call in calls:
        name = _name(call)
        if name not in metrics:
            known = ", ".join(metrics) or "none: write metrics/<metric>.yml"
            raise SelectError(f"no metric {name!r}; there are {known}", line_of(call))
        alias = call.find_ancestor(exp.Alias)
        if alias is None or alias.alias != name:
            raise SelectError(f"MEASURE({name}) must be written … AS {name}", line_of(call))
    names = tuple(sorted({_name(call) for call in calls}))
    for call in calls:
        call.replace(exp.Paren(this=metrics[_name(call)].whole.copy()))
    return names
