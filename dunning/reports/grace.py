"""grace(): the service given while a payment was failing, beside what came in meanwhile."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    Subquery,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.entries import Account, Cause
from dunning.core.status import State
from dunning.core.words import StepKind, StepResult
from dunning.errors import RefusedError
from dunning.reports.cohorts import (
    balance,
    entries_of_cohort,
    keys_of_cases,
    labelled,
    minutes_between,
    of_cohort,
    told_of_cohorts,
)
from dunning.reports.dimensions import CASE_HEADINGS, CASE_KEYS, joined
from dunning.reports.flows import came_in, standing
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import UNITS, span, zone_named
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, EntryRow, StepRow, SubscriptionRow
from dunning.store.tables import UTCDateTime

OUTCOME = "outcome"
OUTCOMES = ("paid_in_grace", "paid_later", "open", "unpaid")
BY = (OUTCOME, *UNITS, *CASE_KEYS, "source", "currency")
MOST_DAYS = 365
_DAY = 24 * 60
_YEAR = 365 * _DAY

DEFINITIONS = {
    "cohort": "A case belongs to the period in which its payment first failed. Cases that were "
    "taken over are left out: nobody knows what service they had before.",
    "grace": "The time of a case from its first failure until the service was first suspended by "
    "us, or nothing was at risk any more, whichever came first; of a case that is in grace still, "
    "until now. Restricted service is service.",
    "cut_off": "How many days after the first failure the service would have ended without grace: "
    "what was given and what came in before that is not counted.",
    "outcome": "paid_in_grace: paid up before grace was over; paid_later: paid up after it; open: "
    "still unpaid and pursued; unpaid: lost, cancelled, voided or credited.",
    "cases": "Cases of the row.",
    "days": "How long their grace was on average, in days of 24 hours, from the day of cut_off on.",
    "service": "What the service given in grace is worth: for each case its recurring revenue of "
    "a year, times the minutes of grace, divided by the minutes of a year of 365 days; rounded "
    "half up to a minor unit once for each case. The revenue is that of the subscription as last "
    "heard. It is the price of the service, not what it costs you to give it.",
    "service_unpaid": "The part of service that went to cases with the outcome unpaid: given, and "
    "never paid for.",
    "service_open": "The part that went to cases that are still open.",
    "won_back": "What came in before grace was over, and not before cut_off, in minor units; "
    "refunds and disputes are not taken off. Some of these customers would have paid without "
    "grace as well: what a policy brings in beyond that says the report `uplift`, not this one.",
    "net": "won_back less service_unpaid. Nothing is taken off for those who paid: they paid for "
    "the service, too.",
    "without_price": "Cases of which no service can be reckoned: one-off invoices, prices that "
    "depend on use or are in another currency. Their won_back counts.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_MONEY = ("service", "service_unpaid", "service_open", "won_back")
_SUMS = ("cases", "minutes", *_MONEY, "without_price")


def grace(
    session: Session,
    now: datetime,
    scope: Scope = BY_MONTH,
    *,
    cut_off: int = 0,
) -> Report:
    """What grace cost and what came in during it; both dates are of the first failure."""
    if not 0 <= cut_off <= MOST_DAYS:
        raise RefusedError(f"cut off after {cut_off} days; use 0 to {MOST_DAYS}")
    scope = scope.of("grace", BY)
    fresh_until, sentence = data_until(session, now)
    query = _sums(session, scope, utc(fresh_until), cut_off)
    found = [
        labelled(scope, {key: one[key] for key in scope.keys})
        | {name: int(one[name] or 0) for name in _SUMS}
        for one in session.execute(query).mappings()
    ]
    whole: dict[str, Row] = {}
    for one in found:
        sums = whole.setdefault(one["currency"], dict.fromkeys(_SUMS, 0))
        for name in _SUMS:
            sums[name] += one[name]
    totals = [{"currency": name} | _told(sums) for name, sums in whole.items()]
    rows = [{key: one[key] for key in scope.keys} | _told(one) for one in found]
    filters = scope.filters(("date",)) | {"cut_off": cut_off}
    return Report(
        name="grace",
        filters=filters,
        definitions=DEFINITIONS | told_of_cohorts(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=in_order(rows, scope.keys, {OUTCOME: OUTCOMES}),
        totals=in_order(totals, (), {}),
        shown=_columns(scope),
        note="" if rows else why_empty(session, "no case", scope),
    )


def _told(sums: Row) -> Row:
    return {
        "cases": sums["cases"],
        "days": round(sums["minutes"] / _DAY / sums["cases"], 4),
        **{name: sums[name] for name in _MONEY},
        "net": sums["won_back"] - sums["service_unpaid"],
        "without_price": sums["without_price"],
    }


def _columns(scope: Scope) -> tuple[Column, ...]:
    return (
        *(Column(key, CASE_HEADINGS.get(key, key.capitalize())) for key in scope.keys),
        Column("cases", "Cases", Kind.COUNT),
        Column("days", "Days each", Kind.DAYS),
        Column("service", "Service given", Kind.MONEY),
        Column("service_unpaid", "of it unpaid", Kind.MONEY),
        Column("service_open", "still open", Kind.MONEY, 2),
        Column("won_back", "Won back", Kind.MONEY),
        Column("net", "Net", Kind.MONEY),
        Column("without_price", "No price", Kind.COUNT, 1),
    )


# --- reading -------------------------------------------------------------------------------


def _sums(session: Session, scope: Scope, until: datetime, cut_off: int) -> Select[Any]:
    dialect = session.get_bind().dialect.name
    each = _of_each(session, dialect, scope, until, cut_off)
    minutes, outcome = each.c["_minutes"], each.c["_outcome"]
    priced = each.c["_recurring"].is_not(None)
    # In minor units; integers divide downwards on both databases, so half is added before.
    yearly = cast(each.c["_recurring"], BigInteger()) * 12
    service = case((priced, (yearly * minutes * 2 + _YEAR) // (2 * _YEAR)), else_=0)
    figures: dict[str, Any] = {
        "cases": func.count(),
        "minutes": func.sum(minutes),
        "service": func.sum(service),
        "service_unpaid": func.sum(case((outcome == "unpaid", service), else_=0)),
        "service_open": func.sum(case((outcome == "open", service), else_=0)),
        "won_back": func.sum(each.c["_won_back"]),
        "without_price": func.sum(case((priced, 0), else_=1)),
    }
    groups = {key: each.c["_outcome" if key == OUTCOME else key] for key in scope.keys}
    query: Select[Any] = select(
        *(one.label(name) for name, one in (*groups.items(), *figures.items()))
    )
    return query.group_by(*groups.values())


def _of_each(
    session: Session, dialect: str, scope: Scope, until: datetime, cut_off: int
) -> Subquery:
    """Each case with its outcome, the minutes of its grace, and what came in during them."""
    books = _books(dialect, scope, cut_off)
    same: ColumnElement[bool] = func.lower(col(SubscriptionRow.currency)) == col(CaseRow.currency)
    opened, now = col(CaseRow.opened_at), literal(utc(until), UTCDateTime())
    at_risk, suspended = col(CaseRow.amount_at_risk) > 0, books.c.suspended
    over = case((at_risk, now), else_=func.coalesce(books.c.ended, now))
    over = case((suspended < over, suspended), else_=over)
    over = case((now < over, now), else_=over)
    paid = col(CaseRow.state) == State.RECOVERED.value
    outcome = case(
        (paid & (books.c.last <= over), "paid_in_grace"),
        (paid, "paid_later"),
        (at_risk, "open"),
        else_="unpaid",
    )
    minutes = minutes_between(dialect, opened, over) - cut_off * _DAY
    keys: dict[str, SQLColumnExpression[Any]] = keys_of_cases(session, scope)
    told: dict[str, Any] = keys | {
        "_outcome": outcome,
        "_minutes": case((minutes > 0, minutes), else_=0),
        "_recurring": case((same, col(SubscriptionRow.recurring)), else_=None),
        "_won_back": books.c.won_back,
    }
    named: list[Any] = [one.label(name) for name, one in told.items()]
    # Every case has books. As an outer join, and with `<`, since of what was grouped, or equals
    # something, PostgreSQL expects but a few rows and looks each of them up.
    query = select(*named).select_from(CaseRow)
    query = query.outerjoin(books, books.c.case_id == col(CaseRow.id))
    query = query.where(func.coalesce(books.c.taken_over, 1) < 1)
    return of_cohort(joined(query, (*scope.keys, "plan")), scope).subquery()


def _books(dialect: str, scope: Scope, cut_off: int) -> Subquery:
    """Of each case what came in during its grace, and when which part of its life was over."""
    suspended = _suspensions(scope)
    case_id, at, opened = col(EntryRow.case_id), col(EntryRow.occurred_at), col(CaseRow.opened_at)
    came = came_in() & (col(EntryRow.debit) == Account.AT_RISK.value)
    late_enough = minutes_between(dialect, opened, at) >= cut_off * _DAY
    in_grace = or_(suspended.c.at.is_(None), at <= suspended.c.at) & late_enough
    adopted = col(EntryRow.cause) == Cause.ADOPTED.value
    told: list[Any] = [
        case_id.label("case_id"),
        func.min(suspended.c.at).label("suspended"),
        func.sum(case((came & in_grace, col(EntryRow.amount)), else_=0)).label("won_back"),
        func.max(case((balance(Account.AT_RISK) < 0, at), else_=None)).label("ended"),
        func.max(case((came_in(), at), else_=None)).label("last"),
        func.max(case((adopted, 1), else_=0)).label("taken_over"),
    ]
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    query = entries_of_cohort(select(*told), scope).where(*standing(starts))
    query = query.outerjoin(suspended, suspended.c.case_id == case_id)
    return query.group_by(case_id).subquery()


def _suspensions(scope: Scope) -> Subquery:
    """When each case of the cohort was first suspended by us, where it was."""
    case_id = col(StepRow.case_id)
    first: list[Any] = [case_id.label("case_id"), func.min(col(StepRow.ended_at)).label("at")]
    query = select(*first).join(CaseRow, col(CaseRow.id) == case_id)
    query = query.where(
        col(StepRow.kind) == StepKind.SUSPEND.value,
        col(StepRow.result) == StepResult.DONE.value,
    )
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is not None:
        # None is suspended before it fails; there is an index of these moments.
        query = query.where(col(StepRow.ended_at) >= starts)
    return of_cohort(query, scope).group_by(case_id).subquery()
