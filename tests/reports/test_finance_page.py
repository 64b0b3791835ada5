"""docs/finance.md: a month of twelve customers by hand, and the program gets the same figures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlmodel import select

from dunning import closing
from dunning.closing import Wish
from dunning.core import monthly
from dunning.core.attribution import is_ours
from dunning.core.money import Money
from dunning.reports import grace, recovered, recurring, timing, verify_all
from dunning.reports.origins import UNKNOWN, mechanism_of
from dunning.reports.recovered import MECHANISMS
from dunning.reports.scope import Scope
from dunning.statements import Statement, listed
from dunning.store import CaseRow, SubscriptionRow
from tests.reports.shop import NOW, Shop, Unpaid, on

PAGE = Path(__file__).parents[2] / "docs" / "finance.md"
CURRENCIES = ("USD", "JPY", "KWD")


def tables() -> dict[str, list[dict[str, str]]]:
    """The tables of the page, by the words of their heads."""
    found: dict[str, list[dict[str, str]]] = {}
    for block in re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        head, _, *lines = [
            [c.strip() for c in line[1:-1].split("|")] for line in block.split("\n")[:-1]
        ]
        found[" ".join(head)] = [dict(zip(head, line, strict=True)) for line in lines]
    return found


def a_month() -> dict[str, int]:
    """What each customer's subscription brings in: the price of the page, brought to a month."""
    found: dict[str, int] = {}
    for line in tables()["customer price a month"]:
        price, currency, _, unit = line["price"].split()
        exact = monthly.a_month(minor(price, currency), unit)
        assert exact is not None
        said, of = line["a month"].split()
        assert (monthly.rounded(exact), currency) == (minor(said, of), of)
        for name in line["customer"].split(", "):
            found[name] = monthly.rounded(exact)
    return found


def january(shop: Shop) -> Unpaid:
    """What the page says happens; Cem is handed back."""
    of = a_month()
    ann = shop.failed(on(1, 2), 4900, monthly=of["Ann"])
    ann.charged(on(1, 3), "retry:1")
    ann.paid(on(1, 3))
    ben = shop.failed(on(1, 3), 4900, monthly=of["Ben"])
    ben.written_to(on(1, 4))
    ben.part_paid(on(1, 6), 4900)
    cem = shop.failed(on(1, 5), 9900, monthly=of["Cem"])
    cem.part_paid(on(1, 10), 4000)
    shop.failed(on(1, 4), 4900, monthly=of["Dee"]).given_up(on(1, 25))
    eli = shop.failed(on(1, 6), 4900, monthly=of["Eli"])
    eli.charged(on(1, 9), "retry:2")
    eli.paid(on(1, 9))
    eli.refunded(on(1, 20), 2000)
    fay = shop.failed(on(1, 7), 12000, monthly=of["Fay"])
    fay.credited(on(1, 8), 3000)
    fay.charged(on(1, 10), "retry:1", 9000)
    gen = shop.failed(on(1, 8), 5000, "jpy", monthly=of["Gen"])
    gen.charged(on(1, 11))
    gen.paid(on(1, 11))
    shop.failed(on(1, 9), 5000, "jpy", monthly=of["Hana"]).ended(
        on(1, 15), "cancellation_requested"
    )
    iko = shop.failed(on(1, 10), 12000, "jpy", monthly=of["Iko"])
    iko.charged(on(1, 12), "retry:1")
    iko.paid(on(1, 12))
    iko.disputed(on(1, 20))
    jad = shop.failed(on(1, 11), 10500, "kwd", monthly=of["Jad"])
    jad.given_up(on(1, 20))
    jad.paid(on(1, 29))
    shop.failed(on(1, 12), 7250, "kwd", monthly=of["Kat"]).paid(on(1, 18), outside=True)
    shop.failed(on(1, 13), 3000, "kwd", monthly=of["Lea"]).uncollectible(on(1, 28))
    return cem


def close(shop: Shop, period: str, month: int, day: int) -> Statement:
    return closing.close(shop.engine, Wish(period=period, by="ann"), on(month, day))


def statements_of(shop: Shop) -> list[Statement]:
    with shop.reading() as session:
        return listed(session)


def minor(written: str, currency: str) -> int:
    """An amount of the page in minor units, whatever decimals its currency has."""
    decimals = str(Money(0, currency.lower())).split()[0].partition(".")[2]
    whole, _, rest = written.replace(",", "").partition(".")
    assert len(rest) == len(decimals), f"{written} {currency}"
    return int(whole + rest)


def written(name: str, *by: str) -> dict[tuple[str, ...], int]:
    return {
        (currency, *(line[key] for key in by)): minor(line[currency], currency)
        for line in tables()[name]
        for currency in CURRENCIES
    }


def moved(told: Statement, *by: str, cause: str | None = None) -> Counter[tuple[str, ...]]:
    sums: Counter[tuple[str, ...]] = Counter()
    for currency, told_of in told.content["currencies"].items():
        for one in told_of["transfers"]:
            if cause in (None, one["cause"]):
                sums[currency.upper(), *(one[key] for key in by)] += one["amount"]
    return sums


@pytest.fixture
def cem(shop: Shop) -> Unpaid:
    return january(shop)


