"""Version 4: numbers are counted apart from the rows that have them; digests of a publication's rows."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"

COUNTED = ("batches", "incidents", "incident_events", "waivers")
RECEIPTS_FROM = "receipts from"
COLUMNS = {
    "publications": ("results",),
    "publication_datasets": ("written", "superseded", "standing", "salt", "commitment"),
    "waivers": ("content",),
}


def upgrade() -> None:
    """Adds what version 3 had not, and counts on behind the numbers that were given."""
    for table, columns in COLUMNS.items():
        for name in columns:
            op.add_column(table, sa.Column(name, sa.String), schema="ops")
    numbers = op.create_table(
        "numbers",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("given", sa.BigInteger, nullable=False),
        schema="ops",
    )
    given = _given()
    if _has_sequences():
        op.execute("CREATE UNIQUE INDEX ON ops.numbers (name)")
        for table in COUNTED:
            op.execute(f"CREATE SEQUENCE ops.{table}_number START {given.get(table, 0) + 1}")
    if given:
        op.bulk_insert(numbers, [{"name": name, "given": number} for name, number in given.items()])
    first = _one("SELECT MIN(seq) FROM ops.publications WHERE receipt IS NOT NULL")
    first = first or _one("SELECT MAX(seq) FROM ops.publications") + 1
    op.execute(f"INSERT INTO ops.settings (name, value) VALUES ('{RECEIPTS_FROM}', '{first}')")


def _given() -> dict[str, int]:
    """The highest numbers so far, by kind; a batch's id may end in the number of its delivery."""
    given = {}
    for table in COUNTED:
        floor = _one(f"SELECT value FROM ops.settings WHERE name = 'floor {table}'")
        given[table] = max(_one(f"SELECT MAX(seq) FROM ops.{table}"), floor)
    for (name,) in op.get_bind().exec_driver_sql("SELECT batch_id FROM ops.batches").fetchall():
        stem, _, number = name.partition(".")
        given[f"batch {stem}"] = max(given.get(f"batch {stem}", 0), int(number or 1))
    return {name: number for name, number in given.items() if number}


def _one(sql: str) -> int:
    """The number that the query gives; 0 where there is none."""
    return int(op.get_bind().exec_driver_sql(sql).scalar() or 0)


def _has_sequences() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def downgrade() -> None:
    """Takes it away again."""
    op.execute(f"DELETE FROM ops.settings WHERE name = '{RECEIPTS_FROM}'")
    for table in COUNTED if _has_sequences() else ():
        op.execute(f"DROP SEQUENCE ops.{table}_number")
    op.drop_table("numbers", schema="ops")
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name, schema="ops")
