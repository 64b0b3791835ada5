"""What comes back of emails: reports of bounces and complaints, addresses marked bad."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "bad_addresses",
        sa.Column("id", _ID, nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.String(), nullable=True),
        sa.Column("cleared_why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bad_addresses")),
    )
    op.create_index("ix_bad_addresses_address", "bad_addresses", ["address", "id"])
    marked = sa.text("cleared_at IS NULL")
    op.create_index(
        "uq_bad_addresses_marked",
        "bad_addresses",
        ["address"],
        unique=True,
        postgresql_where=marked,
        sqlite_where=marked,
    )
    op.create_table(
        "returns",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("step_key", sa.String(), nullable=True),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_returns")),
    )
    op.create_index("uq_returns_key", "returns", ["key"], unique=True)
    op.create_index("ix_returns_address", "returns", ["address", "id"])
    known = sa.text("step_key IS NOT NULL")
    op.create_index(
        "ix_returns_step", "returns", ["step_key"], postgresql_where=known, sqlite_where=known
    )
    # Reports name a recipient where they do not name a message.
    op.create_index("ix_messages_recipient", "messages", ["recipient", "at"])


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
