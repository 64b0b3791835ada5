"""How long reports take, for a month and for all there is, beside SQL written by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any

from sqlalchemy import Engine, text
from sqlmodel import Session

from dunning import reports, store
from dunning.bench.filling import MONTHS, fill
from dunning.bench.goals import Findings, Goal
from dunning.bench.servers import DurablePostgres
from dunning.clock import SystemClock
from dunning.core.worth import Term, Value
from dunning.reports.exchange import Exchange, read_rates
from dunning.reports.scope import Scope
from dunning.store import engine_for

MONTH_SECONDS = 0.3
TURNS = 3
MONTH = Goal("a report of a month", "seconds / 0.3, the slowest report", 1.0, most=True)
ALL = Goal(
    "a report of everything", "seconds / the same in SQL by hand, the slowest", 3.0, most=True
)

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
    "timing": """
SELECT date_trunc('month', opened_at AT TIME ZONE 'UTC') AS month, currency, count(*), sum(paid),
 count(*) FILTER (WHERE state = 'recovered'),
 percentile_disc(ARRAY[0.25, 0.5, 0.75, 0.9]) WITHIN GROUP (ORDER BY floor(extract(epoch FROM
 CASE state WHEN 'recovered' THEN at - opened_at END) / 60)) FROM cases LEFT JOIN (
 SELECT case_id, max(occurred_at) AS at, sum(amount) AS paid FROM entries WHERE cause = 'paid'
 GROUP BY case_id) AS books ON case_id = id GROUP BY 1, 2
""",
    "hours": """
SELECT extract(hour FROM at AT TIME ZONE coalesce(timezone, 'UTC')), attempts.currency, count(*),
 count(*) FILTER (WHERE status = 'succeeded'), sum(attempts.amount)
 FILTER (WHERE status = 'succeeded') FROM attempts JOIN cases ON cases.id = case_id
 LEFT JOIN customers ON customers.source = cases.source AND customers.id = customer
WHERE by = 'ours' AND at > opened_at GROUP BY 1, 2
UNION ALL SELECT NULL, NULL, sum(n * n), sum(x * x), sum(x * n) FROM (SELECT count(*) AS n,
 count(*) FILTER (WHERE status = 'succeeded') AS x FROM attempts JOIN cases ON cases.id = case_id
 WHERE by = 'ours' AND at > opened_at GROUP BY customer) AS whose
""",
    "grace": """
SELECT date_trunc('month', opened_at AT TIME ZONE 'UTC') AS month, currency, count(*),
 sum(floor(extract(epoch FROM over - opened_at) / 60 * recurring * 12 / 525600)),
 sum(paid) FILTER (WHERE at <= over) FROM (
 SELECT cases.currency, opened_at, recurring, paid, at, least(at, step.ended_at, now()) AS over
 FROM cases LEFT JOIN (SELECT case_id, max(occurred_at) AS at, sum(amount) FILTER (WHERE
 cause = 'paid') AS paid FROM entries WHERE debit = 'at_risk' GROUP BY case_id) AS books
 ON books.case_id = cases.id LEFT JOIN (SELECT case_id, min(ended_at) AS ended_at FROM steps
 WHERE kind = 'suspend' AND result = 'done' GROUP BY case_id) AS step ON step.case_id = cases.id
 LEFT JOIN subscriptions AS own ON own.source = cases.source AND own.id = subscription) AS each
GROUP BY 1, 2
""",
    "value": """
SELECT month, first.currency, count(*), sum(recurring * 36) FILTER (WHERE ended_at IS NULL) FROM (
 SELECT DISTINCT ON (cases.source, subscription) cases.source, subscription, cases.currency,
 date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS month FROM entries JOIN cases
 ON cases.id = case_id AND state = 'recovered' WHERE cause = 'paid'
 ORDER BY cases.source, subscription, occurred_at) AS first JOIN subscriptions AS own
 ON own.source = first.source AND own.id = subscription GROUP BY 1, 2
""",
    "churn": """
SELECT month, lower(currency), count(*), count(DISTINCT customer), sum(recurring) FROM
 generate_series((SELECT date_trunc('month', min(ended_at)) FROM subscriptions), now(),
 interval '1 month') AS month JOIN subscriptions ON started_at < month AND (ended_at IS NULL
 OR ended_at >= month) GROUP BY 1, 2
UNION ALL SELECT date_trunc('month', ended_at), lower(currency), count(*), count(DISTINCT customer),
 sum(recurring) FROM subscriptions WHERE ended_at IS NOT NULL GROUP BY 1, 2
""",
}
Ask = Callable[[Session, datetime, Scope], Any]


def _by(ask: Callable[..., Any], *keys: str, **more: Any) -> Ask:
    return lambda session, now, scope: ask(session, now, replace(scope, by=keys), **more)


# What is asked is how long it takes, not what comes out.
_FORMULA = Value(expected_years=Term(given=Fraction(3)))


def _in_euros(session: Session, now: datetime, scope: Scope) -> Any:
    days = (now.date() - timedelta(days=back) for back in range(30 * MONTHS + 40))
    lines = (f"{day},{name},0.9" for day in days for name in ("USD", "JPY"))
    rates = read_rates("\n".join(("date,currency,rate", *lines)).encode(), "rates.csv", "eur")
    return reports.recovered(session, now, scope, into=Exchange("eur", rates))


_ASKED: dict[str, Ask] = {
    "recovered": _by(reports.recovered, "month", "mechanism"),
    "recovered by policy": _by(reports.recovered, "month", "policy"),
    "recovered in EUR": _in_euros,
    "lost": _by(reports.lost, "month", "cause"),
    "rates": _by(reports.rates, "month"),
    "at-risk": lambda s, now, _: reports.at_risk(s, now, Scope(by=("policy",))),
    "timing": _by(reports.timing, "month"),
    "hours": _by(reports.hours, "hour"),
    "grace": _by(reports.grace, "month"),
    "value": _by(reports.value, "month", formula=_FORMULA),
    "recurring": _by(reports.recurring, "month"),
    "churn": _by(reports.churn, "month"),
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
    found.judge(ALL, max(told[name]["all"] / told[name]["by_hand"] for name in _BY_HAND), 1.0)
    return found


def _measured(engine: Engine, now: datetime) -> dict[str, dict[str, float]]:
    last = (now.replace(day=1) - timedelta(days=1)).date()
    month = Scope(since=last.replace(day=1), until=last)
    told = {}
    for name, ask in _ASKED.items():
        told[name] = each = {"month": _least(engine, partial(_made, ask, now, month))}
        each["all"] = _least(engine, partial(_made, ask, now, Scope()))
        if name in _BY_HAND:
            each["by_hand"] = _least(engine, partial(_read, _BY_HAND[name]))
    return told


def _made(ask: Ask, now: datetime, scope: Scope, session: Session) -> None:
    ask(session, now, scope)


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
