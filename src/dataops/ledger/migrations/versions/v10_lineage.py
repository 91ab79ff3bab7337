"""Version 10: events of lineage on their way, and the scheduler's run that a batch is a part of."""

import sqlalchemy as sa
from alembic import op

revision = "10"
down_revision = "9"


def upgrade() -> None:
    """Adds the two tables."""
    op.create_table(
        "events",
        sa.Column("what", sa.String, nullable=False),
        sa.Column("content", sa.String, nullable=False),
        schema="ops",
    )
    op.create_table(
        "batch_roots",
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("namespace", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes them away again, and what only this version can send."""
    for table in ("outbox", "deliveries"):
        op.execute(f"DELETE FROM ops.{table} WHERE kind = 'lineage'")
    op.drop_table("events", schema="ops")
    op.drop_table("batch_roots", schema="ops")
