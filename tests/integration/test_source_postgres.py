"""PostgreSQL's types at their edges, its own kinds of tables and columns, and names that mean more than one thing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from dataops.declared.errors import DataRejected, PlatformError
from dataops.sources import PROBLEMS, Source, open_source
from dataops.sources.port import ANY_NUMBER, Request
from tests.conftest import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("source_postgres")]
TABLES = Path(__file__).parents[1] / "support" / "edges.sql"
LABELS = {"is_open": pa.bool_(), "row_guid": pa.string(), "price": pa.decimal128(19, 4), "any_number": ANY_NUMBER}


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> Iterator[Source]:
    url = postgres.create_database("live_edges")
    with psycopg.connect(url) as connection:
        connection.execute(TABLES.read_text("utf-8"))
    opened = open_source(url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rows(source: Source) -> list[dict[str, Any]]:
    schema = source.schema("Edge.AllTypes")
    at = schema.get_field_index("any_number")
    asked = Request("Edge.AllTypes", schema.set(at, pa.field("any_number", pa.decimal128(38, 4))))
    return sorted(source.read(asked).read_all().to_pylist(), key=lambda row: row["id"])


def test_domains_and_quoted_names_are_what_they_stand_for(source: Source) -> None:
    schema = source.schema("Edge.AllTypes")
    assert {name: schema.field(name).type for name in LABELS} == LABELS
    assert schema.field("twice").type == pa.int32()


def test_values_at_the_edges_arrive_exactly(rows: list[dict[str, Any]]) -> None:
    first, second, third = rows
    assert (first["small"], second["small"]) == (-(2**15), 2**15 - 1)
    assert (first["big"], second["big"]) == (-(2**63), 2**63 - 1)
    assert (first["price"], second["price"]) == (Decimal("0.0001"), Decimal("-1.0000"))
    assert (first["wide"], second["wide"]) == (Decimal("9" * 32 + "." + "9" * 6), Decimal("-0.000001"))
    assert (first["day"], first["moment"]) == (date(1, 1, 1), datetime(1, 1, 1))
    assert first["absolute"] == datetime(2014, 5, 1, 10)
    assert third["absolute"] == datetime(9999, 12, 31, 23, 59, 59, 999999)
    assert (first["code"], first["words"], second["words"]) == ("ab   ", "", "a'\"\\b")
    assert first["row_guid"] == "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"
    assert (first["raw"], second["raw"]) == ("DEADBEEF", "")
    assert (first["at"], second["at"]) == ("07:00:00.0000000", "23:59:59.9999990")
    assert (first["mood"], first["doc"], first["many"], first["twice"]) == ("happy", '{"a": 1}', "{1,2}", 2)
    assert first["real_number"] == 0.5


def test_what_no_value_can_hold_is_null_and_named(rows: list[dict[str, Any]]) -> None:
    first, second, third = rows
    assert first[PROBLEMS] is None
    assert [second[name] for name in ("any_number", "day", "moment", "absolute")] == [None] * 4
    for said in ("day: 'infinity' is no time", "moment: '-infinity'", "absolute: 'infinity'", "any_number: 'NaN'"):
        assert said in second[PROBLEMS]
    assert [third[name] for name in ("any_number", "day", "moment")] == [None] * 3
    for said in ("day: '10000-01-01'", "moment: '0044-03-15 00:00:00 BC'", "any_number: '123456789012345678"):
        assert said in third[PROBLEMS]


def test_views_and_partitioned_tables_are_read_like_others(source: Source) -> None:
    for name, count in (("Edge.parted", 2), ("Edge.AllTypes", 3)):
        assert source.read(Request(name, pa.schema([("id", pa.int32())]))).read_all().num_rows == count


def test_a_name_that_may_be_two_tables_is_refused_unless_it_is_spelt_so(source: Source) -> None:
    assert source.schema("Edge.a_view").names == ["id", "words"]
    assert source.schema("edge.a_view").names == ["id"]
    with pytest.raises(DataRejected, match=r"EDGE\.AView may be each of Edge\.a_view, edge\.a_view"):
        source.schema("EDGE.AView")


def test_names_with_quotes_stay_names(source: Source) -> None:
    schema = source.schema('edge.it\'s "quoted"')
    assert source.read(Request('edge.it\'s "quoted"', schema)).read_all().num_rows == 1


def test_nothing_can_be_written_through_it(source: Source) -> None:
    with pytest.raises(PlatformError, match="read-only transaction"), source._answering():  # type: ignore[attr-defined]
        source._catalogue().execute("CREATE TABLE edge.mine (id integer)")  # type: ignore[attr-defined]
