"""Version 7: reports that were made, with the files of each."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "reports",
        sa.Column("report_id", sa.String, nullable=False),
        sa.Column("report", sa.String, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("publication", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("headline", sa.String, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("made_at", sa.DateTime, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes it away again; the files stay."""
    op.drop_table("reports", schema="ops")
