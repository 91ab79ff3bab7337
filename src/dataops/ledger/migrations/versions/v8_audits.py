"""Version 8: audits of what is published, what they found, and how each dataset scored."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    """Adds the three tables."""
    op.create_table(
        "audits",
        sa.Column("audited_at", sa.DateTime, nullable=False),
        sa.Column("source", sa.String),
        sa.Column("problem", sa.String),
        sa.Column("publication", sa.BigInteger, nullable=False),
        schema="ops",
    )
    op.create_table(
        "audit_findings",
        sa.Column("audited_at", sa.DateTime, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("says", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger),
        sa.Column("sample", sa.JSON, nullable=False),
        schema="ops",
    )
    op.create_table(
        "audit_scores",
        sa.Column("audited_at", sa.DateTime, nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("dimension", sa.String, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes them away again."""
    for table in ("audit_scores", "audit_findings", "audits"):
        op.drop_table(table, schema="ops")
