"""Two years of cases, entries, charges and subscriptions as bulk data, to time reports on."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import DDL, Engine, text
from sqlmodel import Session

from dunning.config import load_policies, read_policy_text
from dunning.messages import Messages
from dunning.pinned import row_of
from dunning.store import PolicyRow, add_rows, transaction

MONTHS = 24

_CUSTOMERS = """
INSERT INTO customers (source, id, as_of, country, timezone)
SELECT 'stripe', 'cus_' || n, :began, (ARRAY['DE', 'US', 'FR', NULL])[1 + n % 4],
 (ARRAY['Europe/Berlin', 'America/New_York', NULL])[1 + n % 3]
FROM generate_series(0, :customers - 1) AS n
"""
# One of five ends, spread evenly.
_SUBSCRIPTIONS = """
INSERT INTO subscriptions (source, id, as_of, customer, status, started_at, ended_at, end_reason,
 ended_by_us, recurring, currency, details)
SELECT 'stripe', 'sub_' || n, :began, 'cus_' || n % :customers, 'active',
 CAST(:began AS timestamptz) - interval '90 days',
 CASE WHEN n % 5 = 0 THEN CAST(:began AS timestamptz)
 + n * (interval '1 second' * :step * :cases / :subscriptions) END,
 CASE WHEN n % 10 = 0 THEN 'payment_failed' WHEN n % 5 = 0 THEN 'cancellation_requested' END,
 false, 1000 + n % 9000, (ARRAY['usd', 'eur', 'jpy'])[1 + n % 3],
 '{"plans": ["plan_' || n % 7 || '"], "yearly": [' || 12 * (1000 + n % 9000) || ', "'
 || (ARRAY['usd', 'eur', 'jpy'])[1 + n % 3] || '"]}'
FROM generate_series(0, :subscriptions - 1) AS n
"""
# A case for every two entries: seven of ten are paid, the rest is lost, or open while it is young.
_CASES = """
INSERT INTO cases (id, source, provider, invoice, customer, subscription, scope, state, access,
 currency, amount_due, amount_at_risk, decline_code, advice, policy, policy_version, opened_at,
 recorded_at, closed_at, facts, version)
SELECT 'case_' || n, 'stripe', 'stripe', 'in_' || n, 'cus_' || sub % :customers, 'sub_' || sub,
 'sub_' || sub, CASE WHEN n % 10 < 7 THEN 'recovered' WHEN is_over THEN 'lost'
 ELSE 'in_grace' END, 'full', (ARRAY['usd', 'eur', 'jpy'])[1 + sub % 3], 1000 + n % 9000,
 CASE WHEN is_over THEN 0 ELSE 1000 + n % 9000 END,
 (ARRAY['insufficient_funds', 'expired_card', 'do_not_honor'])[1 + n % 3], 'retry', :policy,
 :version, at, at, CASE WHEN is_over THEN at + interval '5 days' END, '{}', 1
FROM (SELECT n, n % :subscriptions AS sub, at, n % 10 < 7 OR at < CAST(:young AS timestamptz)
 AS is_over FROM (SELECT n, CAST(:began AS timestamptz) + n * (interval '1 second' * :step) AS at
 FROM generate_series(1, :cases) AS n) AS timed) AS made
"""
_ENTRY = """
INSERT INTO entries (key, base, case_id, place, source, debit, credit, amount, currency, cause, how,
 occurred_at, recorded_at, email_step, email_template, click)
"""
_OPENED = """
SELECT id || '/opened:owed', id || '/opened:owed', id, 1, source, 'owed', 'at_risk', amount_due,
 currency, 'failed', '', opened_at, opened_at, NULL, NULL, NULL FROM cases
"""
# One of twenty payments comes in two parts.
_ENDED = """
SELECT id || '/end', id || '/end', id, 2, source, 'at_risk',
 CASE state WHEN 'lost' THEN 'lost' ELSE 'recovered' END,
 CASE WHEN state = 'recovered' AND amount_due % 20 = 3 THEN 500 ELSE amount_due END, currency,
 CASE state WHEN 'lost' THEN 'given_up' ELSE 'paid' END, CASE state WHEN 'lost' THEN '' ELSE
 (ARRAY['retry:1', 'retry:2', 'link', 'natural', 'provider_retry'])[1 + amount_due % 5] END,
 closed_at, closed_at, CASE state WHEN 'recovered' THEN 'email:1' END,
 CASE state WHEN 'recovered' THEN 'first' END, CASE state WHEN 'recovered' THEN '' END
FROM cases WHERE closed_at IS NOT NULL
"""
_PARTS = """
SELECT id || '/rest', id || '/rest', id, 3, source, 'at_risk', 'recovered', amount_due - 500,
 currency, 'paid', 'link', closed_at + interval '1 day', closed_at + interval '1 day', 'email:1',
 'first', '' FROM cases WHERE state = 'recovered' AND amount_due % 20 = 3
"""
_REFUNDS = """
SELECT id || '/back', id || '/back', id, 3, source, 'recovered', 'refunded', amount_due, currency,
 'refund', '', closed_at + interval '9 days', closed_at + interval '9 days', NULL, NULL, NULL
