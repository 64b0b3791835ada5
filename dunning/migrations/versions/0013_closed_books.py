"""Closed periods: what is heard of one later is booked to the next, and its statement is sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_SQLITE = (
    """
    CREATE TRIGGER entries_not_closed BEFORE INSERT ON entries
    WHEN coalesce(NEW.posted_at, NEW.occurred_at) < (SELECT max(ends_at) FROM closings)
    BEGIN SELECT RAISE(ABORT, 'the period is closed; book it to the next open one'); END
    """,
    """
    CREATE TRIGGER closings_in_order BEFORE INSERT ON closings
    WHEN NEW.ends_at <= NEW.starts_at
        OR NEW.starts_at IS NOT coalesce((SELECT max(ends_at) FROM closings), NEW.starts_at)
    BEGIN SELECT RAISE(ABORT, 'a period is closed once, right after the one before it'); END
    """,
    """
    CREATE TRIGGER statements_in_order BEFORE INSERT ON statements
    WHEN EXISTS (SELECT 1 FROM statements WHERE period >= NEW.period)
        OR NOT EXISTS (SELECT 1 FROM closings WHERE period = NEW.period)
    BEGIN SELECT RAISE(ABORT, 'a statement is written once, in order, of a closed period'); END
    """,
    *(
        f"""
        CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}
        BEGIN SELECT RAISE(ABORT, 'closed books are never changed'); END
        """
        for table in ("closings", "statements")
        for change in ("update", "delete")
    ),
)
_POSTGRESQL = (
    # Whoever adds entries shares this lock until the end of the transaction; whoever closes a
    # period takes it alone. So what is closed holds every entry that was on its way.
    """
    CREATE OR REPLACE FUNCTION entries_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE wrong text;
    BEGIN
        WITH fresh AS (
            SELECT case_id, count(*) AS number, count(DISTINCT place) AS places,
                min(place) AS first, max(place) AS last
            FROM added GROUP BY case_id
        ), counted AS (
            INSERT INTO tallies AS known (case_id, entries)
            SELECT case_id, number FROM fresh ORDER BY case_id
            ON CONFLICT (case_id) DO UPDATE SET entries = known.entries + excluded.entries
            RETURNING case_id, entries
        )
        SELECT min(case_id) INTO wrong FROM fresh JOIN counted USING (case_id)
        WHERE last <> entries OR first <> entries - number + 1 OR places <> number;
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION
                'the ledger is append-only: an entry takes the place after the last of its case'
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
    CREATE FUNCTION closings_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.ends_at <= NEW.starts_at OR
            NEW.starts_at <> coalesce((SELECT max(ends_at) FROM closings), NEW.starts_at)
        THEN RAISE EXCEPTION 'a period is closed once, right after the one before it';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER closings_in_order BEFORE INSERT ON closings
    FOR EACH ROW EXECUTE FUNCTION closings_in_order()
    """,
    """
    CREATE FUNCTION statements_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM statements WHERE period >= NEW.period)
            OR NOT EXISTS (SELECT 1 FROM closings WHERE period = NEW.period)
        THEN RAISE EXCEPTION 'a statement is written once, in order, of a closed period';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER statements_in_order BEFORE INSERT ON statements
    FOR EACH ROW EXECUTE FUNCTION statements_in_order()
    """,
    """
    CREATE FUNCTION closed_books() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'closed books are never changed'; END $$
    """,
    *(
        statement
        for table in ("closings", "statements")
        for statement in (
            f"""
            CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION closed_books()
            """,
            f"""
            CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION closed_books()
            """,
        )
    ),
)


def upgrade() -> None:
    op.add_column("entries", sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("entries", sa.Column("closed_period", sa.String(), nullable=True))
    posted = sa.text("posted_at IS NOT NULL")
    op.create_index(
        "ix_entries_posted",
        "entries",
        ["posted_at"],
        sqlite_where=posted,
        postgresql_where=posted,
    )
    op.create_table(
        "closings",
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("loose_ends", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_closings")),
    )
    op.create_table(
        "statements",
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_statements")),
    )
    op.create_table(
        "proofs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_entry", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("cases", sa.BigInteger(), nullable=False),
        sa.Column("totals", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proofs")),
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
    # An older program would go on booking into closed periods, and be refused.
    op.execute("UPDATE fits SET oldest = '0013' WHERE id = 1")


def downgrade() -> None:
    """Refused, as of every migration: a program does not go back on its own."""
    message = "there is no way back to an older version; restore a backup"
    raise RuntimeError(message)
