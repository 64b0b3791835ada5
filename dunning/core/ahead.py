"""What lies ahead of a customer and is told of before it comes, as one look found it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from dunning.core.words import Kind, Over


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A renewal, and the card that it will be charged to. The amount is None where unknown.

    `began_at` is the beginning of the term that `renews_at` ends. `exact`: the provider's calendar
    says so of this very renewal; else it was reckoned on from an earlier one. `first`: the term is
    the first that the customer has.
    """

    customer: str
    subscription: str
    renews_at: datetime
    exact: bool = True
    began_at: datetime | None = None
    first: bool = False
    amount: int | None = None
    currency: str = ""
    term: str | None = None  # month, year, 2 years
    method: str | None = None
    method_type: str | None = None
    network: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When a subscription renews, and by what it is paid, as one message showed it.

    `price` is what a term costs, where nothing known can make the bill another.
    """

    renews_at: datetime | None = None
    began_at: datetime | None = None
    started_at: datetime | None = None  # the first term
    cancels_at: datetime | None = None  # it ends by itself at that moment
    method: str | None = None  # its own; None: the customer's default
    automatic: bool = True
    paused: bool = False
    price: int | None = None
    currency: str | None = None
    term: str | None = None
    anchor_day: int | None = None  # of the month, that months without it do not change


_MOMENTS = ("renews_at", "began_at", "started_at", "cancels_at")
_PLAIN = {each.name: each.default for each in fields(Outlook)}


def outlook_to(outlook: Outlook) -> str:
    """The whole as one text, the same for the same outlook: what was taken out of it is gone."""
    told = {name: value for name, value in asdict(outlook).items() if value != _PLAIN[name]}
    for name in _MOMENTS:
        if name in told:
            told[name] = told[name].astimezone(UTC).isoformat()
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def outlook_from(text: str | None) -> Outlook:
    """Read back what `outlook_to` wrote."""
    told = json.loads(text) if text else {}
    for name in _MOMENTS:
        if name in told:
            told[name] = datetime.fromisoformat(told[name])
    return Outlook(**told)


Upcoming = tuple[datetime, int, str]  # the end of the term, what the bill will be, its currency


def upcoming_to(heard: datetime, told: Upcoming) -> str:
    """An announced bill as one text; of two of them the greater was heard later."""
    at, ends = (moment.astimezone(UTC).isoformat(timespec="seconds") for moment in (heard, told[0]))
    return json.dumps([at, ends, told[1], told[2]])


def upcoming_from(text: str | None) -> Upcoming | None:
    """Read back what `upcoming_to` wrote."""
    if not text:
        return None
    _, ends, amount, currency = json.loads(text)
    return datetime.fromisoformat(ends), amount, currency


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReported:
    """How it stands with what a customer is told of; `over` once there is nothing to tell.

    `invoice` is the name of the notice, where other cases have their invoice: the same for the
    same card and expiry, or for the same term of a subscription.
    """

    id: str
    at: datetime
    invoice: str
    kind: Kind
    ahead: Ahead
    over: Over | None = None

    @property
    def customer(self) -> str:
        """Whom it is told."""
        return self.ahead.customer

    @property
    def subscription(self) -> str:
        """What renews."""
        return self.ahead.subscription
