"""What a set of rows contains, in 48 characters: the same for the same rows in any order, another for any other.

Each row's values as text, hashed by MD5; the two halves of the hashes are summed, each modulo 2^64. Made by the
warehouse, in one scan; each kind of warehouse reads a hash as numbers in its own way. A proof against mistakes and
edits, not against somebody who can compute collisions of MD5.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from dataops.declared.declarations import Column

HALF = 1 << 64
EMPTY = "0" * 48
SMALL = 18  # digits that 64 bits hold


def expression(columns: Iterable[Column], alias: str, dialect: str) -> str:
    """One text per row, unambiguous: every value behind its column's name, text with its length, NULL left out.

    So a column that a contract gains later, NULL in all older rows, changes no older digest.
    """
    parts = (_text(column, alias, dialect) for column in sorted(columns, key=lambda column: column.name))
    return f"CONCAT({', '.join(parts)})"


def _text(column: Column, alias: str, dialect: str) -> str:
    name = f'{alias}."{column.name}"'
    if column.data_type == "varchar":
        return f"'{column.name}:' || CAST(LENGTH({name}) AS VARCHAR) || ':' || {name}"
    text = f"CAST({name} AS VARCHAR)"
    if dialect == "duckdb" and (column.numeric_precision or 0) > SMALL:
        # Same digits, but DuckDB writes numbers of 64 bits ten times as fast as larger ones.
        text = f"COALESCE(CAST(TRY_CAST({name} AS DECIMAL({SMALL}, {column.numeric_scale})) AS VARCHAR), {text})"
    return f"'{column.name}=' || {text} || '|'"


def of(connection: Connection, columns: Iterable[Column], relation: str) -> str:
    """The digest of a relation's rows: how many, and both sums; 48 hexadecimal digits."""
    text = expression(columns, "q", connection.dialect.name)
    return written(*connection.exec_driver_sql(_sums(connection, text, relation)).one())


def by(connection: Connection, column: str, text: str, relation: str) -> dict[int, str]:
    """Digests of a relation's rows `q`, whose text is `text`, by the values of one of its whole-number columns."""
    found = connection.exec_driver_sql(_sums(connection, text, relation, column))
    return {int(row[0]): written(*row[1:]) for row in found}


def _sums(connection: Connection, text: str, relation: str, column: str | None = None) -> str:
    """SELECT of `column`, how many rows, and the sums of both halves of their hashes, of which each row has one."""
    if connection.dialect.name == "postgresql":
        made, once = "MD5", " OFFSET 0"  # without it the server would compute the hash for each half
        halves = [f"('x' || SUBSTR(h, {start}, 16))::bit(64)::bigint" for start in (1, 17)]
    else:
        made, once = "MD5_NUMBER", ""
        halves = ["CAST(h >> 64 AS UBIGINT)", f"CAST(h & {HALF - 1}::UHUGEINT AS UBIGINT)"]
    chosen, group = (f"{column}, ", f" WHERE {column} IS NOT NULL GROUP BY {column}") if column else ("", "")
    hashes = f"SELECT {chosen}{made}({text}) AS h FROM {relation} AS q{once}"
    totals = ", ".join(f"COALESCE(SUM({half}), 0)" for half in halves)
    return f"SELECT {chosen}COUNT(*), {totals} FROM ({hashes}) AS hashes{group}"


def written(count: int, first: int, second: int) -> str:
    """Count and sums as they are written down."""
    return "".join(f"{int(number) % HALF:016x}" for number in (count, first, second))


def after(before: str, added: str, removed: str) -> str:
    """The digest of what stands when rows were added and others removed: digests are sums."""
    numbers = ([int(text[at : at + 16], 16) for at in (0, 16, 32)] for text in (before, added, removed))
    return written(*(b + a - r for b, a, r in zip(*numbers, strict=True)))
