"""Kinds of case: what is known of renewals and cards, and who is to be looked at again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    kind = sa.Column("kind", sa.String(), nullable=False, server_default="recovery")
    op.add_column("cases", kind)
    op.add_column("customers", sa.Column("default_method", sa.String(), nullable=True))
    op.add_column("subscriptions", sa.Column("outlook", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("renews_at", moment, nullable=True))
    op.add_column("subscriptions", sa.Column("upcoming", sa.Text(), nullable=True))
    op.create_index("ix_subscriptions_renews_at", "subscriptions", ["source", "renews_at", "id"])
    expiry = ["source", "exp_year", "exp_month", "id"]
    op.create_index("ix_payment_methods_expiry", "payment_methods", expiry)
    op.create_table(
        "look_again",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("customer", sa.String(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.PrimaryKeyConstraint("source", "customer", name=op.f("pk_look_again")),
    )
    op.create_index("ix_look_again_since", "look_again", ["since"])
    op.create_table(
        "lookouts",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("policies", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("began_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.Column("subscription", sa.String(), nullable=True),
        sa.Column("filled_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_lookouts")),
    )
    # An older program would write a notice back without what it tells of.
    op.execute("UPDATE fits SET oldest = '0009' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
