"""Money is an integer of minor units and a currency; two currencies never meet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.money import THREE_DECIMAL, ZERO_DECIMAL, Money, currency_code, exponent
from dunning.errors import MoneyError

CURRENCIES = st.sampled_from(("usd", "eur", "jpy", "kwd", "isk", "ugx", "mga"))


@pytest.mark.parametrize(
    ("text", "minor", "currency", "shown"),
    [
        ("49 USD", 4900, "usd", "49.00 USD"),
        ("49.90 eur", 4990, "eur", "49.90 EUR"),
        ("5,000 JPY", 5000, "jpy", "5,000 JPY"),
        ("1.234 KWD", 1234, "kwd", "1.234 KWD"),
        ("1234567.89 USD", 123_456_789, "usd", "1,234,567.89 USD"),
        # Stored with two decimals, which are always 00 and never shown.
        ("500 ISK", 50_000, "isk", "500 ISK"),
        ("500 UGX", 50_000, "ugx", "500 UGX"),
        ("7 MGA", 7, "mga", "7 MGA"),
        ("-3 USD", -300, "usd", "-3.00 USD"),
    ],
)
def test_reading_and_showing(text: str, minor: int, currency: str, shown: str) -> None:
    money = Money.parse(text)
    assert (money.minor, money.currency, str(money)) == (minor, currency, shown)


@pytest.mark.parametrize(
    "text",
    [
        *("", "49", "USD", "49 USD now", "4.999 USD", "1.5 JPY", "1.2345 KWD", "x USD", "49 US"),
        *("49 €", "NaN USD", "Infinity USD", "49 US1", "--1 USD"),
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        Money.parse(text)


@pytest.mark.parametrize("minor", [1.0, True, "1", None])
def test_an_amount_is_an_integer(minor: Any) -> None:
    with pytest.raises(MoneyError, match="integer"):
        Money(minor, "usd")


@pytest.mark.parametrize("currency", ["USD", "us", "usdx", "", "u$d", "usd\n"])
def test_a_currency_is_three_small_letters(currency: str) -> None:
    with pytest.raises(MoneyError, match="three lower-case letters"):
        Money(1, currency)


@given(st.integers(), st.integers(), CURRENCIES, CURRENCIES)
def test_sums_are_exact_and_of_one_currency(one: int, two: int, here: str, there: str) -> None:
    if here == there:
        assert Money(one, here) + Money(two, here) == Money(one + two, here)
        assert Money(one, here) - Money(two, here) == Money(one - two, here)
    else:
        with pytest.raises(MoneyError, match="cannot mix"):
            Money(one, here) + Money(two, there)
        with pytest.raises(MoneyError, match="cannot mix"):
            Money(one, here) - Money(two, there)


@given(st.integers(-(10**15), 10**15), CURRENCIES)
def test_what_is_shown_in_full_is_read_back(minor: int, currency: str) -> None:
    whole = minor * 100 if currency in ("isk", "ugx") else minor
    money = Money(whole, currency)
    assert Money.parse(str(money)) == money
    assert money.decimal().scaleb(exponent(currency)) == whole


def test_codes_and_decimals() -> None:
    assert currency_code(" EUR ") == "eur"
    assert not ZERO_DECIMAL & THREE_DECIMAL
    assert [exponent(code) for code in ("usd", "jpy", "kwd", "isk")] == [2, 0, 3, 2]
