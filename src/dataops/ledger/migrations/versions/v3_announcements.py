"""Version 3: who was told of which publication, who started from it, what a replay would pass."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Adds the three tables."""
    op.create_table(
        "announcements",
        sa.Column("publication", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.String, nullable=False),
        sa.Column("announced_at", sa.DateTime, nullable=False),
        schema="ops",
    )
    op.create_table(
        "pickups",
        sa.Column("consumer", sa.String, nullable=False),
        sa.Column("group_name", sa.String, nullable=False),
        sa.Column("publication", sa.BigInteger, nullable=False),
        sa.Column("picked_up_at", sa.DateTime, nullable=False),
        schema="ops",
    )
    op.create_table(
        "rehearsals",
        sa.Column("group_name", sa.String, nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("waiting", sa.BigInteger, nullable=False),
        sa.Column("passing", sa.BigInteger),
        sa.Column("tried_at", sa.DateTime, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes them away again."""
    for table in ("announcements", "pickups", "rehearsals"):
        op.drop_table(table, schema="ops")
