"""One file per version; alembic finds them here."""
