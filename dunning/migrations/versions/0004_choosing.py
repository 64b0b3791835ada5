"""What conditions ask for: details of people, revenue, and why a policy was chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("customers", sa.Column("since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("customers", sa.Column("pairs", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("details", sa.Text(), nullable=True))
    op.add_column("cases", sa.Column("policy_why", sa.Text(), nullable=True))
    op.create_table(
        "revenues",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_revenues")),
    )
    op.create_index("ix_revenues_customer", "revenues", ["source", "customer"])


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