def test_the_month_by_hand_is_the_month_of_the_books(shop: Shop, cem: Unpaid) -> None:
    told = close(shop, "2026-01", 2, 2)
    assert len(tables()["customer owes what happens in January"]) == 12
    sums = moved(told, "debit", "credit")
    page = written("from to USD JPY KWD whose", "from", "to")
    assert {key: sums[key] for key in page} == page
    assert {key for key in sums if sums[key]} <= page.keys()
    held = {
        (currency.upper(), account): amount
        for currency, of in told.content["currencies"].items()
        for account, amount in of["closing"].items()
        if account != "owed"
    }
    assert held == written("account USD JPY KWD", "account")
    mechanisms = moved(told, "how", cause="paid")
    page = written("mechanism USD JPY KWD", "mechanism")
    assert {key: mechanisms[key] for key in page} == page
    assert {key for key in mechanisms if mechanisms[key]} <= page.keys()
    for currency in CURRENCIES:
        whole = sum(amount for key, amount in page.items() if key[0] == currency)
        came_in = sum(a for k, a in sums.items() if k[0] == currency and k[2] == "recovered")
        assert whole == came_in

    figures = written("recurring USD JPY KWD whose", "recurring")
    with shop.reading() as session:
        report = recurring(session, NOW, Scope(since=on(1, 1).date(), until=on(1, 31).date()))
    for one in report.rows:
        said = {key[1]: figures[key] for key in figures if key[0] == one["currency"].upper()}
        assert {name: one[name] for name in said} == said
    assert len(report.rows) == len(CURRENCIES)


def test_what_is_heard_after_the_closing_is_february_s(shop: Shop, cem: Unpaid) -> None:
    close(shop, "2026-01", 2, 2)
    cem.part_paid(on(1, 31), 5900)
    told: Any = close(shop, "2026-02", 3, 1).content["currencies"]["usd"]
    assert (told["opening"]["at_risk"], told["closing"]["at_risk"]) == (5900, 0)
    (late,) = told["of_closed_periods"]
    assert (late["period"], late["credit"], late["amount"]) == ("2026-01", "recovered", 5900)
    saved: Any = statements_of(shop)[-1].content["recurring"]["transfers"]["usd"]
    assert [(one["credit"], one["amount"]) for one in saved] == [("saved", 825)]
    with shop.reading() as session:
        assert verify_all(session).faults == []
        by_books = recovered(session, NOW, Scope(by=("month",), date="books", currency="usd"))
        occurred = recovered(session, NOW, Scope(by=("month",), currency="usd"))
        only_later = recovered(session, NOW, Scope(by=(), date="books", since=on(2, 1).date()))
    # 277.00 USD in January, by its statement, and 59.00 in February; all of it occurred in January.
    told = {row["month"]: (row["gross"], row["cases"]) for row in by_books.rows}
    assert told == {"2026-01": (27_700, 5), "2026-02": (5900, 1)}
    assert [row["gross"] for row in occurred.rows] == [33_600]
    assert [row["gross"] for row in only_later.totals] == [5900]


def test_the_page_names_every_mechanism_and_what_is_ours() -> None:
    told = [(line["mechanism"], line["ours"]) for line in tables()["first mechanism when ours"]]
    assert {mechanism_of(how) for how, _ in told} == set(MECHANISMS) - {UNKNOWN}
    assert {how for how, ours in told if ours == "yes"} == {how for how, _ in told if is_ours(how)}


def test_how_long_it_took(shop: Shop, cem: Unpaid) -> None:
    with shop.reading() as session:
        told = timing(session, on(2, 2), Scope(by=()))
        spread = timing(session, on(2, 2), Scope(by=("took",)))
        gross = recovered(session, on(2, 2), Scope(by=("currency",)))
    rows = {row["currency"].upper(): row for row in told.rows}
    page = tables()["time USD JPY KWD"]
    for line in page:
        for currency in CURRENCIES:
            assert float(line[currency]) == rows[currency][line["time"]], (currency, line)
    came: dict[tuple[str, ...], int] = {
        (row["currency"].upper(), row["took"]): row["amount"] for row in spread.rows
    }
    page_of = written("took USD JPY KWD", "took")
    assert {key: came.pop(key) for key in page_of} == page_of
    assert not any(came.values())
    assert {row["currency"]: row["amount"] for row in spread.totals} == {
        row["currency"]: row["gross"] for row in gross.rows
    }


def test_what_grace_cost(shop: Shop, cem: Unpaid) -> None:
    with shop.writing() as session:
        cases = session.scalars(select(CaseRow)).all()
        session.execute(delete(SubscriptionRow))
        for case in cases:
            # Each brings in a month what the invoice was about.
            session.add(
                SubscriptionRow(
                    source=case.source,
                    id=case.subscription or "",
                    as_of=on(2, 1),
                    recurring=case.amount_due,
                    currency=case.currency,
                )
            )
    with shop.reading() as session:
        rows = {row["currency"].upper(): row for row in grace(session, on(2, 2), Scope(by=())).rows}
    page = written("grace USD JPY KWD", "grace")
    assert {(currency, name): rows[currency][name] for currency, name in page} == page
