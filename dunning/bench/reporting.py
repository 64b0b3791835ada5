"""How long reports take, for a month and for all there is, beside SQL written by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import DDL, Engine, text
from sqlmodel import Session

from dunning import reports, store
from dunning.bench.goals import Findings, Goal
from dunning.bench.servers import DurablePostgres
from dunning.clock import SystemClock
from dunning.config import load_policies, read_policy_text
from dunning.messages import Messages
from dunning.pinned import row_of
from dunning.store import PolicyRow, add_rows, engine_for, transaction

MONTHS = 24
MONTH_SECONDS = 0.3
TURNS = 3
MONTH = Goal("a report of a month", "seconds / 0.3, the slowest report", 1.0, most=True)
ALL = Goal(
    "a report of everything", "seconds / the same in SQL by hand, the slowest", 3.0, most=True
)

# A case for every two entries: seven of ten are paid, the rest is lost, or open while it is young.
_CASES = """
INSERT INTO cases (id, source, provider, invoice, customer, subscription, scope, state, access,
 currency, amount_due, amount_at_risk, decline_code, advice, policy, policy_version, opened_at,
 recorded_at, closed_at, facts, version)
SELECT 'case_' || n, 'stripe', 'stripe', 'in_' || n, 'cus_' || n % 500000, 'sub_' || n % 600000,
 'sub_' || n % 600000, CASE WHEN n % 10 < 7 THEN 'recovered' WHEN is_over THEN 'lost'
 ELSE 'in_grace' END, 'full', (ARRAY['usd', 'eur', 'jpy'])[1 + n % 3], 1000 + n % 9000,
 CASE WHEN is_over THEN 0 ELSE 1000 + n % 9000 END,
 (ARRAY['insufficient_funds', 'expired_card', 'do_not_honor'])[1 + n % 3], 'retry', :policy,
 :version, at, at, CASE WHEN is_over THEN at + interval '5 days' END, '{}', 1
FROM (SELECT n, at, n % 10 < 7 OR at < CAST(:young AS timestamptz) AS is_over FROM (
 SELECT n, CAST(:began AS timestamptz) + n * (interval '1 second' * :step) AS at
 FROM generate_series(1, :cases) AS n) AS timed) AS made
"""
_OPENED = """
INSERT INTO entries (key, base, case_id, place, source, debit, credit, amount, currency, cause, how,
 occurred_at, recorded_at)
SELECT id || '/opened:owed', id || '/opened:owed', id, 1, source, 'owed', 'at_risk', amount_due,
 currency, 'failed', '', opened_at, opened_at FROM cases
"""
_ENDED = """
INSERT INTO entries (key, base, case_id, place, source, debit, credit, amount, currency, cause, how,
 occurred_at, recorded_at)
SELECT id || '/end', id || '/end', id, 2, source, 'at_risk',
 CASE state WHEN 'lost' THEN 'lost' ELSE 'recovered' END, amount_due, currency,
 CASE state WHEN 'lost' THEN 'given_up' ELSE 'paid' END, CASE state WHEN 'lost' THEN '' ELSE
 (ARRAY['retry:1', 'retry:2', 'link', 'natural', 'provider_retry'])[1 + amount_due % 5] END,
 closed_at, closed_at FROM cases WHERE closed_at IS NOT NULL
"""
_PARTITION = """
CREATE TABLE %(name)s PARTITION OF entries
FOR VALUES FROM ('%(from)s 00:00+00') TO ('%(to)s 00:00+00')
"""
_BY_HAND = {
    "recovered": """
SELECT date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS month, currency, how,
 sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END), count(DISTINCT case_id)
FROM entries WHERE cause = 'paid' GROUP BY 1, 2, 3
""",
    "lost": """
SELECT date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS month, currency, cause,
 sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END), count(DISTINCT case_id)
FROM entries WHERE credit IN ('lost', 'withdrawn') OR debit IN ('lost', 'withdrawn')
GROUP BY 1, 2, 3
""",
    "rates": """
