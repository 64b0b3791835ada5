"""Staff notices: what was found and told, and the indexes by which it is found quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "staff_marks",
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("began_at", TIME, nullable=False),
        sa.Column("seen_to", TIME, nullable=False),
        sa.Column("told_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_staff_marks")),
    )
    op.create_table(
        "staff_news",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("alert", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("notice", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_staff_news")),
    )
    op.create_index("ix_staff_news_found", "staff_news", ["found_at"])
    partial("ix_staff_news_untold", "staff_news", ["alert", "found_at"], "notice IS NULL")
    op.create_table(
        "staff_notices",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("alert", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("wake_at", TIME, nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_notices")),
    )
    op.create_index("uq_staff_notices_key", "staff_notices", ["key"], unique=True)
    op.create_index("ix_staff_notices_created", "staff_notices", ["created_at"])
    partial("ix_staff_notices_pending", "staff_notices", ["wake_at", "id"], "state = 'pending'")
    # What staff are told of is found without reading whole tables.
    op.create_index("ix_cases_recorded", "cases", ["recorded_at"])
    partial("ix_steps_told", "steps", ["ended_at"], "kind = 'suspend' OR result = 'doubtful'")
    partial("ix_outbox_dead", "outbox", ["wake_at"], "state = 'dead'")


def partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
