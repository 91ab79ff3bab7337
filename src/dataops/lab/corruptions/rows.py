"""Row-level corruptions that follow from what is declared: every one derived from a contract, a rule or a reference.

A corruption is derived only where the declarations say that the clean value is not arbitrary; nothing here knows which
rule ought to notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from dataops.declared.catalog import Dataset, Rule
from dataops.declared.declarations import Column
from dataops.lab.corruptions.catalogue import Corruption
from dataops.warehouse.tables import sql_type

NOWHERE = {
    "integer": "999999999",
    "bigint": "999999999",
    "smallint": "32000",
    "varchar": "'~~~'",
    "date": "DATE '1901-01-01'",
}
HOSTILE = {
    "formula": """'=HYPERLINK("http://evil.example","x")'""",
    "script": "'<script>alert(1)</script>'",
    "right-to-left": "'paid ' || CHR(8238) || 'yllaer ton'",
}
LONG = 4000
NUMBERS = {"numeric", "integer", "smallint", "bigint"}
INTEGER_LIMIT = {"integer": 2_147_483_647, "smallint": 32_767, "bigint": 2**63 - 1}


def derived(dataset: Dataset) -> Iterator[Corruption]:
    """Every row-level corruption that applies to the dataset."""
    for derive in (_missing, _repeated, _orphans, _swapped, _beyond, _outside, _malformed, _amounts, _text, _whole_row):
        yield from derive(dataset)


def _column(dataset: Dataset, name: str) -> Column:
    return next(column for column in dataset.columns if column.name == name)


def _one(dataset: Dataset, kind: str, column: str, value: str, where: str | None = None, **more: Any) -> Corruption:  # noqa: ANN401
    condition = f'c."{column}" IS NOT NULL' + (f" AND {where}" if where else "")
    return Corruption(kind, dataset.table, column, values=((column, value),), where=condition, **more)


def _rules(dataset: Dataset, *kinds: str) -> Iterator[Rule]:
    return (rule for rule in dataset.rules if rule.type in kinds)


def _missing(dataset: Dataset) -> Iterator[Corruption]:
    for rule in _rules(dataset, "missing"):
        yield _one(dataset, "missing", rule.columns[0], "NULL")


def _repeated(dataset: Dataset) -> Iterator[Corruption]:
    """The key as a row that is sent twice; any other unique columns as the value of another row."""
    for rule in _rules(dataset, "duplicate"):
        if set(rule.columns) == set(dataset.key):
            yield Corruption("sent twice", dataset.table, "", way="repeat")
        else:
            values = tuple((name, f'p."{name}"') for name in rule.columns)
            there = " AND ".join(f'p."{name}" IS NOT NULL' for name in rule.columns)
            yield Corruption("not unique", dataset.table, "+".join(rule.columns), values=values, partner=there)


def _orphans(dataset: Dataset) -> Iterator[Corruption]:
    for link in dataset.links:
        values = tuple((name, NOWHERE[_column(dataset, name).data_type]) for name in link.columns)
        there = " AND ".join(f'c."{name}" IS NOT NULL' for name in link.columns)
        yield Corruption("orphan", dataset.table, "+".join(link.columns), values=values, where=there)


def _swapped(dataset: Dataset) -> Iterator[Corruption]:
    for rule in _rules(dataset, "expect_column_pair_values_a_to_be_greater_than_b"):
        later, earlier = rule.columns
        values = ((later, f'c."{earlier}"'), (earlier, f'c."{later}"'))
        yield Corruption(
            "swapped", dataset.table, f"{earlier}+{later}", values=values, where=f'c."{later}" > c."{earlier}"'
        )


def _beyond(dataset: Dataset) -> Iterator[Corruption]:
    for rule in _rules(dataset, "expect_column_values_to_be_between"):
        kwargs = rule.expectation.kwargs if rule.expectation else {}
        column = _column(dataset, rule.columns[0])
        for name, sign in (("min_value", -1), ("max_value", 1)):
            if kwargs.get(name) is not None:
                value = Decimal(str(kwargs[name])) + sign
                yield _one(dataset, "too low" if sign < 0 else "too high", column.name, str(value))


def _outside(dataset: Dataset) -> Iterator[Corruption]:
    for rule in _rules(dataset, "expect_column_values_to_be_in_set"):
        allowed = rule.expectation.kwargs["value_set"] if rule.expectation else []
        if isinstance(allowed[0], bool):
            value = str(not allowed[0]).upper()
        elif isinstance(allowed[0], str):
            value = "'~~~'"
        else:
            value = str(max(allowed) + 1)
        yield _one(dataset, "not in the set", rule.columns[0], value)


def _malformed(dataset: Dataset) -> Iterator[Corruption]:
    """Text whose form is agreed: cut off, padded, in another form."""
    formed = {rule.columns[0] for rule in _rules(dataset, "expect_column_values_to_match_regex")}
    for name in sorted(formed):
        longer = f'LENGTH(TRIM(c."{name}")) > 1'
        yield _one(dataset, "truncated", name, f'LEFT(c."{name}", LENGTH(TRIM(c."{name}")) - 1) || \'-\'', longer)
        yield _one(dataset, "bad format", name, f"'?' || c.\"{name}\"")


def _amounts(dataset: Dataset) -> Iterator[Corruption]:
    """Numbers with a shifted decimal point or a lost sign. Ids are no amounts."""
    ids = {*dataset.key, *(name for link in dataset.links for name in link.columns)}
    for column in dataset.columns:
        if column.name in ids or column.name.endswith("_id") or column.data_type not in NUMBERS:
            continue
        if column.data_type == "numeric":
            room = f'ABS(c."{column.name}") < 1e{(column.numeric_precision or 38) - (column.numeric_scale or 0) - 3}'
            yield _one(dataset, "x100", column.name, f'c."{column.name}" * 100', f'c."{column.name}" > 0 AND {room}')
        yield _one(dataset, "negated", column.name, f'-c."{column.name}"', f'c."{column.name}" > 0')


def _text(dataset: Dataset) -> Iterator[Corruption]:
    """Hostile, damaged and endless text, wherever text comes in; a model's text is that of rows that passed."""
    if not dataset.is_loaded:
        return
    ids = {*dataset.key, *(name for link in dataset.links for name in link.columns)}
    for column in dataset.columns:
        if column.data_type != "varchar" or column.name in ids:
            continue
        for kind, value in HOSTILE.items():
            yield _one(dataset, f"hostile ({kind})", column.name, value)
        yield _one(dataset, "mojibake", column.name, f'c."{column.name}" || CHR(195) || CHR(169)')
        yield _one(dataset, "too long", column.name, f"REPEAT('x', {LONG})")


