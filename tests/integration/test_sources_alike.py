"""One suite for every source: files, generator, PostgreSQL in three spellings, a double of SQL Server, and a real one.

DATAOPS_TEST_MSSQL_URL names an AdventureWorks of Microsoft's 2014 edition; nothing is written to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from dataops.declared import catalog
from dataops.declared.arrow_types import arrow_schema
from dataops.declared.catalog import Dataset
from dataops.declared.errors import DataRejected
from dataops.declared.paths import Paths
from dataops.sources import PROBLEMS, open_source
from dataops.sources.arrow import pc
from dataops.sources.install_csv import InstallCsv
from dataops.sources.port import ANY_NUMBER, Also, Follow, Request, Source, Window, delivered, squeezed
from tests.conftest import PROJECT, PostgresServer
from tests.support.oltp import FILES, SPELLINGS, UNREADABLE, filled
from tests.support.sqlserver_double import SqlServerDouble

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sources_alike")]
ORDERS, LINES = "Sales.SalesOrderHeader", "Sales.SalesOrderDetail"
DAY = Window(datetime(2014, 5, 1), datetime(2014, 5, 2))
ALL_TYPES = "postgresql, all tables"
DOUBLE = "mssql double"
OURS = ["csv", "generator", *(f"postgresql {name}" for name in SPELLINGS), DOUBLE]
SERVERS = ["mssql"] if os.environ.get("DATAOPS_TEST_MSSQL_URL") else []
COLUMNS = {d.contract.platform.source: d for d in catalog.load(Paths(PROJECT, PROJECT / "var")).datasets.values()}


@pytest.fixture(scope="module")
def urls(postgres: PostgresServer) -> dict[str, str]:
    """Addresses by name; databases are filled once, when first asked for."""

    @cache
    def made(name: str) -> str:
        if name == "mssql":
            return os.environ["DATAOPS_TEST_MSSQL_URL"]
        if name.startswith("postgresql"):
            spelling = name.partition(" ")[2]
            whole = name == ALL_TYPES
            return filled(postgres, f"live_{squeezed(name)}", "snake" if whole else spelling, all_tables=whole)
        if name == DOUBLE:
            return "mssql://reader:secret@sql.example:1433/AdventureWorks"
        return {"csv": f"csv:{FILES}", "generator": "generator:?scale=0.02&seed=7"}[name]

    class Urls(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return made(name)

    return Urls()


@pytest.fixture(scope="module")
def double() -> SqlServerDouble:
    """With all tables, filled once."""
    made, files = SqlServerDouble(), InstallCsv(FILES)
    made.fill(FILES, [table for table in files.tables() if table != UNREADABLE])
    return made


@pytest.fixture(params=[*OURS, *SERVERS])
def source(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[Source]:
    with _driver(request, request.param):
        opened = open_source(urls[request.param])
        with opened.snapshot([ORDERS, LINES]):
            yield opened
        opened.close()


def _driver(request: pytest.FixtureRequest, name: str) -> AbstractContextManager[None]:
    return request.getfixturevalue("double").connected() if name == DOUBLE else nullcontext()


def dataset(source_table: str) -> Dataset:
    return COLUMNS[source_table]


def request_of(source_table: str, **options: Any) -> Request:
    return Request(source_table, arrow_schema(dataset(source_table).columns), **options)


def rows(source: Source, request: Request) -> pa.Table:
    """In an order of their own key; none with a problem."""
    read = source.read(request).read_all()
    assert read.schema == delivered(request.schema)
    assert read[PROBLEMS].null_count == read.num_rows
    key = dataset(request.source_table).key
    return read.sort_by([(name, "ascending") for name in key])


def test_every_table_of_a_contract_has_its_columns_and_types(source: Source) -> None:
    for name, declared in COLUMNS.items():
        if name is None:
            continue
        there = {squeezed(field.name): field.type for field in source.schema(name)}
        for field in arrow_schema(declared.columns):
            assert there[squeezed(field.name)] in {field.type, ANY_NUMBER}, (name, field)


def test_a_window_is_the_rows_whose_cursor_lies_in_it(source: Source) -> None:
    everything = rows(source, request_of(ORDERS))
    inside = pc.and_(
        pc.greater_equal(everything["order_date"], DAY.start), pc.less(everything["order_date"], DAY.end)
    )  # fmt: skip
    got = rows(source, request_of(ORDERS, window=DAY, cursor="order_date"))
    assert 0 < got.num_rows < everything.num_rows
    assert got.equals(everything.filter(inside))


def test_what_follows_comes_with_its_parent(source: Source) -> None:
    keys = rows(source, request_of(ORDERS, window=DAY, cursor="order_date"))["sales_order_id"].combine_chunks()
    lines = rows(source, request_of(LINES))
    follow = Follow(("sales_order_id",), ORDERS, ("sales_order_id",), "order_date")
    got = rows(source, request_of(LINES, window=DAY, follow=follow))
    assert got.num_rows > 0
    assert got.equals(lines.filter(pc.is_in(lines["sales_order_id"], value_set=keys)))


def test_named_keys_come_whatever_the_window_is_each_once(source: Source) -> None:
    """More of them than a server takes parameters, in the window and outside of it, some that nobody has."""
    everything = rows(source, request_of(ORDERS))
    inside = rows(source, request_of(ORDERS, window=DAY, cursor="order_date"))["sales_order_id"].to_pylist()
    wanted = [*everything["sales_order_id"].to_pylist()[::3], inside[0], 2**31 - 1]
    also = Also(("sales_order_id",), tuple((key,) for key in wanted))
    got = rows(source, request_of(ORDERS, window=DAY, cursor="order_date", also=also))
    expected = (set(wanted) | set(inside)) & set(everything["sales_order_id"].to_pylist())
    assert got["sales_order_id"].to_pylist() == sorted(expected)
    follow = Follow(("sales_order_id",), ORDERS, ("sales_order_id",), "order_date", also)
    lines = rows(source, request_of(LINES, window=DAY, follow=follow))
    assert set(lines["sales_order_id"].to_pylist()) == expected


def test_a_window_without_rows_is_empty_and_has_its_columns(source: Source) -> None:
    later = Window(DAY.start + timedelta(days=36500), DAY.end + timedelta(days=36500))
    assert rows(source, request_of(ORDERS, window=later, cursor="order_date")).num_rows == 0


def test_what_is_not_there_is_refused_by_name(source: Source) -> None:
    with pytest.raises(DataRejected, match=r"Sales\.NoSuch"):
        source.schema("Sales.NoSuch")
    with pytest.raises(DataRejected, match="no_such"):
        source.read(Request(ORDERS, pa.schema([("no_such", pa.string())]))).read_all()


def test_its_name_holds_no_secret(source: Source) -> None:
    assert "secret" not in source.name
    assert str(FILES) not in source.name


@pytest.mark.parametrize("name", [ALL_TYPES, DOUBLE, *SERVERS])
def test_every_column_of_every_table_arrives_as_the_install_files_give_it(
    name: str, urls: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """Each type of AdventureWorks, by 67 tables. One value of Microsoft's files has half a byte."""
    files, live = InstallCsv(FILES), open_source(urls[name])
    tables = [table for table in files.tables() if table != UNREADABLE]
    seen = 0
    with _driver(request, name), live.snapshot(tables):
        for table in tables:
            schema = files.schema(table)
            assert live.schema(table) == schema
            asked = Request(table, schema)
            theirs, ours = files.read(asked).read_all(), live.read(asked).read_all()
            order = [(field.name, "ascending") for field in schema][:3]
            theirs, ours = theirs.sort_by(order), ours.sort_by(order)
            for column in schema.names:
                seen += 1
                differing = [
                    (a, b)
                    for a, b in zip(theirs[column].to_pylist(), ours[column].to_pylist(), strict=True)
                    if b not in {a, f"{a}0"}
                ]
                assert not differing, (table, column, differing[:1])
    assert seen > 400
