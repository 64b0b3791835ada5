"""When so much goes wrong with a source that its charges and emails had better wait.

Three signals: calls to the provider fail (an outage, a wrong key, a bug of ours), charges are
declined far beyond the source's normal (an issuer or processor is away), or far more payments fail
first than ever do (mass failure at the billing system). What is normal is learnt, hour by hour.
A small company has three declines in a row every day: nothing is judged below absolute counts, and
a share must be so far off that chance would bring it about once in a million such windows.
"""

from __future__ import annotations

import enum
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dunning.core.events import StepKind, StepResult
from dunning.core.gate import Pulse
from dunning.core.words import MESSAGES

# What waits. What gives access back never does; doors wait for the charges ahead of them anyway.
HOLDS = frozenset((StepKind.RETRY, *MESSAGES))
# These steps ask the provider nothing, so that they say nothing of it.
_ALONE = frozenset((StepKind.RESTRICT, StepKind.ANNOUNCE, StepKind.SIGNAL))
_TROUBLE = frozenset(("down", "refused", "unknown"))
_SAYS_NOTHING = frozenset((StepResult.SKIPPED.value, "put_off"))
_CHARGED = frozenset((StepResult.DONE, StepResult.DECLINED, StepResult.ACTION_NEEDED))

SHORT = timedelta(minutes=15)
LONG = timedelta(hours=6)
HOUR = timedelta(hours=1)

SURE = math.log(1_000_000)
FEWEST_CALLS = 20  # in SHORT, half of which fail
ALL_BAD = 8  # in LONG, not one of which succeeds
FEWEST_CHARGES = 30  # in SHORT, HOUR or LONG
FEWEST_FAILURES = 100  # in an hour
MANY_TIMES = 3  # the busiest hour known
KNOWN_HOURS = 35 * 24  # a whole month of billing, before a flood or a code is called unusual
CODE_SHARE = 0.9

PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=1)
LONGEST_WAIT = timedelta(hours=4)
PROBES = 3  # steps let through, by each process in each PAUSE, to see how it stands
# What only looks unusual is not held for longer; by then it is how things are.
LONGEST_DOUBT = timedelta(hours=24)
_HALF_LIFE_HOURS = 14 * 24
_BUSIEST_HALF_LIFE_HOURS = 60 * 24


class Signal(enum.StrEnum):
    """What tripped the breaker."""

    PROVIDER = "provider"
    DECLINES = "declines"
    FAILURES = "failures"
    HAND = "hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How steps ended: calls to the provider and those that failed, charges and those paid."""

    calls: int = 0
    troubled: int = 0
    charges: int = 0
    paid: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            calls=self.calls + other.calls,
            troubled=self.troubled + other.troubled,
            charges=self.charges + other.charges,
            paid=self.paid + other.paid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Payments heard to have failed first: how many, and of them by decline code."""

    count: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the last while."""

    short: Counts = Counts()
    middle: Counts = Counts()
    long: Counts = Counts()
    since: Counts = Counts()  # since the breaker last changed
    hour: Failures = Failures()


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """What a source is like when all is well: sums in which older hours count less and less."""

    hours: int = 0
    charges: float = 0.0
    paid: float = 0.0
    failures: float = 0.0
    busiest: float = 0.0
    codes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuse:
    """How the breaker of a source stands. Without a signal it is closed: everything goes on."""

    signal: Signal | None = None
    why: str = ""
    since: datetime | None = None
    probe_at: datetime | None = None
    rounds: int = 0

    def is_open(self, now: datetime) -> bool:
        """Whether charges and emails are held."""
        if self.signal is None or self.since is None:
            return False
        lasting = self.signal in (Signal.PROVIDER, Signal.HAND)
        return lasting or now < self.since + LONGEST_DOUBT

    def lets_probe(self, kind: StepKind, now: datetime) -> bool:
        """Whether a few steps of this kind may try how it stands.

        An email asks the provider before it goes: while that fails, it is not sent.
        """
        if self.probe_at is None or now < self.probe_at:
            return False
        return kind is StepKind.RETRY or self.signal is Signal.PROVIDER


def count(pulses: Iterable[Pulse]) -> Counts:
    """What the ends of some steps say."""
    total = Counts()
    for pulse in pulses:
        if pulse.kind in _ALONE or pulse.ending in _SAYS_NOTHING:
            continue
        charged = pulse.kind is StepKind.RETRY and pulse.ending in _CHARGED
        total += Counts(
            calls=1,
            troubled=int(pulse.ending in _TROUBLE),
            charges=int(charged),
            paid=int(charged and pulse.ending == StepResult.DONE),
        )
    return total


# --- the decision --------------------------------------------------------------------------


