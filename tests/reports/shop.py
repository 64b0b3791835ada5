"""Shop: invoices whose payments fail and what becomes of them, told through the real door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session

from dunning.case_rows import locked
from dunning.cases import CaseBook
from dunning.core.case import case_id
from dunning.core.choosing import Subject
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    ButtonPressed,
    ClosedByHand,
    CreditNoted,
    Decline,
    DisputeReported,
    DisputeStatus,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    PaymentReceived,
    RefundReported,
    StepEnded,
    StepKind,
    StepResult,
    SubscriptionReported,
)
from dunning.core.policy import Policy
from dunning.core.visits import PAY
from dunning.reports import snapshot
from dunning.store import engine_for, transaction
from tests.policies import STANDARD

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)


def on(month: int, day: int, hour: int = 12, minute: int = 0) -> datetime:
    """A moment of 2026, UTC."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def _choose(subject: Subject) -> Policy:
    assert subject.amount is not None
    patient = subject.amount.minor >= 50_000
    return replace(STANDARD, name="patient") if patient else STANDARD


class Shop:
    """A database with cases; each call is a transaction of its own, unless `within` one."""

    def __init__(self, url: str) -> None:
        self.engine = engine_for(url)
        self.book = CaseBook(choose=_choose)
        self._session: Session | None = None
        self._numbers = 0
        self.now = NOW  # when what is told is written down

    @contextmanager
    def writing(self) -> Iterator[Session]:
        if self._session is not None:
            yield self._session
        else:
            with transaction(self.engine) as session:
                yield session

    @contextmanager
    def trial(self) -> Iterator[Session]:
        """Whatever is told in here is forgotten at the end."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            self._session = session
            try:
                yield session
            finally:
                self._session = None
                session.rollback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with snapshot(self.engine) as session:
            yield session

    def tell(self, source: str, *events: BillingEvent, now: datetime | None = None) -> None:
        """The provider tells us; in any order, any number of times."""
        with self.writing() as session:
            self.book.apply(session, source, "stripe", events, now or self.now)

    def failed(
        self,
        at: datetime,
        amount: int = 4900,
        currency: str = "usd",
        *,
        source: str = "stripe",
        code: str = "insufficient_funds",
        of: Unpaid | None = None,
        monthly: int | None = None,
    ) -> Unpaid:
        """An invoice whose payment failed at that moment, perhaps one more `of` a subscription.

        `monthly`: what the subscription brings in a month, as told a day before.
        """
        self._numbers += 1
        unpaid = Unpaid(self, f"in_{self._numbers}", amount, currency, source, of)
        if monthly is not None:
            unpaid.priced(at - timedelta(days=1), monthly)
        unpaid.declined(at, code)
        unpaid.shown(InvoiceNews.PAYMENT_FAILED, at)
        return unpaid


@dataclass(frozen=True)
class Unpaid:
    """One invoice; every method is one thing that happens to it."""

    shop: Shop
    invoice: str
    amount: int
    currency: str
    source: str
    of: Unpaid | None = None  # an earlier one of the same subscription

    @property
    def name(self) -> str:
        """What names of its customer and subscription end in."""
        return self.of.name if self.of else self.invoice

    @property
    def case(self) -> str:
        return case_id(self.source, self.invoice)

    def tell(self, *events: BillingEvent) -> None:
        self.shop.tell(self.source, *events)

    def by_us(self, *events: BillingEvent) -> None:
        with self.shop.writing() as session:
            self.shop.book.apply_by_hand(session, locked(session, self.case), events, self.shop.now)

    # --- the provider's words ---------------------------------------------------------------

    def shown(self, news: InvoiceNews, at: datetime, **told: Any) -> None:
        given: dict[str, Any] = {"status": InvoiceStatus.OPEN, "remaining": self.amount} | told
        bill = Bill(
            invoice=self.invoice,
            currency=self.currency,
            customer=f"cus_{self.name}",
            subscription=f"sub_{self.name}",
            attempt_count=2,  # the provider did try again
            **given,
        )
        self.tell(InvoiceReported(id=f"evt_{news}_{at:%m%d%H%M}", at=at, news=news, bill=bill))

    def attempt(self, status: AttemptStatus, at: datetime, **told: Any) -> None:
        name = f"ch_{self.invoice}_{at:%m%d%H%M}"
        given: dict[str, Any] = {
            "amount": self.amount,
            "charge": name,
            "payment_intent": f"pi_{name}",
        } | told
        tried = Attempt(id=name, at=at, status=status, currency=self.currency, **given)
        self.tell(AttemptReported(id=f"evt_{name}", at=at, attempt=tried, invoice=self.invoice))

    def declined(self, at: datetime, code: str) -> None:
        decline = Decline(code=code)
        self.attempt(AttemptStatus.DECLINED, at, by=Actor.PROVIDER, decline=decline)

    def charged(self, at: datetime, key: str | None = None, amount: int | None = None) -> None:
        """A charge went through: our step's (`retry:1`), or without a key the provider's own."""
        by = Actor.OURS if key else Actor.PROVIDER
        whole = f"{self.case}/{key}" if key else None
        told = {"amount": amount or self.amount, "by": by, "key": whole}
        self.attempt(AttemptStatus.SUCCEEDED, at, **told)

    def paid(self, at: datetime, *, outside: bool = False) -> None:
        """The invoice is paid, whoever did it."""
        told = {"status": InvoiceStatus.PAID, "remaining": 0, "paid": self.amount, "paid_at": at}
        self.shown(InvoiceNews.PAID, at, out_of_band=outside, **told)

    def part_paid(self, at: datetime, amount: int) -> None:
        name = f"pay_{self.invoice}_{at:%m%d%H%M}"
        self.tell(
            PaymentReceived(
                id=f"evt_{name}",
                at=at,
                invoice=self.invoice,
                payment=name,
                amount=amount,
                currency=self.currency,
            )
        )

    def voided(self, at: datetime) -> None:
        self.shown(InvoiceNews.VOIDED, at, status=InvoiceStatus.VOID, voided_at=at)

    def uncollectible(self, at: datetime) -> None:
        told = {"status": InvoiceStatus.UNCOLLECTIBLE, "uncollectible_at": at}
        self.shown(InvoiceNews.UNCOLLECTIBLE, at, **told)

    def credited(self, at: datetime, amount: int) -> None:
        name = f"cn_{self.invoice}_{at:%m%d%H%M}"
        self.tell(
            CreditNoted(
                id=f"evt_{name}",
                at=at,
                invoice=self.invoice,
                credit_note=name,
                amount=amount,
                currency=self.currency,
                live=True,
                credited_at=at,
            )
        )

    def refunded(self, at: datetime, amount: int | None = None, *, live: bool = True) -> None:
        """Given back; told again with `live=False` it turned out to have failed."""
        self.tell(
            RefundReported(
                id=f"evt_re_{self.invoice}_{at:%m%d%H%M}_{live}",
                at=at,
                refund=f"re_{self.invoice}_{at:%m%d%H%M}",
                amount=amount or self.amount,
                currency=self.currency,
                live=live,
                refunded_at=at,
                invoice=self.invoice,
            )
        )

    def disputed(
        self, opened_at: datetime, status: DisputeStatus = DisputeStatus.OPEN, days: int = 0
    ) -> None:
        """The bank took the money back; `days` later that is how the dispute stands."""
        if status in (DisputeStatus.WON, DisputeStatus.LOST):
            self.disputed(opened_at)
        at = opened_at + timedelta(days=days)
        self.tell(
            DisputeReported(
                id=f"evt_dp_{self.invoice}_{status}",
                at=at,
                dispute=f"dp_{self.invoice}",
                status=status,
                amount=self.amount,
                currency=self.currency,
                opened_at=opened_at,
                invoice=self.invoice,
            )
        )

    def ended(self, at: datetime, reason: str) -> None:
        """The subscription is over; `payment_failed` is involuntary."""
        self.tell(
            SubscriptionReported(
                id=f"evt_sub_{self.name}",
                at=at,
                subscription=f"sub_{self.name}",
                customer=f"cus_{self.name}",
                status="canceled",
                ended_at=at,
                end_reason=reason,
            )
        )

    def priced(self, at: datetime, monthly: int | None) -> None:
        """What the subscription brings in a month, as its provider says."""
        self.tell(
            SubscriptionReported(
                id=f"evt_sub_{self.name}_{at:%m%d%H%M}",
                at=at,
                subscription=f"sub_{self.name}",
                customer=f"cus_{self.name}",
                status="active",
                recurring=monthly,
                currency=self.currency,
            )
        )

    # --- our own steps ------------------------------------------------------------------------

    def written_to(self, at: datetime, template: str | None = None) -> None:
        self._step(at, StepKind.EMAIL, template)

    def pressed(self, at: datetime, button: str = PAY) -> None:
        """The customer pressed a button of their page."""
        name = f"{button}:{int(at.timestamp()) // 3600}"
        self.by_us(ButtonPressed(id=name, at=at, invoice=self.invoice, button=button))

    def suspended(self, at: datetime) -> None:
        self._step(at, StepKind.SUSPEND)

    def given_up(self, at: datetime) -> None:
        self._step(at, StepKind.GIVE_UP)

    def closed_by_hand(self, at: datetime) -> None:
        self.by_us(ClosedByHand(id=f"act_{self.invoice}", at=at, why="goodwill", by="ops"))

    def _step(self, at: datetime, kind: StepKind, template: str | None = None) -> None:
        key = f"{self.case}/{kind}:{template or 1}"
        done = StepResult.DONE
        self.by_us(StepEnded(id=key, at=at, kind=kind, result=done, template=template))


def money(rows: Sequence[dict[str, Any]], name: str) -> dict[str, int]:
    """The sum of one column, per currency."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], 0) + row[name]
    return sums
