"""What a set of rows contains, in 48 characters: the same for the same rows in any order, another for any other.

Each row's values as text, hashed by MD5; the two halves of the hashes are summed, each modulo 2^64. Made by the
warehouse, in one scan; each kind of warehouse reads a hash as numbers in its own way. A proof against mistakes and
edits, not against somebody who can compute collisions of MD5.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from dataops.declarations import Column

HALF = 1 << 64
EMPTY = "0" * 48


def expression(columns: Iterable[Column], alias: str) -> str:
    """One text per row, unambiguous: every value behind its column's name, text with its length, NULL left out.

    So a column that a contract gains later, NULL in all older rows, changes no older digest.
    """
    parts = (_text(column, alias) for column in sorted(columns, key=lambda column: column.name))
    return f"CONCAT({', '.join(parts)})"


def _text(column: Column, alias: str) -> str:
    name = f'{alias}."{column.name}"'
    if column.data_type == "varchar":
        return f"'{column.name}:' || CAST(LENGTH({name}) AS VARCHAR) || ':' || {name}"
    return f"'{column.name}=' || CAST({name} AS VARCHAR) || '|'"


def sums(connection: Connection, text: str) -> str:
    """SQL of three aggregates over rows whose text is `text`: how many, and the sums of both halves of their hashes."""
    if connection.dialect.name == "postgresql":
        halves = [f"('x' || SUBSTR(MD5({text}), {start}, 16))::bit(64)::bigint" for start in (1, 17)]
        return f"COUNT(*), {', '.join(f'COALESCE(SUM({half}), 0)' for half in halves)}"
    return f"COUNT(*), COALESCE(SUM(MD5_NUMBER_LOWER({text})), 0), COALESCE(SUM(MD5_NUMBER_UPPER({text})), 0)"


def of(connection: Connection, columns: Iterable[Column], relation: str) -> str:
    """The digest of a relation's rows: how many, and both sums; 48 hexadecimal digits."""
    row = connection.exec_driver_sql(f"SELECT {sums(connection, expression(columns, 'q'))} FROM {relation} AS q").one()
    return written(*row)


def written(count: int, first: int, second: int) -> str:
    """Count and sums as they are written down."""
    return "".join(f"{int(number) % HALF:016x}" for number in (count, first, second))


def after(before: str, added: str, removed: str) -> str:
    """The digest of what stands when rows were added and others removed: digests are sums."""
    numbers = ([int(text[at : at + 16], 16) for at in (0, 16, 32)] for text in (before, added, removed))
    return written(*(b + a - r for b, a, r in zip(*numbers, strict=True)))
