"""Claims about text: its form, what its parts repeat of other columns, and that it is harmless.

The form is read off the rows: digits, capitals and small letters in runs, between characters that stand for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from sqlalchemy.engine import Connection

from dataops.lab.suggest.pairs import is_kind
from dataops.lab.suggest.profile import ColumnProfile, Profile
from dataops.lab.suggest.proposal import LEAST, Claim, Proposal, in_sql, words

REGEX = "expect_column_values_to_match_regex"
GUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
CLASSES = {"9": "[0-9]", "A": "[A-Z]", "a": "[a-z]"}
SHAPES = 40  # forms of a column, counted with lengths, above which it has none
RUN = re.compile(r"9+|A+|a+|[^9Aa]")
HARMFUL = "^[=+@]|[<>]|Ã[^A-Za-z ]|â€"  # read as a formula, as markup, or damaged by a wrong code page
TURNING = " || ".join(f"CHR({code})" for code in range(8234, 8239))
LONG = 400


@dataclass(frozen=True)
class Form:
    """The one form of a column's texts: its regular expression, and its runs where every text has the same length."""

    column: str
    regex: str
    runs: tuple[tuple[int, int, str], ...] = ()  # start from 1, length, class


def claims(connection: Connection, profile: Profile) -> Iterator[Claim]:
    """What may be true of columns of text."""
    forms = [form for c in profile.of("varchar", ids=True) if (form := _form(connection, profile, c))]
    for form in forms:
        yield from _formed(profile, form)
        yield from _parts(connection, profile, form)
    known = {form.column for form in forms}
    free = [c for c in profile.columns.values() if c.type == "varchar" and c.name not in known and c.distinct != 1]
    yield from _numbered(profile)
    yield from _harmless(profile, free)


def _form(connection: Connection, profile: Profile, column: ColumnProfile) -> Form | None:
    """Its one form, if it has one that says more than that there are letters."""
    if column.filled < LEAST or column.distinct < LEAST:
        return None
    name, place = column.name, profile.dataset.published_name
    shape = f'"{name}"'
    for kind, characters in CLASSES.items():
        shape = f"REGEXP_REPLACE({shape}, '{characters}', '{kind}', 'g')"
    guids = f"SELECT COUNT(*) FROM {place} WHERE NOT REGEXP_MATCHES(\"{name}\", '{GUID}')"
    if not connection.exec_driver_sql(guids).scalar_one():
        return Form(name, GUID)
    sql = f'SELECT DISTINCT {shape} FROM {place} WHERE "{name}" IS NOT NULL LIMIT {SHAPES + 1}'
    shapes = [str(row[0]) for row in connection.exec_driver_sql(sql)]
    return None if len(shapes) > SHAPES else _form_of(name, shapes, _common(column))


