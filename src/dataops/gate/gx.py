"""Great Expectations' half of the gate: is every row, and the whole, right? The one file that imports GX.

A checkpoint with one suite per dataset is run in GX's cheapest form, which bundles all counts of a table in one
statement; counts and failing-row conditions are GX's own, taken from the metrics it resolved.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlglot
from sqlalchemy.dialects import postgresql

from dataops.declared import durable, select
from dataops.declared.catalog import BATCH, PUBLISHED, Dataset, Group, Rule
from dataops.declared.errors import DeclarationError
from dataops.declared.kinds import Schema
from dataops.declared.rendering import render
from dataops.declared.select import Dialect, SelectError
from dataops.gate.verdict import Predicate, RuleResult, judged, unjudged
from dataops.warehouse import Warehouse
from dataops.warehouse.limits import TimeLimit, cancel

Relations = Mapping[str, str]  # table -> SQL of the relation that a rule sees under that name
SETTING = "DATAOPS_RULE_SECONDS"
ROWS_TYPE = "unexpected_rows_expectation"
ROWS_LISTED = "unexpected_rows_query.table"  # GX's name for the rows themselves, beside their count
PLACEHOLDER = re.compile(r"'(?:[^']|'')*'|\{([A-Za-z_]\w*)\}")  # a text, whose braces are its own, or a name
TOKEN = re.compile(r"zz_(\w+)_zz")  # what a placeholder is while the SQL is parsed
CHEAPEST = {"result_format": "BOOLEAN_ONLY"}


def audit(
    warehouse: Warehouse,
    group: Group,
    schema: Schema,
    relations: Relations,
    seconds: float,
    results_file: Path | None = None,
) -> list[RuleResult]:
    """Runs the group's suites on `candidate`; one result per declared expectation of every dataset.

    `relations` says what `{other_table}` in a rule's SQL stands for. GX's own results go to `results_file` as JSON,
    for Data Docs. Raises DeclarationError for an expectation that GX does not know, TimeLimitError after `seconds`.
    """
    # GX prints a hint for every query that does not name {batch}; ours name the candidate itself.
    with redirect_stdout(io.StringIO()), _context() as context, _engine(context, warehouse) as (source, engine):
        resolved = _record(engine)
        made = [
            (d, [_expectation(r, schema, _seen_by(d, relations), warehouse.dialect) for r in d.rules if r.expectation])
            for d in group.datasets
        ]
        definitions = [_definition(context, source, d, expectations) for d, expectations in made]
        checkpoint = _checkpoint(context, group, definitions)
        with _limit(engine, group, seconds):
            outcome = checkpoint.run()
        run_results = {r.meta["active_batch_definition"]["data_asset_name"]: r for r in outcome.run_results.values()}
        found = [r for d in group.datasets for r in _results(d, run_results.get(d.table), engine, resolved)]
        if results_file:
            _keep(results_file, run_results, found)
    return found


def load() -> None:
    """Imports GX, which takes seconds."""
    import great_expectations.checkpoint  # noqa: TID251
    import great_expectations.expectations.core  # noqa: TID251, F401


def check(group: Group, schema: Schema) -> None:
    """Builds every expectation without data. Raises DeclarationError naming file, rule and what GX says."""
    with redirect_stdout(io.StringIO()):
        for rule in group.rules:
            if rule.expectation:
                for dialect in select.DIALECTS:
                    _expectation(rule, schema, {}, dialect)


@contextmanager
def _context() -> Iterator[Any]:
    import great_expectations as gx  # noqa: TID251  this is the file that may

    from dataops.gate import gx_duckdb

    gx_duckdb.register()
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context = gx.get_context(mode="ephemeral")
    # It lives for one audit; GX would write all of it as YAML after each of a dozen changes.
    context._save_project_config = lambda: None  # noqa: SLF001
    context.variables.save = lambda: None
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    context.enable_analytics(enable=False)
    yield context


@contextmanager
def _engine(context: Any, warehouse: Warehouse) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401  GX's own types
    from dataops.gate import gx_duckdb

    with warehouse.audit_url() as url:
        source = context.data_sources.add_sql("warehouse", connection_string=url)
        engine = source.get_execution_engine()
        if warehouse.dialect == "duckdb":
            gx_duckdb.give_regex(engine)
        try:
            yield source, engine
        finally:
            engine.close()
            engine.engine.dispose()
            source.get_engine().dispose()


def _limit(engine: Any, group: Group, seconds: float) -> TimeLimit:  # noqa: ANN401  GX's own type
    """On everything that GX computes, over whichever connections; it turns what it was told into results."""
    opened: list[Any] = []
    sa.event.listen(engine.engine, "connect", lambda own, _record: opened.append(own))
    if engine._connection is not None:  # noqa: SLF001  opened before: GX keeps one where a dialect needs that
        opened.append(engine._connection.connection.dbapi_connection)  # noqa: SLF001

    def cancel_all() -> None:
        for own in opened:
            cancel(own)

    return TimeLimit(seconds, SETTING, f"the rules of {group.name} in GX", cancel_all)


def _record(engine: Any) -> dict[Any, Any]:  # noqa: ANN401  GX's own type
    """Keeps what GX resolves: its cheapest result format does not return the counts it computed.

    For a rule in SQL GX runs the query twice, once to count and once to list rows that no result ever shows; the
    second is answered here with an empty list. Which rows fail is asked by the platform, from the same query.
    """
    resolved: dict[Any, Any] = {}
    original = engine.resolve_metrics

    def recording(metrics_to_resolve: Iterable[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        asked = list(metrics_to_resolve)
        found = original([m for m in asked if m.metric_name != ROWS_LISTED], *args, **kwargs)
        found |= {m.id: [] for m in asked if m.metric_name == ROWS_LISTED}
        resolved.update(found)
        return found

    engine.resolve_metrics = recording
    return resolved


def _seen_by(dataset: Dataset, relations: Relations) -> Relations:
    """What names in the SQL of a dataset's rules stand for."""
    return {**relations, PUBLISHED: dataset.published_name}


