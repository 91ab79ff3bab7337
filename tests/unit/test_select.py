"""One SELECT and nothing else: three walls, of which two stand here, each tried with the other taken away."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.tokens import TokenType

from dataops.declared import select, vocabulary
from dataops.declared.kinds import kind_of
from dataops.declared.rendering import render
from dataops.declared.select import Dialect, SelectError

pytestmark = pytest.mark.unit

# Every one of these became SQL after the check, or read what no gate has passed.
ATTACKS = [
    'select extract("year from now()) as y, name from raw.customer --" from modified) from customer',
    'select extract("year from now()) + extract(year" from modified) from customer',
    'select 1 operator("+) 1; insert into validated.customer values (1); select 1 --") 2 from customer',
    "select 1 operator(\"+) 1; commit; copy (select 1) to program 'id'; select 1 --\") 2 from customer",
    "select date_part('year from now()) as y, name from raw.customer --', modified) from customer",
    'select cast(name as numeric("3) as y from raw.customer --")) from customer',
    'select cast(name as numeric(3, "2)) as y from raw.customer --")) from customer',
    'select cast(name as varchar("3)) as y from raw.customer --")) from customer',
    'select name::"zz) as y from raw.customer --" from customer',
    'select char(1 using "utf8) from raw.customer --") from customer',
    'select convert(name using "utf8) from raw.customer --") from customer',
    "select date_bin('1 day', modified, \"now()) from raw.customer --\") from customer",
    "select interval '1''; delete from validated.customer --' day from customer",
    'select interval "1 day" day from customer',
    'select "pg_read_file(1)"(name) from customer',
    'select xmlelement(name "x) from raw.customer --", 1) from customer',
    'select name collate "C" from customer',
    "select date_trunc('month'', now()) --', modified) from customer",
    "select (customer).name from customer",
    "select e'\\x27 from raw.customer --' from customer",
    "select $1 from customer",
]
RENDERED_WRONG = ATTACKS[:7]


@pytest.mark.parametrize("sql", ATTACKS)
@pytest.mark.parametrize("query", [True, False])
def test_a_name_never_becomes_sql(sql: str, query: bool) -> None:
    with pytest.raises(SelectError):
        select.parse(sql, query=query)


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize("sql", RENDERED_WRONG)
def test_what_was_not_checked_does_not_run_even_if_the_allow_list_let_it_through(sql: str, dialect: Dialect) -> None:
    """The first wall alone: the tree as the parser gives it, unchecked, is refused when it is rendered."""
    tree = sqlglot.parse_one(sql, read="postgres")
    assert isinstance(tree, exp.Query)
    with pytest.raises(SelectError, match=r"not be read back|statements|not valid SQL"):
        render(tree, dialect, {})


@pytest.mark.parametrize("sql", ATTACKS[:14])
def test_the_allow_list_refuses_it_by_itself(sql: str) -> None:
    """The second wall alone: nothing is rendered here."""
    tree = sqlglot.parse_one(sql, read="postgres")
    with pytest.raises(SelectError):
        select.check(tree, query=True)


NEVER = [
    "query_to_xml('select 1', true, true, '')", "pg_read_file('/etc/passwd')", "pg_sleep(9)", "pg_terminate_backend(1)",
    "lo_import('/etc/passwd')", "dblink('x', 'y')", "read_csv('/etc/passwd')", "read_text('x')", "getenv('HOME')",
    "nextval('s')", "setval('s', 1)", "random()", "gen_random_uuid()", "current_user", "version()", "txid_current()",
    "current_setting('x')", "set_config('x', 'y', false)", "clock_timestamp()", "xpath_table('a')",
    "has_table_privilege('a')", "array_agg(x)", "to_json(x)", "x -> 'a'", "x[1]",
    "x similar to 'a'", "to_char(x, 'YYYY')",
]  # fmt: skip


@pytest.mark.parametrize("call", NEVER)
@pytest.mark.parametrize("query", [True, False])
def test_functions_are_an_allow_list(call: str, query: bool) -> None:
    """Some only differ between warehouses, others read files, run SQL, or give another value each time."""
    with pytest.raises(SelectError):
        select.parse(f"select {call} from t", query=query)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select current_date from t", "depend on the moment"),
        ("select now() from t", "depend on the moment"),
        ("select a from t limit 3", "say the order"),
        ("select a from (select a from t offset 1) q", "say the order"),
        ("select distinct on (a) a, b from t", "say the order"),
        ("select row_number() over (partition by a) from t", "ORDER BY"),
        ("select lag(a) over () from t", "ORDER BY"),
        ("select string_agg(a, ',') from t", "ORDER BY"),
        ("select sqrt(a) from t", "refused"),
        ("select cast(a as double precision) from t", "refused"),
    ],
)
def test_what_may_give_other_rows_the_next_time_may_be_looked_at_but_not_published(sql: str, says: str) -> None:
    select.parse(sql, query=True)
    with pytest.raises(SelectError, match=says):
        select.parse(sql)


def test_names_are_compared_as_the_warehouse_folds_them() -> None:
    """PostgreSQL reads the catalogue's pg_shadow here, DuckDB the WITH query."""
    tree = 'with "Pg_shadow" as (select 1 as a) select a from Pg_shadow'
    with pytest.raises(SelectError, match="differ by case only"):
        select.parse(tree, query=True)
    folded = select.parse("with Pg_shadow as (select 1 as a) select a from PG_SHADOW", query=True)
    assert list(select.tables(folded)) == []


