"""The ledger: what was received, judged and published; SQLAlchemy Core tables in schema `ops`.

Every row is written in the same transaction as what it records, so the ledger is never ahead of or behind the data.
Order comes from `seq`, never from a clock; `numbering` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint
from dataops.warehouse.port import SCHEMAS

if TYPE_CHECKING:
    from dataops.warehouse import Warehouse

VERSION = 4
SETTLED = ("published", "unchanged", "discarded")
"""States of a batch in which nothing can happen to it any more."""

metadata = sa.MetaData(schema="ops")

settings = sa.Table(
    "settings", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False)
)

numbers = sa.Table(  # what was given is never given again, whatever becomes of it; see numbering
    "numbers",
    metadata,
    sa.Column("name", sa.String, nullable=False),  # no key: an index on what is updated makes DuckDB 1.5 abort
    sa.Column("given", sa.BigInteger, nullable=False),  # the process when COMMIT finds no room on the disk
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("batch_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("window_start", sa.DateTime),
    sa.Column("window_end", sa.DateTime),
    sa.Column("state", sa.String, nullable=False),  # open, sealed, passed, failed, error, or one of SETTLED
    sa.Column("reason", sa.String),
    sa.Column("rules_hash", sa.String),
    sa.Column("waivers", sa.JSON),  # ids of the waivers that the verdict rests on
    sa.Column("horizon", sa.BigInteger),  # newest publication when it was read or built
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("sealed_at", sa.DateTime),
    sa.Column("judged_at", sa.DateTime),
)

batch_datasets = sa.Table(
    "batch_datasets",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("scope", sa.String, nullable=False),  # whole, window, keys: which published rows the batch speaks for
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("controls", sa.JSON, nullable=False),  # control totals as received, exact, as text
    sa.Column("notes", sa.JSON, nullable=False),  # e.g. columns of the source that the contract does not list
)

check_results = sa.Table(
    "check_results",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("rule_id", sa.String, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("engine", sa.String, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),  # passed, warned, failed, error
    sa.Column("observed", sa.String),
    sa.Column("failing", sa.BigInteger),  # rows that break the rule; NULL where a rule names no rows
    sa.Column("checked", sa.BigInteger),
    sa.Column("predicate", sa.String),  # SQL that is true for a failing row, or a query of their _row
    sa.Column("sample", sa.JSON),
    sa.Column("problem", sa.String),
    sa.Column("rules_hash", sa.String, nullable=False),
    sa.Column("judged_at", sa.DateTime, nullable=False),
)

publications = sa.Table(
    "publications",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("publication_id", sa.String, nullable=False, unique=True),
    sa.Column("attempt", sa.String, nullable=False, unique=True),  # made by the client before BEGIN
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("batch", sa.BigInteger, unique=True),  # at most one publication of a batch
    sa.Column("kind", sa.String, nullable=False),  # load, build, rollback
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("rules_hash", sa.String, nullable=False),
    sa.Column("previous", sa.String),
    sa.Column("window_end", sa.DateTime),
    sa.Column("reason", sa.String),
    sa.Column("waivers", sa.JSON),  # the waivers it rests on, whole, as they stood
    sa.Column("receipt", sa.String),  # sha256 of this record and of the previous one's; see receipts
    sa.Column("previous_receipt", sa.String),  # of the publication before it, of whatever group
    sa.Column("results", sa.String),  # sha256 of the rules' results that let it pass
    sa.Column("published_at", sa.DateTime, nullable=False),
)

publication_datasets = sa.Table(
    "publication_datasets",
    metadata,
    sa.Column("publication", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("new", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("unchanged", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=False),
    sa.Column(
        "retained", sa.BigInteger, nullable=False
    ),  # gone at the source, kept because published rows refer to them
    sa.Column("controls", sa.JSON, nullable=False),
    sa.Column("published_controls", sa.JSON),  # the parts of `controls`: of rows new and changed,
    sa.Column("unchanged_controls", sa.JSON),  # of rows that stood already,
    sa.Column("quarantined_controls", sa.JSON),  # and of rows kept back
    sa.Column("written", sa.String),  # digests of the rows it wrote,
    sa.Column("superseded", sa.String),  # of those it moved to history,
    sa.Column("standing", sa.String),  # and of all that stand after it; see row_proof
    sa.Column("salt", sa.String),
    sa.Column("commitment", sa.String),  # sha256 of salt and digests: what the receipt covers of the four
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String),  # one per root cause: group, dataset and rule
    sa.Column("kind", sa.String),  # held, error, anomaly, late, drift, warehouse
    sa.Column("state", sa.String, nullable=False),  # open, acknowledged, resolved, waived
    sa.Column("assignee", sa.String),
    sa.Column("sentence", sa.String, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("times", sa.BigInteger, nullable=False),  # how often it was seen
    sa.Column("opened_at", sa.DateTime, nullable=False),
    sa.Column("last_seen_at", sa.DateTime, nullable=False),
    sa.Column("resolved_at", sa.DateTime),
    sa.Column("resolution", sa.String),
    sa.Column("resolution_reason", sa.String),  # one of the checkpoint's reasons; NULL when a clean batch solved it
)

incident_events = sa.Table(
    "incident_events",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident", sa.BigInteger, nullable=False),
    sa.Column("happened_at", sa.DateTime, nullable=False),
    sa.Column("who", sa.String, nullable=False),  # a person, or the gate
    sa.Column("action", sa.String, nullable=False),  # opened, seen, acknowledged, assigned, commented, resolved, …
    sa.Column("text", sa.String),
)

waivers = sa.Table(
    "waivers",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("waiver_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("rule_id", sa.String),  # NULL: it raises the group's quota
    sa.Column("table_name", sa.String),
    sa.Column("batch", sa.String),  # only for this batch; NULL: for every batch until it ends
    sa.Column("rules_hash", sa.String),  # for one batch: the rules under which it was held,
    sa.Column("content", sa.String),  # and what was held of it, see waived_content
    sa.Column("keys", sa.JSON),  # only for rows of these keys, lists in the order of the dataset's key
    sa.Column("quota", sa.Float),  # share of rows and of money that may be held instead of the checkpoint's
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("approver", sa.String),  # a second person; needed for what is critical
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("approved_at", sa.DateTime),
    sa.Column("until", sa.DateTime, nullable=False),  # an instant in UTC; at it the waiver has ended
    sa.Column("revoked_at", sa.DateTime),
    sa.Column("revoked_by", sa.String),
)

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("column_name", sa.String),  # NULL: of the whole dataset
    sa.Column("metric", sa.String, nullable=False),  # rows, null_share, distinct, min, max, mean, age_hours, share:<v>
    sa.Column("value", sa.Float),
    sa.Column("window_end", sa.DateTime),
    sa.Column("excluded", sa.Boolean),  # not for training: the batch was held, or an incident says so
)

baselines = sa.Table(
    "baselines",
    metadata,
    sa.Column("rule_id", sa.String, primary_key=True),
    sa.Column("share", sa.Float, nullable=False),  # accepted share of failing rows; only ever lowered
    sa.Column("checked", sa.BigInteger),  # of how many rows
    sa.Column("batch", sa.BigInteger, nullable=False),  # the one it was seen in
    sa.Column("set_at", sa.DateTime, nullable=False),
)


announcements = sa.Table(
    "announcements",
    metadata,
    sa.Column("publication", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("partition", sa.String, nullable=False),
    sa.Column("announced_at", sa.DateTime, nullable=False),
)

pickups = sa.Table(
    "pickups",
    metadata,
    sa.Column("consumer", sa.String, nullable=False),  # a DAG that starts from publications
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("publication", sa.BigInteger, nullable=False),  # the newest one it has started from
    sa.Column("picked_up_at", sa.DateTime, nullable=False),
)

rehearsals = sa.Table(
    "rehearsals",
    metadata,
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("waiting", sa.BigInteger, nullable=False),  # rows in quarantine when a replay was tried
    sa.Column("passing", sa.BigInteger),  # of them would have passed; NULL: could not be judged
    sa.Column("tried_at", sa.DateTime, nullable=False),
)


RECEIPTS_FROM = "receipts from"
"""Setting: the number of the first publication that has a receipt; all after it must."""
COUNTED = (batches, incidents, incident_events, waivers)
"""Tables whose numbers are given by `numbering`, once each."""


def _add_what_is_missing(connection: Connection) -> None:
    """Tables and nullable columns that a version added; what stands is not touched."""
    metadata.create_all(connection)
    query = sa.text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'ops'")
    there = {(row[0], row[1]) for row in connection.execute(query)}
    for table in metadata.tables.values():
        for column in (c for c in table.columns if (table.name, c.name) not in there):
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f'ALTER TABLE ops.{table.name} ADD COLUMN "{column.name}" {kind}')


def _count(connection: Connection) -> None:
    """Version 4: numbers are counted apart from the rows that have them, behind those that are there."""
    _add_what_is_missing(connection)
    given: dict[str, int] = {}
    for table in COUNTED:
        last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))).scalar_one()
        given[table.name] = last = max(int(last), floor(connection, table.name))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"CREATE SEQUENCE ops.{table.name}_number START {last + 1}")
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("CREATE UNIQUE INDEX ON ops.numbers (name)")
    for name in connection.execute(sa.select(batches.c.batch_id)).scalars():
        stem, _, number = name.partition(".")
        given[f"batch {stem}"] = max(given.get(f"batch {stem}", 0), int(number or 1))
    sealed = connection.execute(sa.select(sa.func.min(publications.c.seq)).where(publications.c.receipt.is_not(None)))
    first = sealed.scalar() or horizon(connection) + 1
    connection.execute(settings.delete().where(settings.c.name == RECEIPTS_FROM))
    connection.execute(settings.insert().values(name=RECEIPTS_FROM, value=str(first)))
    if counted := [{"name": name, "given": number} for name, number in given.items() if number]:
        connection.execute(numbers.insert(), counted)


# One transactional step per version: MIGRATIONS[n] brings a ledger of version n to n + 1.
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    1: _add_what_is_missing, 2: _add_what_is_missing, 3: _count,
}  # fmt: skip


def now() -> datetime:
    """UTC without a zone, as every time in the ledger."""
    return datetime.now(tz=UTC).replace(tzinfo=None)


@contextmanager
def writing(warehouse: Warehouse) -> Iterator[Connection]:
    """A transaction in which the ledger is there, created or migrated. Raises what `ensure` raises."""
    with warehouse.transaction() as connection:
        ensure(connection)
        yield connection


def ensure(connection: Connection) -> None:
    """Creates or migrates the ledger inside the caller's transaction.

    Raises PlatformError when the ledger was written by a newer release.
    """
    found = version(connection)
    if found is None:
        _create(connection)
    elif found > VERSION:
        raise PlatformError(
            f"this warehouse's ledger is of version {found}; this release knows up to {VERSION}."
            " Nothing was changed; upgrade dataops, then run this again."
        )
    else:
        _migrate(connection, found)


def version(connection: Connection) -> int | None:
    """Version of the ledger, None where there is none yet."""
    exists = connection.execute(
        sa.text("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'ops' AND table_name = 'settings'")
    ).scalar()
    if not exists:
        return None
    return int(connection.execute(sa.select(settings.c.value).where(settings.c.name == "version")).scalar_one())


def _create(connection: Connection) -> None:
    for schema in SCHEMAS:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    _count(connection)
    failpoint("ledger_created")
    connection.execute(settings.insert().values(name="version", value=str(VERSION)))
    failpoint("ledger_stamped")


def _migrate(connection: Connection, found: int) -> None:
    for step in range(found, VERSION):
        MIGRATIONS[step](connection)
        failpoint("ledger_migrated")
        connection.execute(settings.update().where(settings.c.name == "version").values(value=str(step + 1)))


def floor(connection: Connection, name: str) -> int:
    """The highest number of this kind that may have been given before the warehouse was restored; 0 without one."""
    value = sa.select(settings.c.value).where(settings.c.name == f"floor {name}")
    return int(connection.execute(value).scalar() or 0)


def horizon(connection: Connection) -> int:
    """The newest publication's number: what somebody who begins now can know of."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(publications.c.seq), 0))).scalar_one())


def one(connection: Connection, statement: sa.Select[Any]) -> dict[str, Any] | None:
    """The first row as a dictionary, or None."""
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def rows(connection: Connection, statement: sa.Select[Any]) -> list[dict[str, Any]]:
    """All rows as dictionaries."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def batch(connection: Connection, batch_id: str) -> dict[str, Any] | None:
    """A batch by its id."""
    return one(connection, sa.select(batches).where(batches.c.batch_id == batch_id))


def last_publication(connection: Connection, group: str) -> dict[str, Any] | None:
    """The group's newest publication."""
    where = publications.c.group_name == group
    return one(connection, sa.select(publications).where(where).order_by(publications.c.seq.desc()).limit(1))


def publication(connection: Connection, publication_id: str) -> dict[str, Any] | None:
    """A publication by its id."""
    return one(connection, sa.select(publications).where(publications.c.publication_id == publication_id))


def set_state(connection: Connection, seq: int, state: str, **values: Any) -> None:  # noqa: ANN401  column values
    """Moves a batch to another state."""
    connection.execute(batches.update().where(batches.c.seq == seq).values(state=state, **values))
