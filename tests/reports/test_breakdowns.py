"""However a report is broken down, it adds up: to its totals, to the ledger, over filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlmodel import Session

from dunning import ledger, rollups
from dunning.cases import CaseBook
from dunning.chosen import Chosen
from dunning.core.choosing import Subject
from dunning.core.events import DisputeStatus
from dunning.core.holdout import Holdout
from dunning.core.visits import CARD
from dunning.reports import Report, at_risk, lost, rates, recovered, verify_all
from dunning.reports.at_risk import BY as AT_RISK_BY
from dunning.reports.lost import BY as LOST_BY
from dunning.reports.periods import UNITS, label_at, span, unit_of, zone_named
from dunning.reports.rates import BY as RATES_BY
from dunning.reports.recovered import BY as RECOVERED_BY
from dunning.reports.scope import Scope
from dunning.store import EntryRow
from tests.policies import STANDARD
from tests.reports.shop import NOW, Shop, Unpaid, money, on

Tell = Callable[[Unpaid, Any, int], None]

# What may happen to an invoice, at a moment, with part of its amount.
HAPPENINGS: dict[str, Tell] = {
    "part of ours": lambda unpaid, at, part: unpaid.charged(at, "retry:2", part),
    "part of theirs": lambda unpaid, at, part: unpaid.charged(at, None, part),
    "part": lambda unpaid, at, part: unpaid.part_paid(at, part),
    "ours": lambda unpaid, at, _: unpaid.charged(at, "retry:1"),
    "paid": lambda unpaid, at, _: unpaid.paid(at),
    "outside": lambda unpaid, at, _: unpaid.paid(at, outside=True),
    "written to": lambda unpaid, at, _: unpaid.written_to(at),
    "reminded": lambda unpaid, at, _: unpaid.written_to(at, "reminder"),
    "led to pay": lambda unpaid, at, _: unpaid.pressed(at),
    "led to a new card": lambda unpaid, at, _: unpaid.pressed(at, CARD),
    "refunded": lambda unpaid, at, part: unpaid.refunded(at, part),
    "refund failed": lambda unpaid, at, part: unpaid.refunded(at, part, live=False),
    "disputed": lambda unpaid, at, _: unpaid.disputed(at),
    "dispute won": lambda unpaid, at, _: unpaid.disputed(at, DisputeStatus.WON, days=9),
    "credited": lambda unpaid, at, part: unpaid.credited(at, part),
    "voided": lambda unpaid, at, _: unpaid.voided(at),
    "given up": lambda unpaid, at, _: unpaid.given_up(at),
    "uncollectible": lambda unpaid, at, _: unpaid.uncollectible(at),
    "ended": lambda unpaid, at, _: unpaid.ended(at, "payment_failed"),
    "closed": lambda unpaid, at, _: unpaid.closed_by_hand(at),
}

# In whatever order: what is told late corrects what was written before.
HISTORY = st.tuples(
    st.integers(1, 80_000),
    st.sampled_from(["usd", "eur", "jpy"]),
    st.sampled_from(["stripe", "second"]),
    st.sampled_from(["insufficient_funds", "expired_card"]),
    st.lists(
        st.tuples(st.sampled_from(sorted(HAPPENINGS)), st.integers(0, 150 * 24), st.floats(0, 1)),
        max_size=6,
    ),
)
LEDGERS = st.lists(HISTORY, max_size=6)


def live(shop: Shop, histories: list[Any]) -> None:
    for number, (amount, currency, source, code, happenings) in enumerate(histories):
        began = on(1, 5 + number)
        unpaid = shop.failed(began, amount, currency, source=source, code=code)
        for name, hours, part in happenings:
            at = began + timedelta(hours=hours)
            HAPPENINGS[name](unpaid, at, max(1, int(amount * part)))


REPORTS = {"recovered": RECOVERED_BY, "lost": LOST_BY, "at-risk": AT_RISK_BY, "rates": RATES_BY}
ASK: dict[str, Callable[..., Report]] = {
    "recovered": recovered,
    "lost": lost,
    "at-risk": at_risk,
    "rates": partial(rates, definitions=("ours", "ours_cases", "stripe", "baremetrics")),
}


def choose(subject: Subject) -> Chosen:
    """Half of one policy's customers are held out; segments by what is owed."""
    assert subject.amount is not None
    large = ("large",) if subject.amount.minor > 40_000 else ()
    policy = HALF if subject.amount.minor % 2 else replace(STANDARD, name="patient")
    return Chosen(policy, "", (*large, *(("euro",) if subject.amount.currency == "eur" else ())))


HALF = replace(STANDARD, holdout=Holdout(share=5_000))


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.book = CaseBook(choose=choose)
    return shop


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, tuple[str, ...]]:
    """A report, and up to three keys to break it down by."""
    name = draw(st.sampled_from(sorted(REPORTS)))
    keys = draw(st.lists(st.sampled_from(REPORTS[name]), max_size=3, unique=True))
    units = [key for key in keys if key in UNITS]
    return name, tuple(key for key in keys if key not in units[1:])


