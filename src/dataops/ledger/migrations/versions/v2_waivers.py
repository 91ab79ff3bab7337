"""Version 2: waivers, histories of incidents, metrics, baselines, receipts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = None

COLUMNS: dict[str, list[tuple[str, type[sa.types.TypeEngine[Any]]]]] = {
    "batches": [("waivers", sa.JSON)],
    "publications": [("waivers", sa.JSON), ("receipt", sa.String), ("previous_receipt", sa.String)],
    "publication_datasets": [
        ("published_controls", sa.JSON),
        ("unchanged_controls", sa.JSON),
        ("quarantined_controls", sa.JSON),
    ],
    "incidents": [
        ("fingerprint", sa.String),
        ("kind", sa.String),
        ("assignee", sa.String),
        ("resolution_reason", sa.String),
    ],
}
TABLES = ("incident_events", "waivers", "metrics", "baselines")


def upgrade() -> None:
    """Adds what version 1 had not."""
    for table, columns in COLUMNS.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind), schema="ops")
    op.create_table(
        "incident_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("incident", sa.BigInteger, nullable=False),
        sa.Column("happened_at", sa.DateTime, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("text", sa.String),
        schema="ops",
    )
    op.create_table(
        "waivers",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("waiver_id", sa.String, nullable=False, unique=True),
        sa.Column("group_name", sa.String, nullable=False),
        sa.Column("rule_id", sa.String),
        sa.Column("table_name", sa.String),
        sa.Column("batch", sa.String),
        sa.Column("rules_hash", sa.String),
        sa.Column("keys", sa.JSON),
        sa.Column("quota", sa.Float),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("approver", sa.String),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("approved_at", sa.DateTime),
        sa.Column("until", sa.DateTime, nullable=False),
        sa.Column("revoked_at", sa.DateTime),
        sa.Column("revoked_by", sa.String),
        schema="ops",
    )
    op.create_table(
        "metrics",
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("column_name", sa.String),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("window_end", sa.DateTime),
        sa.Column("excluded", sa.Boolean),
        schema="ops",
    )
    op.create_table(
        "baselines",
        sa.Column("rule_id", sa.String, primary_key=True),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("checked", sa.BigInteger),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("set_at", sa.DateTime, nullable=False),
        schema="ops",
    )


def downgrade() -> None:
    """Takes it away again."""
    for table in TABLES:
        op.drop_table(table, schema="ops")
    for table, columns in COLUMNS.items():
        for name, _ in columns:
            op.drop_column(table, name, schema="ops")
