"""One charge of an invoice, from the look before it to the proof of how it ended.

    read the invoice ── closed, processing ──▶ NotOwed, Processing
          │ open
    POST …/pay under the key ── 200, 402 ──▶ Paid, Declined, ActionNeeded, Processing
          │ no clear answer
    read again: a try under our key? ── yes ──▶ as that try ended
          │ no
    NotKnown, unless the request certainly never reached Stripe: NotSent

`NotSent` speaks of this call. When an earlier call under the same key ended in `NotKnown`, that
doubt stands until a call finds the try or reads that there was none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dunning.clock import Clock
from dunning.core.events import Attempt, AttemptStatus, Bill, Decline, InvoiceStatus
from dunning.core.ports import (
    ChargeOutcome,
    Declined,
    NotKnown,
    NotOwed,
    NotSent,
    Paid,
    Processing,
    Refused,
)
from dunning.errors import MalformedError
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.endings import (
    ACTION,
    CLOSED,
    asks_for_action,
    decline_of,
    filled,
    ours,
    outcome_of,
    refusal,
)
from dunning.providers.stripe.objects import attempt_of_charge, bill
from dunning.providers.stripe.outcomes import (
    Ending,
    Obj,
    StripeDownError,
    StripeRefusedError,
    Trouble,
)
from dunning.providers.stripe.records import Records, is_processing, is_waiting, known_charges
from dunning.providers.stripe.views import choose_method

if TYPE_CHECKING:
    from stripe import StripeClient
    from stripe.params import InvoicePayParams

# Stripe forgets keys after a day and events after thirty.
KEY_LIFE = timedelta(hours=25)
EVENTS_KEPT = timedelta(days=30)
MOST_OWNERS_ASKED = 20

_METHOD_PARAMS = frozenset(("payment_method", "source"))
_LEGACY = ("card_", "ba_", "src_")  # ways to pay from before payment methods


class Charging:
    """Charges invoices. Business endings are returned; nothing is raised for them."""

    def __init__(self, client: StripeClient, calls: Calls, records: Records, clock: Clock) -> None:
        self._api = client.v1
        self._calls = calls
        self._records = records
        self._clock = clock

    def charge(
        self, invoice: str, *, key: str, method: str | None, may_repeat: bool
    ) -> ChargeOutcome:
        """See `ports.Provider.charge`."""
        if not may_repeat:
            return self._only_read(invoice, key)
        try:
            before = self._records.invoice(invoice)
            closed = self._closed(before, key)
        except StripeDownError as exc:
            down = exc.trouble.ending is not Ending.LIMITED
            return NotSent(why=str(exc), retry_after_seconds=exc.retry_after, down=down)
        except (StripeRefusedError, MalformedError) as exc:
            return Refused(why=str(exc))
        return closed or self._pay(before, key, method)

    def _pay(self, before: Obj, key: str, method: str | None) -> ChargeOutcome:
        # The parameters are part of what the key stands for: a version of this program that
        # sends others must not reuse the keys of the one before it.
        params: InvoicePayParams = {"off_session": True, "expand": ["payments"]}
        if method is not None and method.startswith(_LEGACY):
            params["source"] = method
        elif method is not None:
            params["payment_method"] = method
        ask = partial(self._api.invoices.pay, before["id"], params, {"idempotency_key": key})
        try:
            answer = self._calls.charge(ask)
        except (StripeDownError, StripeRefusedError) as exc:
            trouble = exc.trouble
        else:
            return self._answered(answer, before, key)
        return self._failed(trouble, before, key, method)

    # --- before ------------------------------------------------------------------------------
    def _closed(self, invoice: Obj, key: str) -> ChargeOutcome | None:
        """The outcome when there is nothing to charge, else None."""
        now = bill(invoice)
        if now.status is InvoiceStatus.DRAFT:
            return Refused(why=f"{now.invoice} is still a draft; Stripe has not asked for it yet")
        if now.status is InvoiceStatus.PAID:
            return self._paid_before(invoice, now, key)
        if now.status in CLOSED or now.remaining == 0:
            return NotOwed(bill=now)
        return self._processing(invoice, key)

    def _paid_before(self, invoice: Obj, now: Bill, key: str) -> ChargeOutcome:
        """An earlier call under this key may have paid it and died before it could say so."""
        try:
            own, _ = self._own(invoice, key, None, KEY_LIFE)
        except (StripeDownError, StripeRefusedError, MalformedError):
            own = None
        return outcome_of(own, now) if own else NotOwed(bill=now)

    def _processing(self, invoice: Obj, key: str) -> Processing | None:
        if not is_processing(invoice):
            return None
        tries = self._records.tries(invoice)
        pending = next((t for t in tries if t.status is AttemptStatus.PROCESSING), None)
        if pending is not None and self._is_ours(pending, key, new=False):
            pending = ours(pending, key)
        return Processing(bill=bill(invoice), attempt=pending)

    # --- after an answer ---------------------------------------------------------------------
    def _answered(self, answer: Obj, before: Obj, key: str) -> ChargeOutcome:
        """A 200: nearly always paid; else the payment intent says what it waits for."""
        try:
            now = bill(answer)
        except MalformedError as exc:
            return self._resolve(f"Stripe's answer cannot be used: {exc}", before, key)
        if now.status is not InvoiceStatus.PAID:
            return self._resolve(f"Stripe took the charge, yet {now.invoice} is open", before, key)
        return Paid(bill=now, attempt=self._succeeded(answer, key))

    def _succeeded(self, answer: Obj, key: str) -> Attempt | None:
        """The try that paid; None when it cannot be read, or when no charge was needed."""
        try:
            tries = self._records.tries(answer)
        except (StripeDownError, StripeRefusedError, MalformedError):
            return None  # the money has moved: that is not to be lost for want of details
        paid = next((t for t in tries if t.status is AttemptStatus.SUCCEEDED), None)
        return ours(paid, key) if paid else None

    def _failed(self, trouble: Trouble, before: Obj, key: str, method: str | None) -> ChargeOutcome:
        """The table of `outcomes`, for a charge."""
        match trouble.ending:
            case Ending.NOT_SENT | Ending.LIMITED | Ending.BAD_KEY:
                return NotSent(
                    why=trouble.why,
                    retry_after_seconds=trouble.retry_after,
                    down=trouble.ending is not Ending.LIMITED,
                )
            case Ending.NO_RIGHT:
                return Refused(why=trouble.why)
            case Ending.CARD:
                return self._declined(trouble, before, key)
            case Ending.MISSING | Ending.INVALID:
                return self._refused(trouble, before["id"], key, method)
            case Ending.LOST | Ending.BROKEN | Ending.BUSY | Ending.MISMATCH:
                return self._resolve(trouble.why, before, key)

    def _declined(self, trouble: Trouble, before: Obj, key: str) -> ChargeOutcome:
        """A 402: its words, filled up from the charge it made."""
        error = trouble.error
        said = decline_of(error)
        attempt = self._attempt_of(error, before, key)
        if attempt is None:
            return refusal(said, None)
        decline = filled(said, attempt.decline or Decline())
        decline = replace(decline, network=decline.network or attempt.network)
        return refusal(decline, replace(ours(attempt, key), decline=decline))

    def _attempt_of(self, error: Mapping[str, Any], before: Obj, key: str) -> Attempt | None:
        """The charge a card error speaks of, else what the error itself tells of the try."""
        intent = error.get("payment_intent")
        intent = intent if isinstance(intent, Mapping) else {}
        # An error that names no charge made none: `latest_charge` is then an older one.
        name = error.get("charge")
        if isinstance(name, str):
            try:
                return attempt_of_charge(self._records.charge(name))
            except (StripeDownError, StripeRefusedError, MalformedError):
                pass
        about = name or intent.get("id")
        if not isinstance(about, str):
            return self._newest(before)
        waiting = intent.get("status") == "requires_action"
        method = error.get("payment_method")
        return Attempt(
            id=about,
            at=self._clock.now(),
            status=AttemptStatus.ACTION_NEEDED if waiting else AttemptStatus.DECLINED,
            amount=bill(before).remaining,
            currency=bill(before).currency,
            charge=name if isinstance(name, str) else None,
            payment_intent=intent.get("id"),
            method=method.get("id") if isinstance(method, Mapping) else None,
            method_type=decline_of(error).method_type,
        )

    def _newest(self, before: Obj) -> Attempt | None:
        """The newest try made since the invoice was read, for an error that names nothing."""
        known = known_charges(before)
        try:
            tries = self._records.tries(self._records.invoice(before["id"]))
        except (StripeDownError, StripeRefusedError, MalformedError):
            return None
        return tries[0] if tries and tries[0].id not in known else None

    def _refused(
        self, trouble: Trouble, invoice: str, key: str, method: str | None
    ) -> ChargeOutcome:
        """A 400 or 404: no code tells why, so the invoice decides by how it stands now."""
        method_gone = trouble.param in _METHOD_PARAMS and trouble.code == "resource_missing"
        try:
            invoice_now = self._records.invoice_with_people(invoice)
            closed = self._closed(invoice_now, key)
            nothing_to_charge = method is None and choose_method(invoice_now) is None
        except (StripeDownError, StripeRefusedError, MalformedError):
            return Refused(why=trouble.why)
        if closed is not None:
            return closed
        if asks_for_action(decline_of(trouble.error)):
            return refusal(decline_of(trouble.error), None)
        if method_gone or nothing_to_charge:
            # Not an error of ours: this card is gone, or there is none, and the customer has to
            # be asked for one. The key is spent: Stripe replays its refusal to this request, and
            # refuses another card under the same key.
            return Declined(decline=Decline(code="missing", error_code="missing"))
        return Refused(why=trouble.why)

    # --- after no clear answer ---------------------------------------------------------------
    def _resolve(self, why: str, before: Obj, key: str) -> ChargeOutcome:
        """Ask Stripe's records what became of the request."""
        try:
            invoice = self._records.invoice(before["id"])
            now = bill(invoice)
            own, unsure = self._own(invoice, key, known_charges(before), KEY_LIFE)
            if own is not None:
                return outcome_of(own, now)
            if unsure is not None and unsure.status is AttemptStatus.SUCCEEDED:
                return Paid(bill=now, attempt=unsure)
            if now.status in CLOSED:
                return NotOwed(bill=now)
            processing = self._processing(invoice, key)
            asked = None if is_waiting(before) else self._asked(invoice)
        except (StripeDownError, StripeRefusedError, MalformedError) as exc:
            return NotKnown(why=f"{why}; and then: {exc}")
        if processing is not None:
            return processing
        if asked is not None:
            return refusal(ACTION, replace(ours(asked, key), at=self._clock.now()))
        return NotKnown(why=f"{why}; the invoice is open and shows no try of ours so far")

    def _only_read(self, name: str, key: str) -> ChargeOutcome:
        """Past the life of the key: what the records show, and never a charge."""
        try:
            return self._found(self._records.invoice(name), key)
        except (StripeDownError, StripeRefusedError, MalformedError) as exc:
            return NotKnown(why=str(exc))

    def _found(self, invoice: Obj, key: str) -> ChargeOutcome:
        now = bill(invoice)
        own, unsure = self._own(invoice, key, None, EVENTS_KEPT)
        if own is not None:
            return outcome_of(own, now)
        if now.status in CLOSED or now.remaining == 0:
            return NotOwed(bill=now)
        processing = self._processing(invoice, key)
        if processing is not None:
            return processing
        asked = self._asked(invoice)
        if asked is not None:
            # It may have been our try: a try without a charge has no event that says when.
            return refusal(ACTION, asked)
        if unsure is not None:
            return NotKnown(why=f"whose request made {unsure.id} cannot be told")
        return NotSent(why="Stripe's records show no try under this key")

    def _asked(self, invoice: Obj) -> Attempt | None:
        """The try that waits for the customer to authenticate."""
        if not is_waiting(invoice):
            return None
        tries = self._records.tries(invoice)
        return next((t for t in tries if t.status is AttemptStatus.ACTION_NEEDED), None)

    def _own(
        self, invoice: Obj, key: str, known: frozenset[str] | None, reach: timedelta
    ) -> tuple[Attempt | None, Attempt | None]:
        """The try made under this key, else the newest one of which nobody can tell.

        `known` are the charges there were before our request; None when none was made just now.
        """
        since = self._clock.now() - reach
        unsure: Attempt | None = None
        tries = [t for t in self._records.tries(invoice) if t.at >= since and t.charge]
        new = known is not None
        for attempt in tries[:MOST_OWNERS_ASKED]:
            # Newest first: from the first one that is known, all are older than our request.
            new = new and attempt.id not in (known or ())
            made_by_us = self._is_ours(attempt, key, new=new)
            if made_by_us:
                return ours(attempt, key), None
            if made_by_us is None and unsure is None:
                unsure = attempt
        return None, unsure

    def _is_ours(self, attempt: Attempt, key: str, *, new: bool) -> bool | None:
        """Whether this try was made under the key; None when nothing tells."""
        try:
            request = self._records.request_behind(attempt)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.NO_RIGHT:
                raise
            # A key without the right to read events: what came about during our own request
            # is taken to be its work.
            return True if new else None
        return None if request is None else request.get("idempotency_key") == key