ANY_LEDGER = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY_LEDGER
@given(histories=LEDGERS, asked=st.lists(questions(), min_size=5, max_size=5))
def test_a_breakdown_adds_up_to_its_totals_and_to_the_ledger(
    shop: Shop, histories: list[Any], asked: list[tuple[str, tuple[str, ...]]]
) -> None:
    with shop.trial() as session:
        live(shop, histories)
        for name, by in asked:
            assert_adds_up(session, ASK[name](session, NOW, Scope(by=by)))


def test_every_key_adds_up(shop: Shop) -> None:
    with shop.trial() as session:
        for number, name in enumerate(HAPPENINGS):
            happenings = [("part of ours", 24, 0.5), (name, 900, 0.9), ("written to", 1, 1.0)]
            live(shop, [(1000 + number, "usd", "stripe", "expired_card", happenings)])
        for name, keys in REPORTS.items():
            for key in keys:
                report = ASK[name](session, NOW, Scope(by=(key,)))
                assert report.rows
                assert_adds_up(session, report)


def assert_adds_up(session: Session, report: Report) -> None:
    if report.name == "rates":
        assert _above(report.rows) == _above(report.totals), report.filters["by"]
        return
    for figure in (column.name for column in report.shown if column.is_money):
        by_row, total = money(report.rows, figure), money(report.totals, figure)
        assert by_row == total, (report.name, report.filters["by"], figure)
    totals = {total["currency"]: total for total in report.totals}
    for currency, accounts in ledger.balances(session).items():
        assert_agrees(report.name, totals.get(currency), accounts)


