"""Models: what a file declares, what is refused and where, build order, and SQL per engine."""

import itertools
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dataops.declared.errors import DeclarationError
from dataops.declared.models import Model, load_models, order, output_columns, output_types, parse_model, restrict
from dataops.declared.models import render as rendered
from dataops.declared.select import Dialect

pytestmark = pytest.mark.unit

SAYS = "-- One row per thing.\n"


def render(model: Model, dialect: Dialect, replace: dict[tuple[str, str], str] | None = None) -> str:
    """Of inputs whose columns are not known: nothing here depends on them."""
    return rendered(model, dialect, {}, replace)


WriteModel = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteModel:
    def _write(sql: str, table: str = "thing", layer: str = "curated", says: str = SAYS) -> Path:
        path = tmp_path / "transforms" / layer / f"{table}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(says + sql, encoding="utf-8")
        return path

    return _write


def refusal(path: Path) -> str:
    with pytest.raises(DeclarationError) as caught:
        parse_model(path)
    return str(caught.value)


def test_a_model_knows_its_place_its_purpose_its_key_and_its_inputs(write: WriteModel) -> None:
    model = parse_model(
        write(
            "-- incremental_by: id, line\n"
            "WITH w AS (SELECT id, line FROM validated.b)\n"
            "SELECT CAST(w.id AS integer) AS id, CAST(w.line AS integer) AS line\n"
            "FROM w JOIN curated.a ON a.id = w.id WHERE EXISTS (SELECT 1 FROM validated.c)",
            says="-- One row per line.\n-- Read by everybody.\n",
        )
    )
    assert (model.layer, model.table, model.name) == ("curated", "thing", "curated.thing")
    assert model.says == "One row per line. Read by everybody."
    assert model.incremental_by == ("id", "line")
    assert model.inputs == (("curated", "a"), ("validated", "b"), ("validated", "c"))


def test_output_columns_and_types_are_those_of_the_final_casts(write: WriteModel) -> None:
    model = parse_model(write("SELECT CAST(a AS numeric(38, 6)) AS x, b::date AS y FROM validated.t"))
    assert output_columns(model) == ("x", "y")
    assert output_types(model) == {"x": "DECIMAL(38, 6)", "y": "DATE"}


@pytest.mark.parametrize("relation", ["raw.t", "candidate.t", "quarantine.t", "ops.t", "RAW.t", '"Raw".t', "p.t"])
def test_a_relation_outside_the_gated_layers_is_refused_with_file_and_line(write: WriteModel, relation: str) -> None:
    path = write(f"SELECT CAST(a AS integer) AS a\nFROM validated.u\nWHERE a IN (SELECT a FROM {relation})")
    message = refusal(path)
    assert str(path) in message
    assert "line 4" in message
    assert (relation if '"' in relation else relation.lower()) in message


def test_a_relation_of_another_database_is_refused(write: WriteModel) -> None:
    assert "elsewhere.validated.t" in refusal(write("SELECT CAST(a AS integer) AS a FROM elsewhere.validated.t"))


def test_a_curated_model_does_not_read_marts_but_a_mart_reads_all_three(write: WriteModel) -> None:
    sql = "SELECT CAST(a AS integer) AS a FROM validated.t JOIN curated.u USING (a) JOIN marts.v USING (a)"
    assert "a curated model may not read `marts.v`" in refusal(write(sql))
    assert len(parse_model(write(sql, layer="marts")).inputs) == 3


def test_a_table_without_a_layer_is_refused(write: WriteModel) -> None:
    assert "`t` has no layer" in refusal(write("SELECT CAST(a AS integer) AS a FROM t"))


def test_a_with_query_does_not_hide_the_real_table_it_is_named_after(write: WriteModel) -> None:
    path = write("WITH t AS (SELECT a FROM t)\nSELECT CAST(a AS integer) AS a FROM t")
    assert "`t` has no layer" in refusal(path)


def test_a_with_query_may_be_named_like_a_table_it_reads(write: WriteModel) -> None:
    model = parse_model(write("WITH t AS (SELECT a FROM validated.t) SELECT CAST(a AS integer) AS a FROM t"))
    assert model.inputs == (("validated", "t"),)


def test_a_recursive_with_query_is_not_taken_for_a_table(write: WriteModel) -> None:
    model = parse_model(
        write(
            "WITH RECURSIVE n AS (SELECT a FROM validated.t UNION ALL SELECT a + 1 FROM n WHERE a < 3) "
            "SELECT CAST(a AS integer) AS a FROM n"
        )
    )
    assert model.inputs == (("validated", "t"),)


@pytest.mark.parametrize(
    "source",
    [
        ", generate_series(0, 5) AS g(n)",
        "CROSS JOIN LATERAL generate_series(0, t.a) AS g(n)",
        ", LATERAL (SELECT t.a AS n) AS g",
    ],
)
def test_rows_that_are_counted_out_are_no_table(write: WriteModel, source: str) -> None:
    model = parse_model(write(f"SELECT CAST(g.n AS integer) AS n FROM validated.t {source}"))
    assert model.inputs == (("validated", "t"),)


