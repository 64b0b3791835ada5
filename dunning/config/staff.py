"""`staff`: what the merchant's own people are told of, from which amount on, and when."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, member, one_or_more, text, word
from dunning.config.problems import expected_one_of, quoted
from dunning.config.schema_parts import MONEY, Schema, pattern, table, words
from dunning.config.schema_parts import one_or_more as several
from dunning.config.timing import span_words
from dunning.config.yaml_tree import Scalar
from dunning.core.choosing import Terms
from dunning.core.money import Money

KEYS = ("alerts", "high_value", "segment", "every", "digest", "empty_digest", "timezone")
NONE = "none"
MAX_AMOUNTS = 50
SOONEST, LATEST = timedelta(minutes=1), timedelta(days=1)


class Alert(enum.StrEnum):
    """What staff are told of as it happens."""

    HIGH_VALUE = "high_value"
    SUSPENDED = "suspended"
    BREAKER = "breaker"
    BAD_ADDRESS = "bad_address"
    PROMISE_BROKEN = "promise_broken"
    PARKED = "parked"
    NEEDS_PERSON = "needs_person"


WORDS = {
    Alert.HIGH_VALUE: "a case of high value is opened",
    Alert.SUSPENDED: "a service is suspended",
    Alert.BREAKER: "the charges and emails of a source are held, or go on",
    Alert.BAD_ADDRESS: "an address is marked bad",
    Alert.PROMISE_BROKEN: "a customer's promise to pay is broken",
    Alert.PARKED: "a webhook is parked, as it was not understood",
    Alert.NEEDS_PERSON: "a step ends in doubt, or a call to the product is given up",
}
# High value has to be said in money or by a segment first.
USUAL = tuple(each for each in Alert if each is not Alert.HIGH_VALUE)


class Empty(enum.StrEnum):
    """What becomes of the digest of a day on which nothing happened."""

    SEND = "send"
    LEAVE_OUT = "leave_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffTerms:
    """What a policy file says of staff notices. `high_value` has one amount per currency."""

    alerts: tuple[Alert, ...] = USUAL
    high_value: tuple[Money, ...] = ()
    segment: str | None = None
    every: timedelta = timedelta(minutes=15)
    digest: time | None = time(8)
    empty_digest: Empty = Empty.SEND
    timezone: str = "UTC"


USUAL_TERMS = StaffTerms()


def read_staff(at: At | None, terms: Terms, zone: str) -> StaffTerms:
    """What the file says, or what is usual; what is wrong is in the report."""
    usual = StaffTerms(timezone=zone)
    found = None if at is None else fields(at, KEYS)
    if found is None:
        return usual
    amounts_at = found.get("high_value")
    amounts = () if amounts_at is None else _amounts(amounts_at)
    segment = found.read("segment", lambda at: _segment(at, terms), None)
    of_value = "high_value" in found or "segment" in found
    alerts = found.read("alerts", _alerts, (Alert.HIGH_VALUE, *USUAL) if of_value else USUAL)
    if alerts is not None:
        _check_value(found, alerts, of_value=of_value)
    digest = found.get("digest")
    return StaffTerms(
        alerts=alerts or (),
        high_value=amounts,
        segment=segment,
        every=found.read("every", _every, usual.every) or usual.every,
        digest=usual.digest if digest is None else _clock(digest),
        empty_digest=found.read("empty_digest", _empty, usual.empty_digest) or usual.empty_digest,
        timezone=found.read("timezone", values.timezone, zone) or zone,
    )


def _alerts(at: At) -> tuple[Alert, ...] | None:
    if isinstance(at.node, Scalar) and at.node.text.strip() == NONE:
        return ()
    told = one_or_more(at, lambda at: member(at, Alert, "an alert"), "alerts", len(Alert))
    return tuple(each for each in Alert if each in told)


def _check_value(found: Fields, alerts: Sequence[Alert], *, of_value: bool) -> None:
    """An amount that nobody is told of, or an alert without one, is a mistake."""
    told = Alert.HIGH_VALUE in alerts
    if told and not of_value:
        found.fail_key("alerts", "`high_value` is among them; expected `high_value: 500 USD` too")
    if of_value and not told:
        key = "high_value" if "high_value" in found else "segment"
        found.fail_key(key, "says what is of high value; expected `high_value` among the alerts")


def _amounts(at: At) -> tuple[Money, ...]:
    amounts = one_or_more(at, values.money, "amounts", MAX_AMOUNTS)
    seen: set[str] = set()
    for amount in amounts:
        if amount.currency in seen:
            at.fail(f"{amount.currency.upper()} has two amounts; expected one for each currency")
        seen.add(amount.currency)
    return amounts


def _segment(at: At, terms: Terms) -> str | None:
    name = values.name(at)
    known = [segment for segment, _ in terms.segments]
    if name is not None and name not in known:
        expected = expected_one_of(known, name) if known else "expected one of `segments`"
        at.fail(f"no segment {quoted(name)}; {expected}")
        return None
    return name


def _every(at: At) -> timedelta | None:
    span = values.duration(at)
    if span is not None and not SOONEST <= span <= LATEST:
        at.fail("expected from 1m to 1d")
        return None
    return span


def _clock(at: At) -> time | None:
    if isinstance(at.node, Scalar) and at.node.text.strip() == NONE:
        return None
    if text(at, 'a time of day such as "08:00", or none') is None:
        return None
    return values.clock(at)


def _empty(at: At) -> Empty | None:
    value = word(at, [each.value for each in Empty], "what becomes of an empty digest")
    return None if value is None else Empty(value)


def staff_schema() -> Schema:
    """Its part of the JSON Schema."""
    known: Schema = {
        "alerts": {"anyOf": [{"const": NONE}, several({"enum": list(Alert)}, len(Alert))]}
        | {"description": "What staff are told of at once; none for nothing."},
        "high_value": several(MONEY, MAX_AMOUNTS)
        | {"description": "From which amount on a case is of high value, by currency."},
        "segment": pattern(values.NAME, "A segment of this file whose cases are of high value."),
        "every": pattern(values.DURATION, "At most one message of a kind in this time; 1m to 1d."),
        "digest": {"anyOf": [{"const": NONE}, pattern(values.CLOCK)]}
        | {"description": 'When the summary of the day before is sent: "08:00"; none for never.'},
        "empty_digest": words(Empty, "What becomes of the digest of a day without anything."),
        "timezone": {"type": "string", "description": "Of the digest and its days."},
    }
    return table(
        {key: known[key] for key in KEYS}, about="What your own people are told, and when."
    )


def describe_staff(staff: StaffTerms) -> list[str]:
    """As `policy explain` says it."""
    told = [
        f"They are told when {WORDS[alert]}{_of_value(alert, staff)}." for alert in staff.alerts
    ]
    if told:
        told.append(f"At most one message of each of these in {span_words(staff.every)}.")
    if staff.digest is None:
        told.append("There is no digest.")
    else:
        empty = "" if staff.empty_digest is Empty.SEND else ", unless nothing happened"
        told.append(
            f"At {staff.digest:%H:%M} ({staff.timezone}) they get a digest of the day before"
            f"{empty}."
        )
    return told


def _of_value(alert: Alert, staff: StaffTerms) -> str:
    if alert is not Alert.HIGH_VALUE:
        return ""
    amounts = [f"from {amount} on" for amount in staff.high_value]
    segments = [f"of {staff.segment}"] if staff.segment else []
    return f" ({' or '.join((*amounts, *segments))})"
