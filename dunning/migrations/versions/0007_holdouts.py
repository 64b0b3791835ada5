"""Hold-outs: the group of a case, and when its window closes; a program without them goes on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("holdout_of", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("holdout_terms", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("holdout_group", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("matures_at", sa.DateTime(timezone=True), nullable=True))
    # An older program would write a case's facts back without its group.
    op.execute("UPDATE fits SET oldest = '0007' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
