"""monthly(): the report of one month as finance gets it: its main figures, and all behind them."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlmodel import Session, col

from dunning.core.entries import Account
from dunning.core.money import Money
from dunning.errors import RefusedError
from dunning.reports.at_risk import is_open
from dunning.reports.churn import churn
from dunning.reports.freshness import data_until
from dunning.reports.lost import lost
from dunning.reports.overview import overview
from dunning.reports.periods import (
    first_moment,
    label_of,
    period_after,
    period_from,
    zone_named,
)
from dunning.reports.rates import rates
from dunning.reports.recovered import recovered
from dunning.reports.report import Column, Kind, Report, Row
from dunning.reports.scope import Scope
from dunning.reports.tiles import Tile
from dunning.statements import named
from dunning.store import CaseRow, EntryRow

DEFINITIONS = {
    "period": "The month, the month before it, and the fiscal year from its beginning to the end "
    "of the month; by the calendar of the books.",
    "failed": "What was owed on invoices whose payment first failed in the period.",
    "recovered": "Money of such invoices, of whatever period, that came in during this one, less "
    "refunds and disputes of this one.",
    "claimed": "The part of recovered that an act of ours brought in.",
    "lost": "Given up or withdrawn in the period, less what came in late after all.",
    "at_risk": "What was still owed and pursued at the end of the period, as the books have it. "
    "Of a closed month it is the closing balance of the statement.",
    "rate": "What came in so far of what first failed in the period, less refunds and disputes.",
    "mature": "The share of the failed invoices whose window has closed: at 100 % the rate is "
    "final.",
    "customers_lost": "Customers whose last running subscription ended in the period, for whatever "
    "reason.",
    "recurring_lost": "What subscriptions that ended in the period without the customer's wish "
    "brought in a month.",
    "books": "A statement counts what was heard too late for its month in the month that was then "
    "open; this report counts everything when it occurred, at_risk excepted.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
SHOWN = (
    Column("period", "Period"),
    Column("currency", "Currency"),
    Column("failed", "Failed", Kind.MONEY),
    Column("recovered", "Recovered", Kind.MONEY),
    Column("claimed", "of which claimed", Kind.MONEY),
    Column("lost", "Lost", Kind.MONEY),
    Column("at_risk", "At risk at the end", Kind.MONEY),
    Column("rate", "Recovery rate so far", Kind.RATE),
    Column("mature", "Windows closed", Kind.RATE),
    Column("customers_lost", "Customers lost", Kind.COUNT),
    Column("recurring_lost", "Recurring revenue lost, involuntary", Kind.MONEY),
)
_ABOUT = {
    "failed": "of invoices that failed first in the month",
    "recovered": "net of refunds and disputes",
    "claimed": "an act of ours brought it in",
    "lost": "given up or withdrawn, less late money",
    "at_risk": "open, unpaid and pursued",
    "rate": "of what failed in the month; the window may be open",
}
_MOST = 4  # of the currencies in a tile
_FIGURES = tuple(one.name for one in SHOWN[2:])


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the books' calendar."""

    first: date
    zone: str

    @property
    def period(self) -> str:
        """`2026-10`."""
        return label_of("month", self.first)

    @property
    def name(self) -> str:
        """`October 2026`."""
        return f"{month_name[self.first.month]} {self.first.year}"

    @property
    def last(self) -> date:
        """Its last day."""
        return period_after("month", self.first) - timedelta(days=1)

    @property
    def before(self) -> Month:
        """The month before it."""
        return Month((self.first - timedelta(days=1)).replace(day=1), self.zone)

    @property
    def after(self) -> Month:
        """The month after it."""
        return Month(period_after("month", self.first), self.zone)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it, in UTC."""
        return first_moment(self.after.first, zone_named(self.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    """The report of a month. `digest` is of its statement, empty while its books are open."""

    month: Month
    heads: tuple[str, str, str]  # the month, the one before it, the year so far
    summary: Report  # a row for each of these, in each currency
    of_month: Sequence[Report]
    of_year: Sequence[Report]  # of twelve months
    books: str
    digest: str

    @property
    def title(self) -> str:
        """What stands above it."""
        return f"Payment recovery in {self.month.name}"

    @property
    def reports(self) -> list[Report]:
        """Everything in it."""
        return [self.summary, *self.of_month, *self.of_year]

    @property
    def currencies(self) -> list[str]:
        """Those that anything moved in."""
        return sorted({row["currency"] for row in self.summary.rows})

    def row(self, currency: str, place: int) -> Row:
        """The figures of the month (0), of the one before (1), of the year so far (2)."""
        rows = [row for row in self.summary.rows if row["currency"] == currency]
        return rows[place]

    def tiles(self) -> list[Tile]:
        """The headline of its page."""
        return [
            Tile(one.heading, self._said(one), _ABOUT[one.name])
            for one in SHOWN
            if one.name in _ABOUT
        ]

    def _said(self, column: Column) -> list[str]:
        rates = column.kind is Kind.RATE
        told = [
            said(column, self.row(each, 0)) + (f" {each.upper()}" if rates else "")
            for each in self.currencies
        ]
        return told[:_MOST] + ([f"and {len(told) - _MOST} more"] if told[_MOST:] else []) or ["—"]


def month_of(period: str, zone: str) -> Month:
    """The month that is written like this; `RefusedError` if there is none."""
    try:
        first = date.fromisoformat(f"{period}-01")
    except ValueError:
        first = None
    if first is None or len(period) != 7 or not 1970 <= first.year <= 2998:
        raise RefusedError(f"{period!r} is no month; write it as 2026-10")
    return Month(first, zone)


def said(column: Column, row: Row) -> str:
    """A main figure for people."""
    value = row[column.name]
    if value is None:
        return "—"
    if column.is_money:
        return str(Money(value, row["currency"]))
    return f"{value * 100:.1f} %" if column.kind is Kind.RATE else f"{value:,}"


def monthly(session: Session, now: datetime, month: Month, *, year_from: int = 1) -> Monthly:
    """The report of a month, as the database has it now."""
    year = period_from("year", month.first, year_from)
    spans = (
        (month.period, month.first, month.last),
        (month.before.period, month.before.first, month.before.last),
        (f"{label_of('year', year, year_from)} so far", year, month.last),
    )
    balances = {each.last: _at_risk(session, each.ends_at) for each in (month, month.before)}
    found = [
        _figures(session, now, since, until, month.zone) | {"_at_risk": balances[until]}
        for _, since, until in spans
    ]
    currencies = sorted({name for one in found for name in _named(one)})
    rows = [
        {"period": label, "currency": currency, **_row(figures, currency)}
        for currency in currencies
        for (label, _, _), figures in zip(spans, found, strict=True)
    ]
    fresh_until, sentence = data_until(session, now)
    whole = Scope(by=(), since=month.first, until=month.last, zone=month.zone, year_from=year_from)
    of_year = Scope(until=month.last, zone=month.zone, year_from=year_from)
    books, digest = _books(session, month)
    return Monthly(
        month=month,
        heads=(month.name, month.before.name, spans[2][0]),
        summary=Report(
            name="summary",
            filters={
                "since": month.first.isoformat(),
                "until": month.last.isoformat(),
                "zone": month.zone,
                "fiscal_year_start": year_from,
            },
            definitions=DEFINITIONS | {"data_until": sentence},
            data_until=fresh_until,
            rows=rows,
            totals=[],
            shown=SHOWN,
            note="" if rows else "nothing failed, came in or was lost",
        ),
        of_month=[
            recovered(session, now, replace(whole, by=("mechanism",))),
            lost(session, now, replace(whole, by=("kind", "cause"))),
            rates(session, now, whole, definitions=("all",)),
            churn(session, now, replace(whole, by=("kind",))),
        ],
        of_year=overview(session, now, of_year, brief=True),
        books=books,
        digest=digest,
    )


def _row(figures: Mapping[str, Mapping[str, Any]], currency: str) -> Row:
    row: Row = dict.fromkeys(_FIGURES, 0) | {"rate": None, "mature": None}
    row["at_risk"] = figures["_at_risk"].get(currency, 0)
    return row | dict(figures.get(currency, {}))


def _named(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from (name for name in figures if name != "_at_risk")
    yield from (name for name, amount in figures["_at_risk"].items() if amount)


def _figures(
    session: Session, now: datetime, since: date, until: date, zone: str
) -> dict[str, dict[str, Any]]:
    """The main figures of a span of days, by currency."""
    of = Scope(by=(), since=since, until=until, zone=zone)
    told: dict[str, dict[str, Any]] = {}
    for row in recovered(session, now, of).totals:
        _at(told, row).update(recovered=row["recovered"], claimed=row["claimed"])
    for row in lost(session, now, of).totals:
        _at(told, row).update(lost=row["net"])
    for row in rates(session, now, of, definitions=("ours_so_far",)).totals:
        _at(told, row).update(failed=row["denominator"], rate=row["rate"], mature=row["mature"])
    left = churn(session, now, replace(of, by=("kind",)))
    for row in left.totals:
        if row["currency"]:
            _at(told, row).update(customers_lost=row["customers_lost"])
    for row in left.rows:
        if row["currency"] and row["kind"] == "involuntary":
            _at(told, row).update(recurring_lost=row["recurring_lost"])
    return told


def _at(told: dict[str, dict[str, Any]], row: Row) -> dict[str, Any]:
    return told.setdefault(row["currency"], {})


def _at_risk(session: Session, moment: datetime) -> dict[str, int]:
    """What was at risk at that moment as the books count: what is now, less what moved since."""
    now = select(col(CaseRow.currency), func.sum(col(CaseRow.amount_at_risk)))
    now = now.where(*is_open()).group_by(col(CaseRow.currency))
    held = {currency: int(amount) for currency, amount in session.execute(now)}
    at_risk, much = Account.AT_RISK.value, col(EntryRow.amount)
    moved = case(
        (col(EntryRow.credit) == at_risk, much), (col(EntryRow.debit) == at_risk, -much), else_=0
    )
    posted, occurred = col(EntryRow.posted_at), col(EntryRow.occurred_at)
    since = or_(and_(posted.is_(None), occurred >= moment), posted >= moment)
    later = select(col(EntryRow.currency), func.sum(moved)).where(since)
    for currency, amount in session.execute(later.group_by(col(EntryRow.currency))):
        held[currency] = held.get(currency, 0) - int(amount)
    return held


def _books(session: Session, month: Month) -> tuple[str, str]:
    """Whether the books of the month are closed, in a sentence, and the statement's digest."""
    try:
        closing, statement = named(session, month.period)
    except RefusedError:
        books = f"The books of {month.name} are not closed yet: its figures may still change."
        return f"{books} `dunning ledger close {month.period}` closes them.", ""
    zone = "" if closing.zone == month.zone else f", by the calendar of {closing.zone}"
    sealed = f"sealed on {closing.closed_at:%Y-%m-%d} by {closing.closed_by}"
    books = f"The books of {month.name} are closed{zone}: {sealed}"
    return f"{books}, digest of the statement {statement.digest}.", statement.digest
