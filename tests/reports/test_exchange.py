"""Amounts in one currency: rates from a file, each entry at its own day's, and all of it shown."""

from __future__ import annotations

import hashlib
import io
from datetime import date
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings

from dunning.errors import RefusedError
from dunning.reports import Report, at_risk, lost, recovered, to_html, to_json, to_xlsx
from dunning.reports.exchange import Exchange, read_rates
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on
from tests.reports.test_breakdowns import LEDGERS, live

BANK = (
    b"Date,USD,JPY,KWD,XYZ,\n"
    b"2026-01-09,1.25,160,0.4,N/A,\n"  # a Friday
    b"2026-01-08,1.2,150,0.4,N/A,\n"
    b"2026-01-06,1.1,N/A,0.4,N/A,\n"
)
FIXED = b"date,currency,rate\n" + b"".join(
    b"2026-%02d-%02d,%s,%s\n" % (month, day, code, rate)
    for month in range(1, 7)
    for day in (1, 7, 13, 19, 25, 28)
    for code, rate in ((b"usd", b"0.9137"), (b"JPY", b"0.00617"))
)


def exchange(content: bytes = BANK, into: str = "eur") -> Exchange:
    return Exchange(into, read_rates(content, "rates.csv", into))


@pytest.mark.parametrize(
    ("minor", "currency", "day", "into", "made"),
    [
        (4900, "usd", 8, "eur", 4083),  # 49.00 / 1.2 = 40.8333
        (12_000, "jpy", 8, "eur", 8000),
        (10_500, "kwd", 8, "eur", 2625),  # three decimals to two
        (4900, "eur", 8, "eur", 4900),  # as it is
        (4900, "usd", 11, "eur", 3920),  # Sunday: Friday's
        (4900, "usd", 16, "eur", 3920),  # a week back is allowed
        (12_000, "jpy", 8, "usd", 9600),  # across the euro
        (100, "eur", 8, "kwd", 400),
        (1_000, "kwd", 8, "jpy", 375),
        (-3, "usd", 8, "eur", -2),  # 2.5 goes to the even one, with a minus as without
        (3, "usd", 8, "eur", 2),
        (9, "usd", 8, "eur", 8),
    ],
)
def test_amounts_by_hand(minor: int, currency: str, day: int, into: str, made: int) -> None:
    assert exchange(into=into).convert(minor, currency, date(2026, 1, day)) == made


def test_every_rate_that_was_used_is_told() -> None:
    both = exchange(into="usd")
    both.convert(1, "jpy", date(2026, 1, 11))
    both.convert(2, "jpy", date(2026, 1, 11))
    both.convert(1, "eur", date(2026, 1, 8))
    assert both.used == (
        {
            "currency": "eur",
            "day": "2026-01-08",
            "rate_day": "2026-01-08",
            "rate": "1.2",
            "quoted": "1 EUR = 1.2 USD",
        },
        {
            "currency": "jpy",
            "day": "2026-01-11",
            "rate_day": "2026-01-09",
            "rate": "0.0078125",
            "quoted": "1 EUR = 160 JPY, 1 EUR = 1.25 USD",
        },
    )
    assert both.source == f"rates.csv (sha256 {hashlib.sha256(BANK).hexdigest()})"


def test_the_other_shapes_of_a_file() -> None:
    long = exchange(b"\xef\xbb\xbfdate,currency,rate\r\n2026-01-08, USD ,0.92\r\n")
    assert long.convert(10_000, "usd", date(2026, 1, 8)) == 9200
    pairs = exchange(b"base,quote,date,rate\nGBP,EUR,2026-01-08,1.2\nEUR,USD,2026-01-08,1.25\n\n")
    assert pairs.convert(10_000, "gbp", date(2026, 1, 8)) == 12_000
    assert pairs.convert(10_000, "usd", date(2026, 1, 8)) == 8000


