"""Version 11: where a live source stood when a batch was read from it."""

import sqlalchemy as sa
from alembic import op

revision = "11"
down_revision = "10"


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "readings",
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("identity", sa.String, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("now", sa.DateTime, nullable=False),
        sa.Column("oldest", sa.BigInteger, nullable=False),
        sa.Column("next", sa.BigInteger, nullable=False),
        sa.Column("deletions", sa.BigInteger),
        sa.Column("settled", sa.DateTime, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes it away again; what changed since is then found by comparing."""
    op.drop_table("readings", schema="ops")
