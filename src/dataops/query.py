"""One SELECT over the published layers, now or as of a publication; exact values, nothing else can be reached.

The SQL is parsed before it runs: a table that no gate has passed, a function nobody vouched for and anything but a
SELECT are refused. On DuckDB the readers' copy is used when it is current, and no file or network can be opened.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlglot
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from dataops import ledger
from dataops.catalog import Catalog, Dataset
from dataops.errors import DeclarationError
from dataops.workspace import Workspace

LAYERS = ("validated", "curated", "marts")
CHUNK = 10_000
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.DDL, exp.Command, exp.Set, exp.Copy)
_ROW_SOURCES = (exp.GenerateSeries, exp.Unnest, exp.Subquery)
_READERS = (exp.ReadCSV, exp.ReadParquet)
# What the parser has no name for is refused, since it may read files or run SQL of its own (query_to_xml, dblink,
# pg_read_file); these only compute.
HARMLESS = frozenset({
    "age", "char_length", "character_length", "cbrt", "cume_dist", "date_part", "div", "factorial", "format",
    "gcd", "initcap", "isfinite", "lcm", "left", "lpad", "ltrim", "make_date", "make_interval",
    "make_timestamp", "mod", "ntile", "num_nonnulls", "num_nulls", "octet_length", "overlay", "percent_rank",
    "position", "quote_ident", "quote_literal", "regexp_count", "regexp_instr", "regexp_substr", "repeat",
    "replace", "reverse", "right", "rpad", "rtrim", "scale", "sign", "split_part", "starts_with", "strpos",
    "to_char", "to_date", "to_number", "to_timestamp", "translate", "trim_scale", "width_bucket",
})  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """Column names, rows as they stream, and where they were read."""

    columns: tuple[str, ...]
    rows: Iterator[Sequence[Any]]
    place: str


@contextmanager
def run(work: Workspace, sql: str, as_of: str | None = None) -> Iterator[Answer]:
    """The answer to one SELECT, open while it is read.

    Raises DeclarationError for SQL that is refused or that the warehouse does not accept, for an unknown publication
    and before anything is published; PlatformError when the warehouse cannot be reached.
    """
    tree, used = parsed(sql, work.catalog)
    last = _last_publication(work)
    copy = None if as_of else _current_copy(work, last)
    if copy is not None:
        with _from_copy(copy, tree.sql(dialect="duckdb")) as answer:
            yield answer
        return
    with work.warehouse.reading() as connection:
        if as_of:
            tree = _as_of(tree, used, _seq(connection, as_of))
        with _from_warehouse(work, connection, tree.sql(dialect=work.warehouse.dialect)) as answer:
            yield answer


def parsed(sql: str, catalog: Catalog) -> tuple[exp.Query, dict[int, Dataset]]:
    """The SELECT with every table under its published name, and the dataset of each table node by its id().

    Raises DeclarationError for anything else than one SELECT over published datasets.
    """
    tree = _one_select(sql)
    names = _names_of_with(tree)
    used: dict[int, Dataset] = {}
    for node in tree.find_all(exp.Table, exp.Lateral):
        if id(node) in names or isinstance(node.this, _ROW_SOURCES):
            continue
        if not isinstance(node.this, exp.Identifier):
            raise DeclarationError(f"{_shown(node)} is not a dataset; FROM takes datasets, generate_series and unnest")
        used[id(node)] = _resolved(node, catalog)
    _refuse_functions(tree)
    return tree, used


def _one_select(sql: str) -> exp.Query:
    try:
        found = [s for s in sqlglot.parse(sql, read="postgres") if s is not None and not isinstance(s, exp.Semicolon)]
    except (SqlglotError, RecursionError) as error:
        details = getattr(error, "errors", None) or [{}]
        at = f"line {details[0]['line']}: " if details[0].get("line") else ""
        what = details[0].get("description") or (str(error).splitlines() or [type(error).__name__])[0]
        raise DeclarationError(f"not valid SQL: {at}{what}") from None
    if len(found) != 1:
        raise DeclarationError(f"one SELECT is expected, found {len(found)} statements")
    tree = found[0]
    reads = isinstance(tree, exp.Select | exp.SetOperation)
    if not reads and not isinstance(tree, _WRITES):
        raise DeclarationError(f"not a SELECT: {sql.strip()[:60]}")
    forbidden = tree.find(*_WRITES) if reads else tree
    if forbidden is not None:
        raise DeclarationError(f"a query only reads; {forbidden.key.upper()} is refused")
    return tree


def _names_of_with(tree: exp.Query) -> set[int]:
    """Nodes that mean a WITH query; by scope, since elsewhere the same name would be a real table."""
    try:
        sources = [pair for scope in traverse_scope(tree) for pair in scope.selected_sources.values()]
    except SqlglotError as error:
        raise DeclarationError(f"not valid SQL: {str(error).splitlines()[0]}") from None
    return {
        id(node)
        for node, source in sources
        if isinstance(source, Scope) and isinstance(node, exp.Table) and not node.db
    }


def _resolved(node: exp.Table, catalog: Catalog) -> Dataset:
    schema, table = _folded(node.args.get("db")), _folded(node.this)
    dataset = catalog.datasets.get(table)
    if node.catalog or (schema and schema not in LAYERS):
        instead = f"; its published rows are {dataset.published_layer}.{table}" if dataset else ""
        raise DeclarationError(f"{_shown(node)} is not published: a query reads {', '.join(LAYERS)} only{instead}")
    if dataset is None or (schema and schema != dataset.published_layer):
        names = [f"{d.published_layer}.{d.table}" for d in catalog.datasets.values()]
        close = difflib.get_close_matches(f"{schema}.{table}" if schema else table, [*names, *catalog.datasets], n=1)
        meant = (
            f"; did you mean {catalog.dataset(close[0]).published_layer}.{catalog.dataset(close[0]).table}?"
            if close
            else ""
        )
        raise DeclarationError(
            f"no dataset {_shown(node)}{meant}\nAll of them: dataops status --json, dataops check -v"
        )
    node.set("db", exp.to_identifier(dataset.published_layer))
    node.set("this", exp.to_identifier(table))
    if not node.alias:
        # `FROM fct_sales` may be named again as `fct_sales.x`; the alias keeps that valid for any replacement.
        node.set("alias", exp.TableAlias(this=exp.to_identifier(table)))
    return dataset


def _folded(part: exp.Expression | None) -> str:
    if part is None:
        return ""
    return str(part.name if part.args.get("quoted") else part.name.lower())


def _shown(node: exp.Expression) -> str:
    bare = node.copy()
    for arg in ("alias", "joins", "laterals"):
        bare.set(arg, None)
    return str(bare.sql(dialect="postgres", comments=False))


def _refuse_functions(tree: exp.Query) -> None:
    for column in tree.find_all(exp.Column):
        column.set("db", None)  # `curated.fct_sales.x`: every table is known by its alias
    for node in tree.find_all(exp.Anonymous, *_READERS):
        name = str(node.name or node.key).lower()
        if name not in HARMLESS or isinstance(node.parent, exp.Dot):
            raise DeclarationError(f"function {name} is refused: a query may use only functions that compute")


def _as_of(tree: exp.Query, used: dict[int, Dataset], seq: int) -> exp.Query:
    from dataops.history import as_of

    for node in list(tree.find_all(exp.Table)):
        if dataset := used.get(id(node)):
            subquery = sqlglot.parse_one(as_of(dataset, seq), read="postgres")
            subquery.set("alias", node.args["alias"])
            subquery.set("joins", node.args.get("joins"))
            node.replace(subquery)
    return tree


def _last_publication(work: Workspace) -> dict[str, Any]:
    with work.warehouse.reading() as connection:
        if ledger.version(connection) is None:
            raise DeclarationError("nothing has been published yet.\nRun: dataops load reference")
        table = ledger.publications
        last = ledger.one(connection, sa.select(table).order_by(table.c.seq.desc()).limit(1))
        if last is None:
            raise DeclarationError("nothing has been published yet.\nRun: dataops load reference")
        written = ledger.publication_datasets
        where = (written.c.publication == last["seq"]) & (written.c.new + written.c.changed > 0)
        found = ledger.one(connection, sa.select(written.c.table_name).where(where).limit(1))
        return last | {"table": found["table_name"] if found else None}


def _seq(connection: Connection, publication_id: str) -> int:
    from dataops.history import required

    return int(str(required(connection, publication_id)["seq"]))


def _current_copy(work: Workspace, last: dict[str, Any]) -> Path | None:
    """The readers' copy if it holds rows of the last publication; by its number, since clocks may be wrong."""
    if work.warehouse.dialect != "duckdb" or not last["table"] or last["table"] not in work.catalog.datasets:
        return None
    import duckdb

    from dataops.warehouse.duckdb import DuckDBWarehouse

    copy = work.warehouse.published if isinstance(work.warehouse, DuckDBWarehouse) else None
    if copy is None or not copy.exists():
        return None
    dataset = work.catalog.datasets[last["table"]]
    try:
        with duckdb.connect(str(copy), read_only=True) as connection:
            newest = connection.execute(
                f"SELECT MAX(_publication) FROM {dataset.published_layer}.{dataset.table}"
            ).fetchone()
    except duckdb.Error:
        return None  # half copied or of another release: the warehouse itself is asked
    return copy if newest and newest[0] == last["seq"] else None


