"""What all processes share about a source: how far it was asked, its pace, its breaker."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catch_ups",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("invoice", sa.String(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("missed_types", sa.Text(), nullable=False),
        sa.Column("in_a_row", sa.Integer(), nullable=False),
        sa.Column("missed_in_all", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("source", "kind", name=op.f("pk_catch_ups")),
    )
    op.create_table(
        "paces",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("board", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_paces")),
    )
    op.create_table(
        "pulses",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("troubled", sa.Integer(), nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("paid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", "at", "part", name=op.f("pk_pulses")),
    )
    op.create_table(
        "breakers",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("normal", sa.Text(), nullable=False),
        sa.Column("learnt_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_breakers")),
    )
    op.create_table(
        "breaker_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("change", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaker_changes")),
    )
    with op.batch_alter_table("breaker_changes", schema=None) as batch_op:
        batch_op.create_index("ix_breaker_changes_source", ["source", "id"], unique=False)


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
