"""Soda's half of the gate: is this the dataset we agreed on? The one file that imports Soda.

A check without an outcome is an error, never a pass: Soda itself calls a contract without checks "ok".
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import make_url

from dataops.declared.catalog import Dataset, Group, Rule
from dataops.declared.declarations import CheckItem, Column
from dataops.declared.errors import DeclarationError
from dataops.gate.verdict import Predicate, RuleResult, judged, unjudged
from dataops.warehouse import Warehouse
from dataops.warehouse.tables import quoted

os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"  # read when Soda is imported: nothing is reported to anybody
SOURCE = "warehouse"
ROW_COLUMNS = ({"name": "_row", "data_type": "bigint"}, {"name": "_problems", "data_type": "varchar"})


Content = dict[str, Any]
"""A part of Soda's files and answers."""


def audit(warehouse: Warehouse, group: Group) -> list[RuleResult]:
    """Verifies the contracts of a group against `candidate`; one result per declared check of every dataset."""
    from soda_core.common.yaml import ContractYamlSource  # noqa: TID251  this is the file that may
    from soda_core.contracts.contract_verification import ContractVerificationSession  # noqa: TID251

    with _data_source(warehouse) as (source, prefixes), _quiet():
        contracts = [ContractYamlSource.from_str(_dumped(contract_of(d, prefixes))) for d in group.datasets]
        session = ContractVerificationSession.execute(contract_yaml_sources=contracts, data_source_impls=[source])
    found = {str(r.check.attributes.get("rule")): r for c in session.results for r in c.check_results}
    errors = _errors(session)
    return [
        _result(rule, d, found.get(rule.id), errors)
        for d in group.datasets
        for rule in d.rules
        if rule.engine == "soda"
    ]


def load() -> None:
    """Imports Soda, which takes seconds."""
    import soda_core.contracts.contract_verification  # noqa: TID251, F401
    import soda_duckdb.common.data_sources.duckdb_data_source  # noqa: F401
    import soda_postgres.common.data_sources.postgres_data_source  # noqa: F401


def check(group: Group) -> None:
    """Lets Soda read the group's contracts without data. Raises DeclarationError with what it says."""
    import duckdb
    from soda_core.common.yaml import ContractYamlSource  # noqa: TID251
    from soda_core.contracts.contract_verification import ContractVerificationSession  # noqa: TID251
    from soda_duckdb.common.data_sources.duckdb_data_source import DuckDBDataSourceImpl

    contracts = [ContractYamlSource.from_str(_dumped(contract_of(d, []))) for d in group.datasets]
    with duckdb.connect() as nothing, _quiet():
        source = DuckDBDataSourceImpl.from_existing_cursor(nothing.cursor(), SOURCE)
        session = ContractVerificationSession.execute(
            contract_yaml_sources=contracts, data_source_impls=[source], only_validate_without_execute=True
        )
    if session.has_errors:
        raise DeclarationError(f"contracts of {group.name}: Soda refuses them: {_errors(session)}")


def contract_of(dataset: Dataset, prefixes: Iterable[str]) -> Content:
    """The contract as Soda gets it: pointed at `candidate.<table>`, with the platform's two columns."""
    columns = [_column(column) for column in dataset.columns]
    return {
        "dataset": "/".join([SOURCE, *prefixes, "candidate", dataset.table]),
        "columns": [*columns, *({**column} for column in ROW_COLUMNS)],
        "checks": [_item(item) for item in dataset.contract.checks],
    }


def _dumped(content: Content) -> str:
    """As JSON, which is YAML and written ten times as fast."""
    return json.dumps(content)


def _column(column: Column) -> Content:
    found = column.model_dump(exclude_none=True, exclude={"checks"})
    if column.checks:
        found["checks"] = [_item(item) for item in column.checks]
    return found


def _item(item: CheckItem) -> Content:
    settings = item.check.model_dump(exclude_none=True, mode="json")
    return {item.type: settings}