def _definition(context: Any, source: Any, dataset: Dataset, expectations: list[Any]) -> Any:  # noqa: ANN401
    import great_expectations as gx  # noqa: TID251

    suite = gx.ExpectationSuite(name=f"{dataset.layer}.{dataset.table}")
    suite.expectations.extend(expectations)
    declared = len(dataset.suite.expectations)
    if len(suite.expectations) != declared:
        raise DeclarationError(f"{dataset.suite_file}: GX kept {len(suite.expectations)} of {declared} expectations")
    asset = source.add_table_asset(name=dataset.table, table_name=dataset.table, schema_name="candidate")
    definition = gx.ValidationDefinition(
        name=dataset.table, data=asset.add_batch_definition_whole_table(dataset.table), suite=suite
    )
    context.suites.add(suite)
    return context.validation_definitions.add(definition)


def _checkpoint(context: Any, group: Group, definitions: list[Any]) -> Any:  # noqa: ANN401
    import great_expectations as gx  # noqa: TID251

    return context.checkpoints.add(
        gx.Checkpoint(name=group.name, validation_definitions=definitions, result_format=CHEAPEST)
    )


def _expectation(rule: Rule, schema: Schema, relations: Relations, dialect: Dialect) -> Any:  # noqa: ANN401
    from great_expectations.exceptions import ExpectationNotFoundError  # noqa: TID251
    from great_expectations.expectations.registry import get_expectation_impl  # noqa: TID251

    item = rule.expectation
    if item is None:
        raise DeclarationError(f"{rule.file}, rule {rule.id}: not an expectation")
    kwargs = dict(item.kwargs)
    if item.type == ROWS_TYPE:
        # GX would put a subquery in place of {batch}, without an alias that DuckDB accepts; braces it reads as names.
        query = rows_query(rule, schema, relations, dialect, batch=f"candidate.{rule.table}")
        kwargs["unexpected_rows_query"] = query.replace("{", "{{").replace("}", "}}")
    try:
        return get_expectation_impl(item.type)(
            **kwargs, severity=item.severity, notes=item.notes, description=item.description, meta={"rule": rule.id}
        )
    except ExpectationNotFoundError:
        raise DeclarationError(f"{rule.file}, rule {rule.id}: GX has no expectation {item.type!r}") from None
    except Exception as error:  # noqa: BLE001  GX raises pydantic v1 errors, and others, for a bad argument
        reason = "; ".join(str(error).split("\n")[1:3]).strip() or str(error)
        raise DeclarationError(f"{rule.file}, rule {rule.id}: GX refuses {item.type}: {reason}") from None