@pytest.mark.parametrize(
    "source",
    [
        ", read_csv('/etc/passwd')",
        ", dblink('x') AS d(a)",
        "CROSS JOIN LATERAL read_csv('/etc/passwd') AS r",
        ", ROWS FROM (pg_ls_dir('/')) AS r",
    ],
)
def test_rows_from_a_function_that_reads_outside_are_refused(write: WriteModel, source: str) -> None:
    assert "is refused" in refusal(write(f"SELECT CAST(a AS integer) AS a FROM validated.t {source}"))


def test_rows_from_a_function_that_only_computes_are_refused_as_well(write: WriteModel) -> None:
    message = refusal(write("SELECT CAST(a AS integer) AS a FROM validated.t, ABS(1) AS x"))
    assert "only generate_series is accepted" in message


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("", "found 0 statements"),
        ("SELECT CAST(a AS date) AS a FROM validated.t;\nSELECT 1", "line 3: exactly one SELECT is expected, found 2"),
        ("DELETE FROM validated.t", "`DELETE` is not"),
        ("CREATE TABLE curated.x AS SELECT a FROM validated.t", "`CREATE` is not"),
        ("WITH d AS (DELETE FROM validated.t RETURNING a) SELECT CAST(a AS date) AS a FROM d", "`DELETE` is not"),
        ("SELECT CAST(a AS date) AS a INTO curated.x FROM validated.t", "`INTO` is not"),
        ("SELECT CAST(a AS date) AS a FROM validated.t FOR UPDATE", "`LOCK` is not"),
        ("SELECT CAST(1 AS integer) AS a", "reads no table"),
        ("SELECT CAST(a AS date) AS a\nFROM validated.t WHERE ((", "line 3: not valid SQL"),
    ],
)
def test_anything_but_one_reading_select_is_refused(write: WriteModel, sql: str, says: str) -> None:
    assert says in refusal(write(sql))


def test_a_closing_semicolon_and_comment_are_no_second_statement(write: WriteModel) -> None:
    assert parse_model(write("SELECT CAST(a AS date) AS a FROM validated.t;\n-- the end")).inputs


@pytest.mark.parametrize(
    ("projection", "says"),
    [
        ("*", "`*` is not accepted"),
        ("t.*", "`*` is not accepted"),
        ("a", "`a` must be written CAST"),
        ("CAST(a AS date) AS a, CAST(b AS date) AS a", "`a` appears twice"),
    ],
)
def test_final_columns_are_named_once_and_cast(write: WriteModel, projection: str, says: str) -> None:
    assert says in refusal(write(f"SELECT {projection} FROM validated.t"))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            "-- One row.\n-- incremental_bye: a\n",
            "line 2: unknown option `incremental_bye`; did you mean `incremental_by`",
        ),
        ("-- One row.\n-- Incremental-By: a\n", "did you mean `incremental_by`"),
        ("-- grain: one row\n", "line 1: unknown option `grain`; known options: incremental_by"),
        ("-- One row.\n-- incremental_by: b\n", "names `b`, which is not a final column"),
        ("-- One row.\n-- incremental_by:\n", "names ``, which is not a final column"),
        ("-- One row.\n-- incremental_by: a, a\n", "names a column twice"),
        ("-- One row.\n-- incremental_by: a\n-- incremental_by: a\n", "line 3: option `incremental_by` is given twice"),
        ("-- incremental_by: a\n", "header comment is missing"),
        ("", "header comment is missing"),
    ],
)
def test_the_header_is_read_strictly(write: WriteModel, header: str, says: str) -> None:
    assert says in refusal(write("SELECT CAST(a AS date) AS a FROM validated.t", says=header))


def test_an_option_below_the_first_line_of_sql_is_refused(write: WriteModel) -> None:
    message = refusal(write("SELECT CAST(a AS date) AS a\n-- incremental_by: a\nFROM validated.t"))
    assert "line 3: option `incremental_by` stands below" in message


def test_comments_within_the_sql_are_free(write: WriteModel) -> None:
    assert (
        parse_model(write("SELECT\n    -- note: cheap\n    CAST(a AS date) AS a FROM validated.t")).incremental_by == ()
    )


def test_places_that_are_no_models_are_refused(write: WriteModel, tmp_path: Path) -> None:
    sql = "SELECT CAST(a AS date) AS a FROM validated.t"
    assert "`validated` is not a layer with models" in refusal(write(sql, layer="validated"))
    assert "`Thing` is not a table name" in refusal(write(sql, table="Thing"))
    assert load_models(tmp_path / "nothing") == ()
    (tmp_path / "stray.sql").write_text(SAYS + sql)
    with pytest.raises(DeclarationError, match=r"stray\.sql: a model belongs into a layer's folder"):
        load_models(tmp_path)


def test_a_file_that_is_not_text_is_refused(write: WriteModel) -> None:
    path = write("")
    path.write_bytes(b"-- One row per caf\xe9.\n")
    assert "is not UTF-8" in refusal(path)


