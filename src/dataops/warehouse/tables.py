"""The physical tables of a dataset and the small SQL that is the same on every warehouse.

Identifiers come from the catalogue only, whose names are checked; columns are always quoted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset
from dataops.declared.declarations import Column
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import CANDIDATE, QUARANTINE, RAW, history_of
from dataops.warehouse import Warehouse

ROW_COLUMNS = (("_row", "BIGINT"), ("_problems", "VARCHAR"))


def place(dataset: Dataset) -> str:
    """The published table."""
    return dataset.published_name


def history(dataset: Dataset) -> str:
    """Where superseded versions go."""
    return f"{history_of(dataset.published_layer)}.{dataset.table}"


def landed(dataset: Dataset, batch: int) -> str:
    """The table that holds the rows of a batch: with others' where they are loaded, a table of its own when built."""
    return f"{RAW}.{dataset.table}" if dataset.is_loaded else f"{CANDIDATE}._{int(batch)}_{dataset.table}"


def landed_rows(dataset: Dataset, batch: int) -> str:
    """The rows of a batch with `_row` and `_problems`, as a relation; whatever `candidate` shows."""
    where = f" WHERE _batch = {int(batch)}" if dataset.is_loaded else ""
    return f"(SELECT {quoted(landed_columns(dataset))} FROM {landed(dataset, batch)}{where})"


def landed_columns(dataset: Dataset) -> list[str]:
    """The columns of a row that has not been published."""
    return [*dataset.column_names, *(name for name, _ in ROW_COLUMNS)]


def affected(dataset: Dataset, batch: int) -> str:
    """The table of the keys for which a model was built."""
    return f"{CANDIDATE}._keys_{int(batch)}_{dataset.table}"


def gone(dataset: Dataset) -> str | None:
    """The table of the keys that a batch's window should have brought and the source has no more, by `_batch`."""
    return f"{RAW}._gone_{dataset.table}" if dataset.contract.platform.deletes != "never" else None


def gone_keys(dataset: Dataset, batch: int) -> str:
    """Query of those of a batch; of none where its dataset does not compare."""
    table = gone(dataset)
    if table is None:
        return f"SELECT {quoted(dataset.key)} FROM {place(dataset)} WHERE FALSE"
    return f"SELECT {quoted(dataset.key)} FROM {table} WHERE _batch = {int(batch)}"


def keys_table(name: str, dataset: Dataset) -> str:
    """What a temporary table for keys of a dataset looks like."""
    types = {column.name: sql_type(column) for column in dataset.columns}
    columns = ", ".join(f'"{column}" {types[column]}' for column in dataset.key)
    return f"{name} ({columns})"


def quoted(names: Iterable[str], prefix: str = "") -> str:
    """`"a", "b"`, each behind `prefix.` where one is given."""
    dot = f"{prefix}." if prefix else ""
    return ", ".join(f'{dot}"{name}"' for name in names)


def equal(left: str, right: str, columns: Sequence[str], others: Sequence[str] | None = None) -> str:
    """The condition `l."a" = r."a" AND …`."""
    pairs = zip(columns, others or columns, strict=True)
    return " AND ".join(f'{left}."{a}" = {right}."{b}"' for a, b in pairs)


def absent(row: str, rows: str) -> str:
    """The condition that `row`, written with its alias, is no `_row` of the query `rows`: an anti-join everywhere.

    In WHERE only. PostgreSQL makes a subplan of NOT IN, and of EXISTS in a SELECT's list; it walks that once per row
    when it expects more than fits its `work_mem`, or knows nothing of the tables yet.
    """
    return f"NOT EXISTS (SELECT 1 FROM ({rows}) AS absent WHERE absent._row = {row})"


def distinct(left: str, right: str, columns: Iterable[str]) -> str:
    """True where any column differs, NULL being a value like others."""
    return " OR ".join(f'{left}."{name}" IS DISTINCT FROM {right}."{name}"' for name in columns) or "FALSE"


def dangling(columns: Sequence[str], parent: str, key: Sequence[str]) -> str:
    """Condition on a row `c`: it refers to something, and `parent` (a table or subquery) does not hold it."""
    present = " AND ".join(f'c."{name}" IS NOT NULL' for name in columns)
    return f"{present} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {equal('p', 'c', key, columns)})"


def broke(rules: str, rule: str) -> str:
    """Condition: `rule`, a text such as `,SAL-014,`, is among the rules that a row broke, a column of text."""
    return f"STRPOS(',' || {rules} || ',', {rule}) > 0"


