"""Metrics: one definition per figure, strict, put where a model measures it, with the rules that guard it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dataops.declared import catalog as catalogs
from dataops.declared import metric_rules, metrics
from dataops.declared.catalog import Catalog
from dataops.declared.declarations import Column, ContractFile
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import Layers
from dataops.declared.models import SqlModel, parse_model
from dataops.declared.paths import Paths
from dataops.facts import figure_rows

pytestmark = pytest.mark.unit
PROJECT = Path(__file__).resolve().parents[2]
REVENUE = """
metric: revenue
title: {en: Revenue, fr: Recettes}
says: {en: What was paid., fr: Ce qui fut payé.}
of: curated.fct
time: day
formula: SUM(amount)
unit: money
decimals: 2
additivity: additive
owner: a@b.example
gate:
  range: {rule: MET-001, min: 0, why: Nobody pays less.}
  ties: {rule: MET-002, why: It ties.}
"""
MARGIN = """
metric: margin
title: {en: Margin, fr: Marge}
says: {en: A share., fr: Une part.}
of: curated.fct
time: day
formula: ROUND(SUM(profit) / NULLIF(MEASURE(revenue), 0), 6)
unit: share
decimals: 1
additivity: non-additive
owner: a@b.example
gate: {ties: {rule: MET-003, why: It ties.}}
"""


SELECT = "SELECT CAST(day AS date) AS day, CAST(MEASURE({0}) AS numeric(38, 6)) AS {0} FROM curated.fct GROUP BY day"


def declared(folder: Path, **texts: str) -> dict[str, metrics.Metric]:
    """Metrics out of these files."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yml").write_text(text)
    return metrics.load(folder)


def model(folder: Path, known: dict[str, metrics.Metric], select: str) -> SqlModel:
    """A model of the marts with this SELECT."""
    file = folder / "marts" / "figures.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"-- One row per day. Read by tests.\n{select}\n")
    return parse_model(file, Layers(), known)


def test_a_model_gets_the_formula_of_the_metric_and_of_those_that_it_is_made_of(tmp_path: Path) -> None:
    known = declared(tmp_path / "metrics", revenue=REVENUE, margin=MARGIN)
    made = model(tmp_path, known, SELECT.format("margin"))
    assert "ROUND(SUM(profit) / NULLIF((SUM(amount)), 0), 6)" in made.ast.sql(dialect="postgres")
    assert made.measures == ("margin",)


