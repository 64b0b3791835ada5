"""An index for the report of charges by hour: those of a period, without all that came before."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Written nearly in the order of time, so that the smallest kind of index will do.
    op.create_index("ix_attempts_at", "attempts", ["at"], postgresql_using="brin")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
