"""F25 and F26: poison values are held row by row, broken files stop the batch; never an engine's stack trace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataops.declared.errors import DataRejected
from dataops.gate import gate
from dataops.ledger.workspace import Workspace
from dataops.pipeline.intake import extraction
from dataops.pipeline.publish import publish
from dataops.sources import open_source
from tests.support.shop import fetch, load, own_project, small_shop, workspace
from tests.support.stock import stock

pytestmark = [pytest.mark.integration, pytest.mark.quick]

HOSTILE = [
    "x" * 2**20,
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "Robert'); DROP TABLE validated.customer;--",
    "%s %(x)s {batch} :name $1 ? \\",
    "\ufeff\u200b\ufffe",
]


@pytest.fixture(params=["duckdb", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Workspace]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return lambda *project: workspace(tmp_path / "home", url, *project)


def held(work: Workspace, table: str, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(columns)
    return fetch(work, f"SELECT {names} FROM quarantine.{table} WHERE _closed IS NULL ORDER BY _row")


def test_hostile_text_is_kept_to_the_letter_and_judged_by_the_rules(opened: Callable[..., Workspace]) -> None:
    """A megabyte, text that turns around, formulas and SQL: data like any other."""
    work, shop = opened(), small_shop(customers=10)
    for row, text in zip(shop.customers, HOSTILE, strict=False):
        row["name"] = text
    done = load(work, shop, "reference")
    assert (done.verdict.name, done.publication.total("new")) == ("PASSED", 10)
    assert [n for (n,) in fetch(work, "SELECT name FROM validated.customer ORDER BY customer_id")][:7] == HOSTILE
    outcomes = {r.rule.id: (r.outcome, r.failing) for r in done.verdict.results}
    assert outcomes["REF-012"] == ("warned", 1)


def test_poison_in_a_row_holds_that_row_with_its_rule(opened: Callable[..., Workspace]) -> None:
    """NUL, no key, a key twice and an unreadable value; the other rows publish."""
    work, shop = opened(), small_shop(customers=12)
    shop.customers[0]["name"] = "nul\0l"
    shop.customers[1]["customer_id"] = None
    shop.customers[2]["customer_id"] = 4
    shop.customers[4]["region"] = "\u202eED"
    done = load(work, shop, "reference")
    assert (done.verdict.name, done.publication.total("new")) == ("PASSED", 7)
    assert held(work, "customer", "_row", "_rules") == [
        (0, "SRC-000:customer"),
        (1, "REF-001"),
        (2, "REF-004"),
        (3, "REF-004"),
        (4, "REF-011"),
    ]
    assert "NUL" in held(work, "customer", "_problems")[0][0]


def test_the_ends_of_the_calendar_and_of_money_are_values(opened: Callable[..., Workspace]) -> None:
    work, shop = opened(), small_shop()
    stock(work, shop, "reference")
    largest = Decimal("9" * 15 + ".9999")
    shop.orders[0]["order_date"], shop.orders[1]["order_date"] = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)
    shop.lines[4] |= {"price": largest, "amount": largest}
    shop.orders[2]["sub_total"] = largest
    done = load(work, shop, "sales")
    assert done.verdict.name == "FAILED", (
        "the order's sum exceeds its type, so it contradicts its lines: most of the money"
    )
    assert "sub_total" in done.verdict.reasons[0]
    shop.lines[5] |= {"qty": 1, "price": Decimal(0), "amount": Decimal(0)}
    assert load(work, shop, "sales").publication.total("new") == 12
    assert fetch(work, "SELECT MAX(sub_total) FROM validated.sales_order") == [(largest,)]


def test_numbers_of_38_digits_are_held_as_they_cannot_be_summed(
    opened: Callable[..., Workspace], tmp_path: Path
) -> None:
    """Two of them overflow DECIMAL(38): neither the accounts nor an engine may break on it."""
    project = own_project(tmp_path / "project")
    for name in ("contracts/raw/order_line.yml", "contracts/raw/sales_order.yml"):
        text = (project / name).read_text(encoding="utf-8")
        text = text.replace("numeric_precision: 19", "numeric_precision: 38")
        (project / name).write_text(text, encoding="utf-8")
    work, shop = opened(project), small_shop()
    wide = pa.decimal128(38, 4)
    for table, names in (("Sales.OrderLine", ("price", "amount")), ("Sales.SalesOrder", ("sub_total",))):
        shop.schemas[table] = pa.schema([f.with_type(wide) if f.name in names else f for f in shop.schemas[table]])
    stock(work, shop, "reference")
    largest = Decimal("9" * 34 + ".9999")
    for row in shop.lines[:2]:
        row |= {"qty": 1, "price": largest, "amount": largest}
    shop.orders[0]["sub_total"] = largest
    done = load(work, shop, "sales")
    assert (done.verdict.name, done.publication.total("new"), done.publication.total("quarantined")) == ("PASSED", 9, 3)
    assert {rules for (rules,) in held(work, "order_line", "_rules")} == {"SRC-000:order_line"}


SCRIPT = """CREATE TABLE [Sales].[Customer](
    [CustomerID] [int] NOT NULL,
    [Name] [nvarchar](60) NULL,
    [Region] [nvarchar](3) NULL,
    [Modified] [datetime] NOT NULL
) ON [PRIMARY];