SELECT date_trunc('month', opened_at AT TIME ZONE 'UTC') AS month, currency, count(*),
 sum(amount_due), sum(came), sum(CASE WHEN came > 0 THEN 1 END) FROM cases JOIN (
 SELECT case_id, sum(CASE WHEN credit = 'recovered' THEN amount WHEN debit = 'recovered'
 THEN -amount ELSE 0 END) AS came FROM entries JOIN cases ON cases.id = case_id
 WHERE occurred_at <= opened_at + interval '28 days' GROUP BY case_id) AS books
 ON books.case_id = cases.id GROUP BY 1, 2
""",
    "at-risk": """
SELECT currency, policy, sum(amount_at_risk), count(*) FROM cases WHERE amount_at_risk > 0
GROUP BY 1, 2
""",
}
Ask = Callable[[Session, datetime, dict[str, Any]], Any]
_ASKED: dict[str, Ask] = {
    "recovered": lambda s, now, of: reports.recovered(s, now, by=("month", "mechanism"), **of),
    "lost": lambda s, now, of: reports.lost(s, now, by=("month", "cause"), **of),
    "rates": lambda s, now, of: reports.rates(s, now, by=("month",), **of),
    "at-risk": lambda s, now, _: reports.at_risk(s, now, by=("policy",)),
}


def measure(postgres: DurablePostgres, *, entries: int) -> Findings:
    """On PostgreSQL, with so many entries of two years."""
    found = Findings("reports", {}, [])
    url = postgres.fresh("reports")
    store.migrate(url)
    engine = engine_for(url, role="command", patient=True)
    try:
        now = SystemClock().now()
        fill(engine, entries, now)
        found.figures["postgresql"] = told = _measured(engine, now)
    finally:
        engine.dispose()
    found.judge(MONTH, max(each["month"] for each in told.values()), MONTH_SECONDS)
    found.judge(ALL, max(each["all"] / each["by_hand"] for each in told.values()), 1.0)
    return found


def fill(engine: Engine, entries: int, now: datetime) -> None:
    """Cases and entries as bulk data: what guards the ledger is told to look away."""
    text_of_file, name = read_policy_text(None)
    names = Messages().names()
    file = load_policies(text_of_file, filename=name, environ=None, known_templates=names)
    policy = replace(next(iter(file.policies.values())))
    cases = entries // 2
    began = now - timedelta(days=30 * MONTHS)
    step = 30 * MONTHS * 86_400 / (cases + 1)
    with transaction(engine) as session:
        add_rows(session, PolicyRow, [row_of(policy, policy.version, now)])
        session.execute(text("SET LOCAL session_replication_role = replica"))
        _months(session, began, now)
        young = now - timedelta(days=28)
        words = {"cases": cases, "began": began, "step": step, "young": young}
        words |= {"policy": policy.name, "version": policy.version}
        session.execute(text(_CASES), words)
        session.execute(text(_OPENED))
        session.execute(text(_ENDED))
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


def _measured(engine: Engine, now: datetime) -> dict[str, dict[str, float]]:
    last = (now.replace(day=1) - timedelta(days=1)).date()
    month = {"since": last.replace(day=1), "until": last}
    return {
        name: {
            "month": _least(engine, partial(_made, ask, now, month)),
            "all": _least(engine, partial(_made, ask, now, {})),
            "by_hand": _least(engine, partial(_read, _BY_HAND[name])),
        }
        for name, ask in _ASKED.items()
    }


def _made(ask: Ask, now: datetime, days: dict[str, Any], session: Session) -> None:
    ask(session, now, days)


def _read(sql: str, session: Session) -> None:
    session.execute(text(sql)).all()


def _least(engine: Engine, ask: Callable[[Session], Any]) -> float:
    """The seconds of the quickest of a few turns."""
    spent = []
    for _ in range(TURNS):
        with reports.snapshot(engine) as session:
            began = time.perf_counter()
            ask(session)
            spent.append(time.perf_counter() - began)
    return round(min(spent), 4)
