"""Policy and its timeline; choosing one for a case.

A policy is plain data. Its content hash is its version: a case keeps the hash it began under.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from dunning.core.events import StepKind
from dunning.core.money import Money


class Retries(enum.StrEnum):
    """Who owns the charges of an invoice; exactly one does."""

    OURS = "ours"
    PROVIDER = "provider"
    PROVIDER_FIRST = "provider_first"
    SIGNAL = "signal"


class Day(enum.StrEnum):
    """Days a rung may prefer."""

    PAYDAY = "payday"
    WEEKDAY = "weekday"


class Subscription(enum.StrEnum):
    """What giving up does to the subscription."""

    CANCEL = "cancel"
    KEEP = "keep"


class Invoice(enum.StrEnum):
    """What giving up does to the invoice."""

    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    KEEP = "keep"


class Collection(enum.StrEnum):
    """What suspension does to the subscription's future invoices at the provider."""

    KEEP_AS_DRAFT = "keep_as_draft"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"
    VOID = "void"
    GO_ON = "go_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One line of a timeline: `after` the first failure, or `before` another step.

    `clock` is the customer's local time of day; `on` are preferred days, most wanted first.
    """

    do: StepKind
    after: timedelta | None = None
    before: timedelta | None = None
    anchor: StepKind | None = None
    template: str | None = None
    clock: time | None = None
    on: tuple[Day, ...] = ()
    collection: Collection = Collection.KEEP_AS_DRAFT
    subscription: Subscription = Subscription.KEEP
    invoice: Invoice = Invoice.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a case is walked: no suspension before `grace`, given up at `window`."""

    name: str
    grace: timedelta
    window: timedelta
    timeline: tuple[Rung, ...]
    timezone: str = "UTC"
    retries: Retries = Retries.OURS
    send_between: tuple[time, time] | None = None

    @property
    def version(self) -> str:
        """The content hash: equal for equal policies, whatever file they came from."""
        text = json.dumps(to_data(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The conditions of one line of `choose`; what is None is not asked. All must hold."""

    at_least: Money | None = None
    below: Money | None = None
    currency: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One line of `choose`: the first whose conditions hold names the policy."""

    policy: str
    when: When = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of an invoice when a policy is chosen for it."""

    source: str
    amount: Money
    country: str | None = None
    products: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


def matches(when: When, subject: Subject) -> bool:
    """Whether every condition holds. A bound in another currency does not hold."""
    return (
        _in_bounds(when, subject.amount)
        and (not when.currency or subject.amount.currency in when.currency)
        and (not when.country or (subject.country or "").upper() in when.country)
        and (not when.product or not set(when.product).isdisjoint(subject.products))
        and (not when.source or subject.source in when.source)
        and set(when.metadata) <= set(subject.metadata)
    )


def _in_bounds(when: When, amount: Money) -> bool:
    low, high = when.at_least, when.below
    if low and (low.currency != amount.currency or amount.minor < low.minor):
        return False
    return not (high and (high.currency != amount.currency or amount.minor >= high.minor))


def choose(choices: Sequence[Choice], subject: Subject) -> str:
    """The name of the first policy that fits; the loader made sure the last line fits all."""
    for choice in choices:
        if matches(choice.when, subject):
            return choice.policy
    message = "no line of `choose` fits; the last one must match everything"
    raise ValueError(message)


def to_data(policy: Policy) -> dict[str, Any]:
    """The policy as JSON-ready data, for its hash and for the row a case is pinned to."""
    return {
        "name": policy.name,
        "grace": _seconds(policy.grace),
        "window": _seconds(policy.window),
        "timezone": policy.timezone,
        "retries": policy.retries.value,
        "send_between": [t.isoformat("minutes") for t in policy.send_between or ()],
        "timeline": [_rung_data(rung) for rung in policy.timeline],
    }


def from_data(data: Mapping[str, Any]) -> Policy:
    """Read back what `to_data` wrote."""
    between = [time.fromisoformat(text) for text in data["send_between"]]
    return Policy(
        name=data["name"],
        grace=timedelta(seconds=data["grace"]),
        window=timedelta(seconds=data["window"]),
        timezone=data["timezone"],
        retries=Retries(data["retries"]),
        send_between=(between[0], between[1]) if between else None,
        timeline=tuple(_rung(item) for item in data["timeline"]),
    )


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


def _rung_data(rung: Rung) -> dict[str, Any]:
    return {
        "do": rung.do.value,
        "after": None if rung.after is None else _seconds(rung.after),
        "before": None if rung.before is None else _seconds(rung.before),
        "anchor": rung.anchor.value if rung.anchor else None,
        "template": rung.template,
        "clock": rung.clock.isoformat("minutes") if rung.clock else None,
        "on": [day.value for day in rung.on],
        "collection": rung.collection.value,
        "subscription": rung.subscription.value,
        "invoice": rung.invoice.value,
    }


def _rung(data: Mapping[str, Any]) -> Rung:
    return Rung(
        do=StepKind(data["do"]),
        after=None if data["after"] is None else timedelta(seconds=data["after"]),
        before=None if data["before"] is None else timedelta(seconds=data["before"]),
        anchor=StepKind(data["anchor"]) if data["anchor"] else None,
        template=data["template"],
        clock=time.fromisoformat(data["clock"]) if data["clock"] else None,
        on=tuple(Day(day) for day in data["on"]),
        collection=Collection(data["collection"]),
        subscription=Subscription(data["subscription"]),
        invoice=Invoice(data["invoice"]),
    )