def _common(column: ColumnProfile) -> str:
    """The characters that all texts begin with: those that the least and the greatest share."""
    pairs = zip(column.low, column.high, strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _form_of(name: str, shapes: Sequence[str], prefix: str) -> Form | None:
    """From all shapes and the characters that all texts begin with."""
    ways = [RUN.findall(shape) for shape in shapes]
    kinds = {tuple(run[0] for run in runs) for runs in ways}
    if len(kinds) != 1 or "9" not in next(iter(kinds)):
        return None
    lead = re.match(r"[^0-9]*", prefix)
    literal = lead.group() if lead else ""
    lengths = [sorted({len(run) for run in column}) for column in zip(*ways, strict=True)]
    parts, start, runs = [], 1, []
    for kind, found in zip(next(iter(kinds)), lengths, strict=True):
        fixed = literal[start - 1 : start - 1 + found[0]]
        if len(found) == 1 and len(fixed) == found[0]:
            parts.append(re.escape(fixed))
        else:
            parts.append(_class(kind, found))
            runs.append((start, found[0], kind))
        start += found[0]
    whole = all(len(found) == 1 for found in lengths)
    return Form(name, f"^{''.join(parts)}$", tuple(runs) if whole else ())


def _class(kind: str, lengths: Sequence[int]) -> str:
    if kind not in CLASSES:
        return re.escape(kind)
    if len(lengths) > 1:
        return CLASSES[kind] + "+"
    return CLASSES[kind] + (f"{{{lengths[0]}}}" if lengths[0] > 1 else "")


def _formed(profile: Profile, form: Form) -> Iterator[Claim]:
    if profile.has(REGEX, form.column):
        return
    detail = {"column": form.column, "regex": form.regex}
    says = f"{words(form.column)} has its usual form"
    proposal = Proposal("format", profile.dataset.table, (form.column,), says, REGEX, detail)
    yield Claim(proposal, "FALSE", f"b.{form.column} IS NOT NULL")  # true by the way it was found


def _parts(connection: Connection, profile: Profile, form: Form) -> Iterator[Claim]:
    """A run that is the number in another column, padded, or that is another for each kind of row."""
    table = profile.dataset.table
    for start, length in ((run[0], run[1]) for run in form.runs if run[2] == "9" and run[1] > 1):
        part = f"SUBSTRING(b.{form.column}, {start}, {length})"
        for other in profile.of("integer", "bigint", ids=True):
            if len(str(other.high)) > length or other.distinct < LEAST:
                continue
            broken = f"{part} <> LPAD(CAST(b.{other.name} AS VARCHAR), {length}, '0')"
            says = f"{words(form.column)} carries the {words(other.name)}"
            yield in_sql("pair", table, (form.column, other.name), says, broken, f"b.{other.name} IS NOT NULL")
            for kind in profile.kinds:
                for value, _count in kind.values:
                    here, who = is_kind(kind, value)
                    columns = (form.column, other.name, kind.name)
                    yield in_sql("pair", table, columns, f"{says} where {who}", f"{here} AND {broken}", here)
        yield from _part_by_kind(connection, profile, form, (start, length))


def _part_by_kind(connection: Connection, profile: Profile, form: Form, run: tuple[int, int]) -> Iterator[Claim]:
    """Each kind of row has one value there, and not all have the same."""
    start, length = run
    for kind in profile.kinds:
        sql = (
            f'SELECT "{kind.name}", MIN(p), MAX(p) FROM (SELECT "{kind.name}",'
            f' SUBSTRING("{form.column}", {start}, {length}) AS p FROM {profile.dataset.published_name}) AS t'
            " WHERE p IS NOT NULL GROUP BY 1 ORDER BY 1"
        )
        found = [tuple(row) for row in connection.exec_driver_sql(sql)]
        several = len({low for _, low, _ in found}) > 1
        if not several or any(value is None or low != high for value, low, high in found):
            continue
        cases = " ".join(f"WHEN {is_kind(kind, value)[0]} THEN '{low}'" for value, low, _ in found)
        broken = f"SUBSTRING(b.{form.column}, {start}, {length}) <> CASE {cases} END"
        says = f"{words(form.column)} fits the {words(kind.name)}"
        columns = (form.column, kind.name)
        yield in_sql("pair", profile.dataset.table, columns, says, broken, f"b.{form.column} IS NOT NULL")


def _numbered(profile: Profile) -> Iterator[Claim]:
    """Some letters and the number in another column: `SO43659`."""
    for text in profile.of("varchar", ids=True):
        lead = re.match(r"[^0-9]+", _common(text))
        if lead is None or not lead.group().isascii() or "'" in lead.group():
            continue
        for other in profile.of("integer", "bigint", ids=True):
            broken = f"b.{text.name} <> '{lead.group()}' || CAST(b.{other.name} AS VARCHAR)"
            says = f"{words(text.name)} is {lead.group()} and the {words(other.name)}"
            yield in_sql("pair", profile.dataset.table, (text.name, other.name), says, broken, "TRUE")


def _harmless(profile: Profile, free: Sequence[ColumnProfile]) -> Iterator[Claim]:
    """Text without a form can carry what acts on its reader."""
    for column in free:
        name = f"b.{column.name}"
        broken = f"{name} ~ '{HARMFUL}' OR LENGTH({name}) > {LONG}\n  OR TRANSLATE({name}, {TURNING}, '') <> {name}"
        says = f"{words(column.name)} carries no formula, markup, turned or damaged letters, and is not endless"
        claim = in_sql("text", profile.dataset.table, (column.name,), says, broken, f"{name} IS NOT NULL")
        yield claim if column.filled else replace(claim, least=0)  # nothing was ever written there; anything may be
