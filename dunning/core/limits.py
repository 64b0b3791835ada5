"""What card networks and bank schemes allow per card and window.

Networks fine the merchant for asking too often, whoever pressed the button, so every attempt on
the card counts: ours, the provider's, the customer's own. The numbers are data with their sources.
Where networks allow more than is wise, the house ceiling is reached first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dunning.core.events import Attempt, AttemptStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `count` attempts of a kind within `window`; one more is not made.

    `kind` is "declines" (the bank said no) or "attempts" (every try that has not brought the
    money, so also those in process or waiting for the customer). `network` and `method_type` say
    whom it binds; None is everybody.
    """

    name: str
    kind: str
    count: int
    window: timedelta
    source: str
    certainty: str  # verified, judgement or unverified
    network: str | None = None
    method_type: str | None = None
    same_amount: bool = False  # only attempts of the amount asked for
    in_a_row: bool = False  # a success starts the count afresh


@dataclass(frozen=True, slots=True)
class Blocked:
    """No charge before `until`; None is never on this card or mandate (no limit says so today)."""

    until: datetime | None
    why: str


_DAY = timedelta(days=1)

LIMITS: tuple[Limit, ...] = (
    Limit(
        name="house ceiling",
        kind="attempts",
        count=8,
        window=30 * _DAY,
        same_amount=True,
        source="house rule; docs.stripe.com/declines/card advises at most 8 tries, and Stripe "
        "blocks a Visa card after the 15th",
        certainty="judgement",
    ),
    Limit(
        name="Visa declines in a month",
        network="visa",
        kind="declines",
        count=20,
        window=30 * _DAY,
        same_amount=True,
        in_a_row=True,
        source="Visa Core Rules 18 Apr 2026, 7.3.6.3 (ID 0030640), as copied by "
        "github.com/IanFoxDev/decline-codes; tabapay.com, cielo.com.br. Older pages say 15",
        certainty="judgement",
    ),
    Limit(
        name="Mastercard declines in a day",
        network="mastercard",
        kind="declines",
        count=10,
        window=timedelta(hours=24),
        source="retries.com, tabapay.com on Transaction Processing Excellence; a rolling day is "
        "the stricter reading, some count calendar days",
        certainty="judgement",
    ),
    Limit(
        name="Mastercard declines in a month",
        network="mastercard",
        kind="declines",
        count=35,
        window=30 * _DAY,
        same_amount=True,
        source="retries.com, tabapay.com on Transaction Processing Excellence",
        certainty="judgement",
    ),
    Limit(
        name="ACH entry and two re-presentments",
        method_type="us_bank_account",
        kind="attempts",
        count=3,
        window=180 * _DAY,
        same_amount=True,
        in_a_row=True,
        source="NACHA rule 2.12.4 as published by several banks and buckleyfirm.com (2013)",
        certainty="judgement",
    ),
    Limit(
        name="SEPA debit and two more tries",
        method_type="sepa_debit",
        kind="attempts",
        count=3,
        window=30 * _DAY,
        same_amount=True,
        in_a_row=True,
        source="docs.adyen.com auto rescue and Stripe's own retries; the scheme names no number",
        certainty="judgement",
    ),
    Limit(
        name="Bacs debit and two re-presentments",
        method_type="bacs_debit",
        kind="attempts",
        count=3,
        window=30 * _DAY,
        same_amount=True,
        in_a_row=True,
        source="house rule within the 30 days of docs.acquired.com; the scheme's number is unknown",
        certainty="unverified",
    ),
    *(
        Limit(
            name=f"{method_type} and one more try",
            method_type=method_type,
            kind="attempts",
            count=2,
            window=30 * _DAY,
            same_amount=True,
            in_a_row=True,
            source="Stripe itself tries these once or twice in 30 to 40 days; we take the least",
            certainty="unverified",
        )
        for method_type in ("acss_debit", "au_becs_debit", "nz_bank_account")
    ),
)

_LATER_WINS = {status: place for place, status in enumerate(AttemptStatus)}


def allowed(
    history: Sequence[Attempt],
    *,
    network: str | None,
    method_type: str | None,
    amount: int,
    now: datetime,
) -> Blocked | None:
    """Whether a charge of `amount` (minor units) at `now` (aware) keeps every limit; None if so.

    `history` is every attempt on this card or account by anyone, in any order; reports of the
    same try count once. An attempt exactly as old as the window is outside it. When several
    limits are reached the one that lasts longest is told. Rules and sources: LIMITS.
    """
    attempts = _once_each(history)
    found = [
        blocked
        for limit in LIMITS
        if _binds(limit, network, method_type)
        and (blocked := _reached(limit, attempts, amount, now))
    ]
    return max(found, key=lambda one: one[0], default=(now, None))[1]


def _binds(limit: Limit, network: str | None, method_type: str | None) -> bool:
    return (limit.network is None or limit.network == _plain(network)) and (
        limit.method_type is None or limit.method_type == _plain(method_type)
    )


def _plain(name: str | None) -> str:
    return (name or "").strip().casefold()


def _once_each(history: Iterable[Attempt]) -> list[Attempt]:
    """One attempt per id, oldest first; where reports differ the later status is believed."""
    best: dict[str, Attempt] = {}
    for attempt in history:
        known = best.get(attempt.id)
        if known is None or _rank(attempt) > _rank(known):
            best[attempt.id] = attempt
    return sorted(best.values(), key=lambda attempt: (attempt.at, attempt.id))


def _rank(attempt: Attempt) -> tuple[int, datetime]:
    return _LATER_WINS[attempt.status], attempt.at


def _reached(
    limit: Limit, attempts: Sequence[Attempt], amount: int, now: datetime
) -> tuple[datetime, Blocked] | None:
    """When the window frees a place again, if it is full."""
    counted = [one.at for one in _counted(limit, attempts, amount) if one.at > now - limit.window]
    if len(counted) < limit.count:
        return None
    until = counted[-limit.count] + limit.window
    why = (
        f"{limit.name}: {len(counted)} {limit.kind} within {_span(limit.window)}, and"
        f" {limit.count} are allowed; the next is possible at {until.isoformat()}"
    )
    return until, Blocked(until, why)


def _counted(limit: Limit, attempts: Sequence[Attempt], amount: int) -> list[Attempt]:
    """The attempts this limit counts, oldest first."""
    counted: list[Attempt] = []
    for attempt in attempts:
        if limit.same_amount and attempt.amount != amount:
            continue
        if attempt.status is AttemptStatus.SUCCEEDED:
            counted = [] if limit.in_a_row else counted
        elif limit.kind == "attempts" or attempt.status is AttemptStatus.DECLINED:
            counted.append(attempt)
    return counted


def _span(window: timedelta) -> str:
    return f"{window.days} days" if window.days > 1 else f"{window // timedelta(hours=1)} hours"
