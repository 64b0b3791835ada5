"""When a case is looked at next, and who holds it, leave the wide row for a table of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Half of each page stays free, so that even where all of a page are claimed at once PostgreSQL
# finds room for the new version of a row beside the old one, and leaves the indexes alone. Rows
# change several times a step: a vacuum comes early, and does not pause.
_STORAGE = {
    "fillfactor": 50,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_cost_delay": 0,
}

# A lease ends at what was `wake_at`; the moment that led to it was overwritten by it. A case held
# whose next step has been put off meanwhile is looked after when the lease ends, as before.
_MOVE = """
    INSERT INTO schedule (case_id, source, due_at, leased_until, lease_token)
    SELECT id, source,
        CASE WHEN lease_token IS NULL OR next_at IS NULL OR next_at > wake_at
             THEN wake_at ELSE next_at END,
        CASE WHEN lease_token IS NOT NULL THEN wake_at END,
        lease_token
    FROM cases WHERE wake_at IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "schedule",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_schedule")),
        sqlite_with_rowid=False,
        postgresql_with=_STORAGE,
    )
    op.execute(_MOVE)
    op.create_index("ix_schedule_due", "schedule", ["source", "due_at", "case_id"])
    op.drop_index("ix_cases_due", "cases")
    op.drop_index("ix_cases_claimed", "cases")
    op.drop_column("cases", "wake_at")
    op.drop_column("cases", "lease_token")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ANALYZE schedule")
    # Whoever knows only the old columns can neither claim nor write a case.
    op.execute("UPDATE fits SET oldest = '0003'")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