@contextmanager
def _from_copy(file: Path, sql: str) -> Iterator[Answer]:
    import duckdb

    with duckdb.connect(str(file), read_only=True) as connection:
        _close_in(connection)
        try:
            cursor = connection.execute(sql)
            yield Answer(_unique([c[0] for c in cursor.description or ()]), _chunks(cursor), file.name)
        except duckdb.Error as error:
            raise _not_accepted(error) from error


@contextmanager
def _from_warehouse(work: Workspace, connection: Connection, sql: str) -> Iterator[Answer]:
    if work.warehouse.dialect == "duckdb":
        _close_in(connection.connection.dbapi_connection)
    try:
        # Without parameters a percent sign means itself.
        cursor = connection.execution_options(no_parameters=True).exec_driver_sql(sql)
        yield Answer(_unique(list(cursor.keys())), _chunks(cursor), work.warehouse.name)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        raise _not_accepted(error.orig or error) from error


def _close_in(connection: Any) -> None:  # noqa: ANN401  DuckDB's own connection, or the dialect's wrapper around it
    """No file, no network, and no way back."""
    for statement in ("SET enable_external_access = false", "SET lock_configuration = true"):
        connection.execute(statement)


def _chunks(cursor: Any) -> Iterator[Sequence[Any]]:  # noqa: ANN401  either driver's cursor
    while rows := cursor.fetchmany(CHUNK):
        yield from rows


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


def _not_accepted(error: BaseException) -> DeclarationError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return DeclarationError(f"the warehouse does not accept this query: {text}")
