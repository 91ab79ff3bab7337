"""The command `check`: every declaration is read, cross-checked and shown to its engine, without any data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Screen
from dataops.facts.text import counted, number

if TYPE_CHECKING:
    from dataops.declared.catalog import Catalog
    from dataops.declared.paths import Paths


def check(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")] = False,
) -> int:
    """Check all declarations: contracts, suites, checkpoints, models, metrics and reports; no warehouse is needed.

    Examples:  dataops check  |  dataops check -v
    """
    from dataops.declared import catalog as catalogs
    from dataops.declared import settings
    from dataops.declared.models import SqlModel, render
    from dataops.declared.select import DIALECTS
    from dataops.facts import report_checking
    from dataops.gate import gx, soda

    screen: Screen = ctx.obj
    paths = settings.load().paths
    catalog = catalogs.load(paths)
    require_complete(catalog, paths)
    reports = report_checking.check(catalog, paths)
    for model in (m for m in catalog.models if isinstance(m, SqlModel)):
        for dialect in DIALECTS:
            render(model, dialect, catalog.schema)
    for group in catalog.groups.values():
        with screen.working(f"showing {group.name} to Soda and Great Expectations"):
            soda.check(group)
            gx.check(group, catalog.schema)
    if as_json:
        from dataops.facts.answers import CheckDocument

        screen.document(CheckDocument.of(catalog))
    else:
        told = f"; {counted(len(catalog.metrics), 'metric')}, {counted(reports, 'report')}" if catalog.metrics else ""
        screen.line(f"{summary(catalog)}{told}; nothing unknown, no gap")
        if screen.verbosity > 0:
            screen.table(
                ("group", "datasets", "rules", "critical", "warning", "info"),
                [_row(catalog, n) for n in catalog.groups],
            )
    return 0


def require_complete(catalog: Catalog, paths: Paths) -> None:
    """A curated table is SQL, contract, suite and test case. Raises DeclarationError naming the missing file."""
    from dataops.declared.errors import DeclarationError

    models = {model.table: model for model in catalog.models}
    missing = [
        f"{dataset.contract_file} has no model; write {_sql(paths, dataset.layer, dataset.table)} or .yml"
        for dataset in catalog.datasets.values()
        if not dataset.is_loaded and dataset.table not in models
    ]
    for model in catalog.models:
        shown = paths.shown(model.path)
        if model.table not in catalog.datasets:
            missing.append(
                f"{shown} has no contract; write {paths.shown(paths.contracts / model.layer / model.table)}.yml"
            )
        cases = paths.project / "tests" / "transforms" / model.layer / model.table
        if (paths.project / "tests").is_dir() and not any(cases.glob("*.yml")):
            missing.append(f"{shown} has no test case; write {paths.shown(cases)}/<case>.yml")
    if missing:
        raise DeclarationError("\n".join(missing))


def _sql(paths: Paths, layer: str, table: str) -> str:
    return paths.shown(paths.transforms / layer / f"{table}.sql")


def summary(catalog: Catalog) -> str:
    """`43 datasets, 848 rules, 9 models in 4 groups`."""
    rules = sum(len(group.rules) for group in catalog.groups.values())
    parts = [counted(len(catalog.datasets), "dataset"), counted(rules, "rule"), counted(len(catalog.models), "model")]
    return f"{', '.join(parts)} in {counted(len(catalog.groups), 'group')}"


def _row(catalog: Catalog, name: str) -> tuple[str, ...]:
    group = catalog.groups[name]
    severities = Counter(rule.severity for rule in group.rules)
    counts = (len(group.datasets), len(group.rules), severities["critical"], severities["warning"], severities["info"])
    return name, *(number(count) for count in counts)