def decide(fuse: Fuse, seen: Seen, normal: Normal, now: datetime) -> Fuse:
    """How the breaker stands after what was seen; the same fuse when nothing changes."""
    if not fuse.is_open(now):
        if fuse.signal is not None:
            return Fuse(since=now)  # held for long enough
        found = (
            _provider(seen)
            or _declines(seen.short, normal, "15 minutes")
            or _declines(seen.middle, normal, "an hour")
            or _declines(seen.long, normal, "6 hours")
            or _flood(seen.hour, normal)
        )
        if found is not None:
            signal, why = found
            return Fuse(signal=signal, why=why, since=now, probe_at=now + PAUSE)
        return fuse
    if fuse.signal is Signal.HAND or fuse.probe_at is None or now < fuse.probe_at:
        return fuse
    well = _is_well(fuse.signal, seen, normal)
    if well is None:
        return fuse
    if well:
        return Fuse(since=now)
    rounds = fuse.rounds + 1
    return replace(fuse, rounds=rounds, probe_at=now + min(PAUSE * 2**rounds, LONGEST_PAUSE))


def _is_well(signal: Signal | None, seen: Seen, normal: Normal) -> bool | None:
    """Whether what tripped is over; None: too little was tried to say."""
    tried = seen.since
    if signal is Signal.FAILURES:
        return _flood(seen.hour, normal) is None
    if signal is Signal.PROVIDER:
        if tried.troubled and tried.calls < PROBES:
            return None
        return tried.troubled * 2 < tried.calls if tried.calls else None
    if tried.paid and tried.paid >= tried.charges * _paid_share(normal) / 2:
        return True
    return False if tried.charges >= FEWEST_CHARGES else None


def _provider(seen: Seen) -> tuple[Signal, str] | None:
    short, long = seen.short, seen.long
    if short.calls >= FEWEST_CALLS and short.troubled * 2 >= short.calls:
        why = f"{short.troubled} of {short.calls} calls failed within 15 minutes"
        return Signal.PROVIDER, why
    if long.calls >= ALL_BAD and long.troubled == long.calls:
        return Signal.PROVIDER, f"all of {long.calls} calls failed, and none went well for hours"
    return None


def _declines(tried: Counts, normal: Normal, within: str) -> tuple[Signal, str] | None:
    share = _paid_share(normal)
    if tried.charges < FEWEST_CHARGES or tried.paid * 2 >= tried.charges * share:
        return None
    if surprise(tried.paid, tried.charges, share) < SURE:
        return None
    why = (
        f"{tried.paid} of {tried.charges} charges were paid within {within}, where "
        f"{share:.0%} usually are"
    )
    return Signal.DECLINES, why


def _flood(hour: Failures, normal: Normal) -> tuple[Signal, str] | None:
    if normal.hours < KNOWN_HOURS or hour.count < FEWEST_FAILURES:
        return None
    if hour.count >= MANY_TIMES * normal.busiest:
        why = (
            f"{hour.count} payments failed within an hour, where the busiest one known "
            f"had {normal.busiest:.0f}"
        )
        return Signal.FAILURES, why
    code, number = max(hour.codes.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    usual = (normal.codes.get(code, 0.0) + 1) / (normal.failures + 2)
    share = number / hour.count
    if code and share >= CODE_SHARE and share > usual:
        if surprise(number, hour.count, usual) < SURE:
            return None
        why = f"{number} of {hour.count} payments failed with {code}, where {usual:.0%} usually do"
        return Signal.FAILURES, why
    return None


def _paid_share(normal: Normal) -> float:
    """How many of our charges are usually paid; one in ten before anything is known."""
    return (normal.paid + 2) / (normal.charges + 20)


def surprise(hits: int, tries: int, share: float) -> float:
    """How unlikely so many hits are, as minus the logarithm of a bound (Chernoff's)."""
    found = hits / tries
    total = 0.0
    for part, usual in ((found, share), (1 - found, 1 - share)):
        if part > 0:
            total += part * math.log(part / max(usual, 1e-9))
    return tries * total


# --- what is normal ------------------------------------------------------------------------


def learn(normal: Normal, hours: int, counts: Counts, failures: Failures) -> Normal:
    """Take in what the last hours, in which all was well, were like."""
    fading = 0.5 ** (hours / _HALF_LIFE_HOURS)
    fewer = 0.5 ** (hours / _BUSIEST_HALF_LIFE_HOURS)
    codes = {code: number * fading for code, number in normal.codes.items()}
    for code, number in failures.codes.items():
        codes[code] = codes.get(code, 0.0) + number
    return Normal(
        hours=normal.hours + hours,
        charges=normal.charges * fading + counts.charges,
        paid=normal.paid * fading + counts.paid,
        failures=normal.failures * fading + failures.count,
        busiest=max(normal.busiest * fewer, failures.count / hours),
        codes={code: number for code, number in codes.items() if number >= 0.5},
    )


# --- how long what is held waits -----------------------------------------------------------


def waits_until(fuse: Fuse, now: datetime, case: str) -> datetime:
    """When a held case looks again.

    The longer it lasts, the more have gathered and the wider they are spread: so that once it is
    over they do not all go out at once. The same case always has the same place.
    """
    lasted = now - (fuse.since or now)
    over = min(max(lasted / 4, PAUSE), LONGEST_WAIT)
    place = int.from_bytes(hashlib.sha256(case.encode()).digest()[:4]) / 2**32
    return now + over / 2 + over * place
