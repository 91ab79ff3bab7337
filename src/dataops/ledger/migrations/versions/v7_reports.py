"""Version 7: reports that were made, with the files of each, and figures in them that changed later."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    """Adds the two tables."""
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
    op.create_table(
        "restatements",
        sa.Column("report", sa.String, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("cell", sa.String, nullable=False),
        sa.Column("before", sa.String),
        sa.Column("after", sa.String),
        sa.Column("told", sa.BigInteger, nullable=False),
        sa.Column("publication", sa.BigInteger, nullable=False),
        sa.Column("causes", sa.JSON, nullable=False),
        sa.Column("rows", sa.JSON, nullable=False),
        sa.Column("rows_changed", sa.BigInteger, nullable=False),
        sa.Column("noted_at", sa.DateTime, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes them away again; the files stay."""
    op.drop_table("restatements", schema="ops")
    op.drop_table("reports", schema="ops")
