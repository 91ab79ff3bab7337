"""Version 6: what a build made lies in a table of its own number; `candidate.<table>` is a view for built ones too."""

import re

from alembic import op

revision = "6"
down_revision = "5"

MADE = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'candidate' AND table_type = 'BASE TABLE'"
NUMBERED = re.compile(r"_(keys_)?\d+_(\w+)")


def upgrade() -> None:
    """A build that waits to be published has to be made again: whose rows these are is not written in them."""
    for name in _made():
        op.execute(f"DROP TABLE candidate.{name}")


def downgrade() -> None:
    """The rows of the newest build under their old names."""
    for name in _made():
        keys, table = NUMBERED.findall(name)[0]
        if not keys:
            op.execute(f"DROP VIEW IF EXISTS candidate.{table}")
        op.execute(f"ALTER TABLE candidate.{name} RENAME TO {'affected_' if keys else ''}{table}")


def _made() -> list[str]:
    return [str(name) for (name,) in op.get_bind().exec_driver_sql(MADE).fetchall()]