@pytest.mark.parametrize(
    "sql",
    [
        'select \'it\'\'s; drop -- /* \' || "q; -- x" as "a ""b" from t as "u ""v" order by 1',
        "with recursive n as (select 1 as a union all select a + 1 from n where a < 9) select a from n",
        "select sum(a) filter (where b is not null), count(distinct c) from t group by rollup (d) having count(*) > 1",
        "select row_number() over w from t window w as (partition by b order by a desc nulls last)",
        "select date_trunc('month', a) + interval '1 month' - interval '1 day', extract(isodow from a) from t",
        "select a from t where (a, b) in (select a, b from u) and exists (select 1 from v) order by a limit 3",
        "select x from (values (1, 'a'), (2, 'b')) as v(x, y) union all select n from generate_series(1, 3) as g(n)",
        "select a from t cross join lateral (select t.a + 1 as b) as l where a like 'x\\_%' escape '\\'",
    ],
)
@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
def test_what_only_computes_goes_through(sql: str, dialect: Dialect) -> None:
    assert render(select.parse(sql), dialect, {})


PAYLOAD = "zz) from raw.customer; drop table validated.customer; select (1 --"
INJECTED = re.compile(r"drop", re.IGNORECASE)
CLASSES = sorted(
    (c for c in vars(exp).values() if isinstance(c, type) and issubclass(c, exp.Expression) and c.__module__ != "x"),
    key=lambda c: c.__name__,
)
leaves = st.sampled_from([PAYLOAD, "a"]).flatmap(
    lambda text: st.sampled_from([
        exp.Identifier(this=text, quoted=True),
        exp.Identifier(this=text, quoted=False),
        exp.Literal(this=text, is_string=True),
        exp.Literal(this=text, is_string=False),
        exp.Var(this=text),
        exp.column(exp.to_identifier(text, quoted=True)),
        exp.DataType(this=exp.DType.USERDEFINED, kind=exp.to_identifier(text, quoted=True)),
        exp.DataType(this=exp.DType.DECIMAL, expressions=[exp.DataTypeParam(this=exp.Var(this=text))]),
        text,
    ])
)  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> exp.Query:
    """A SELECT that holds an expression of any class, with hostile text wherever it takes something."""
    kind = draw(st.sampled_from(CLASSES))
    arguments: dict[str, Any] = {}
    for name, needed in kind.arg_types.items():
        if needed or draw(st.booleans()):
            value = draw(leaves)
            value = value.copy() if isinstance(value, exp.Expression) else value
            arguments[name] = [value] if name in {"expressions", "columns", "partition_by"} else value
    inner = kind(**arguments)
    place = draw(st.sampled_from(["projection", "where", "from", "argument"]))
    tree = sqlglot.parse_one("select a, abs(b) from t where true", read="postgres")
    assert isinstance(tree, exp.Select)
    if place == "projection":
        tree.selects[0].replace(inner)
    elif place == "where":
        tree.args["where"].set("this", inner)
    elif place == "from":
        tree.args["from_"].set("this", inner)
    else:
        tree.selects[1].set("this", inner)
    return tree


@given(trees(), st.sampled_from(["postgres", "duckdb"]), st.sampled_from(["both", "read back", "allow-list"]))
@settings(max_examples=3000, deadline=None)
def test_no_text_leaves_its_quotes(tree: exp.Query, dialect: Dialect, walls: str) -> None:
    """Every class the parser knows, with both walls and with each of them alone."""
    try:
        if walls != "read back":
            select.check(tree, query=True)
        text = tree.sql(dialect=dialect) if walls == "allow-list" else render(tree, dialect, {})
    except Exception:  # noqa: BLE001  the parser's own errors over impossible trees are refusals as well
        return
    within = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.NATIONAL_STRING, TokenType.RAW_STRING,
              TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.UNICODE_STRING}  # fmt: skip
    loose = [t.text for t in sqlglot.tokenize(text, read=dialect) if t.token_type not in within]
    assert not any(INJECTED.search(part) for part in loose), text


def test_every_word_of_the_vocabulary_is_one_the_parser_knows_and_none_reaches_out() -> None:
    refused = (exp.Anonymous, exp.Command, exp.ReadCSV, exp.ReadParquet, exp.Rand, exp.Uuid, exp.Explode, exp.Dot)
    assert not vocabulary.QUERIES & set(refused)
    assert vocabulary.EVERYWHERE < vocabulary.QUERIES


CALLED = sorted(
    {name for word in vocabulary.QUERIES if issubclass(word, exp.Func) for name in word.sql_names()} - {"CAST", "CASE"}
)
COLUMNS = {"t": {"n": kind_of("varchar"), "a": kind_of("integer"), "x": kind_of("numeric", 4), "d": kind_of("date")}}


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize("name", CALLED)
def test_a_function_with_other_arguments_is_rendered_or_refused(name: str, dialect: Dialect) -> None:
    """Too few, too many, of other kinds: never an error that is not for its author."""
    calls = ["", *(", ".join([one, "n", "a", "2"][:count]) for one in ("n", "a", "x", "d") for count in range(1, 5))]
    for arguments in calls:
        with suppress(SelectError):
            render(select.parse(f"SELECT {name}({arguments}) AS v FROM t", query=True), dialect, COLUMNS)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select split_part(n) as v from t", "split_part needs more arguments"),
        ("select substring(n from '^a') as v from t", "takes numbers"),
        ("select regexp_like(n, 'a', 's') as v from t", "case flags"),
    ],
)
def test_what_would_be_left_out_or_guessed_is_refused(sql: str, says: str) -> None:
    with pytest.raises(SelectError, match=says):
        render(select.parse(sql, query=True), "postgres", COLUMNS)