def rows_query(rule: Rule, schema: Schema, relations: Relations, dialect: Dialect, batch: str) -> str:
    """The rule's failing rows, each once: its SQL in the warehouse's dialect, `{other_table}` and `{batch}` replaced.

    `{published}` is what is published of the rule's own dataset, before the batch.

    `schema` has the columns by table. Raises DeclarationError for SQL that is refused, and for a table that is no
    `{dataset}`.
    """
    item = rule.expectation
    text = str(item.kwargs.get("unexpected_rows_query", "")) if item else ""
    try:
        tree = select.parse(PLACEHOLDER.sub(lambda found: f"zz_{found[1]}_zz" if found[1] else found[0], text))
        names = {node.name: _placeholder(node) for node in select.tables(tree)}
        _require_sense(tree, sorted(names.values()), relations)
        tables = {name: rule.table if name in {BATCH, PUBLISHED} else name for name in names.values()}
        columns = {token: schema[tables[name]] for token, name in names.items() if tables[name] in schema}
        places = {("", token): batch if name == BATCH else relations.get(name, name) for token, name in names.items()}
        return f"SELECT DISTINCT q._row FROM ({render(tree, dialect, columns, places)}) AS q"  # a join may repeat it
    except SelectError as error:
        raise DeclarationError(f"{rule.file}, rule {rule.id}: {error.says}") from None


def _require_sense(tree: sqlglot.exp.Query, names: list[str], relations: Relations) -> None:
    if BATCH not in names or tree.named_selects != ["_row"]:
        raise SelectError(
            "the query names the failing rows of {batch} by the one column _row; it selects"
            f" {', '.join(tree.named_selects)} from {', '.join(names) or 'no dataset'}"
        )
    if unknown := [name for name in names if name not in {BATCH, *relations}] if relations else []:
        raise SelectError(f"no dataset {unknown[0]!r} for {{{unknown[0]}}}")


def _placeholder(node: sqlglot.exp.Table) -> str:
    found = TOKEN.fullmatch(node.name)
    if found is None or node.db:
        raise SelectError(f"reads {node.sql(comments=False)}; a rule reads {{batch}} and other datasets as {{table}}")
    return found[1]


def _results(dataset: Dataset, run: Any, engine: Any, resolved: Mapping[Any, Any]) -> Iterable[RuleResult]:  # noqa: ANN401
    rules = [rule for rule in dataset.rules if rule.engine == "gx"]
    by_rule = {r.expectation_config.meta.get("rule"): r for r in run.results} if run else {}
    for rule in rules:
        found = by_rule.get(rule.id)
        if found is None:
            yield unjudged(rule, "GX returned no result for this expectation")
        elif found.exception_info and _exception(found.exception_info):
            yield unjudged(rule, f"GX could not evaluate it: {_exception(found.exception_info)}")
        else:
            yield _result(rule, found, engine, resolved)


def _exception(info: Mapping[str, Any]) -> str:
    """The message, if something was raised; GX nests the details by metric."""
    for part in (info, *(value for value in info.values() if isinstance(value, dict))):
        if part.get("raised_exception"):
            return " ".join(str(part.get("exception_message")).split())[:300]
    return ""


