"""What the first migration makes beside tables: default partitions, and the guards of the ledger.

As much a part of that migration as its tables: a later one changes the database, not this page.
"""

from __future__ import annotations

_SQLITE = (
    """
    CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only; correct it by a counter-entry'); END
    """,
    """
    CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only; correct it by a counter-entry'); END
    """,
    """
    CREATE TRIGGER entries_in_order BEFORE INSERT ON entries WHEN NEW.place IS NOT
        1 + coalesce((SELECT entries FROM tallies WHERE case_id = NEW.case_id), 0)
    BEGIN SELECT RAISE(ABORT,
        'the ledger is append-only: an entry takes the place after the last of its case'); END
    """,
    """
    CREATE TRIGGER entries_counted AFTER INSERT ON entries
    BEGIN
        INSERT INTO tallies (case_id, entries) VALUES (NEW.case_id, 1)
        ON CONFLICT (case_id) DO UPDATE SET entries = tallies.entries + 1;
    END
    """,
)
_POSTGRESQL = (
    # The ids of the inbox end in this counter.
    "ALTER SEQUENCE inbox_id_seq MAXVALUE 999999999 CYCLE",
    # A key of two columns gets no counter by itself.
    "CREATE SEQUENCE entries_id_seq OWNED BY entries.id",
    "ALTER TABLE entries ALTER id SET DEFAULT nextval('entries_id_seq')",
    # A webhook is written once and read once. Where lz4 is not built in, PostgreSQL's own way of
    # compressing costs more than all the rest of keeping it: there it is stored as it came.
    """
    DO $$ BEGIN
        IF (SELECT 'lz4' = ANY(enumvals) FROM pg_settings
            WHERE name = 'default_toast_compression')
        THEN ALTER TABLE inbox ALTER body SET COMPRESSION lz4;
        ELSE ALTER TABLE inbox ALTER body SET STORAGE EXTERNAL; END IF;
    END $$
    """,
    # A place for what comes before its own partition was made; nothing is ever refused.
    "CREATE TABLE inbox_rest PARTITION OF inbox DEFAULT",
    "CREATE TABLE seen_rest PARTITION OF seen DEFAULT",
    "CREATE TABLE attempts_rest PARTITION OF attempts DEFAULT",
    "CREATE TABLE entries_rest PARTITION OF entries DEFAULT",
    """
    CREATE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the ledger is append-only; correct it by a counter-entry'; END $$
    """,
    """
    CREATE FUNCTION entries_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
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
        RETURN NULL;
    END $$
    """,
    # PostgreSQL gives this one to every partition by itself, the other two not.
    """
    CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION entries_append_only()
    """,
    """
    CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_append_only()
    """,
    """
    CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON entries_rest
    FOR EACH STATEMENT EXECUTE FUNCTION entries_append_only()
    """,
    """
    CREATE TRIGGER entries_in_order AFTER INSERT ON entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION entries_in_order()
    """,
    """
    CREATE TRIGGER entries_in_order AFTER INSERT ON entries_rest REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION entries_in_order()
    """,
)
FOLLOWING = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