def _whole_row(dataset: Dataset) -> Iterator[Corruption]:
    """Values moved one column to the right, and a value that could not be read (text with NUL among them)."""
    if not dataset.is_loaded:
        return
    last = dataset.columns[-1]
    note = (("_problems", f"'{last.name}: not {sql_type(last)}'"),)
    yield Corruption("unreadable", dataset.table, last.name, values=((last.name, "NULL"), *note))
    yield Corruption("NUL", dataset.table, last.name, values=((last.name, "NULL"), ("_problems", "'NUL character'")))
    yield Corruption("shifted", dataset.table, "", values=tuple(_shifted(dataset)))


def _shifted(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """What the source's reader makes of a shifted row: a value that does not fit is NULL and named in `_problems`."""
    columns = dataset.columns
    read: Callable[[Column, Column], str] = lambda old, new: (  # noqa: E731
        f'TRY_CAST(CAST(c."{old.name}" AS VARCHAR) AS {sql_type(new)})'
    )
    yield columns[0].name, "NULL"
    unread = []
    for old, new in pairwise(columns):
        yield new.name, read(old, new)
        unread.append(f'(c."{old.name}" IS NOT NULL AND {read(old, new)} IS NULL)')
    if unread:
        yield "_problems", f"CASE WHEN {' OR '.join(unread)} THEN 'shifted: not of its type' END"
