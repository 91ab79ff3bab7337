"""Version 5: a batch's life and the gate's verdict on it are two columns."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"

UNJUDGED = "SELECT batch FROM ops.check_results WHERE outcome = 'error'"


def upgrade() -> None:
    """What a discarded batch was held for follows from its rules' results."""
    op.add_column("batches", sa.Column("verdict", sa.String), schema="ops")
    op.execute("UPDATE ops.batches SET verdict = 'PASSED' WHERE state IN ('published', 'unchanged')")
    op.execute(
        f"UPDATE ops.batches SET verdict = CASE WHEN seq IN ({UNJUDGED}) THEN 'ERROR' ELSE 'FAILED' END"
        " WHERE state = 'discarded' AND judged_at IS NOT NULL"
    )
    op.execute(
        "UPDATE ops.batches SET verdict = UPPER(state), state = 'judged' WHERE state IN ('passed', 'failed', 'error')"
    )


def downgrade() -> None:
    """One column again; the verdict on a settled batch is lost."""
    op.execute("UPDATE ops.batches SET state = LOWER(verdict) WHERE state = 'judged'")
    op.drop_column("batches", "verdict", schema="ops")