def test_models_are_loaded_in_build_order(write: WriteModel) -> None:
    write("SELECT CAST(x AS date) AS x FROM curated.b JOIN curated.c USING (x)", table="a")
    write("SELECT CAST(x AS date) AS x FROM curated.c", table="b")
    path = write("SELECT CAST(x AS date) AS x FROM validated.t", table="c")
    assert [model.table for model in load_models(path.parent.parent)] == ["c", "b", "a"]


def test_a_cycle_is_refused_and_named(write: WriteModel) -> None:
    reads = {"a": "b", "b": "c", "c": "a"}
    models = [
        parse_model(write(f"SELECT CAST(x AS date) AS x FROM curated.{parent}", table=table))
        for table, parent in reads.items()
    ]
    with pytest.raises(DeclarationError, match="read each other") as caught:
        order(models)
    chain = str(caught.value).split(": ")[-1].rstrip(".").split(" reads ")
    assert len(chain) == 4
    for reader, read in itertools.pairwise(chain):
        assert reads[reader.removeprefix("curated.")] == read.removeprefix("curated.")


def test_a_model_that_reads_itself_is_a_cycle(write: WriteModel) -> None:
    model = parse_model(write("SELECT CAST(x AS date) AS x FROM curated.thing"))
    with pytest.raises(DeclarationError, match=r"curated\.thing reads curated\.thing"):
        order([model])


def rows(sql: str) -> list[tuple[object, ...]]:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA validated; CREATE SCHEMA candidate")
    connection.execute("CREATE TABLE validated.t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (2, 'c')) AS v(id, x)")
    connection.execute("CREATE TABLE validated.u AS SELECT * FROM (VALUES (1, 10), (2, 20)) AS v(id, y)")
    connection.execute("CREATE TABLE candidate.u AS SELECT * FROM (VALUES (1, 11), (2, 22)) AS v(id, y)")
    return sorted(connection.execute(sql).fetchall())


@pytest.fixture
def joined(write: WriteModel) -> Model:
    return parse_model(
        write(
            "-- incremental_by: id\n"
            "SELECT CAST(t.id AS integer) AS id, CAST(t.x AS varchar) AS x, CAST(validated.u.y AS integer) AS y\n"
            "FROM validated.t AS t JOIN validated.u ON u.id = t.id"
        )
    )


def test_an_unreplaced_model_reads_its_own_inputs(joined: Model) -> None:
    assert rows(render(joined, "duckdb")) == [(1, "a", 10), (2, "b", 20), (2, "c", 20)]


def test_an_input_can_be_read_from_another_relation_or_query(joined: Model) -> None:
    sql = render(
        joined, "duckdb", {("validated", "u"): "candidate.u", ("validated", "t"): "(SELECT 2 AS id, 'z' AS x)"}
    )
    assert rows(sql) == [(2, "z", 22)]


def test_an_input_at_the_head_of_a_nested_join_keeps_its_joins(write: WriteModel) -> None:
    sql = "SELECT CAST(t.x AS varchar) AS x FROM (validated.t JOIN validated.u ON u.id = t.id AND u.y = 10)"
    assert rows(render(parse_model(write(sql)), "duckdb", {("validated", "t"): "(SELECT 1 AS id, 'n' AS x)"})) == [
        ("n",)
    ]


def test_replacing_leaves_the_model_as_it_was(joined: Model) -> None:
    before = render(joined, "postgres")
    render(joined, "postgres", {("validated", "u"): "candidate.u"})
    assert render(joined, "postgres") == before


def test_replacing_what_is_not_an_input_is_refused(joined: Model) -> None:
    with pytest.raises(DeclarationError, match=r"does not read validated\.w"):
        render(joined, "duckdb", {("validated", "w"): "candidate.w"})


def test_sql_is_written_in_the_dialect_asked_for(write: WriteModel) -> None:
    model = parse_model(write("SELECT CAST(a ~ 'x' AS boolean) AS y FROM validated.t"))
    assert "a ~ 'x'" in render(model, "postgres")
    assert "REGEXP_MATCHES" in render(model, "duckdb")


def test_a_restricted_build_holds_exactly_the_affected_keys(joined: Model) -> None:
    replace = restrict(joined, ".".join, "(SELECT 2 AS id) AS affected", {("validated", "t")})
    assert rows(render(joined, "duckdb", replace)) == [(2, "b", 20), (2, "c", 20)]
    assert replace["validated", "u"] == "validated.u"


def test_a_key_of_several_columns_is_compared_as_a_whole(write: WriteModel) -> None:
    model = parse_model(
        write("-- incremental_by: id, x\nSELECT CAST(id AS integer) AS id, CAST(x AS varchar) AS x FROM validated.t")
    )
    replace = restrict(model, ".".join, "(SELECT 2 AS id, 'c' AS x) AS affected", {("validated", "t")})
    assert rows(render(model, "duckdb", replace)) == [(2, "c")]


def test_a_model_without_a_key_cannot_be_restricted(write: WriteModel) -> None:
    model = parse_model(write("SELECT CAST(id AS integer) AS id FROM validated.t"))
    with pytest.raises(DeclarationError, match="built as a whole"):
        restrict(model, ".".join, "k", set())
