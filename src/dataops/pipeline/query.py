"""One SELECT over the published layers, now or as of a publication; exact values, nothing else can be reached.

The SQL is parsed before it runs: a table that no gate has passed, a function nobody vouched for and anything but a
SELECT are refused. On DuckDB the readers' copy is used when it is current, and no file or network can be opened.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlglot import exp

from dataops.declared import select
from dataops.declared.catalog import Catalog, Dataset
from dataops.declared.errors import DeclarationError
from dataops.declared.rendering import render
from dataops.declared.select import WRITTEN_IN, SelectError
from dataops.ledger import publications
from dataops.ledger.publications import Publication
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.pipeline.history import as_of as standing
from dataops.pipeline.history import required
from dataops.warehouse.limits import TimeLimit, limited

CHUNK = 10_000
LONGEST_NAME = 60  # characters; PostgreSQL keeps 63 bytes of a name
SETTING = "DATAOPS_QUERY_SECONDS"


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
    with reading(work, [sql], as_of) as ask, ask(sql) as answer:
        yield answer


Ask = Callable[[str], AbstractContextManager[Answer]]


@contextmanager
def reading(work: Workspace, selects: Sequence[str], as_of: str | None = None) -> Iterator[Ask]:
    """Answers to several SELECTs, all of one state; only those may be asked. Raises as `run` does."""
    trees = {sql: parsed(sql, work.catalog) for sql in selects}
    publication = _publication(work, as_of)
    used = {dataset.table: dataset for _, tables in trees.values() for dataset in tables.values()}
    relations = {_place(d): standing(d, publication.seq) for d in used.values()}
    name = publication.publication_id
    with work.warehouse.consumer(name, relations, past=as_of is not None) as consumer:
        places = {(d.published_layer, d.table): consumer.relations.get(_place(d), "") for d in used.values()}

        @contextmanager
        def ask(sql: str) -> Iterator[Answer]:
            tree, tables = trees[sql]
            named = {(d.published_layer, d.table) for d in tables.values()}
            text = _rendered(tree, work, {name: place for name, place in places.items() if name in named})
            with _answer(consumer.connection, text, work.settings.query_seconds) as (columns, rows_):
                yield Answer(columns, rows_, consumer.place)

        yield ask


def _rendered(tree: exp.Query, work: Workspace, places: Mapping[tuple[str, str], str]) -> str:
    try:
        return render(tree, work.warehouse.dialect, work.catalog.schema, places)
    except SelectError as error:
        raise DeclarationError(error.says) from None


def _place(dataset: Dataset) -> str:
    return dataset.published_name


def parsed(sql: str, catalog: Catalog) -> tuple[exp.Query, dict[int, Dataset]]:
    """The SELECT with every table under its published name, and the dataset of each table node by its id().

    Raises DeclarationError for anything else than one SELECT over published datasets.
    """
    try:
        tree = select.parse(sql, query=True)
        _name_columns(tree)
        used = {id(node): _resolved(node, catalog) for node in list(select.tables(tree))}
    except SelectError as error:
        at = f"line {error.line}: " if "\n" in sql.strip() else ""
        raise DeclarationError(at + error.says) from None
    return tree, used


def _name_columns(tree: exp.Query) -> None:
    """Each warehouse would name an expression after what it computes in its own way; so after what was asked."""
    while isinstance(tree, exp.SetOperation):
        tree = tree.left
    for node in tree.selects if isinstance(tree, exp.Select) else ():
        if not (node.is_star or isinstance(node, exp.Alias | exp.Column)):
            text = node.sql(dialect=WRITTEN_IN, comments=False)
            name = exp.to_identifier(text[:LONGEST_NAME], quoted=True)
            node.replace(exp.Alias(this=node.copy(), alias=name))


def _resolved(node: exp.Table, catalog: Catalog) -> Dataset:
    schema, table = node.db, node.name
    dataset = catalog.datasets.get(table)
    if node.catalog or (schema and schema not in catalog.layers.published):
        instead = f"; its published rows are {dataset.published_name}" if dataset else ""
        raise DeclarationError(
            f"{_shown(node)} is not published: a query reads {', '.join(catalog.layers.published)} only{instead}"
        )
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
    node.set("this", exp.to_identifier(table, quoted=True))
    if not node.alias:
        # `FROM fct_orders` may be named again as `fct_orders.x`; the alias keeps that valid for any replacement.
        node.set("alias", exp.TableAlias(this=exp.to_identifier(table, quoted=True)))
    return dataset


def _shown(node: exp.Expression) -> str:
    bare = node.copy()
    for arg in ("alias", "joins", "laterals"):
        bare.set(arg, None)
    return str(bare.sql(dialect="postgres", comments=False))


def _publication(work: Workspace, as_of: str | None) -> Publication:
    """The publication to read as of: the one named, or the newest. Raises DeclarationError when there is none."""
    with work.warehouse.reading() as connection:
        if is_there(connection):
            if as_of:
                return required(connection, as_of)
            last = publications.last(connection)
            if last is not None:
                return last
    raise DeclarationError(f"nothing has been published yet.\nRun: dataops load {work.catalog.first_loaded}")


@contextmanager
def _answer(
    connection: Connection, sql: str, seconds: float
) -> Iterator[tuple[tuple[str, ...], Iterator[Sequence[Any]]]]:
    limit = limited(connection, seconds, SETTING, "the query")
    try:
        with limit:  # without parameters a percent sign means itself
            cursor = connection.execution_options(no_parameters=True).exec_driver_sql(sql)
        yield tuple(str(name) for name in cursor.keys()), _chunks(cursor, limit)  # noqa: SIM118  no mapping
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        raise _not_accepted(error.orig or error) from error


def _chunks(cursor: Any, limit: TimeLimit) -> Iterator[Sequence[Any]]:  # noqa: ANN401  either driver's cursor
    """Time in which the reader takes its time does not count."""
    while True:
        with limit:
            rows = cursor.fetchmany(CHUNK)
        if not rows:
            return
        yield from rows


def _not_accepted(error: BaseException) -> DeclarationError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return DeclarationError(f"the warehouse does not accept this query: {text}")
