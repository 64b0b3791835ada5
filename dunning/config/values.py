"""The small values of a policy file: durations, times of day, zones, money, names."""

from __future__ import annotations

import re
import zoneinfo
from datetime import time, timedelta

from dunning.config.cursor import At, text
from dunning.config.problems import nearest, quoted
from dunning.core.choosing import Quantity, quantity_words
from dunning.core.money import Money, currency_code
from dunning.errors import MoneyError

UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
DURATION = r"[0-9]{1,6}[mhdw]"
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
SPAN = rf"{CLOCK} ?- ?{CLOCK}"
NAME = r"[A-Za-z][A-Za-z0-9_-]{0,59}"
# It stands in the address of the source's webhooks.
SOURCE_NAME = r"[a-z][a-z0-9_-]{0,39}"
COUNTRY = r"[A-Za-z]{2}"
LOCALE = r"[a-z]{2,3}([-_][A-Z][a-z]{3})?([-_][A-Z]{2})?"
# In capitals, as is the custom; anything else might be the secret itself.
VARIABLE = r"[A-Z][A-Z0-9_]{0,99}"

_DURATION = "a duration in whole numbers, such as 45m, 0h, 36h, 3d or 2w"
_LOCALE = "a language, and where it matters a country, such as de, de-AT or pt-BR"
_CLOCK = 'a time of day from 00:00 to 23:59, such as "08:00"'
_SPAN = 'two times of day, such as "09:00-18:00"'


def parse_duration(value: str) -> timedelta | None:
    """`3d` as a span of time; None when it is none."""
    if not re.fullmatch(DURATION, value, re.ASCII):
        return None
    return int(value[:-1]) * UNITS[value[-1]]


def duration(at: At) -> timedelta | None:
    value = text(at, _DURATION)
    if value is None:
        return None
    span = parse_duration(value)
    if span is None:
        at.fail(f"{quoted(value)} is not a duration; expected {_DURATION}")
    return span


def locale(at: At) -> str | None:
    """A language as browsers and providers write it."""
    value = text(at, _LOCALE)
    if value is not None and not re.fullmatch(LOCALE, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a language; expected {_LOCALE}")
        return None
    return value


def clock(at: At) -> time | None:
    value = text(at, _CLOCK)
    if value is None:
        return None
    if not re.fullmatch(CLOCK, value, re.ASCII):
        meant = f"0{value}" if re.fullmatch(r"[0-9]:[0-5][0-9]", value, re.ASCII) else None
        hint = f". Did you mean '{meant}'?" if meant else ""
        at.fail(f"{quoted(value)} is not a time of day; expected {_CLOCK}{hint}")
        return None
    return time.fromisoformat(value)


def span(at: At) -> tuple[time, time] | None:
    """`09:00-18:00`; it must open before it closes, so that a day has some of it."""
    value = text(at, _SPAN)
    if value is None:
        return None
    if not re.fullmatch(SPAN, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a span of the day; expected {_SPAN}")
        return None
    opens, closes = (time.fromisoformat(part.strip()) for part in value.split("-"))
    if opens >= closes:
        what = "is empty" if opens == closes else "closes before it opens"
        at.fail(f"{quoted(value)} {what}; expected the earlier time first, within one day")
        return None
    return opens, closes


def timezone(at: At) -> str | None:
    """The name of a zone in the IANA tables."""
    value = text(at, "a time zone such as Europe/Berlin or UTC")
    if value is None:
        return None
    try:
        known = value != "localtime" and zoneinfo.ZoneInfo(value) is not None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        meant = nearest(value, zoneinfo.available_timezones())
        hint = f". Did you mean '{meant}'?" if meant else ""
        expected = "expected a name such as Europe/Berlin or UTC"
        at.fail(f"{quoted(value)} is not a time zone; {expected}{hint}")
        return None
    return value


def money(at: At) -> Money | None:
    value = text(at, "an amount such as 500 USD")
    if value is None:
        return None
    try:
        amount = Money.parse(value)
    except MoneyError:
        at.fail(f"{quoted(value)} is not an amount; expected a number and a currency: 500 USD")
        return None
    if amount.minor <= 0:
        at.fail(f"{quoted(value)} is not above zero")
        return None
    return amount


def check_range(at: At, low: Quantity, high: Quantity) -> None:
    """Refuse two bounds between which nothing lies."""
    if isinstance(low, Money) and isinstance(high, Money):
        if low.currency != high.currency:
            at.fail(f"{low} and {high} are in two currencies; expected one")
            return
        empty = low.minor >= high.minor
    elif isinstance(low, timedelta) and isinstance(high, timedelta):
        empty = low >= high
    else:
        empty = isinstance(low, int) and isinstance(high, int) and low >= high
    if empty:
        shown = [quantity_words(each) for each in (low, high)]
        at.fail(f"nothing is at least {shown[0]} and below {shown[1]}")


def currency(at: At) -> str | None:
    value = text(at, "a currency such as USD")
    if value is None:
        return None
    try:
        return currency_code(value)
    except MoneyError:
        at.fail(f"{quoted(value)} is not a currency; expected three letters such as USD")
        return None


def country(at: At) -> str | None:
    """Two letters in capitals, as cases are compared with."""
    value = text(at, "a country such as NO")
    if value is None:
        return None
    if not re.fullmatch(COUNTRY, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a country; expected two letters such as DE or NO")
        return None
    return value.upper()


def name(at: At) -> str | None:
    """The name of a policy or a message."""
    return _named(at, NAME, "letters, digits, - and _, beginning with a letter")


def source_name(at: At) -> str | None:
    """The name of a source, as it stands in /webhooks/{source}."""
    return _named(at, SOURCE_NAME, "lower-case letters, digits, - and _, beginning with a letter")


def is_name(value: str) -> bool:
    return re.fullmatch(NAME, value, re.ASCII) is not None


def _named(at: At, pattern: str, expected: str) -> str | None:
    value = text(at, f"a name: {expected}")
    if value is None:
        return None
    if not re.fullmatch(pattern, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a name; expected {expected}")
        return None
    return value
