"""Recurring revenue is booked beside money; what subscriptions bring in is kept as it was told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SQLITE = (
    *(
        f"""
        CREATE TRIGGER recurring_entries_no_{change} BEFORE {change} ON recurring_entries
        BEGIN SELECT RAISE(ABORT, 'the books are append-only; correct them by a counter-entry'); END
        """
        for change in ("update", "delete")
    ),
    """
    CREATE TRIGGER recurring_entries_in_order BEFORE INSERT ON recurring_entries
    WHEN NEW.place IS NOT
        1 + (SELECT count(*) FROM recurring_entries WHERE case_id = NEW.case_id)
    BEGIN SELECT RAISE(ABORT,
        'the books are append-only: an entry takes the place after the last of its case'); END
    """,
    """
    CREATE TRIGGER recurring_entries_not_closed BEFORE INSERT ON recurring_entries
    WHEN coalesce(NEW.posted_at, NEW.occurred_at) < (SELECT max(ends_at) FROM closings)
    BEGIN SELECT RAISE(ABORT, 'the period is closed; book it to the next open one'); END
    """,
)
_POSTGRESQL = (
    """
    CREATE FUNCTION recurring_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the books are append-only; correct them by a counter-entry'; END $$
    """,
    # As for the entries of money: whoever closes a period waits for what is on its way.
    """
    CREATE FUNCTION recurring_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE wrong text;
    BEGIN
        SELECT min(case_id) INTO wrong
        FROM (SELECT case_id, max(place) AS last FROM added GROUP BY case_id) AS fresh
        WHERE last <> (SELECT count(*) FROM recurring_entries AS known
            WHERE known.case_id = fresh.case_id);
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION
                'the books are append-only: an entry takes the place after the last of its case'
                USING ERRCODE = 'unique_violation', DETAIL = wrong;
        END IF;
        PERFORM pg_advisory_xact_lock_shared(715518);
        IF EXISTS (SELECT 1 FROM added
            WHERE coalesce(posted_at, occurred_at) < (SELECT max(ends_at) FROM closings))
        THEN RAISE EXCEPTION 'the period is closed; book it to the next open one';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER recurring_entries_no_change BEFORE UPDATE OR DELETE ON recurring_entries
    FOR EACH ROW EXECUTE FUNCTION recurring_append_only()
    """,
    """
    CREATE TRIGGER recurring_entries_no_truncate BEFORE TRUNCATE ON recurring_entries
    FOR EACH STATEMENT EXECUTE FUNCTION recurring_append_only()
    """,
    """
    CREATE TRIGGER recurring_entries_in_order AFTER INSERT ON recurring_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recurring_in_order()
    """,
)


def upgrade() -> None:
    op.create_table(
        "recurring_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("debit", sa.String(), nullable=False),
        sa.Column("credit", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reverses", sa.String(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_period", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recurring_entries")),
    )
    op.create_index(
        "uq_recurring_entries_case", "recurring_entries", ["case_id", "place"], unique=True
    )
    op.create_index(
        "ix_recurring_entries_subscription", "recurring_entries", ["source", "subscription"]
    )
    op.create_index("ix_recurring_entries_occurred", "recurring_entries", ["occurred_at"])
    posted = sa.text("posted_at IS NOT NULL")
    op.create_index(
        "ix_recurring_entries_posted",
        "recurring_entries",
        ["posted_at"],
        sqlite_where=posted,
        postgresql_where=posted,
    )
    op.add_column("subscriptions", sa.Column("monthly", sa.Text(), nullable=True))
    op.add_column(
        "proofs",
        sa.Column("last_recurring", sa.BigInteger(), nullable=False, server_default="0"),
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
    # An older program would write facts back without what subscriptions bring in.
    op.execute("UPDATE fits SET oldest = '0015' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
