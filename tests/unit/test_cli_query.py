"""A query reads published layers and computes; whatever could do more is refused before it runs."""

from pathlib import Path

import pytest

from dataops.declared import catalog as catalogs
from dataops.declared.catalog import Catalog
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths
from dataops.pipeline.query import parsed

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalogs.load(Paths(PROJECT, PROJECT / "var"))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from raw.customer", "validated.customer"),
        ("select * from candidate.fct_sales", "not published"),
        ("select * from quarantine.customer", "not published"),
        ("select * from ops.publications", "not published"),
        ("select * from validated_history.customer", "not published"),
        ("select * from other.curated.fct_sales", "not published"),
        ("select * from information_schema.tables", "not published"),
        ("select * from fct_sale", "did you mean curated.fct_sales"),
        ("select * from curated.customer", "did you mean"),
        ("select * from '/etc/passwd'", "no dataset"),
        ("select * from read_csv('/etc/passwd')", "refused"),
        ("select * from pg_ls_dir('/')", "refused"),
        ("select * from abs(1)", "not a dataset"),
        ("select pg_read_file('/etc/passwd')", "refused"),
        ("select query_to_xml('select * from raw.customer', true, true, '')", "refused"),
        ("select dblink('x', 'y')", "refused"),
        ("select getenv('HOME')", "refused"),
        ("select (select count(*) from raw.customer)", "not published"),
        ("with t as (select * from raw.customer) select * from t", "not published"),
        ("select * from customer where exists (select 1 from raw.customer)", "not published"),
        ("with customer as (select 1) select * from raw.customer", "not published"),
        ("delete from curated.fct_sales", "only reads"),
        ("with t as (delete from curated.fct_sales returning *) select * from t", "only reads"),
        ("select * into x from curated.fct_sales", "only reads"),
        ("copy curated.fct_sales to '/tmp/x'", "only reads"),
        ("attach '/tmp/x' as y", "not valid SQL"),
        ("set enable_external_access = true", "only reads"),
        ("select 1; select 2", "2 statements"),
        ("selec", "not a SELECT"),
        ("select from where", "not valid SQL"),
        ("", "0 statements"),
    ],
)
def test_what_could_reach_further_is_refused(sql: str, said: str, catalog: Catalog) -> None:
    """Files, the network, rows that no gate has passed, other statements."""
    with pytest.raises(DeclarationError, match=said):
        parsed(sql, catalog)


@pytest.mark.parametrize(
    ("sql", "rendered"),
    [
        ("select 1", 'SELECT 1 AS "1"'),
        ("select count(*) from fct_sales", 'SELECT COUNT(*) AS "COUNT(*)" FROM curated."fct_sales" AS "fct_sales"'),
        ("select (select 1), 2 as b union select 3, 4", 'SELECT (SELECT 1) AS "(SELECT 1)", 2 AS b UNION SELECT 3, 4'),
        ("select c.customer_id from Customer c", 'SELECT c.customer_id FROM validated."customer" AS c'),
        (
            "with customer as (select 1 as a) select a from customer",
            "WITH customer AS (SELECT 1 AS a) SELECT a FROM customer",
        ),
        ("select * from generate_series(1, 3) as g", "SELECT * FROM GENERATE_SERIES(1, 3) AS g"),
    ],
)
def test_what_only_reads_goes_through(sql: str, rendered: str, catalog: Catalog) -> None:
    """Names without a layer are found; a WITH of the same name is not mistaken for a dataset."""
    assert parsed(sql, catalog)[0].sql(dialect="postgres") == rendered
