"""What people do by hand: exemptions of customers, and why a case stands still."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exemptions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exemptions")),
    )
    op.create_index("ix_exemptions_customer", "exemptions", ["source", "customer", "at"])
    op.add_column("acts", sa.Column("about", sa.Text(), nullable=True))
    op.add_column("cases", sa.Column("standing", sa.String(), nullable=True))
    op.add_column("cases", sa.Column("standing_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attempts", sa.Column("method_type", sa.String(), nullable=True))
    op.add_column("attempts", sa.Column("network_advice_code", sa.String(), nullable=True))
    # An older program would write a case back without the promises and exemptions it knows not.
    op.execute("UPDATE fits SET oldest = '0005' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
