"""Chances of the simulated world: which declines happen, and whether a retry goes through.

Invented for the demo, in the direction the industry reports and with no vendor's figures. All
functions are pure: the same arguments give the same number, and `succeeds` draws its luck from
(seed, customer, invoice, time of the attempt) alone, so that two runs agree.

Mix of first declines (share of failing renewals), and what a retry of the same card can do:

| code                    | share | kind  | chance of one retry, before the factors below |
|-------------------------|-------|-------|-----------------------------------------------|
| insufficient_funds      | 42 %  | funds | 0.16; 0.80 in the three days from payday      |
| do_not_honor            | 12 %  | soft  | 0.22                                          |
| generic_decline         | 8 %   | soft  | 0.20                                          |
| card_velocity_exceeded  | 5 %   | soft  | 0.45                                          |
| processing_error        | 3 %   | brief | 0.90                                          |
| issuer_not_available    | 3 %   | brief | 0.85                                          |
| expired_card            | 11 %  | dead  | 0: only a new card, or the network's updater  |
| lost_card               | 4 %   | dead  | 0                                             |
| stolen_card             | 2 %   | dead  | 0                                             |
| invalid_account         | 3 %   | dead  | 0                                             |
| authentication_required | 5 %   | dead  | 0: only with the customer present             |
| fraudulent              | 2 %   | dead  | 0                                             |

Factors, multiplied, at most 0.97 in all; `brief` declines know only the first:

| factor  | values                                                                   |
|---------|--------------------------------------------------------------------------|
| age     | under 6 h 0.35 (nothing has changed yet), to 2 days 0.85, to 10 days 1,  |
|         | to 16 days 0.8, to 24 days 0.6, later 0.4                                |
| hour    | local: 0-5 0.7, 6-10 1.15, 11-17 1, 18-23 0.9                            |
| weekday | local: Monday 1.05, Friday 1.1, Saturday 0.95, Sunday 0.8, else 1        |
| payday  | only `funds`: replaces the base chance, as in the first table            |

Luck is drawn once per quarter of a local day, so that hammering a card gains nothing.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from dunning.sandbox.ids import draw
from dunning.sandbox.world import DAY, HOUR

Kind = Literal["funds", "soft", "brief", "dead"]

MIX: dict[str, float] = {
    "insufficient_funds": 0.42,
    "do_not_honor": 0.12,
    "generic_decline": 0.08,
    "card_velocity_exceeded": 0.05,
    "processing_error": 0.03,
    "issuer_not_available": 0.03,
    "expired_card": 0.11,
    "lost_card": 0.04,
    "stolen_card": 0.02,
    "invalid_account": 0.03,
    "authentication_required": 0.05,
    "fraudulent": 0.02,
}
_KINDS: dict[str, Kind] = {
    "insufficient_funds": "funds",
    "do_not_honor": "soft",
    "generic_decline": "soft",
    "card_velocity_exceeded": "soft",
    "processing_error": "brief",
    "issuer_not_available": "brief",
}
_BASE = {
    "insufficient_funds": 0.16,
    "do_not_honor": 0.22,
    "generic_decline": 0.20,
    "card_velocity_exceeded": 0.45,
    "processing_error": 0.90,
    "issuer_not_available": 0.85,
}
_PAYDAY_CHANCE = 0.80
_PAYDAY_LASTS = 3  # days, the payday itself among them
_MOST = 0.97


def kind_of(code: str) -> Kind:
    """What a retry of the same card can do; unknown codes are dead."""
    return _KINDS.get(code, "dead")


def age_factor(seconds: int) -> float:
    """How the chance changes with the time since the first failure."""
    if seconds < 6 * HOUR:
        return 0.35
    steps = ((2, 0.85), (10, 1.0), (16, 0.8), (24, 0.6))
    for days, factor in steps:
        if seconds <= days * DAY:
            return factor
    return 0.4


def hour_factor(hour: int) -> float:
    """How the chance changes with the customer's local hour."""
    if hour < 6:
        return 0.7
    if hour < 11:
        return 1.15
    return 1.0 if hour < 18 else 0.9


def weekday_factor(weekday: int) -> float:
    """How the chance changes with the customer's local weekday; Monday is 0."""
    return {0: 1.05, 4: 1.1, 5: 0.95, 6: 0.8}.get(weekday, 1.0)


def is_payday_time(local: datetime, payday: int) -> bool:
    """True on the payday and the two days after; 31 stands for the last day of any month."""
    for back in range(_PAYDAY_LASTS):
        day = local - timedelta(days=back)
        last = calendar.monthrange(day.year, day.month)[1]
        if day.day == min(payday, last):
            return True
    return False


def chance(code: str, *, failed_at: int, at: int, zone: str, payday: int) -> float:
    """The probability that a retry of the same card succeeds at this time."""
    kind = kind_of(code)
    if kind == "dead":
        return 0.0
    base = _BASE[code]
    if kind == "brief":
        return min(_MOST, base * age_factor(at - failed_at))
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    if kind == "funds" and is_payday_time(local, payday):
        base = _PAYDAY_CHANCE
    factors = age_factor(at - failed_at) * hour_factor(local.hour) * weekday_factor(local.weekday())
    return min(_MOST, base * factors)


def succeeds(
    seed: int,
    customer: str,
    invoice: str,
    code: str,
    *,
    failed_at: int,
    at: int,
    zone: str,
    payday: int,
) -> bool:
    """Whether this retry goes through: the chance against luck that is the same in every run."""
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    quarter = f"{local:%Y-%m-%d}/{local.hour // 6}"
    luck = draw(seed, "retry", customer, invoice, quarter)
    return luck < chance(code, failed_at=failed_at, at=at, zone=zone, payday=payday)
