"""Which rules can be tripped at all: the columns that a rule in SQL looks at are disturbed until it names a row.

The catalogue's corruptions are general; a rule such as "the account ends in the customer's id" needs its own. It is
found by trying: each column of the rule, and each dataset beside it, is changed in ways that happen. What trying does
not find is declared in corruptions/<group>.yml. Evaluates the engine's own condition, not the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Rule
from dataops.declared.declarations import Column
from dataops.declared.errors import DeclarationError
from dataops.declared.yaml_files import Strict, read
from dataops.gate.verdict import RuleResult
from dataops.lab.corruptions.bed import AGAIN, Bed
from dataops.lab.corruptions.catalogue import Corruption
from dataops.warehouse.tables import quoted

NUMBERS = ("0", "1", "{c} * 100", "{c} / 100", "-{c}", "{c} + 1", "{c} - 1")
TIMES = tuple(
    f"{{c}} {step}"
    for step in ("+ INTERVAL '20 years'", "- INTERVAL '20 years'", "+ INTERVAL '12 hours'", "- INTERVAL '3 days'")
)
OTHER_ROWS = ("(SELECT MIN({p}) FROM clean.{t} AS p)", "(SELECT MAX({p}) FROM clean.{t} AS p)")
FEW = 200  # rows that are changed per attempt


def _is_sql(text: str) -> str:
    if ";" in text:
        raise ValueError("one SQL expression, without a semicolon")
    return text


Sql = Annotated[str, AfterValidator(_is_sql)]


class Declared(Strict):
    """How to trip one rule: columns of its (or another) dataset get the value of an expression over the row `c`."""

    set: dict[str, Sql]
    table: str | None = None
    where: Sql = "TRUE"


class CorruptionsFile(Strict):
    """The file corruptions/<group>.yml."""

    group: str
    corruptions: dict[str, Declared]


def declared(file: Path, shown: str, rules: dict[str, Rule]) -> dict[str, Corruption]:
    """Rule id -> the corruption that is declared to trip it. Raises DeclarationError for an unknown rule."""
    if not file.exists():
        return {}
    found = read(file, CorruptionsFile, shown)
    if unknown := sorted(found.corruptions.keys() - rules.keys()):
        raise DeclarationError(f"{shown}: no rule {', '.join(unknown)} in group {found.group}")
    return {
        rule: Corruption(
            "declared", item.table or rules[rule].table, rule, values=tuple(item.set.items()), where=item.where
        )
        for rule, item in found.corruptions.items()
    }


def tripped(bed: Bed, rules: dict[str, RuleResult], own: dict[str, Corruption]) -> dict[str, str]:
    """Of the rules given with a result on clean rows, those that something trips, and what does."""
    found = {}
    with bed.opened() as connection:
        bed.show(connection)
        for rule, result in rules.items():
            attempts = [own[rule]] if rule in own else list(attempts_at(bed, result.rule))
            name = next((a.name for a in attempts if _names_more(bed, connection, result, a)), None)
            if name:
                found[rule] = name
    return found


def _names_more(bed: Bed, connection: Connection, result: RuleResult, attempt: Corruption) -> bool:
    """Whether the rule names rows when the changed ones are shown in the batch's place."""
    with shown(bed, connection, attempt):
        return bool(bed.rows_of(connection, result) - bed.clean.get(result.rule.id, frozenset()))


@contextmanager
def shown(bed: Bed, connection: Connection, corruption: Corruption) -> Iterator[None]:
    """Lets `candidate` show some rows as the corruption makes them, for as long as the block runs."""
    dataset = bed.group.dataset(corruption.table)
    changed = _changed(bed, dataset, corruption)
    connection.exec_driver_sql(f"CREATE OR REPLACE VIEW candidate.{corruption.table} AS {changed}")
    try:
        yield
    finally:
        bed.show_one(connection, dataset)


def struck(corruption: Corruption) -> str:
    """The rows of `clean` that it strikes here: a few of those that it can."""
    return f"SELECT c._row FROM clean.{corruption.table} AS c WHERE {corruption.where} ORDER BY c._row LIMIT {FEW}"


def _changed(bed: Bed, dataset: Dataset, attempt: Corruption) -> str:
    clean = f"clean.{dataset.table}"
    if attempt.way == "remove":
        return f"SELECT * FROM {clean} AS c WHERE NOT ({attempt.where})"
    own = quoted(dataset.column_names, "c")
    if attempt.way == "repeat":
        again = f"SELECT {own}, c._row + {AGAIN}, c._problems FROM {clean} AS c WHERE c._row IN ({struck(attempt)})"
        return f"SELECT {own}, c._row, c._problems FROM {clean} AS c UNION ALL {again}"
    new = dict(bed.cast(attempt))
    hit = f"c._row IN ({struck(attempt)})"
    columns = ", ".join(
        f'CASE WHEN {hit} THEN {new[name]} ELSE c."{name}" END AS "{name}"' if name in new else f'c."{name}"'
        for name in (*dataset.column_names, "_row", "_problems")
    )
    partner = attempt.partner and f"(SELECT * FROM {clean} AS p WHERE {attempt.partner} ORDER BY p._row LIMIT 1) AS p"
    return f"SELECT {columns} FROM {clean} AS c" + (f", {partner}" if partner else "")


def attempts_at(bed: Bed, rule: Rule) -> Iterator[Corruption]:
    """Changes of the rule's own columns one by one, then of datasets beside it."""
    dataset = bed.group.dataset(rule.table)
    sql = str(rule.expectation.kwargs.get("unexpected_rows_query", "")) if rule.expectation else ""
    named = set(re.findall(r"\bb\.(\w+)", sql)) | set(rule.columns)
    for column in dataset.columns:
        if column.name in named:
            yield from _disturbed(dataset, column)
    for table in sorted(rule.tables & bed.group.tables):
        yield Corruption("all gone", table, rule.id, way="remove")
        other = bed.group.dataset(table)
        for column in other.columns:
            if re.search(rf"\b\w+\.{column.name}\b", sql):
                yield from _disturbed(other, column)


def _disturbed(dataset: Dataset, column: Column) -> Iterator[Corruption]:
    own, other = f'c."{column.name}"', f'p."{column.name}"'
    values = ["NULL", *(v.format(p=other, t=dataset.table) for v in OTHER_ROWS)]
    if column.data_type == "boolean":
        values.append(f"NOT {own}")
    elif column.data_type == "varchar":
        values += ["'~'", "''", f"{own} || ' '"]
    else:
        values += [v.format(c=own) for v in (TIMES if column.data_type in {"timestamp", "date"} else NUMBERS)]
    room = f"ABS({own}) < 300" if column.data_type == "smallint" else "TRUE"
    for value in values:
        where = room if column.data_type == "smallint" and "*" in value else "TRUE"
        yield Corruption("disturbed", dataset.table, column.name, values=((column.name, value),), where=where)
