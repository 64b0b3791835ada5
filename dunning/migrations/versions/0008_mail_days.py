"""The days on which customers were written to: one message a day, whoever sends it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mail_days",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("step_key", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("cases", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source", "customer", "day", name="pk_mail_days"),
    )
    # An older program would write a second message of a day, and forget what was said elsewhere.
    op.execute("UPDATE fits SET oldest = '0008' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
