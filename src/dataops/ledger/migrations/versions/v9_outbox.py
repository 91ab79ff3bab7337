"""Version 9: what must be told, and what became of telling it."""

import sqlalchemy as sa
from alembic import op

revision = "9"
down_revision = "8"

TABLES = ("outbox", "deliveries")


def upgrade() -> None:
    """Adds the two tables, and what counts their rows."""
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("happened_at", sa.DateTime, nullable=False),
        sa.Column("routed_at", sa.DateTime),
        sa.Column("doubted", sa.Boolean),
        schema="ops",
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("whom", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("tried_at", sa.DateTime),
        sa.Column("settled_at", sa.DateTime),
        sa.Column("remote", sa.String),
        sa.Column("problem", sa.String),
        sa.Column("who", sa.String),
        sa.Column("reason", sa.String),
        schema="ops",
    )
    for table in TABLES if _has_sequences() else ():
        op.execute(f"CREATE SEQUENCE ops.{table}_number START {_floor(table) + 1}")


def _floor(table: str) -> int:
    """The highest number that may have been given before the warehouse was restored."""
    floor = f"SELECT value FROM ops.settings WHERE name = 'floor {table}'"
    return int(op.get_bind().exec_driver_sql(floor).scalar() or 0)


def _has_sequences() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def downgrade() -> None:
    """Takes them away again."""
    for table in TABLES:
        op.drop_table(table, schema="ops")
        if _has_sequences():
            op.execute(f"DROP SEQUENCE ops.{table}_number")
