"""What customers had last heard and done before they paid; the segments a case began in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("email_step", "email_template", "click"):
        op.add_column("entries", sa.Column(name, sa.Text(), nullable=True))
    for name in ("email_at", "click_at"):
        op.add_column("entries", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("cases", sa.Column("segments", sa.Text(), nullable=True))


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