def _result(rule: Rule, found: Any, engine: Any, resolved: Mapping[Any, Any]) -> RuleResult:  # noqa: ANN401
    expectation = found.expectation_config.to_domain_obj()
    needed = expectation.get_validation_dependencies(engine, {"result_format": CHEAPEST}).metric_configurations
    checked = _value(needed.get("table.row_count"), resolved)
    success = bool(found.success)
    if rule.type == ROWS_TYPE:
        failing = _value(needed["unexpected_rows_query.row_count"], resolved)
        query = str(expectation.unexpected_rows_query).replace("{{", "{").replace("}}", "}")
        return judged(
            rule, success, observed=str(failing), failing=failing, checked=checked, predicate=Predicate("rows", query)
        )
    map_metric = getattr(expectation, "map_metric", None)
    if map_metric is None:
        return judged(rule, success, observed=_observed(expectation, needed, resolved), checked=checked)
    counted = needed[f"{map_metric}.unexpected_count"]
    failing = _value(counted, resolved)
    predicate = _predicate(f"{map_metric}.condition", counted, resolved)
    return judged(rule, success, observed=str(failing), failing=failing, checked=checked, predicate=predicate)


def _observed(expectation: Any, needed: Mapping[str, Any], resolved: Mapping[Any, Any]) -> str | None:  # noqa: ANN401
    """What an expectation over a whole column saw; its result in the cheapest format does not say."""
    named = [name for name in getattr(expectation, "metric_dependencies", ()) if name in needed]
    seen = [resolved.get(needed[name].id) for name in named]
    return ", ".join(str(value) for value in seen if value is not None) or None


def _value(metric: Any, resolved: Mapping[Any, Any]) -> int | None:  # noqa: ANN401
    value = resolved.get(metric.id) if metric is not None else None
    return int(value) if value is not None else None


def _predicate(name: str, counted: Any, resolved: Mapping[Any, Any]) -> Predicate:  # noqa: ANN401
    """GX's own condition of a failing row, as SQL on `candidate.<table>`."""
    from great_expectations.validator.metric_configuration import MetricConfiguration  # noqa: TID251

    metric = MetricConfiguration(name, counted.metric_domain_kwargs, counted.metric_value_kwargs)
    condition = _in_domain(resolved[metric.id][0], counted.metric_domain_kwargs)
    # "named" leaves % as it is. Whether a backslash is doubled is known only once connected; both keep it as it is.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    dialect._backslash_escapes = False  # noqa: SLF001
    return Predicate("where", str(condition.compile(dialect=dialect, compile_kwargs={"literal_binds": True})))


def _in_domain(condition: Any, domain: Mapping[str, Any]) -> Any:  # noqa: ANN401  SQLAlchemy's own types
    """GX leaves rows out for their missing values before it counts; the condition alone would still find them."""
    names = domain.get("column_list") or [domain[key] for key in ("column_A", "column_B") if key in domain]
    present = [sa.column(name).is_not(None) for name in names]
    ignored = str(getattr(domain.get("ignore_row_if"), "value", domain.get("ignore_row_if")))
    if ignored in {"both_values_are_missing", "all_values_are_missing"}:
        return sa.and_(condition, sa.or_(*present))
    if ignored in {"either_value_is_missing", "any_value_is_missing"}:
        return sa.and_(condition, *present)
    return condition


def _keep(file: Path, runs: Mapping[str, Any], found: Iterable[RuleResult]) -> None:
    """GX's results with the counts filled in, for Data Docs."""
    counts = {r.rule.id: (r.failing, r.checked, r.observed) for r in found}
    kept = {}
    for table, run in runs.items():
        document = run.to_json_dict()
        for item in document["results"]:
            failing, checked, seen = counts.get(item["expectation_config"]["meta"].get("rule"), (None, None, None))
            if failing is not None and checked:
                item["result"] = {
                    "element_count": checked,
                    "unexpected_count": failing,
                    "unexpected_percent": 100 * failing / checked,
                }
            elif failing is not None or seen is not None:
                # A rule in SQL names its failing rows and counts no others; one over a whole column counts none.
                item["result"] = {"observed_value": seen if failing is None else failing}
        kept[table] = document
    file.parent.mkdir(parents=True, exist_ok=True)
    durable.write(file, json.dumps(kept).encode())