@contextmanager
def _data_source(warehouse: Warehouse) -> Iterator[tuple[Any, list[str]]]:
    """Soda's way into the warehouse, and what it puts before the names of datasets."""
    if warehouse.dialect == "duckdb":
        from soda_duckdb.common.data_sources.duckdb_data_source import DuckDBDataSourceImpl

        with warehouse.reading() as connection:
            # The dialect wraps the connection; Soda wants DuckDB's own, so the wrapped one gives a second cursor.
            own = connection.connection.dbapi_connection.__getattr__("cursor")()  # type: ignore[union-attr]
            yield DuckDBDataSourceImpl.from_existing_cursor(own, SOURCE), []
            own.close()
        return
    from soda_core.common.data_source_impl import DataSourceImpl  # noqa: TID251
    from soda_core.common.yaml import DataSourceYamlSource  # noqa: TID251

    with warehouse.audit_url() as url:
        source = DataSourceImpl.from_yaml_source(DataSourceYamlSource.from_str(_dumped(_postgres(url))))
        source.open_connection()
        if warehouse.gate_role:
            source.data_source_connection.connection.execute(f"SET ROLE {warehouse.gate_role}")
        try:
            yield source, [str(make_url(url).database)]
        finally:
            source.close_connection()


def _postgres(url: str) -> Content:
    parts = make_url(url)
    connection = {
        "host": parts.host or "127.0.0.1",
        "port": parts.port or 5432,
        "database": parts.database,
        "user": parts.username or "",
        "password": parts.password or "",
    }
    return {"type": "postgres", "name": SOURCE, "connection": connection}


@contextmanager
def _quiet() -> Iterator[None]:
    """Soda reports on its logger; what matters comes back as results."""
    logger = logging.getLogger("soda")
    level = logger.level
    # Not silenced altogether: Soda collects its own errors from this logger, and a session without them looks clean.
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _errors(session: Any) -> str:  # noqa: ANN401  Soda's own type
    text = str(session.get_errors_str()) if session.has_errors else ""
    return " ".join(text.split())[:300]


def _result(rule: Rule, dataset: Dataset, found: Any, errors: str) -> RuleResult:  # noqa: ANN401  Soda's own type
    if found is None:
        return unjudged(rule, f"Soda returned no result for this check. {errors}".strip())
    outcome = found.outcome.name
    if outcome not in {"PASSED", "FAILED", "WARN"}:
        return unjudged(rule, f"Soda did not evaluate this check ({outcome}). {errors}".strip())
    values = found.diagnostic_metric_values or {}
    success = outcome == "PASSED"
    failing, predicate = _failing(rule, dataset, values, success)
    checked = values.get("check_rows_tested", values.get("dataset_rows_tested"))
    return judged(
        rule,
        success,
        observed=_observed(rule, found, values),
        failing=failing,
        predicate=predicate,
        checked=int(checked) if checked is not None else None,
    )


def _failing(rule: Rule, dataset: Dataset, values: Content, success: bool) -> tuple[int | None, Predicate | None]:
    if rule.type == "missing":
        return int(values.get("missing_count", 0)), Predicate("where", f'"{rule.columns[0]}" IS NULL')
    if rule.type == "duplicate":
        # Soda counts surplus rows; the platform holds every row of a repeated key, since none is known to be right.
        # As Soda counts: NULLs of a single column are not compared, those within several columns are.
        present = f'"{rule.columns[0]}" IS NOT NULL' if len(rule.columns) == 1 else "TRUE"
        query = (
            f"SELECT _row FROM (SELECT _row, COUNT(*) OVER (PARTITION BY {quoted(rule.columns)}) AS n"
            f" FROM candidate.{dataset.table} WHERE {present}) AS q WHERE n > 1"
        )
        return (0 if success else None), Predicate("rows", query)
    return None, None


def _observed(rule: Rule, found: Any, values: Content) -> str:  # noqa: ANN401  Soda's own type
    if rule.type == "schema":
        return _schema_difference(found)
    keys = {"missing": "missing_count", "duplicate": "duplicate_count", "row_count": "dataset_rows_tested"}
    value = values.get(keys.get(rule.type, ""), found.threshold_value)
    return str(value if value is not None else found.threshold_value)


def _schema_difference(found: Any) -> str:  # noqa: ANN401  Soda's own type
    parts = [
        ("missing", getattr(found, "expected_column_names_not_actual", None)),
        ("unknown", getattr(found, "actual_column_names_not_expected", None)),
        ("re-typed", [str(m.column) for m in getattr(found, "column_data_type_mismatches", None) or []]),
    ]
    text = "; ".join(f"{label} {', '.join(map(str, names))}" for label, names in parts if names)
    return text or "as agreed"
