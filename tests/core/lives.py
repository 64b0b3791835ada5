"""Hypothesis strategies: the life of one invoice, coherent but nasty, as the events that tell it.

A life is a list of happenings in order of time. Money adds up: what is paid, credited, refunded
and disputed is never more than there is. Each happening is told by one or more reports that
overlap, as a provider's webhooks do: a payment by the view of the invoice, as a payment, as a
charge that went through. Times come from a small grid, so that many things share a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from dunning.core.events import (
    Actor,
    AttemptReported,
    AttemptStatus,
    BillingEvent,
    Decline,
    DisputeStatus,
    InvoiceNews,
    InvoiceStatus,
    MethodNews,
    Standing,
    StepResult,
)
from dunning.core.visits import CARD, PAY
from tests import builders as b
from tests import happenings as h


def part(share: float) -> settings:
    """So many times the examples of the profile in use: some properties cost more than others."""
    return settings(max_examples=int(settings().max_examples * share))


Draw = Callable[[st.SearchStrategy[Any]], Any]

OFFSETS = (-2, -1, 0, 0.04, 1, 1.5, 2, 3, 4, 7, 7.5, 10, 13, 14, 15, 20, 21, 28, 29, 35)
CODES = (
    "insufficient_funds",
    "generic_decline",
    "expired_card",
    "lost_card",
    "authentication_required",
    "processing_error",
    "no_such_code",
)
STEPS = (
    *("retry:1", "retry:2", "retry:4", "email:1", "email:2", "restrict:1", "suspend:1"),
    *("give_up:1", "restore:1", "reconcile:open", "reconcile:frozen:1", "email:suspended"),
)


@dataclass
class Life:
    """What is true of the invoice so far, and everything that was said of it."""

    draw: Draw
    amount: int
    paid: int = 0
    credited: int = 0
    status: InvoiceStatus = InvoiceStatus.OPEN
    by_hand: bool = False  # sent to the customer, and due when its payment would have failed
    charges: dict[str, int] = field(default_factory=dict)  # what is left of each payment
    back: dict[str, int] = field(default_factory=dict)  # refunded so far, by charge
    notes: list[Any] = field(default_factory=list)
    refunds: list[Any] = field(default_factory=list)
    disputes: list[Any] = field(default_factory=list)
    told: list[BillingEvent] = field(default_factory=list)
    count: int = 0

    @property
    def left(self) -> int:
        return self.amount - self.paid - self.credited

    def next(self, word: str) -> str:
        self.count += 1
        return f"{word}_{self.count}"

    def some(self, *reports: BillingEvent) -> None:
        """At least one of the reports is heard."""
        chosen = self.draw(st.sets(st.integers(0, len(reports) - 1), min_size=1))
        self.told += [reports[i] for i in sorted(chosen)]

    def part(self, whole: int) -> int:
        return int(self.draw(st.sampled_from(sorted({whole, max(whole // 2, 1), 1}))))

    def view(self, news: InvoiceNews, at: datetime) -> BillingEvent:
        """The invoice as it is now."""
        told = b.bill(
            self.amount,
            status=self.status,
            paid=self.paid,
            credited=self.credited,
            paid_at=at if self.status is InvoiceStatus.PAID else None,
            automatic=not self.by_hand,
            due_at=b.T0 if self.by_hand else None,
        )
        return b.reported(news, at, told, id=self.next("evt"))


def _fails(life: Life, at: datetime) -> None:
    code = life.draw(st.sampled_from(CODES))
    by = life.draw(st.sampled_from((Actor.PROVIDER, Actor.CUSTOMER, Actor.UNKNOWN)))
    card = life.draw(st.sampled_from((b.CARD, b.NEW_CARD)))
    status = life.draw(st.sampled_from((AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED)))
    known = {"amount": max(life.left, 1), "name": life.next("ch"), "by": by}
    whole = b.attempt(status, at, code=code, method=card, **known)
    bare = replace(whole, decline=Decline(code=code), method=None, network=None, fingerprint=None)
    news = InvoiceNews.PAYMENT_FAILED
    if life.status is not InvoiceStatus.OPEN:
        news = InvoiceNews.UPDATED
    life.some(life.view(news, at), _heard(life, whole), _heard(life, bare))


def _heard(life: Life, told: Any) -> AttemptReported:
    return b.attempted(told, id=life.next("evt"))


def _pays(life: Life, at: datetime) -> None:
    if life.left <= 0 or life.status is InvoiceStatus.VOID:
        return
    amount = life.part(life.left)
    charge, intent = life.next("ch"), life.next("pi")
    life.paid += amount
    life.charges[charge] = amount
    if life.left == 0:
        life.status = InvoiceStatus.PAID
    news = InvoiceNews.PAID if life.left == 0 else InvoiceNews.UPDATED
    tried = b.attempt(
        AttemptStatus.SUCCEEDED, at, amount=amount, name=charge, payment_intent=intent
    )
    life.some(
        life.view(news, at),
        b.payment(amount, at, name=intent, charge=charge),
        b.payment(amount, at, name=charge, payment_intent=None, charge=charge),
        _heard(life, tried),
        _heard(life, replace(tried, method=None, network=None)),
    )


def _credits(life: Life, at: datetime) -> None:
    if life.left <= 0:
        return
    amount = life.part(life.left)
    note = b.credit_note(amount, at, name=life.next("cn"))
    life.notes.append(note)
    life.credited += amount
    if life.left == 0:
        life.status = InvoiceStatus.PAID
    life.some(note, life.view(InvoiceNews.UPDATED, at))


def _voids_credit(life: Life, at: datetime) -> None:
    if not life.notes or life.status is not InvoiceStatus.OPEN:
        return
    note = life.notes.pop()
    life.credited -= note.amount
    gone = replace(note, id=life.next("evt"), at=at, live=False)
    life.some(gone, life.view(InvoiceNews.UPDATED, at))


def _refunds(life: Life, at: datetime) -> None:
    open_charges = sorted(charge for charge, left in life.charges.items() if left > 0)
    if not open_charges:
        return
    charge = life.draw(st.sampled_from(open_charges))
    amount = life.part(life.charges[charge])
    life.charges[charge] -= amount
    life.back[charge] = life.back.get(charge, 0) + amount
    single = b.refund(amount, at, name=life.next("re"), charge=charge)
    life.refunds.append(single)
    life.some(single, b.charge_refunded(life.back[charge], at, charge=charge))


def _refund_fails(life: Life, at: datetime) -> None:
    if not life.refunds:
        return
    single = life.refunds.pop()
    life.charges[single.charge] += single.amount
    life.back[single.charge] -= single.amount
    failed = replace(single, id=life.next("evt"), at=at, live=False)
    life.some(failed, b.charge_refunded(life.back[single.charge], at, charge=single.charge))


def _disputed(life: Life, at: datetime) -> None:
    charges = sorted(charge for charge, left in life.charges.items() if left > 0)
    if not charges and not life.disputes:
        return
    if life.disputes and life.draw(st.booleans()):
        first = life.disputes[0]
        status = life.draw(st.sampled_from(DisputeStatus))
        life.told.append(replace(first, id=life.next("evt"), at=at, status=status))
    elif charges:
        charge = life.draw(st.sampled_from(charges))
        status = life.draw(st.sampled_from((DisputeStatus.INQUIRY, DisputeStatus.OPEN)))
        amount = life.charges[charge]
        name = life.next("dp")
        life.disputes.append(b.dispute(status, at, amount, name=name, charge=charge))
        life.told.append(life.disputes[-1])


def _debit_begins(life: Life, at: datetime) -> None:
    name = life.next("ch")
    life.told.append(b.processing(at, name=name))
    result = life.draw(st.sampled_from((None, AttemptStatus.DECLINED, AttemptStatus.CANCELED)))
    if result is not None:
        ended = b.attempt(result, at, name=name, method_type="sepa_debit")
        life.told.append(b.attempted(ended, id=life.next("evt"), at=at + timedelta(days=5)))


def _ends_otherwise(life: Life, at: datetime) -> None:
    if life.status is not InvoiceStatus.OPEN:
        return
    void = life.draw(st.booleans())
    life.status = InvoiceStatus.VOID if void else InvoiceStatus.UNCOLLECTIBLE
    life.told.append(life.view(InvoiceNews.VOIDED if void else InvoiceNews.UNCOLLECTIBLE, at))


def _about_people(life: Life, at: datetime) -> None:
    life.told.append(
        life.draw(
            st.one_of(
                st.builds(
                    h.method,
                    st.sampled_from(MethodNews),
                    st.just(at),
                    st.sampled_from((b.CARD, b.NEW_CARD, None)),
                ),
                st.builds(
                    h.customer,
                    st.just(at),
                    timezone=st.sampled_from((None, "Asia/Tokyo", "Mars/Olympus")),
                    email=st.sampled_from((None, "ann@example.org")),
                ),
                st.builds(
                    h.subscription,
                    st.just(at),
                    recurring=st.sampled_from((900, 1900, None)),
                    currency=st.just(b.USD),
                ),
                st.just(h.renewal(at)),
                st.just(h.page_opened(at)),
                st.builds(h.pressed, st.just(at), st.sampled_from((PAY, CARD))),
                st.builds(h.adopted, st.just(at), standing=st.sampled_from(Standing)),
            )
        )
    )


def _relation_ends(life: Life, at: datetime) -> None:
    reason = life.draw(st.sampled_from(("cancellation_requested", "payment_failed", None)))
    by_us = life.draw(st.booleans())
    life.told.append(
        life.draw(
            st.sampled_from(
                (
                    h.ended(at, reason=reason, by_us=by_us),
                    h.customer(at, deleted=True),
                    h.closed_by_hand(at),
                )
            )
        )
    )


def _by_hand(life: Life, at: datetime) -> None:
    until = at + timedelta(days=3)
    moved = h.policy_changed(at, number=1 + life.count % 2)
    acts: tuple[BillingEvent, ...] = (
        *(h.held(at), h.held(at, until), h.resumed(at), h.retry_asked(at)),
        *(h.retry_asked(at, forced=True), h.promised(at), h.promised(at, until, 1000)),
        *(h.exempted(at), h.exempted(at, until), h.unexempted(at)),
        *(h.advanced("retry:2", at), h.advanced("email:2", at)),
        moved,
    )
    life.told.append(life.draw(st.sampled_from(acts)))


def _own_step(life: Life, at: datetime) -> None:
    name = life.draw(st.sampled_from(STEPS))
    result = life.draw(st.sampled_from(StepResult))
    if life.draw(st.booleans()):
        template = life.draw(st.sampled_from((None, "payment_failed", "new_card_needed")))
        life.told.append(h.step(name, at, result, template=template))
    else:
        life.told.append(h.deferred(name, at, at + timedelta(hours=6)))


Happening = Callable[[Life, datetime], None]
MONEY: tuple[Happening, ...] = (
    *(_pays, _pays, _credits, _voids_credit, _refunds, _refund_fails, _disputed),
)
OTHER: tuple[Happening, ...] = (
    *(_fails, _fails, _debit_begins, _ends_otherwise, _about_people, _about_people),
    *(_relation_ends, _by_hand, _own_step, _own_step),
)


@st.composite
def lives(
    draw: Draw, happenings: Sequence[Happening] = MONEY + OTHER, most: int = 14
) -> list[BillingEvent]:
    """Everything said of one invoice, in order of time; nearly always its payment failed."""
    amount, by_hand = draw(st.sampled_from((1, 4900, 4900, 100_000))), draw(st.integers(0, 4)) == 4
    life = Life(draw, amount=amount, by_hand=by_hand)
    offsets = sorted(draw(st.lists(st.sampled_from(OFFSETS), max_size=most)))
    begun = False
    first = InvoiceNews.OVERDUE if by_hand else InvoiceNews.PAYMENT_FAILED
    for offset in offsets:
        if offset >= 0 and not begun:
            begun = True
            life.told.append(life.view(first, b.T0))
        draw(st.sampled_from(tuple(happenings)))(life, b.days(offset))
    if not begun:
        life.told.append(life.view(first, b.T0))
    return life.told


@st.composite
def shuffled(draw: Draw, told: Sequence[BillingEvent]) -> list[BillingEvent]:
    """The same news in another order, some of it more than once."""
    chance = Random(draw(st.integers(0, 2**32)))
    news = [*told, *chance.choices(list(told), k=chance.randrange(5))]
    chance.shuffle(news)
    return news
