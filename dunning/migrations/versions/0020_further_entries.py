"""An index of the entries that a case has beyond its first two, to count its cases once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    further = sa.text("place <> 2 AND debit <> 'owed'")
    op.create_index(
        "ix_entries_further",
        "entries",
        ["occurred_at"],
        sqlite_where=further,
        postgresql_where=further,
    )


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
