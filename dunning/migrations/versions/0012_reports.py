"""Indexes for reports of a period: what failed, was recorded or ended in it."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_cases_opened", "cases", ["opened_at"])
    op.create_index("ix_subscriptions_ended", "subscriptions", ["ended_at"])
    # Written in the order of time, so that the smallest kind of index will do.
    op.create_index("ix_entries_recorded", "entries", ["recorded_at"], postgresql_using="brin")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