BULK INSERT [Sales].[Customer] FROM '$(SqlSamplesSourceDataPath)Customer.csv'
WITH (
    CHECK_CONSTRAINTS,
    CODEPAGE='ACP',
    DATAFILETYPE='char',
    FIELDTERMINATOR='\\t',
    ROWTERMINATOR='\\n',
    KEEPIDENTITY,
    TABLOCK
);
"""
ROWS = ["1\tkäse\tDE\t2014-01-01 00:00:00", "2\tshop\tFR\t2014-01-02 00:00:00", "3\tlast\tUK\t2014-01-03 00:00:00"]


def delivery(folder: Path, body: bytes, script: str = SCRIPT) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "instawdb.sql").write_text(script, encoding="utf-8")
    (folder / "Customer.csv").write_bytes(body)
    return folder


def text_of(rows: list[str]) -> bytes:
    return "".join(row + "\n" for row in rows).encode("cp1252")


def load_csv(work: Workspace, folder: Path) -> Any:
    source = open_source(f"csv:{folder}")
    with work.warehouse.lock("reference", "test"):
        batch = extraction.extract(work, work.catalog.group("reference"), source, None)
        verdict = gate.run(work, batch)
        return verdict, publish(work, batch) if verdict.passed else None


def test_values_that_are_none_of_their_type_are_held_with_line_and_text(
    opened: Callable[..., Workspace], tmp_path: Path
) -> None:
    """NaN, infinity, hexadecimal, an impossible day, undecodable bytes: NULL, named in `_problems`, and held."""
    work = opened()
    bad = ["NaN\tx\tDE\t2014-01-01 00:00:00", "5\tx\tDE\t2014-02-30 00:00:00", "0x1F\tx\tDE\t2014-01-01 00:00:00"]
    bad += ["-0\tx\tDE\t2014-01-01 00:00:00", "99999999999\tx\tDE\tInf"]
    body = (
        text_of([*ROWS, *bad])
        + b"9\ta\x81b\tDE\t2014-01-01 00:00:00\n"
        + text_of([f"{n}\ty\tDE\t2014-01-01 00:00:00" for n in range(20, 30)])
    )
    verdict, done = load_csv(work, delivery(tmp_path / "csv", body))
    assert verdict.name == "PASSED", verdict.reasons
    found = dict(held(work, "customer", "_row", "_problems"))
    assert set(found) == {3, 4, 5, 7, 8}
    assert "line 4, customer_id: 'NaN'" in found[3]
    assert "line 5, modified: '2014-02-30 00:00:00' is not a timestamp" in found[4]
    assert "undecodable" in found[8]
    assert done.total("new") == len(ROWS) + 1 + 10


def test_a_file_cut_at_any_byte_of_its_last_row_publishes_nothing(tmp_path: Path) -> None:
    """F26: a lost line break is enough; the whole file passes, so the test can fail."""
    work = workspace(tmp_path / "home")
    whole = text_of(ROWS)
    last = len(text_of(ROWS[:-1]))
    for end in range(last + 1, len(whole)):
        with pytest.raises(DataRejected, match=r"Customer\.csv line 3: .*cut short"):
            load_csv(work, delivery(tmp_path / "csv", whole[:end]))
    assert fetch(work, "SELECT COUNT(*) FROM validated.customer") == [(0,)]
    assert load_csv(work, delivery(tmp_path / "csv", whole))[1].total("new") == 3


def test_a_file_cut_between_two_rows_is_caught_by_the_deletions_it_would_cause(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    load_csv(work, delivery(tmp_path / "csv", text_of(ROWS)))
    verdict, _ = load_csv(work, delivery(tmp_path / "csv", text_of(ROWS[:1])))
    assert (verdict.name, verdict.reasons[0].split(" ")[0]) == ("FAILED", "SRC-001:customer")
    assert "2 of 3 published rows are gone" in verdict.reasons[0]


def test_an_empty_file_is_never_passed(tmp_path: Path) -> None:
    work = workspace(tmp_path / "home")
    verdict, done = load_csv(work, delivery(tmp_path / "csv", b""))
    assert (verdict.name, done) == ("FAILED", None)
    assert verdict.reasons[0].startswith("REF-003 (customer): rows arrived")


@pytest.mark.parametrize("body", ["\ufeff1\tx\tDE\t2014\n".encode(), "1\tkäse\tDE\t2014-01-01 00:00:00\n".encode()])
def test_a_file_of_the_other_edition_is_refused(tmp_path: Path, body: bytes) -> None:
    work = workspace(tmp_path / "home")
    with pytest.raises(DataRejected, match="files of two editions must not be mixed"):
        load_csv(work, delivery(tmp_path / "csv", body))
    shutil.rmtree(tmp_path / "csv")
