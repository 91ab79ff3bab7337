"""One meaning on every warehouse: what is allowed computes the same on both, to the last digit, or is refused."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dataops.declared import select
from dataops.declared.kinds import kind_of
from dataops.declared.rendering import render
from dataops.declared.select import SelectError
from tests.conftest import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.quick]
# ruff: noqa: E501  tables of expressions
COLUMNS = {
    "k": "integer", "a": "integer", "b": "integer", "s": "smallint", "g": "bigint", "x": "numeric(19, 4)",
    "y": "numeric(38, 6)", "n": "varchar", "m": "varchar", "d": "date", "e": "date", "ts": "timestamp", "f": "boolean",
}  # fmt: skip
SCHEMA = {
    "t": {
        name: kind_of(kind.partition("(")[0], int(kind[-2]) if "(" in kind else None) for name, kind in COLUMNS.items()
    }
}
ROWS = """
(1, 7, 2, 3, 5000000000, 10.0000, 3.000000, 'abc', 'b', DATE '2014-01-31', DATE '2014-01-01', TIMESTAMP '2014-01-31 10:11:12', TRUE),
(2, -7, 2, -3, -7, -10.0001, 0.000001, 'a_b', 'a\\_b', DATE '2012-02-29', DATE '2014-12-31', TIMESTAMP '1999-12-31 23:59:59.5', FALSE),
(3, 0, 0, 0, 0, 0.0000, 0.000000, '', 'x', DATE '2000-01-01', DATE '2000-01-01', TIMESTAMP '2000-01-01 00:00:00', TRUE),
(4, 1, -3, 1, 1, 123456.7891, -7.654321, '12', ' 5 ', DATE '2024-12-30', DATE '2024-12-29', TIMESTAMP '2024-12-30 00:00:01', NULL),
(5, NULL, 5, NULL, NULL, NULL, 2.500000, NULL, 'a%b', NULL, DATE '1970-01-01', NULL, FALSE),
(6, 2147483647, 1, 32767, 3, 0.0001, 99999999.999999, 'äöü é', '1.5', DATE '2013-07-04', NULL, TIMESTAMP '2013-07-04 12:00:00', TRUE),
(7, 3, 7, 2, 9, 0.5000, 1.500000, 'A-B-c', '%', DATE '2011-06-01', DATE '2011-05-31', TIMESTAMP '2011-06-01 06:00:00', FALSE),
(8, 10, 3, 2, 10, 2.5000, 0.333333, 'a\\b', 'a\\\\b', DATE '2015-03-01', DATE '2015-02-28', TIMESTAMP '2015-03-01 01:02:03.000001', TRUE)
"""
EXAMPLES = int(os.environ.get("DATAOPS_TEST_EXAMPLES", "100"))
# DuckDB's numbers have 38 digits and whole ones 64 or 128 bits; where that is not enough it says so, PostgreSQL goes on.
TOO_LARGE = ("overflow", "out of range", "cannot be cast", "could not cast", "exceeds", "precision", "conversion error")
Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def both(postgres: PostgresServer) -> Iterator[tuple[Ask, Ask]]:
    """Asks DuckDB and PostgreSQL the same; an error is a value like others."""
    create = f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"
    fill = f"INSERT INTO t VALUES {ROWS}"
    with duckdb.connect() as one, psycopg.connect(postgres.create_database("meaning"), autocommit=True) as other:
        for connection in (one, other):
            connection.execute(create)
            connection.execute(fill)

        def on_duckdb(sql: str) -> Any:
            try:
                return one.execute(sql).fetchall()
            except duckdb.Error as error:
                text = str(error).lower()
                return "too large" if any(sign in text for sign in TOO_LARGE) else f"error {error}"

        def on_postgres(sql: str) -> Any:
            try:
                return other.execute(sql).fetchall()  # type: ignore[call-overload]
            except psycopg.Error as error:
                return f"error {error}"

        yield on_duckdb, on_postgres


# SQL leaves open which side of these is computed, so whether an error in one is met.
EITHER_SIDE = (" AND ", " OR ", " BETWEEN ", " IN (")


def same(sql: str, one: Any, other: Any) -> bool:
    """Equal to the last digit; where DuckDB has not enough digits it must say so."""
    if one == "too large":
        return True
    if isinstance(one, str) != isinstance(other, str) and any(word in sql for word in EITHER_SIDE):
        return True
    if isinstance(other, str) and ("does not exist" in other or "out of range" in other):
        return True  # PostgreSQL is stricter about types, and computes what DuckDB simplifies; it says so
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    return [tuple(map(_plain, row)) for row in one] == [tuple(map(_plain, row)) for row in other]


def _plain(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def asked(both: tuple[Ask, Ask], sql: str) -> tuple[Any, Any]:
    tree = select.parse(sql)
    return both[0](render(tree, "duckdb", SCHEMA)), both[1](render(tree, "postgres", SCHEMA))


def require_same(both: tuple[Ask, Ask], sql: str) -> None:
    """What is refused shows nothing; where too much is, the property complains."""
    try:
        one, other = asked(both, sql)
    except SelectError:
        assume(False)
    assert same(sql, one, other), (sql, one, other)


def _of(kind: str, depth: int) -> st.SearchStrategy[str]:
    """Expressions of one kind, as text."""
    if depth == 0:
        return st.sampled_from(LEAVES[kind])
    inner = {name: _of(name, depth - 1) for name in LEAVES}
    made = [st.tuples(*(inner[part] for part in parts)).map(form.format_map_of) for form, parts in FORMS[kind]]
    return st.one_of(st.sampled_from(LEAVES[kind]), *made)


class Form(str):
    """`{0} + {1}`, filled from a tuple."""

    __slots__ = ()

    def format_map_of(self, parts: tuple[str, ...]) -> str:
        return "(" + self.format(*parts) + ")"


NOTHING = "LEFT(CAST(k AS varchar), 0)"
# Values that are written down depend on a column all the same: PostgreSQL computes constants before it looks at a row.
LEAVES = {
    "whole": ["a", "b", "s", "g", *(f"(k - k + {value})" for value in (0, 1, 2, 7))],
    "small": ["b", "(k - 4)", "NULLIF(b, 2)", "(k - k + 1)"],
    "number": ["x", "y", "a", *(f"(k - k + {value})" for value in ("1.5", "0.25", "3"))],
    "text": ["n", "m", *(f"CONCAT('{value}', {NOTHING})" for value in ("b", "a_b", "%b", "äx"))],
    "day": ["d", "e", "DATE '2014-02-28'"],
    "truth": ["f", "k = k", "k <> k"],
}
FORMS: dict[str, list[tuple[Form, tuple[str, ...]]]] = {
    "whole": [
        *((Form(f"{{0}} {op} {{1}}"), ("whole", "whole")) for op in "+-*/%"),
        (Form("ABS({0})"), ("whole",)), (Form("-{0}"), ("whole",)), (Form("COALESCE({0}, {1})"), ("whole", "whole")),
        (Form("NULLIF({0}, {1})"), ("whole", "whole")), (Form("CASE WHEN {0} THEN {1} ELSE {2} END"), ("truth", "whole", "whole")),
        (Form("LENGTH({0})"), ("text",)), (Form("STRPOS({0}, {1})"), ("text", "text")), (Form("{0} - {1}"), ("day", "day")),
        (Form("CAST({0} AS integer)"), ("number",)), (Form("CAST({0} AS integer)"), ("text",)),
        (Form("GREATEST({0}, {1})"), ("whole", "whole")), (Form("LEAST({0}, {1})"), ("whole", "whole")),
    ],
    "small": [(Form("{0} + 1"), ("small",)), (Form("-{0}"), ("small",)), (Form("{0} % 5"), ("small",)), (Form("{0} / 2"), ("small",))],
    "number": [
        *((Form(f"{{0}} {op} {{1}}"), ("number", "number")) for op in "+-*/%"), (Form("{0} / {1}"), ("number", "whole")),
        (Form("ABS({0})"), ("number",)), (Form("ROUND({0}, 2)"), ("number",)), (Form("ROUND({0})"), ("whole",)),
        (Form("TRUNC({0}, 1)"), ("number",)), (Form("ROUND({0}, -2)"), ("number",)), (Form("ROUND({0}, 8)"), ("number",)), (Form("FLOOR({0})"), ("number",)), (Form("CEIL({0})"), ("number",)),
        (Form("FLOOR({0})"), ("whole",)), (Form("SIGN({0})"), ("number",)), (Form("SIGN({0})"), ("whole",)),
        (Form("CAST({0} AS numeric(20, 3))"), ("number",)), (Form("COALESCE({0}, {1})"), ("number", "number")),
        (Form("NULLIF({0}, 0)"), ("number",)), (Form("GREATEST({0}, {1})"), ("number", "number")),
        (Form("EXTRACT(year FROM {0})"), ("day",)), (Form("EXTRACT(isodow FROM {0})"), ("day",)),
        (Form("EXTRACT(week FROM {0})"), ("day",)), (Form("CASE WHEN {0} THEN {1} END"), ("truth", "number")),
    ],
    "text": [
        (Form("UPPER({0})"), ("text",)), (Form("LOWER({0})"), ("text",)), (Form("TRIM({0})"), ("text",)),
        (Form("{0} || {1}"), ("text", "text")), (Form("CONCAT({0}, {1})"), ("text", "text")), (Form("LEFT({0}, 2)"), ("text",)),
        (Form("RIGHT({0}, 2)"), ("text",)), (Form("REPLACE({0}, {1}, 'q')"), ("text", "text")), (Form("REVERSE({0})"), ("text",)),
        (Form("SUBSTRING({0}, {1}, 2)"), ("text", "whole")), (Form("SUBSTRING({0}, {1}, {2})"), ("text", "small", "small")),
        (Form("SUBSTRING({0}, 2, {1})"), ("text", "small")), (Form("SUBSTRING({0}, {1})"), ("text", "small")),
        (Form("LEFT({0}, {1})"), ("text", "small")), (Form("RIGHT({0}, {1})"), ("text", "small")), (Form("REPEAT({0}, {1})"), ("text", "small")),
        (Form("LPAD({0}, {1}, {2})"), ("text", "small", "text")), (Form("RPAD({0}, {1}, {2})"), ("text", "small", "text")),
        (Form("SPLIT_PART({0}, {1}, {2})"), ("text", "text", "small")), (Form("CONCAT({0}, {1})"), ("text", "small")), (Form("SUBSTRING({0}, 2)"), ("text",)),
        (Form("LPAD({0}, 5, '0')"), ("text",)), (Form("RPAD({0}, 2, '-')"), ("text",)), (Form("SPLIT_PART({0}, '-', 2)"), ("text",)),
        (Form("CAST({0} AS varchar)"), ("whole",)), (Form("CAST({0} AS varchar)"), ("day",)), (Form("TRANSLATE({0}, 'ab', 'x')"), ("text",)),
        (Form("COALESCE({0}, {1})"), ("text", "text")), (Form("CONCAT_WS('-', {0}, {1})"), ("text", "text")),
    ],
    "day": [
        (Form("{0} + 1"), ("day",)), (Form("CAST(DATE_TRUNC('month', {0}) AS date)"), ("day",)),
        (Form("CAST({0} + INTERVAL '1 month' AS date)"), ("day",)), (Form("CAST({0} - INTERVAL '1 year' AS date)"), ("day",)),
        (Form("COALESCE({0}, {1})"), ("day", "day")), (Form("CAST(DATE_TRUNC('week', {0}) AS date)"), ("day",)),
    ],
    "truth": [
        *((Form(f"{{0}} {op} {{1}}"), (kind, kind)) for op in ("=", "<>", "<", ">=", "IS DISTINCT FROM") for kind in ("whole", "number", "text", "day")),
        (Form("{0} AND {1}"), ("truth", "truth")), (Form("{0} OR {1}"), ("truth", "truth")), (Form("NOT {0}"), ("truth",)),
        (Form("{0} IS NULL"), ("number",)), (Form("{0} LIKE {1}"), ("text", "text")), (Form("{0} LIKE 'a\\_%'"), ("text",)),
        (Form("{0} LIKE 'a!_%' ESCAPE '!'"), ("text",)), (Form("{0} ILIKE {1}"), ("text", "text")),
        (Form("{0} IN ({1}, {2})"), ("whole", "whole", "whole")), (Form("{0} BETWEEN {1} AND {2}"), ("number", "number", "number")),
        (Form("{0} ~ '^[a-c]'"), ("text",)), (Form("STARTS_WITH({0}, {1})"), ("text", "text")),
    ],
}  # fmt: skip
expressions = st.sampled_from(sorted(LEAVES)).flatmap(lambda kind: _of(kind, 3))


@given(expressions, st.integers(1, 8))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
def test_an_expression_gives_the_same_on_both(both: tuple[Ask, Ask], expression: str, row: int) -> None:
    """Random expressions over typed columns with edge values; as a figure and as a rule's condition."""
    require_same(both, f"SELECT {expression} AS v FROM t WHERE k = {row}")


