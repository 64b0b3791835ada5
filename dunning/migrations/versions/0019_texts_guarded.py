"""Programs from before texts may not work beside those that send them."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An older program cannot read a policy with a step `sms`, and does not ask who unsubscribed.
    op.execute("UPDATE fits SET oldest = '0017' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