def sql_type(column: Column) -> str:
    """The column's type; the same words mean the same on DuckDB and PostgreSQL."""
    if column.data_type == "numeric":
        return f"NUMERIC({column.numeric_precision},{column.numeric_scale})"
    return column.data_type.upper()


def _columns(dataset: Dataset, *platform: tuple[str, str]) -> dict[str, str]:
    return {column.name: sql_type(column) for column in dataset.columns} | dict(platform)


def layout(dataset: Dataset) -> dict[tuple[str, str], dict[str, str]]:
    """(schema, table) -> column -> type, for every table that a dataset has."""
    layer, table = dataset.published_layer, dataset.table
    found = {
        (layer, table): _columns(dataset, ("_publication", "BIGINT")),
        (history_of(layer), table): _columns(
            dataset, ("_publication", "BIGINT"), ("_superseded", "BIGINT"), ("_operation", "VARCHAR")
        ),
        (QUARANTINE, table): _columns(
            dataset,
            *ROW_COLUMNS,
            ("_batch", "BIGINT"),
            ("_rules", "VARCHAR"),
            ("_fell_with", "VARCHAR"),
            ("_since", "TIMESTAMP"),
            ("_released", "BIGINT"),  # the publication that closed it
            ("_closed", "VARCHAR"),  # released, replaced, gone, discarded; NULL while it is open
            ("_closed_at", "TIMESTAMP"),
            ("_closed_by", "VARCHAR"),
            ("_closed_reason", "VARCHAR"),
        ),
    }
    if dataset.is_loaded:
        found[RAW, table] = _columns(dataset, ("_batch", "BIGINT"), *ROW_COLUMNS)
        if gone(dataset):
            types = _columns(dataset)
            found[RAW, f"_gone_{table}"] = {name: types[name] for name in dataset.key} | {"_batch": "BIGINT"}
    return found


def are_ready(warehouse: Warehouse, connection: Connection, datasets: Collection[Dataset]) -> bool:
    """Whether `ensure` has nothing to do."""
    existing = _existing(connection, warehouse.layers.schemas) if datasets else {}
    return all(existing.get(place) == columns.keys() for d in datasets for place, columns in layout(d).items())


def ensure(warehouse: Warehouse, connection: Connection, datasets: Collection[Dataset]) -> None:
    """Creates missing tables and adds columns that a contract gained.

    Raises DeclarationError when a contract changed in a way that published rows cannot follow.
    """
    existing = _existing(connection, warehouse.layers.schemas)
    for schema in sorted({place[0] for d in datasets for place in layout(d)} - _schemas(connection)):
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    for dataset in datasets:
        for place, columns in layout(dataset).items():
            if place not in existing:
                body = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
                connection.exec_driver_sql(f"CREATE TABLE {place[0]}.{place[1]} ({body})")
                warehouse.tune(connection, *place, dataset.key)
            else:
                _follow(connection, dataset, place, columns, existing[place])


def _schemas(connection: Connection) -> set[str]:
    return set(connection.exec_driver_sql("SELECT schema_name FROM information_schema.schemata").scalars())


def _existing(connection: Connection, schemas: Sequence[str]) -> dict[tuple[str, str], set[str]]:
    query = sa.text(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN :schemas"
    ).bindparams(sa.bindparam("schemas", schemas, expanding=True))
    found: dict[tuple[str, str], set[str]] = {}
    for schema, table, column in connection.execute(query):
        found.setdefault((schema, table), set()).add(column)
    return found


def _follow(
    connection: Connection, dataset: Dataset, place: tuple[str, str], columns: dict[str, str], there: set[str]
) -> None:
    for name in columns.keys() - there:
        connection.exec_driver_sql(f'ALTER TABLE {place[0]}.{place[1]} ADD COLUMN "{name}" {columns[name]}')
    if gone := sorted(there - columns.keys()):
        raise DeclarationError(
            f"{dataset.contract_file}: published rows have columns that the contract no longer lists:"
            f" {', '.join(gone)}.\n"
            "Put them back, or publish the dataset under a new name."
        )


def controls(connection: Connection, dataset: Dataset, relation: str) -> tuple[int, dict[str, str]]:
    """(rows, control totals as exact text) of a relation or subquery."""
    sums = "".join(f', CAST(COALESCE(SUM("{name}"), 0) AS VARCHAR)' for name in dataset.control)
    row = connection.exec_driver_sql(f"SELECT COUNT(*){sums} FROM {relation} AS q").one()
    return int(row[0]), dict(zip(dataset.control, (str(value) for value in row[1:]), strict=True))