AGGREGATES = ["SUM({0})", "AVG({0})", "MIN({0})", "MAX({0})", "COUNT({0})", "SUM(DISTINCT {0})", "AVG(DISTINCT {0})",
              "AVG({0}) FILTER (WHERE f)", "SUM({0}) / COUNT(*)", "SUM({0}) / 7", "COUNT(*) / 3"]  # fmt: skip


@given(
    st.sampled_from(["whole", "number"]).flatmap(lambda kind: _of(kind, 1)),
    st.sampled_from(AGGREGATES),
    st.sampled_from(["", " GROUP BY f ORDER BY f", " WHERE k > 90"]),
)
@settings(max_examples=EXAMPLES // 2, deadline=None, derandomize=True)
def test_an_aggregate_gives_the_same_on_both(both: tuple[Ask, Ask], inner: str, aggregate: str, rest: str) -> None:
    require_same(both, f"SELECT {aggregate.format(inner)} AS v FROM t{rest}")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT 7 / 2 AS v", 3),
        ("SELECT COALESCE(x, ROUND(y, 2)) AS v FROM t WHERE k = 2", Decimal("-10.0001")),
        ("SELECT ROUND(y, 2) = x AS v FROM t WHERE k = 6", False),
        (
            "SELECT MIN(v) AS v FROM (SELECT x AS v FROM t UNION ALL SELECT ROUND(y, 2) FROM t) AS q",
            Decimal("-10.0001"),
        ),
        ("SELECT -7 / 2 AS v", -3),
        ("SELECT a / b AS v FROM t WHERE k = 3", "error"),
        ("SELECT x / y AS v FROM t WHERE k = 3", "error"),
        ("SELECT x % (CAST(y AS numeric(38, 2)) + 0.25) AS v FROM t WHERE k = 4", Decimal("2.5891")),
        ("SELECT a % b AS v FROM t WHERE k = 3", "error"),
        ("SELECT x / y AS v FROM t WHERE k = 1", Decimal("3.3333333333333333")),
        ("SELECT AVG(x) AS v FROM t", Decimal("17637.1127285714285714")),
        ("SELECT AVG(a) AS v FROM t WHERE k IN (1, 2, 4)", Decimal("0.3333333333333333")),
        ("SELECT SUM(g) / 2 AS v FROM t WHERE k IN (4, 6, 7)", Decimal("6.5")),
        ("SELECT SUM(a) / 2 AS v FROM t WHERE k IN (1, 4, 7)", 5),
        ("SELECT n LIKE 'a\\_b' AS v FROM t WHERE k = 2", True),
        ("SELECT CAST(m AS integer) AS v FROM t WHERE k = 6", "error"),
        ("SELECT CAST(m AS integer) AS v FROM t WHERE k = 4", 5),
        ("SELECT SUBSTRING('hello', -2, 4) AS v FROM t WHERE k = 1", "h"),
        ("SELECT SUBSTRING(m, a, 2) AS v FROM t WHERE k = 5", None),
        ("SELECT SPLIT_PART(n, '-', a) AS v FROM t WHERE k = 3", "error"),
        ("SELECT LPAD(n, 2, LEFT(n, 0)) AS v FROM t WHERE k = 1", "ab"),
        ("SELECT d + g AS v FROM t WHERE k = 7", dt.date(2011, 6, 10)),
        ("SELECT d - g AS v FROM t WHERE k = 7", dt.date(2011, 5, 23)),
        ("SELECT d + g AS v FROM t WHERE k = 1", "error"),
        ("SELECT SUBSTRING(n, 1, b) AS v FROM t WHERE k = 4", "error"),
        ("SELECT SUBSTRING(n, b, 5) AS v FROM t WHERE k = 4", "1"),
        ("SELECT AVG(x) OVER (ORDER BY k) AS v FROM t ORDER BY v LIMIT 1", Decimal("-0.0000500000000000")),
    ],
)
def test_what_differed_means_what_postgresql_says(both: tuple[Ask, Ask], sql: str, value: Any) -> None:
    for found in asked(both, sql):
        if value == "error":
            assert isinstance(found, str), found
        else:
            assert found == [(value,)], found


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT n FROM t WHERE n SIMILAR TO '(a|b)%'", "write ~"),
        ("SELECT TO_CHAR(d, 'YYYY') AS v FROM t", "EXTRACT"),
        ("SELECT FORMAT('%s', n) AS v FROM t", "refused"),
        ("SELECT CAST(x AS numeric) AS v FROM t", "precision and scale"),
        ("SELECT CAST(n AS varchar(3)) AS v FROM t", "LEFT"),
        ("SELECT ROUND(x, a) AS v FROM t", "written down"),
        ("SELECT EXTRACT(second FROM ts) AS v FROM t", "fractions"),
        ("SELECT d + x AS v FROM t", "whole days"),
        ("SELECT ts - 1 AS v FROM t", "by an INTERVAL"),
        ("SELECT CAST('1.5' AS integer) AS v FROM t", "write the number itself"),
        ("SELECT zz FROM t", "no column zz"),
        ("SELECT t.zz FROM t", "no column t.zz"),
        ("SELECT ctid FROM t", "no column ctid"),
        ("SELECT xmin FROM t", "no column xmin"),
    ],
)
def test_what_has_no_one_meaning_is_refused_and_says_what_to_write(sql: str, says: str) -> None:
    with pytest.raises(SelectError, match=says):
        render(select.parse(sql), "duckdb", SCHEMA)
