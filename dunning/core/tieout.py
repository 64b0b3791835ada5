"""The tie-out: why our ledger and the provider's own books differ about an invoice.

What both show is paired by amount. What is left over on either side is a difference, and the first
rule of a table that fits says why. Nothing here knows where either side came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dunning.core.bookings import Booking, Fate, Flow, Pair, Posted, Webhook, counted, left_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A part of one pair that does not agree, and the likely cause."""

    pair: Pair
    cause: Cause
    ledger: int
    provider: int
    at: datetime | None  # when it happened, by whoever has it
    about: str = ""  # the provider's name of it
    detail: str = ""
    webhook: int | None = None  # the row of the inbox that has it

    @property
    def amount(self) -> int:
        """How much more the provider has."""
        return self.provider - self.ledger


# --- causes --------------------------------------------------------------------------------

# The provider's moment of a thing and ours may be so far apart; further off, it is another thing.
SHIFT = timedelta(days=3)
# A webhook may take so long before it counts as one that did not come.
ON_ITS_WAY = timedelta(minutes=5)
# Older events are not to be had from the provider any more, so asking is no use.
EVENTS_KEPT = timedelta(days=30)
EXPLAINED, TO_DO, UNEXPLAINED = "explained", "to do", "unexplained"


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause: what it means, whether the books are right all the same, what to do."""

    name: str
    verdict: str
    says: str
    next: str = ""


_SHOW = "dunning cases show {case}"
_ASK = "dunning reconcile --source {source} --since {day}"

CURRENCY = Cause("currency", TO_DO, "The provider has it in another currency than the case.", _SHOW)
LATER = Cause(
    "later_than_data",
    EXPLAINED,
    "It happened after the moment up to which our data goes, or so shortly before that its "
    "webhook may be on its way.",
)
WAITING = Cause(
    "webhook_waiting",
    TO_DO,
    "Its webhook has come and is not handled yet.",
    "dunning inbox list --state new",
)
PARKED = Cause(
    "webhook_parked",
    TO_DO,
    "Its webhook is parked: it could not be read.",
    "dunning inbox replay {webhook}",
)
FAILED_REFUND = Cause(
    "refund_failed",
    TO_DO,
    "The provider says that the refund failed; the ledger has not heard of that.",
    _ASK,
)
UNDONE_REFUND = Cause(
    "refund_undone",
    EXPLAINED,
    "A refund that failed: the provider books it and later back, the ledger as never made.",
)
CLOSED_MONTH = Cause(
    "closed_month",
    EXPLAINED,
    "Its month was closed when we heard of it, so the books count it in a later one.",
)
OTHER_PERIOD = Cause(
    "other_period",
    EXPLAINED,
    "The other side counts it in another period: by a different moment or time zone.",
)
BEFORE = Cause(
    "before_the_case",
    EXPLAINED,
    "It was paid before the payment failed, or is about such a payment: never at risk.",
)
ADOPTED = Cause(
    "adopted",
    EXPLAINED,
    "The case was taken over later; this was paid before, and the ledger began with the rest.",
)
CREDIT_NOTE = Cause(
    "credit_note",
    EXPLAINED,
    "More was paid than was owed after a credit note: the customer's money, and no recovery.",
)
OVERPAID = Cause(
    "overpaid",
    EXPLAINED,
    "More was paid than was owed: the customer's money, and no recovery.",
)
NOT_APPLIED = Cause(
    "not_applied",
    EXPLAINED,
    "A charge that the invoice was settled without: the provider keeps it for the customer.",
)
PENDING = Cause(
    "refund_pending",
    TO_DO,
    "The refund is under way at the provider, and the ledger has not heard of it.",
    _ASK,
)
OUT_OF_BAND = Cause(
    "out_of_band",
    EXPLAINED,
    "Marked as paid outside of the provider: an export of its payments cannot have it.",
)
BEYOND_EXPORT = Cause(
    "beyond_the_export",
    TO_DO,
    "It lies before the first line of the file or behind its last.",
    "export a day more on either side",
)
MISSING = Cause("webhook_missing", TO_DO, "No webhook told us of it.", _ASK)
OTHER_AMOUNT = Cause(
    "other_amount", UNEXPLAINED, "Both sides have it, with different amounts.", _SHOW
)
NOT_THERE = Cause(
    "not_there", UNEXPLAINED, "The ledger has it, and the provider's books do not.", _SHOW
)
UNKNOWN = Cause(
    "unknown",
    UNEXPLAINED,
    "Both sides know of it, and only the provider counts it: no rule explains it.",
    _SHOW,
)

# --- what they have and we do not ------------------------------------------------------------

_Theirs = Callable[[Pair, Booking], "str | None"]


def _hook(pair: Pair, booking: Booking, state: str) -> Webhook | None:
    """A kept webhook in that state that tells of it; the invoice only tells of payments."""
    paid = booking.flow is Flow.PAID
    names = {*booking.all_names, pair.known.invoice} if paid else {booking.id}
    found = (pair.webhooks[name] for name in sorted(names) if name in pair.webhooks)
    return next((hook for hook in found if hook.state == state), None)


def _webhook(pair: Pair, booking: Booking, state: str) -> str | None:
    hook = _hook(pair, booking, state)
    return f"{hook.event} ({hook.type}), row {hook.id}" if hook else None


def _shifted(pair: Pair, booking: Booking, *, closed: bool) -> str | None:
    """The ledger has the same amount, in another period."""
    for posted in pair.posted_elsewhere:
        if _same(posted, booking) and (posted.counted_at != posted.at) == closed:
            return f"here at {_moment(posted.counted_at)}, there at {_moment(booking.at)}"
    return None


def _same(posted: Posted, booking: Booking) -> bool:
    """The same money by its name, else by its amount and about the same time."""
    if (posted.amount, posted.currency) != (booking.amount, booking.currency):
        return False
    return posted.about in booking.all_names or abs(posted.at - booking.at) <= SHIFT


def _before(pair: Pair, booking: Booking) -> str | None:
    opened = pair.known.opened_at
    if booking.flow is Flow.PAID:
        early = opened is not None and booking.at <= opened
        return f"paid at {_moment(booking.at)}" if early or opened is None else None
    about = pair.known.uncounted & frozenset(booking.names)
    return f"of {min(about)}" if about else None


def _adopted(pair: Pair, booking: Booking) -> str | None:
    at = pair.known.adopted_at
    if booking.flow is not Flow.PAID or at is None or booking.at > at:
        return None
    return f"taken over at {_moment(at)}"


def _too_much(pair: Pair, amount: int) -> bool:
    """Whether so much was paid beyond what was owed, by what we heard ourselves."""
    return 0 < amount <= pair.known.too_much


def _overpaid(pair: Pair, booking: Booking, *, credited: bool) -> str | None:
    heard = booking.known_as & pair.known.heard.get(pair.flow, frozenset())
    fits = heard and _too_much(pair, booking.amount)
    return "beyond what was owed" if fits and bool(pair.known.forgiven) is credited else None


def _missing(pair: Pair, booking: Booking) -> str | None:
    if booking.fate is Fate.OUTSIDE:
        return "marked as paid outside of the provider"
    heard = booking.known_as & pair.known.heard.get(pair.flow, frozenset())
    return None if heard else booking.id


def _later(pair: Pair, booking: Booking) -> str | None:
    heard = booking.known_as & pair.known.heard.get(pair.flow, frozenset())
    late = booking.at > pair.data_until - ON_ITS_WAY
    return _moment(booking.at) if late and not heard else None


def _currency(pair: Pair, booking: Booking) -> str | None:
    ours = pair.known.currency
    return f"the case is in {ours.upper()}" if booking.currency != ours else None


_THEIRS: tuple[tuple[Cause, _Theirs], ...] = (
    (CURRENCY, _currency),
    (WAITING, lambda pair, one: _webhook(pair, one, "new")),
    (PARKED, lambda pair, one: _webhook(pair, one, "parked")),
    (LATER, _later),
    (CLOSED_MONTH, lambda pair, one: _shifted(pair, one, closed=True)),
    (OTHER_PERIOD, lambda pair, one: _shifted(pair, one, closed=False)),
    (
        UNDONE_REFUND,
        lambda pair, one: one.id if one.all_names & pair.known.failed_refunds else None,
    ),
    (BEFORE, _before),
    (ADOPTED, _adopted),
    (
        NOT_APPLIED,
        lambda pair, one: one.id if one.all_names & pair.known.uncounted else None,
    ),
    (CREDIT_NOTE, lambda pair, one: _overpaid(pair, one, credited=True)),
    (OVERPAID, lambda pair, one: _overpaid(pair, one, credited=False)),
    (PENDING, lambda _pair, one: one.id if one.fate is Fate.PENDING else None),
    (MISSING, _missing),
)

# --- what we have and they do not ------------------------------------------------------------

_Ours = Callable[[Pair, Posted], "str | None"]


def _failed_there(pair: Pair, posted: Posted) -> str | None:
    for one in (*pair.booked, *pair.booked_elsewhere):
        if one.fate is Fate.FAILED and one.amount == posted.amount:
            return one.id
    return None


def _there_elsewhere(pair: Pair, posted: Posted) -> str | None:
    for one in pair.booked_elsewhere:
        if one.fate is not Fate.FAILED and _same(posted, one):
            return f"there at {_moment(one.at)}, here at {_moment(posted.counted_at)}"
    return None


def _came_late(pair: Pair, posted: Posted) -> str | None:
    """Counted here because its month was closed, or taken back in another for that reason."""
    if posted.closed:
        return f"of {posted.closed}, by the books at {_moment(posted.counted_at)}"
    for other in pair.posted_elsewhere:
        if other.closed and other.amount == -posted.amount:
            return f"taken back by the books at {_moment(other.counted_at)}"
    return None


def _beyond(pair: Pair, posted: Posted) -> str | None:
    file = pair.export
    if file is None or file.first <= posted.at <= file.last:
        return None
    return f"{file.name} goes from {_moment(file.first)} to {_moment(file.last)}"


def _other_money(pair: Pair, posted: Posted) -> str | None:
    for one in pair.booked_elsewhere:
        if one.currency != posted.currency:
            return f"there {one.amount} {one.currency.upper()} in minor units"
    return None


_OURS: tuple[tuple[Cause, _Ours], ...] = (
    (
        OUT_OF_BAND,
        lambda pair, one: "by the ledger" if one.outside and pair.export else None,
    ),
    (FAILED_REFUND, _failed_there),
    (CLOSED_MONTH, _came_late),
    (OTHER_PERIOD, _there_elsewhere),
    (CURRENCY, _other_money),
    (BEYOND_EXPORT, _beyond),
)

CAUSES: tuple[Cause, ...] = (
    *dict.fromkeys(cause for cause, _ in (*_THEIRS, *_OURS)),
    OTHER_AMOUNT,
    NOT_THERE,
    UNKNOWN,
)


# --- one pair --------------------------------------------------------------------------------


def differences(pair: Pair) -> list[Difference]:
    """Why the two sides of a pair differ; nothing where their sums are the same."""
    if counted(pair.booked) == sum(one.amount for one in pair.posted):
        return []
    theirs, ours = left_over(pair.booked, pair.posted)
    early = [one for one in theirs if ours and _before(pair, one)]
    found = [_of_theirs(pair, one) for one in early]
    theirs = [one for one in theirs if one not in early]
    if theirs and ours:
        return [*found, _of_both(pair, theirs, ours)]
    found += [_of_theirs(pair, one) for one in theirs]
    return found + [_of_ours(pair, one) for one in ours]


def _of_theirs(pair: Pair, one: Booking) -> Difference:
    cause, detail = _first((cause, rule(pair, one)) for cause, rule in _THEIRS)
    hook = _hook(pair, one, "parked") if cause is PARKED else None
    return Difference(
        pair=pair,
        cause=cause,
        ledger=0,
        provider=one.amount,
        at=one.at,
        about=one.id,
        detail=detail,
        webhook=hook.id if hook else None,
    )


def _of_ours(pair: Pair, one: Posted) -> Difference:
    tried = ((cause, rule(pair, one)) for cause, rule in _OURS)
    cause, detail = _first(tried, NOT_THERE)
    return Difference(
        pair=pair, cause=cause, ledger=one.amount, provider=0, at=one.counted_at, detail=detail
    )


def _of_both(pair: Pair, theirs: Sequence[Booking], ours: Sequence[Posted]) -> Difference:
    """Something on either side, and nothing says which belongs to which."""
    ledger, provider = sum(one.amount for one in ours), counted(theirs)
    more = provider - ledger
    cause = OTHER_AMOUNT
    if pair.flow is Flow.PAID and _too_much(pair, more):
        cause = CREDIT_NOTE if pair.known.forgiven else OVERPAID
    return Difference(
        pair=pair,
        cause=cause,
        ledger=ledger,
        provider=provider,
        at=min(one.at for one in theirs),
        about=", ".join(one.id for one in theirs),
    )


def _first(
    tried: Iterator[tuple[Cause, str | None]], otherwise: Cause = UNKNOWN
) -> tuple[Cause, str]:
    return next(((cause, said) for cause, said in tried if said is not None), (otherwise, ""))


def what_next(one: Difference) -> str:
    """The command that goes on from here; nothing where nothing has to be done."""
    known = one.pair.known
    gone = one.at is not None and one.at < one.pair.data_until - EVENTS_KEPT
    wanted = _SHOW if gone and one.cause.next == _ASK else one.cause.next
    day = one.at - timedelta(days=1) if one.at else None
    return wanted.format(
        case=known.case,
        source=known.source,
        webhook=one.webhook,
        day=f"{day:%Y-%m-%d}" if day else "30d",
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
