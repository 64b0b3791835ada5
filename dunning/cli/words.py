"""Moments, spans and amounts as people write and read them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from dunning.core.money import Money

NOTHING = "—"
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_STEPS = ((60, "s"), (60, "min"), (48, "h"), (60, "d"), (24, "mo"), (1_000, "y"))
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "mo": 2_629_800, "y": 31_557_600}
EXPECTED = "a span such as 36h or 7d, a date such as 2026-03-01, or a time (UTC unless it says)"


# --- reading -------------------------------------------------------------------------------


def read_span(text: str) -> timedelta | None:
    """`7d`, `36h`, `45m`, `2w`; None when it is no span."""
    found = _SPAN.fullmatch(text.strip())
    return int(found[1]) * _UNITS[found[2]] if found else None


def read_moment(text: str, option: str) -> datetime:
    """A date (its first moment) or a time, in UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time; expected one such as 2026-03-01 or 2026-03-01T09:00Z"
        raise typer.BadParameter(message, param_hint=option) from None


def read_before(text: str, now: datetime, option: str) -> datetime:
    """`7d` ago, or a date or time."""
    return _read(text, now, -1, option)


def read_after(text: str, now: datetime, option: str) -> datetime:
    """In `7d`, or a date or time."""
    return _read(text, now, 1, option)


def _read(text: str, now: datetime, direction: int, option: str) -> datetime:
    span = read_span(text)
    try:
        if span is not None:
            return now + direction * span
        return read_moment(text, option)
    except (typer.BadParameter, OverflowError):
        message = f"{text!r} is no time; expected {EXPECTED}"
        raise typer.BadParameter(message, param_hint=option) from None


def read_day(text: str | None, option: str) -> date | None:
    """A day such as 2026-03-01."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        message = f"{text!r} is no day; expected one such as 2026-03-01"
        raise typer.BadParameter(message, param_hint=option) from None


def read_zone(text: str, option: str) -> ZoneInfo:
    """The name of a time zone."""
    from dunning.core.calendar import known_zone

    zone = known_zone(text)
    if zone is None:
        message = f"{text!r} is no time zone; expected a name such as Europe/Berlin or UTC"
        raise typer.BadParameter(message, param_hint=option)
    return zone


def read_money(amount: str, currency: str, option: str = "--amount") -> Money:
    """`49.00` and `USD`."""
    from dunning.errors import MoneyError

    try:
        money = Money.parse(f"{amount.strip()} {currency.strip()}")
    except MoneyError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if money.minor <= 0:
        message = f"{amount} is not above zero"
        raise typer.BadParameter(message, param_hint=option)
    return money


# --- writing -------------------------------------------------------------------------------


def moment_text(moment: datetime | None) -> str:
    """`2026-03-01 09:00`, in UTC; whoever shows it says so once."""
    return NOTHING if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """`Tue 3 Mar, 08:00`, as the customer's clock shows it."""
    local = moment.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b}, {local:%H:%M}"


def hint(moment: datetime, now: datetime) -> str:
    """`in 2 d`, `5 min ago`, `now`: the largest unit that says enough."""
    seconds = (moment - now).total_seconds()
    size = abs(seconds)
    if size < 30:
        return "now"
    unit = next((name for most, name in _STEPS if size < most * _SECONDS[name]), "y")
    number = round(size / _SECONDS[unit])
    return f"in {number} {unit}" if seconds > 0 else f"{number} {unit} ago"


def moment_and_hint(moment: datetime | None, now: datetime) -> str:
    """`2026-03-01 09:00 UTC (in 2 d)`."""
    if moment is None:
        return NOTHING
    return f"{moment_text(moment)} UTC ({hint(moment, now)})"


def amount_text(minor: int, currency: str) -> str:
    """`49.00 USD`."""
    return str(Money(minor, currency)) if currency else str(minor)


def count_text(number: int, one: str, many: str = "") -> str:
    """`1 case`, `2 cases`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def first_moment(day: date) -> datetime:
    """When the day begins, in UTC."""
    return datetime.combine(day, time.min, tzinfo=UTC)
