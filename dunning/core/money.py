"""Money as an integer of minor units and a currency: no floats, no mixed currencies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from dunning.errors import MoneyError

# Stripe's own table, not ISO 4217 and not a locale library's: MGA has no minor unit at Stripe,
# ISK and UGX are sent as if they had two. Source: docs.stripe.com/currencies.
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# Stored with two decimals, shown without them, since the fraction is always 00.
SHOWN_WHOLE = frozenset(("isk", "ugx"))

_CURRENCY = re.compile(r"[a-z]{3}\Z")


def exponent(currency: str) -> int:
    """How many of the stored digits come after the decimal point: 0, 2 or 3."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def currency_code(text: str) -> str:
    """The currency as it is stored, lower case; MoneyError when it cannot be one."""
    code = text.strip().lower()
    if not _CURRENCY.match(code):
        message = f"not a currency: {text!r}; expected three letters such as USD"
        raise MoneyError(message)
    return code


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents for USD, yen for JPY) of one currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse floats and booleans, which Python would otherwise let through."""
        if type(self.minor) is not int:
            message = f"an amount is an integer of minor units, not {self.minor!r}"
            raise MoneyError(message)
        if not _CURRENCY.match(self.currency):
            message = f"a currency is three lower-case letters, not {self.currency!r}"
            raise MoneyError(message)

    def __add__(self, other: Money) -> Money:
        """Add two amounts of one currency; MoneyError otherwise."""
        return Money(self.minor + self._same(other).minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        """Subtract an amount of the same currency; MoneyError otherwise."""
        return Money(self.minor - self._same(other).minor, self.currency)

    def _same(self, other: Money) -> Money:
        if other.currency != self.currency:
            message = f"cannot mix {self.currency} and {other.currency}"
            raise MoneyError(message)
        return other

    def decimal(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __str__(self) -> str:
        """For people and logs: `49.00 USD`, `500 JPY`."""
        places = 0 if self.currency in SHOWN_WHOLE else exponent(self.currency)
        return f"{self.decimal():,.{places}f} {self.currency.upper()}"

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read `500 USD`, `49.90 eur` or `5,000 JPY`; MoneyError says what is wrong."""
        parts = text.split()
        if len(parts) != 2:
            message = f"not an amount: {text!r}; expected a number and a currency, such as 500 USD"
            raise MoneyError(message)
        currency = currency_code(parts[1])
        try:
            scaled = Decimal(parts[0].replace(",", "")).scaleb(exponent(currency))
        except InvalidOperation:
            message = f"not a number: {parts[0]!r}"
            raise MoneyError(message) from None
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            message = f"{text!r} has more decimals than {currency.upper()} has"
            raise MoneyError(message)
        return cls(int(scaled), currency)