def _above(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """What came in, by currency and definition: an amount, or a number of cases."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sums[row["currency"], row["definition"]] += row["numerator"]
    return +sums


def assert_agrees(name: str, total: dict[str, Any] | None, accounts: dict[str, int]) -> None:
    """A total is what the ledger's own balances say; no total: nothing moved."""
    total = total or dict.fromkeys(("at_risk", "recovered", "refunded", "disputed", "net"), 0)
    match name:
        case "at-risk":
            assert total["at_risk"] == accounts["at_risk"]
        case "recovered":
            for account in ("recovered", "refunded", "disputed"):
                assert total[account] == accounts[account]
        case _:
            assert total["net"] == accounts["lost"] + accounts["withdrawn"]


def by_hand(session: Session, name: str, scope: Scope) -> Counter[tuple[str, ...]]:
    """How many cases a report should count, and how much came in, told from each entry."""
    zone, unit = zone_named(scope.zone), unit_of(scope.by)
    starts, ends = span(scope.since, scope.until, zone)
    nets: Counter[tuple[str, ...]] = Counter()
    sums: Counter[tuple[str, ...]] = Counter()
    for row in session.scalars(select(EntryRow)):
        flow = (row.debit, row.credit) if row.reverses is None else (row.credit, row.debit)
        counts = {
            "recovered": flow[1] == "recovered" and flow[0] not in ("refunded", "disputed"),
            "lost": bool({"lost", "withdrawn"}.intersection(flow)),
        }[name]
        early = starts is not None and row.occurred_at < starts
        if not counts or early or (ends is not None and row.occurred_at >= ends):
            continue
        sign = 1 if row.reverses is None else -1
        label = label_at(unit, row.occurred_at, zone, scope.year_from) if unit else "total"
        for key in {(label, row.currency), ("total", row.currency)}:
            nets[(*key, row.case_id)] += sign
            sums[(*key, "gross")] += sign * row.amount if name == "recovered" else 0
    for (*whose, _), net in nets.items():
        sums[(*whose, "cases")] += bool(net)
    return +sums


# Paid in parts around the ends of months, by whatever calendar.
OFTEN = [
    (9000, "usd", "stripe", "expired_card", [("part", 24 * day, 0.1) for day in range(3, 120, 9)]),
    (7000, "usd", "stripe", "expired_card", [("part", 620, 0.1), ("given up", 640, 1)]),
]


# By calendar and range they come from sums of months, from entries, or from both.
SCOPES = [
    Scope(by=(), since=date(2026, 2, 10), until=date(2026, 3, 20)),
    Scope(by=(), since=date(2026, 1, 20), until=date(2026, 2, 5), zone="Asia/Kolkata"),
    Scope(by=(), since=date(2026, 2, 1), until=date(2026, 2, 28), zone="Pacific/Kiritimati"),
    Scope(by=("month",)),
    Scope(by=("month",), zone="America/New_York"),
    Scope(by=("month",), since=date(2026, 1, 11), zone="Pacific/Kiritimati"),
    Scope(by=("quarter",), until=date(2026, 4, 10), zone="Asia/Kolkata", year_from=4),
    Scope(by=("year",), zone="America/New_York", year_from=2),
    Scope(by=("day",), since=date(2026, 2, 1), until=date(2026, 2, 28)),
]


# Each example is many reports: one that fails is shown as it is.
@settings(ANY_LEDGER, max_examples=2, phases=[Phase.generate])
@given(histories=LEDGERS)
def test_a_case_counts_once_wherever_its_sums_are_kept(shop: Shop, histories: list[Any]) -> None:
    with shop.trial() as session:
        live(shop, [*histories, *OFTEN])
        for scope, (name, ask) in product(SCOPES, (("recovered", recovered), ("lost", lost))):
            report = ask(session, NOW, scope)
            figures = ("cases", "gross") if name == "recovered" else ("cases",)
            told: Counter[tuple[str, ...]] = Counter()
            for rows, keys in ((report.rows, scope.by), (report.totals, ())):
                for row, figure in product(rows, figures):
                    key = tuple(row[each] for each in keys) or ("total",)
                    told[(*key, row["currency"], figure)] = row[figure]
            assert +told == by_hand(session, name, scope)


@ANY_LEDGER
@given(histories=LEDGERS, hours=st.integers(0, 160 * 24))
def test_ranges_and_filters_cut_without_loss(shop: Shop, histories: list[Any], hours: int) -> None:
    with shop.trial() as session:
        live(shop, histories)
        day = (on(1, 5) + timedelta(hours=hours)).date()
        for ask in (recovered, lost):
            whole = ask(session, NOW, Scope(by=("source",)))
            figures = [column.name for column in whole.shown if column.is_money]
            before = ask(session, NOW, Scope(until=day, by=("policy",)))
            after = ask(session, NOW, Scope(since=day + timedelta(days=1), by=("policy",)))
            sources = [ask(session, NOW, Scope(source=s, by=())) for s in ("stripe", "second")]
            policies = [ask(session, NOW, Scope(policy=p, by=())) for p in ("standard", "patient")]
            for figure in figures:
                total = plain(money(whole.totals, figure))
                assert plain(money(before.totals + after.totals, figure)) == total
                for parts in (sources, policies):
                    rows = [row for part in parts for row in part.totals]
                    assert plain(money(rows, figure)) == total


def plain(sums: dict[str, int]) -> dict[str, int]:
    return {currency: amount for currency, amount in sums.items() if amount}


@ANY_LEDGER
@given(histories=LEDGERS)
def test_whatever_happened_the_ledger_is_proved(shop: Shop, histories: list[Any]) -> None:
    with shop.trial() as session:
        live(shop, histories)
        proof = verify_all(session)
        assert proof.faults == []
        assert proof.cases == len(histories)
        for told in proof.currencies.values():
            opened = told.pop("opened")
            assert opened == sum(told.values())


ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Santiago"]


@ANY_LEDGER
@given(
    moments=st.lists(
        st.integers(0, 18 * 366 * 86_400).map(lambda s: datetime.fromtimestamp(1.23e9 + s, UTC)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    zone=st.sampled_from(ZONES),
)
def test_sql_and_python_put_every_moment_into_the_same_period(
    shop: Shop, moments: list[datetime], zone: str
) -> None:
    with shop.trial() as session:
        rows = []
        for number, at in enumerate(moments):
            row = {"key": str(number), "base": "", "case_id": "", "source": "", "cause": "paid"}
            row |= {"debit": "at_risk", "credit": "recovered", "currency": "usd", "how": ""}
            times = {"occurred_at": at, "recorded_at": at}
            rows.append(row | times | {"amount": 1, "place": number + 1, "reverses": None})
        session.execute(insert(EntryRow), rows)
        rollups.add(session, rows)
        for unit in UNITS:
            report = recovered(session, NOW, Scope(by=(unit,), zone=zone))
            wanted = Counter(label_at(unit, at, zone_named(zone)) for at in moments)
            assert {row[unit]: row["recovered"] for row in report.rows} == wanted


def test_the_last_moment_of_a_day_is_not_rounded_into_the_next(shop: Shop) -> None:
    last = on(1, 31).replace(hour=23, minute=59, second=59, microsecond=999_999)
    shop.failed(on(1, 5)).paid(last)
    with shop.reading() as session:
        for unit, label in (("day", "2026-01-31"), ("month", "2026-01")):
            assert recovered(session, NOW, Scope(by=(unit,))).rows[0][unit] == label


@pytest.mark.parametrize("by", [("month",), ("policy",)])
def test_a_refund_of_money_of_another_day_has_a_row_of_its_own(
    shop: Shop, by: tuple[str, ...]
) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.paid(on(1, 8))
    unpaid.refunded(on(2, 3))
    with shop.reading() as session:
        report = recovered(session, NOW, Scope(by=by))
    assert money(report.rows, "recovered") == {"usd": 0}
    assert sum(row["cases"] for row in report.rows) == 1


def test_no_recovery_is_unknown_however_things_coincide(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.charged(on(1, 8), "retry:1")
    unpaid.disputed(on(1, 9), DisputeStatus.WON, days=2)
    unpaid.refunded(on(1, 10))  # found the money in dispute: made the moment it was won
    unpaid.refunded(on(1, 6), 100)  # before there was any
    with shop.reading() as session:
        report = recovered(session, NOW, Scope(by=("day", "mechanism")))
    assert [(row["day"], row["mechanism"], row["recovered"]) for row in report.rows] == [
        ("2026-01-08", "our_retry", 4800),
        ("2026-01-09", "our_retry", -4800),
        ("2026-01-11", "our_retry", 0),
    ]
    assert report.rows[-1]["refunded"] == 4800