FROM cases WHERE state = 'recovered' AND amount_due % 50 = 7
"""
_ATTEMPTS = """
INSERT INTO attempts (source, id, case_id, at, status, amount, currency, by, key, network)
SELECT source, 'ch_' || turn || id, id, CASE turn WHEN 1 THEN opened_at
 ELSE coalesce(closed_at, opened_at + interval '1 day') END,
 CASE WHEN turn = 2 AND state = 'recovered' THEN 'succeeded' ELSE 'declined' END, amount_due,
 currency, CASE turn WHEN 1 THEN 'provider' ELSE 'ours' END,
 CASE turn WHEN 2 THEN id || '/retry:1' END, (ARRAY['visa', 'mastercard'])[1 + amount_due % 2]
FROM cases, generate_series(1, 2) AS turn
"""
_SUSPENDED = """
INSERT INTO steps (key, case_id, kind, state, due_at, started_at, first_started_at, ended_at,
 result, why, tries, refusals, policy_version)
SELECT id || '/suspend', id, 'suspend', 'ended', at, at, at, at, 'done', '', 1, 0, policy_version
FROM (SELECT *, opened_at + interval '3 days' AS at FROM cases WHERE amount_due % 5 = 2) AS late
"""
_MONTHLY = """
INSERT INTO recurring_entries (key, base, case_id, place, source, subscription, debit, credit,
 amount, currency, cause, how, occurred_at, recorded_at)
SELECT id || '/m' || turn, id || '/m' || turn, id, turn, source, subscription,
 CASE turn WHEN 1 THEN 'running' ELSE 'at_risk' END,
 CASE WHEN turn = 1 THEN 'at_risk' WHEN state = 'lost' THEN 'lost' ELSE 'saved' END,
 1000, currency, CASE WHEN turn = 1 THEN 'failed' WHEN state = 'lost' THEN 'given_up' ELSE 'paid'
 END, CASE WHEN turn = 2 AND state = 'recovered' THEN 'retry:1' ELSE '' END,
 CASE turn WHEN 1 THEN opened_at ELSE closed_at END,
 CASE turn WHEN 1 THEN opened_at ELSE closed_at END
FROM cases, generate_series(1, 2) AS turn WHERE turn = 1 OR closed_at IS NOT NULL
"""
_ROLLUPS = """
INSERT INTO rollups (source, month, currency, debit, credit, cause, how, slot, amount, entries)
SELECT source, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM'), currency, debit, credit, cause,
 how, 0, sum(amount), count(*) FROM entries GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_PARTITION = """
CREATE TABLE %(name)s PARTITION OF entries
FOR VALUES FROM ('%(from)s 00:00+00') TO ('%(to)s 00:00+00')
"""


def fill(engine: Engine, entries: int, now: datetime) -> None:
    """Cases and entries as bulk data: what guards the ledger is told to look away."""
    text_of_file, name = read_policy_text(None)
    names = Messages().names()
    file = load_policies(text_of_file, filename=name, environ=None, known_templates=names)
    policy = next(iter(file.policies.values()))
    cases = entries // 2
    began = now - timedelta(days=30 * MONTHS)
    words = {
        "cases": cases,
        # Each fails twice in the two years, and every other customer has two of them.
        "customers": max(1, cases // 3),
        "subscriptions": max(1, cases // 2),
        "began": began,
        "step": 30 * MONTHS * 86_400 / (cases + 1),
        "young": now - timedelta(days=28),
        "policy": policy.name,
        "version": policy.version,
    }
    with transaction(engine) as session:
        add_rows(session, PolicyRow, [row_of(policy, policy.version, now)])
        session.execute(text("SET LOCAL session_replication_role = replica"))
        _months(session, began, now)
        for statement in (_CUSTOMERS, _SUBSCRIPTIONS, _CASES):
            session.execute(text(statement), words)
        for statement in (_OPENED, _ENDED, _PARTS, _REFUNDS):
            session.execute(text(_ENTRY + statement))
        for statement in (_ATTEMPTS, _SUSPENDED, _MONTHLY, _ROLLUPS):
            session.execute(text(statement))
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


def _months(session: Session, began: datetime, now: datetime) -> None:
    """The partitions that would have been made as time went by."""
    first = session.execute(
        text(
            "SELECT min(substring(pg_get_expr(relpartbound, oid) from '\\d{4}-\\d{2}-\\d{2}'))"
            " FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits"
            " WHERE inhparent = 'entries'::regclass)"
        )
    ).scalar_one()
    ends = datetime.fromisoformat(first).replace(day=1, tzinfo=now.tzinfo) if first else now
    while ends > began:
        starts = (ends - timedelta(days=1)).replace(day=1)
        words = {"name": f"entries_was_{starts:%Y%m}", "from": starts.date(), "to": ends.date()}
        statement = DDL(_PARTITION, context=words)  # type: ignore[no-untyped-call]
        session.connection().execute(statement)
        ends = starts
