"""An index of the counter-entries of recurring revenue, which are few."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    counters = sa.text("reverses IS NOT NULL")
    op.create_index(
        "ix_recurring_entries_counter",
        "recurring_entries",
        ["reverses"],
        sqlite_where=counters,
        postgresql_where=counters,
    )


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
