"""Numbers and ids: each is given once, whatever becomes of what got it, also across a restore.

PostgreSQL has sequences, so that writers do not wait for each other; DuckDB has one writer, and a row that counts.
Publications follow one another under a lock and are never removed, so theirs follow from the newest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from dataops.ledger import schema
from dataops.ledger import tables as t

KINDS = (*(table.name for table in t.COUNTED), t.publications.name, "publication_ids", "batch_ids")


def begin(connection: Connection) -> None:
    """Makes what counts, in a new ledger."""
    if _has_sequences(connection):
        for table in t.COUNTED:
            connection.exec_driver_sql(f"CREATE SEQUENCE ops.{table.name}_number START 1")
        connection.exec_driver_sql("CREATE UNIQUE INDEX ON ops.numbers (name)")


def floor(connection: Connection, name: str) -> int:
    """The highest number of this kind that may have been given before the warehouse was restored; 0 without one."""
    value = sa.select(t.settings.c.value).where(t.settings.c.name == f"floor {name}")
    return int(connection.execute(value).scalar() or 0)


def next_publication(connection: Connection) -> int:
    """The number of the publication that is made now; the caller holds the lock of all publications."""
    return next_seq(connection, t.publications)


def next_seq(connection: Connection, table: sa.Table) -> int:
    """The next number of `table`."""
    if table is t.publications:
        return max(_newest(connection, table), floor(connection, table.name)) + 1
    if _has_sequences(connection):
        return int(connection.exec_driver_sql(f"SELECT nextval('ops.{table.name}_number')").scalar_one())
    return _next(connection, table.name, floor(connection, table.name))


def next_batch_id(connection: Connection, stem: str) -> str:
    """`stem`, then `stem.2`, `stem.3`, … for later deliveries of the same window."""
    number = _next(connection, f"batch {stem}", floor(connection, "batch_ids"))
    return stem if number == 1 else f"{stem}.{number}"


def _next(connection: Connection, name: str, least: int) -> int:
    """One more than was given under this name, and more than `least`."""
    table = t.numbers
    if _has_sequences(connection):  # several may write at once
        first = postgresql.insert(table).values(name=name, given=least + 1)
        more = sa.func.greatest(table.c.given, least) + 1
        upsert = first.on_conflict_do_update(index_elements=["name"], set_={"given": more})
        return int(connection.execute(upsert.returning(table.c.given)).scalar_one())
    found = table.update().where(table.c.name == name).values(given=sa.func.greatest(table.c.given, least) + 1)
    given = connection.execute(found.returning(table.c.given)).scalar()
    if given is None:
        given = least + 1
        connection.execute(table.insert().values(name=name, given=given))
    return int(given)


def _newest(connection: Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))).scalar_one())


def _has_sequences(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def described(connection: Connection) -> dict[str, str]:
    """What a copy of published rows says of itself: its newest publication, and the numbers that were given."""
    if schema.version(connection) is None:
        return {}
    table = t.publications.c
    newest = connection.execute(sa.select(table.publication_id).order_by(table.seq.desc()).limit(1)).scalar()
    return {"publication": newest or ""} | {name: str(number) for name, number in given(connection).items()}


def given(connection: Connection) -> dict[str, int]:
    """The highest numbers given so far, of each of `KINDS`; in a ledger of any version."""
    there = _there(connection)
    counted = _counted(connection, there) if (schema.version(connection) or 0) >= 4 else {}  # noqa: PLR2004  see migrations
    found = {
        table.name: max(_newest(connection, table), counted.get(table.name, 0)) for table in (*there, t.publications)
    }
    last = sa.cast(sa.func.split_part(t.publications.c.publication_id, "-", -1), sa.BigInteger)
    found["publication_ids"] = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(last), 0))).scalar_one())
    found["batch_ids"] = max((n for name, n in counted.items() if name.startswith("batch ")), default=0)
    return {name: max(number, floor(connection, name)) for name, number in found.items()}


def _there(connection: Connection) -> list[sa.Table]:
    """The counted tables that a ledger of this version has."""
    names = sa.text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'ops'")
    known = set(connection.execute(names).scalars())
    return [table for table in t.COUNTED if table.name in known]


def _counted(connection: Connection, there: Sequence[sa.Table]) -> dict[str, int]:
    found = {row[0]: int(row[1]) for row in connection.execute(sa.select(t.numbers))}
    if _has_sequences(connection):
        for table in there:
            last = f"SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM ops.{table.name}_number"
            found[table.name] = int(connection.exec_driver_sql(last).scalar_one())
    return found


def floors(known: Mapping[str, int], *, sequences: bool) -> list[str]:
    """Statements that let numbers go on behind `known`, whatever the ledger's own are."""
    statements = []
    for name, number in sorted(known.items()):
        statements += [
            f"DELETE FROM ops.settings WHERE name = 'floor {name}'",
            f"INSERT INTO ops.settings (name, value) VALUES ('floor {name}', '{int(number)}')",
        ]
        if sequences and name in {table.name for table in t.COUNTED}:
            statements.append(_behind(name, int(number)))
    return statements


def _behind(name: str, number: int) -> str:
    """Moves a sequence on; a ledger of an older version has none, and makes it behind its floors."""
    sequence = f"ops.{name}_number"
    return (
        f"DO $$ BEGIN IF to_regclass('{sequence}') IS NOT NULL THEN"
        f" PERFORM setval('{sequence}', greatest({number}, last_value), true) FROM {sequence}; END IF; END $$"
    )