@pytest.mark.parametrize(
    ("day", "currency"), [((2026, 1, 5), "usd"), ((2026, 1, 17), "usd"), ((2026, 1, 8), "xyz")]
)
def test_a_day_without_a_rate_is_named(day: tuple[int, int, int], currency: str) -> None:
    words = f"no rate from {currency.upper()} to EUR for {date(*day)}, nor for the 7 days before"
    with pytest.raises(RefusedError, match=words):
        exchange().convert(1, currency, date(*day))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: expected a heading date,currency,rate"),
        (b"day,usd\n", "line 1: expected"),
        (b"date,currency,rate\n", "has no rates"),
        (b"date,currency,rate\n2026-01-08,USD,0.92\n2026-1-9,USD,0.92\n", "line 3: '2026-1-9'"),
        (b"date,currency,rate\n2026-01-08,USD,0\n", "line 2: '0' is no rate"),
        (b"date,currency,rate\n2026-01-08,USD,-1\n", "line 2: '-1' is no rate"),
        (b'date,currency,rate\n2026-01-08,USD,"0,92"\n', "line 2: '0,92' is no rate"),
        (b"date,currency,rate\n2026-01-08,US,1\n", "line 2: not a currency"),
        (b"date,currency,rate\n2026-01-08,USD\n", "line 2: 2 values under a heading of 3"),
        (b"Date,USD\n2026-01-08,1.2\n2026-01-08,1.3\n", "line 3: 1 EUR = 1.3 USD on 2026-01-08"),
        (b"Date,USD\n2026-01-08,x\n", "line 2: 'x' is no rate"),
        (b"\xff\xfe", "not a text file in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_line(content: bytes, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        exchange(content)
    assert str(refused.value).startswith("rates.csv")
    assert words in str(refused.value)


# --- in reports ----------------------------------------------------------------------------


def test_each_entry_is_converted_at_the_rate_of_its_day(shop: Shop) -> None:
    for amount in (3, 3, 9):  # 2.5, 2.5 and 7.5 cents
        shop.failed(on(1, 5), amount).paid(on(1, 8))
    yen = shop.failed(on(1, 5), 1_000, "jpy")
    yen.part_paid(on(1, 8), 400)
    yen.charged(on(1, 11), "retry:1", 600)  # Sunday
    yen.refunded(on(1, 9, 3), 100)
    shop.failed(on(1, 6), 110).given_up(on(1, 8))
    shop.failed(on(1, 8), 240)
    into = exchange()
    with shop.reading() as session:
        came = recovered(session, NOW, Scope(by=("mechanism",)), into=into)
        gone = lost(session, NOW, Scope(by=("kind",)), into=exchange())
        stays = at_risk(session, NOW, Scope(by=("age",)), into=exchange())
    assert {row["currency"]: row["recovered_eur"] for row in came.totals} == {
        "usd": 2 + 2 + 8,
        "jpy": 267 + 375 - 62,  # 266.67 and 375, less 62.5
        None: 12 + 580,
    }
    assert {row["currency"]: row["recovered"] for row in came.totals[:2]} == {"usd": 15, "jpy": 900}
    assert sum(row["recovered_eur"] for row in came.rows) == 592
    assert [(row["lost"], row["lost_eur"]) for row in gone.rows] == [(110, 92)]
    assert [(row["at_risk"], row["at_risk_eur"]) for row in stays.rows] == [(240, 200)]
    assert [(one["currency"], one["day"], one["rate_day"]) for one in came.rates] == [
        ("jpy", "2026-01-08", "2026-01-08"),
        ("jpy", "2026-01-09", "2026-01-09"),
        ("jpy", "2026-01-11", "2026-01-09"),
        ("usd", "2026-01-08", "2026-01-08"),
    ]
    page = to_html([came])
    assert "1 EUR = 150 JPY" in page
    assert "are never added." not in page
    assert '"quoted": "1 EUR = 160 JPY"' in to_json(came)
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(came)))
    assert book.sheetnames == ["JPY", "USD", "All currencies", "Rates", "Notes"]
    assert 5.92 in [cell.value for cell in book["All currencies"][3]]


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=LEDGERS)
def test_however_it_is_broken_down_it_comes_to_the_same(shop: Shop, histories: list[Any]) -> None:
    asked: list[tuple[Any, tuple[tuple[str, ...], ...], tuple[str, ...]]] = [
        (recovered, ((), ("month", "mechanism"), ("day", "step")), ("recovered", "claimed")),
        (lost, ((), ("week", "kind"), ("cause", "source")), ("net", "lost")),
        (at_risk, ((), ("age", "policy")), ("at_risk",)),
    ]
    with shop.trial() as session:
        live(shop, histories)
        for ask, breakdowns, figures in asked:
            for figure in figures:
                told = {
                    whole(ask(session, NOW, Scope(by=by), into=exchange(FIXED)), f"{figure}_eur")
                    for by in breakdowns
                }
                assert len(told) == 1, (ask, figure, told)


def whole(report: Report, name: str) -> int:
    total: int = sum(row[name] for row in report.totals if row["currency"] is not None)
    assert total == sum(row[name] for row in report.rows)
    assert total == sum(row[name] for row in report.totals if row["currency"] is None)
    return total


def test_what_was_recorded_when_is_not_converted(shop: Shop) -> None:
    with shop.reading() as session, pytest.raises(RefusedError, match="leave out --date recorded"):
        recovered(session, NOW, Scope(date="recorded"), into=exchange())