def test_a_changed_formula_is_a_changed_model(tmp_path: Path) -> None:
    select = SELECT.format("revenue")
    before = model(tmp_path, declared(tmp_path / "metrics", revenue=REVENUE), select).text
    after = declared(tmp_path / "metrics", revenue=REVENUE.replace("SUM(amount)", "SUM(amount - discount)"))
    assert model(tmp_path, after, select).text != before


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("CAST(MEASURE(revenu) AS integer) AS revenu", "no metric 'revenu'; there are revenue"),
        ("CAST(MEASURE(revenue) AS integer) AS income", r"MEASURE\(revenue\) must be written … AS revenue"),
        ("CAST(MEASURE(revenue, 2) AS integer) AS revenue", "MEASURE takes the name of one metric"),
        ("CAST(MEASURE('revenue') AS integer) AS revenue", "MEASURE takes the name of one metric"),
    ],
)
def test_a_measure_that_means_nothing_is_refused_with_its_line(tmp_path: Path, select: str, says: str) -> None:
    known = declared(tmp_path / "metrics", revenue=REVENUE)
    with pytest.raises(DeclarationError, match=says) as caught:
        model(tmp_path, known, f"SELECT CAST(day AS date) AS day,\n{select} FROM curated.fct GROUP BY day")
    assert "figures.sql, line " in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("formula: SUM(amount)", "formula: COUNT(DISTINCT customer)", "does not add up over the rows"),
        ("formula: SUM(amount)", "formula: AVG(amount)", "does not add up over the rows"),
        ("formula: SUM(amount)", "formula: MEASURE(orders)", "no metric 'orders'; there are revenue"),
        ("formula: SUM(amount)", "formula: MEASURE(revenue)", "metrics are made of each other: revenue of revenue"),
        ("formula: SUM(amount)", "formula: SUM(amount", '"formula": not valid SQL'),
        ("formula: SUM(amount)", "formula: SUM(amount), 1", "one expression is expected"),
        ("formula: SUM(amount)", "formula: SUM(amount) AS x FROM t", '"formula"'),
        ("metric: revenue", "metric: income", "the file name says 'revenue'"),
        ("unit: money", "unit: dollars", '"unit"'),
        ("of: curated.fct\n", "", "of and time go together"),
        ("of: curated.fct\ntime: day\n", "", '"of" is missing'),
        ("title: {en: Revenue, fr: Recettes}", "title: {en: Revenue}", 'key "fr" is missing'),
        ("owner: a@b.example", "ower: a@b.example", 'unknown key "ower"; did you mean "owner"?'),
        ("min: 0, ", "", "a range says min, max or both"),
        ("ties: {rule: MET-002", "tie: {rule: MET-002", 'unknown key "tie"; did you mean "time"?'),
    ],
)
def test_a_definition_that_is_none_is_an_error_naming_the_file(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in REVENUE
    with pytest.raises(DeclarationError) as caught:
        declared(tmp_path / "metrics", revenue=REVENUE.replace(old, new))
    assert says in str(caught.value)
    assert "metrics/" in str(caught.value)


def contract(cube: str, figure: str = "revenue") -> ContractFile:
    """Of a table of figures."""
    missing = "checks: [{missing: {name: x, attributes: {rule: TST-001, severity: critical, why: y}}}]"
    of_place = missing.replace("001", "002")
    columns = f"[{{name: day, data_type: date, {missing}}}, {{name: place, data_type: varchar, {of_place}}}"
    columns += f", {{name: {figure}, data_type: numeric, numeric_precision: 38, numeric_scale: 6}}]"
    unique = "[{duplicate: {columns: [day, place], name: x, attributes: {rule: TST-003, severity: critical, why: y}}}]"
    text = (
        f"dataset: p/marts/figures\nx-dataops: {{group: g, key: [day, place], owner: o, cube: {cube}}}\n"
        f"columns: {columns}\nchecks: {unique}\n"
    )
    return ContractFile.model_validate(YAML(typ="safe").load(text))


def test_a_figure_without_a_definition_is_refused(tmp_path: Path) -> None:
    known = declared(tmp_path / "metrics", revenue=REVENUE)
    cube = "{period: day, grain: day, all: {place: all}}"
    with pytest.raises(DeclarationError, match=r'"income" is a figure without a definition; write metrics/income\.yml'):
        metric_rules.carried(contract(cube, "income"), "contracts/marts/figures.yml", known)
    with pytest.raises(DeclarationError, match=r'metrics/revenue\.yml: "dimensions" lacks place'):
        metric_rules.carried(contract(cube), "contracts/marts/figures.yml", known)


def test_every_figure_of_the_project_is_computed_from_its_definition_and_guarded(real: Catalog) -> None:
    """Each table that carries a metric is judged by its gate, under an id of its own."""
    tables = [dataset for dataset in real.datasets.values() if dataset.metrics]
    assert len(tables) >= 8
    for dataset in tables:
        ids = {rule.id for rule in dataset.rules}
        for name in dataset.metrics:
            gate = real.metrics[name].declared.gate
            assert gate.range is None or f"{gate.range.rule}:{dataset.table}" in ids
    guarded = {rule.id.partition(":")[0] for dataset in tables for rule in dataset.rules}
    assert {metric.declared.gate.ties.rule for metric in real.metrics.values()} <= guarded


def test_no_two_metrics_share_a_rule(real: Catalog) -> None:
    gates = [metric.declared.gate for metric in real.metrics.values()]
    rules = [guard.rule for gate in gates for guard in (gate.range, gate.ties, gate.change) if guard]
    assert len(set(rules)) == len(rules)


@pytest.fixture(scope="module")
def real() -> Catalog:
    return catalogs.load(Paths(PROJECT, PROJECT / "var"))


def test_a_count_of_nothing_is_zero_and_a_sum_of_nothing_is_unknown(real: Catalog) -> None:
    cohorts = next(d for d in real.datasets.values() if d.table == "kpi_cohorts")
    ties = next(
        r for r in cohorts.rules if r.id == f"{real.metrics['active_customers'].declared.gate.ties.rule}:kpi_cohorts"
    )
    assert ties.expectation
    assert "COALESCE(f.figure, 0)" in ties.expectation.kwargs["unexpected_rows_query"]
    column = Column(name="revenue", data_type="numeric", numeric_precision=38, numeric_scale=6)
    assert column.numeric_scale == 6


def test_a_row_is_chosen_by_its_own_place_before_that_of_its_customer(real: Catalog) -> None:
    """Both are called territory; an order belongs to where it was placed."""
    for facts in ("fct_sales", "fct_customer_orders"):
        found = figure_rows._beside(real, real.dataset(facts), "territory")
        assert found is not None
        assert (found[0].table, found[1]) == ("dim_territory", "territory_name")
